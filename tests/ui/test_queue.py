"""On every page that asks the networks, one who waits reads that she is in a queue."""

from __future__ import annotations

import threading

import pytest
from streamlit.delta_generator import DeltaGenerator

from icbir_core.study.creating import open_store
from icbir_ui import shared
from tests.helpers import fakes

QUEUE = "You are in a queue: 1 reader is before you. Your turn comes by itself."


@pytest.fixture
def behind_another(monkeypatch):
    """behind_another(step) does `step` while the networks are another reader's; what the page said of the queue."""

    def wait(step) -> list[str]:
        inside, go_on, seen = threading.Event(), threading.Event(), []
        caption = DeltaGenerator.caption

        def show(self, body, *rest, **more):
            if "queue" in body:
                seen.append(body)
                go_on.set()  # the reader before her is done once she has been told
            return caption(self, body, *rest, **more)

        def hold(_) -> str:
            inside.set()
            go_on.wait(10)
            return "done"

        monkeypatch.setattr(DeltaGenerator, "caption", show)
        first = threading.Thread(target=shared.open_service().ask, args=("another reader's film", hold))
        first.start()
        assert inside.wait(20)
        step()
        first.join(20)
        return seen

    return wait


def test_search(open_page, behind_another):
    page = open_page("search")
    assert behind_another(lambda: page.press("Effusion 1"))[0] == QUEUE
    assert len(page.case_ids) == 8 and "queue" not in page.text()


def test_the_maps_of_rate(workspace, open_page, behind_another):
    study = fakes.make_study(workspace)
    page = open_page("rate")
    first = [step for step in study.steps("tester") if step.stage == 1]
    for _ in first[1:]:
        page.press("3 · ")
    assert behind_another(lambda: page.press("3 · ")) == [QUEUE]
    assert "map" in page.data["panes"][0] and "queue" not in page.text()


def test_new_study(workspace, open_page, behind_another):
    page = open_page("rate")
    page.app.text_input[0].set_value("from the page")
    page.app.number_input[0].set_value(2)
    assert behind_another(lambda: page.press("Make the study")) == [QUEUE]
    assert open_store(workspace).study_names() == ["from the page"] and "queue" not in page.text()


def test_embeddings(open_page, behind_another):
    page = open_page("catalogue").turn_to("Embeddings")
    page.app.selectbox(key="map_target").set_value("Cardiomegaly")
    assert behind_another(page.run)[0] == QUEUE
    assert "queue" not in page.text() and "Two principal components" in page.text()
