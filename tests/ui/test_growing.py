"""Films added from the page: a table alone brings its folder, and one reload serves all sessions."""

from __future__ import annotations

import ast
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.errors import DeviceError
from icbir_core.findings import FindingState
from icbir_core.radiograph.writing import write_lossless
from icbir_ui import shared
from icbir_ui.catalogue import ingest_job
from tests.helpers import fakes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def grown(workspace, tmp_path, monkeypatch):
    """The service that was there before an ingest of one film, which has ended and which no session has seen yet."""
    before = shared.open_service()
    monkeypatch.setattr(ingest_job, "index_targets", lambda *_: None)
    (tmp_path / "new").mkdir()
    write_lossless(fakes.make_radiograph(50), tmp_path / "new" / "new.png")
    options = ingest_job.guess_options("folder", str(tmp_path / "new"), "")
    growth = ingest_job.start_growth(workspace, options, ())
    assert growth.finished.wait(60) and growth.error is None
    return before


def test_one_session_reloads_the_service_and_those_that_come_later_keep_it(grown, open_page):
    assert "15 cases" in open_page("catalogue").text()
    reloaded = shared.open_service()
    assert reloaded is not grown, "the films that were added are searched"
    for _ in range(2):
        assert "1 added" in open_page("catalogue").turn_to("Add films").text()
        assert shared.open_service() is reloaded


def test_sessions_that_see_the_end_at_once_reload_once(grown):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: shared.open_service(), range(8)))
    assert len({id(service) for service in opened}) == 1 and opened[0] is not grown


TABLES = {
    "folder": "image,view,Effusion\n{name}.png,PA,1\n",
    "nih": "Image Index,Finding Labels,Patient ID,View Position\n{name}.png,Effusion,7,PA\n",
}


@pytest.mark.parametrize("field", ["Table of labels", "Folder of films"])
@pytest.mark.parametrize("below", ["", "images"])
@pytest.mark.parametrize("layout", TABLES)
def test_a_table_alone_brings_its_folder(layout, below, field, workspace, open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_job, "index_targets", lambda *_: None)
    films = tmp_path / "new" / below
    films.mkdir(parents=True)
    write_lossless(fakes.make_radiograph(50), films / "new.png")
    table = tmp_path / "new" / "table.csv"
    table.write_text(TABLES[layout].format(name="new"))
    page = open_page("catalogue").turn_to("Add films")
    page.app.selectbox[-1].set_value(layout)
    next(one for one in page.app.text_input if one.label.startswith(field)).set_value(f"{table} ")
    page.press("Add")
    growth = ingest_job.get_growth(workspace)
    assert growth.finished.wait(60) and growth.error is None, growth.error
    page.run()
    assert "1 added" in page.text() and f"films of 'table.csv' are taken from '{films}'" in page.text()
    case = workspace.catalogue.get("new")
    assert case.findings["Effusion"] is FindingState.PRESENT and case.view == "PA"


def test_doubtful_films_and_other_files_are_told(workspace, open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_job, "index_targets", lambda *_: None)
    (tmp_path / "new").mkdir()
    picture = np.random.default_rng(1).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "new" / "holiday.jpg"), picture)
    (tmp_path / "new" / "letter.docx").write_text("a letter")
    growth = ingest_job.start_growth(workspace, ingest_job.guess_options("folder", str(tmp_path / "new"), ""), ())
    assert growth.finished.wait(60) and growth.error is None
    page = open_page("catalogue").turn_to("Add films")
    assert "1 added, 0 there before. 1 other file was left alone." in page.text()
    (folded,) = (one for one in page.app.expander if "doubtful" in one.label)
    assert folded.label == "1 doubtful film, in the catalogue all the same" and not folded.proto.expanded
    ((name, why),) = folded.dataframe[0].value.to_numpy().tolist()
    assert name == "holiday" and "in colour, perhaps a photograph" in why


def test_without_a_folder_and_a_table_nothing_starts(workspace, open_page):
    page = open_page("catalogue").turn_to("Add films").press("Add")
    assert "Name a folder of films or a table" in page.text() and ingest_job.get_growth(workspace) is None


@pytest.mark.parametrize(
    ("layout", "folder", "table", "words"),
    [
        ("folder", "nowhere", "", "There is no folder '{here}/nowhere' on this machine; name the folder of the films."),
        ("folder", "empty", "", "There are no films in '{here}/empty'; check the folder and the table"),
        ("folder", "empty", "nothing.csv", "The table '{here}/nothing.csv' cannot be read (No such file"),
        ("nih", "empty", "", "The layout 'nih' needs a table of labels; name its file."),
        ("nih", "empty", "wrong.csv", "it has: 2 columns of other names. Check the layout and the table."),
    ],
)
def test_what_cannot_be_added_is_told_without_words_of_the_command_line(
    workspace, layout, folder, table, words, tmp_path
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    named = str(tmp_path / table) if table else ""
    growth = ingest_job.start_growth(workspace, ingest_job.guess_options(layout, str(tmp_path / folder), named), ())
    assert growth.finished.wait(60) and words.format(here=tmp_path) in growth.error and "--" not in growth.error


def test_films_of_a_second_reader_are_said_not_to_have_started(workspace, open_page, tmp_path, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(ingest_job, "ingest", lambda *_: go_on.wait(20))
    monkeypatch.setattr(ingest_job, "index_targets", lambda *_: None)
    hers = ingest_job.guess_options("folder", str(tmp_path / "hers"), "")
    going = ingest_job.start_growth(workspace, hers, ())
    page = open_page("catalogue").turn_to("Add films")
    next(one for one in page.app.text_input if one.label.startswith("Folder of films")).set_value(
        str(tmp_path / "mine")
    )
    page.press("Add")
    (said,) = page.app.warning
    told = fakes.read_plain(said.value)
    assert f"'{tmp_path / 'hers'}' are being added now" in told and f"'{tmp_path / 'mine'}', were NOT started" in told
    assert ingest_job.get_growth(workspace) is going
    go_on.set()
    assert going.finished.wait(20)


def test_of_two_who_press_add_at_once_one_starts(workspace, tmp_path, monkeypatch):
    go_on, begun = threading.Event(), []
    monkeypatch.setattr(ingest_job, "ingest", lambda held, options, tell: begun.append(options) or go_on.wait(20))
    monkeypatch.setattr(ingest_job, "index_targets", lambda *_: None)
    made = ingest_job.Growth
    monkeypatch.setattr(ingest_job, "Growth", lambda options: time.sleep(0.05) or made(options))  # overtaken
    together = threading.Barrier(8)

    def press(number: int):
        options = ingest_job.guess_options("folder", str(tmp_path / str(number)), "")
        together.wait(20)
        return ingest_job.start_growth(workspace, options, ())

    with ThreadPoolExecutor(8) as hands:
        found = list(hands.map(press, range(8)))
    go_on.set()
    assert len({id(one) for one in found}) == 1 and found[0].finished.wait(20) and begun == [found[0].options]


def test_films_are_indexed_on_the_device_of_the_server(workspace, tmp_path, monkeypatch):
    """A process computes on one device: another choice later is refused, as TensorFlow refuses it."""
    chosen: list[str] = ["cpu"]  # by the retriever, when the server began

    def check(choice: str = "auto") -> None:
        if choice not in chosen:
            raise DeviceError("Expected to choose the device before anything was computed.")

    def index(workspace, target=None, methods=None, device="auto", **_):
        check(device)
        chosen.append(device)

    monkeypatch.setenv("ICBIR_DEVICE", "cpu")
    monkeypatch.setattr("icbir_core.retrieval.index_workspace.index_workspace", index)
    (tmp_path / "new").mkdir()
    write_lossless(fakes.make_radiograph(50), tmp_path / "new" / "new.png")
    growth = ingest_job.start_growth(
        workspace, ingest_job.guess_options("folder", str(tmp_path / "new"), ""), ("Effusion",)
    )
    assert growth.finished.wait(60) and growth.error is None and chosen == ["cpu", "cpu"]


def list_calls_without_device() -> tuple[set[str], list[str]]:
    """(names of the core's functions and methods that take a device, calls of the pages that leave it out)."""
    takers, left_out = set(), []
    for path in (one for one in (ROOT / "icbir_core").rglob("*.py") if "cli" not in one.parts):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        owned = {one: f"{node.name}." for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [one.arg for one in (*node.args.args, *node.args.kwonlyargs)]
                takers |= {owned.get(node, "") + node.name} if "device" in names and node.name[0] != "_" else set()
    for path in (*(ROOT / "icbir_ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in takers - own:
                given = {one.arg for one in node.keywords}
                left_out += [] if "device" in given else [f"{path.name}:{node.lineno} {ast.unparse(node.func)}"]
    return takers, left_out


def test_whatever_computes_for_a_page_is_told_the_device():
    takers, left_out = list_calls_without_device()
    assert {"Retriever.open", "index_workspace"} <= takers and left_out == []
