"""A study of 3 readers × 8 queries, read through the real pages, exported, imported elsewhere and reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.chromium import remember_reader

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
TIME = 60_000
QUERIES = 8
VIEWER = (
    "() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]"
    ".map(h => h.shadowRoot?.querySelector('.viewer')?.viewer).find(Boolean)"
)


def get_case(page) -> str:
    return page.evaluate(f"({VIEWER})().panes.find(p => p.key !== 'query').key")


def wait_for_item(page, before: str | None) -> str:
    """The token of the item that is shown with its films, once it is another than `before`."""
    page.wait_for_function(
        f"(before) => {{ const v = ({VIEWER})(), p = v && v.panes.find(p => p.key !== 'query');"
        " return p && p.key !== before && v.panes.every(p => p.pixels); }",
        arg=before,
        timeout=TIME,
    )
    return get_case(page)


def accept(page, address: str, reader: str) -> None:
    page.goto(address)
    page.get_by_role("textbox", name="Pseudonym").fill(reader)
    page.get_by_role("button", name="I understand").click()
    page.wait_for_function("document.cookie.includes('icbir_reader=')", timeout=TIME)
    page.get_by_role("link", name="Rate", exact=True).first.click()


def read_source(page) -> str:
    """Everything that the page holds, shadow roots too."""
    return page.evaluate(
        "() => document.documentElement.outerHTML + [...document.querySelectorAll('*')]"
        ".filter(e => e.shadowRoot).map(e => e.shadowRoot.innerHTML).join('') + JSON.stringify("
        f"({VIEWER})().data)"
    )


def take_picture(page, name: str) -> None:
    """For looking at, where ICBIR_SCREENSHOTS names a folder."""
    if folder := os.environ.get("ICBIR_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_three_readers_and_eight_queries(served, open_window, tmp_path):
    from icbir_core.study.analysis import analyse_study
    from icbir_core.study.creating import open_store
    from icbir_core.study.exchange import export_study, import_study, load_study
    from icbir_core.study.report import render_report
    from icbir_core.study.store import RatingsStore
    from tests.helpers import fakes

    address, workspace = served
    store = open_store(workspace)
    cases = workspace.catalogue.cases()
    study = fakes.make_study(
        workspace,
        "three readers",
        tuple(case.case_id for case in cases[:QUERIES]),
        k=1,
        methods=("ig_cbir", "cnn"),
        stages=1,
        repeat_share=0.1,
    )
    frames: list[bytes] = []
    for number, reader in enumerate(("reader-a", "reader-b", "reader-c")):
        page = open_window()
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
        accept(page, address, reader)
        total = len(study.steps(reader))
        token = wait_for_item(page, None)
        source = read_source(page)
        for secret in [case.case_id for case in cases] + [case.pixel_sha256 for case in cases] + ["ig_cbir"]:
            assert secret not in source
        if number == 0:
            take_picture(page, "rate")
        for place in range(1, total + 1):
            score = 1 + (place + number) % 5
            if place % 2:
                page.keyboard.press(str(score))
            else:
                page.get_by_role("button", name=f"{score} · ").first.click()
            if place < total:
                token = wait_for_item(page, token)
            if place == 3:
                page.reload()
                assert wait_for_item(page, None) == token
        page.get_by_text("items are answered").wait_for(timeout=TIME)
        if number == 2:
            page.get_by_role("link", name="Results", exact=True).first.click()
            page.get_by_text("Agreement between readers").first.wait_for(timeout=TIME)
            page.wait_for_timeout(1500)
            take_picture(page, "results")
        page.context.close()
    sent = b"".join(frame if isinstance(frame, bytes) else frame.encode() for frame in frames)
    before_results = sent.split(b"Agreement between readers")[0]
    assert not [case.case_id for case in cases if case.case_id.encode() in before_results]

    ratings = store.latest(study="three readers")
    assert len(ratings) == sum(len(study.steps(reader)) for reader in ("reader-a", "reader-b", "reader-c"))
    assert all(one.time_ms and one.blinded and one.position for one in ratings)
    export_study(store, "three readers", tmp_path / "study.zip")
    elsewhere = RatingsStore.open(tmp_path / "elsewhere.db")
    assert import_study(elsewhere, tmp_path / "study.zip").added == len(store.history(study="three readers"))
    result = analyse_study(load_study(elsewhere, "three readers"), elsewhere.latest(study="three readers"))
    assert result.readers == ("reader-a", "reader-b", "reader-c") and result.queries == QUERIES
    page_text = render_report(study, result)
    assert "SIMULATED" not in page_text and "Krippendorff" in page_text


def test_no_answer_is_taken_before_the_films_are_on_the_screen(served, page):
    from icbir_core.study.creating import open_store
    from tests.helpers import fakes

    address, workspace = served
    store = open_store(workspace)
    fakes.make_study(workspace, "slow films", 4, stages=1, methods=("ig_cbir", "cnn"))
    remember_reader(page.context, address, "patient")
    page.goto(f"{address}/rate?study=slow%20films")
    first = wait_for_item(page, None)
    held: list | None = []
    page.route("**/media/**", lambda route: route.continue_() if held is None else held.append(route))
    page.keyboard.press("3")
    page.wait_for_function(f"(was) => ({VIEWER})()?.panes.some(p => !p.pixels)", arg=first, timeout=TIME)
    button = page.get_by_role("button", name="4 · ", include_hidden=True)
    for _ in range(3):
        page.keyboard.press("4")
        box = button.first.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(300)
    assert [one.score for one in store.history(study="slow films")] == [3]
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    second = wait_for_item(page, first)
    page.keyboard.press("5")
    wait_for_item(page, second)
    assert [one.score for one in store.history(study="slow films")] == [3, 5]


def test_an_order_is_made_by_keys_and_by_drag(served, page):
    from icbir_core.study.creating import open_store
    from tests.helpers import fakes

    address, workspace = served
    store = open_store(workspace)
    fakes.make_study(
        workspace, "an order", ("case_000", "case_003"), tasks=("ranking",), methods=("ig_cbir",), stages=1
    )
    accept(page, address, "reader-d")
    page.goto(f"{address}/rate?study=an+order")
    letters = page.locator("[data-token]")
    letters.first.wait_for(timeout=TIME)
    shown = [one.get_attribute("data-token") for one in letters.all()]
    letters.first.focus()
    page.keyboard.press("ArrowRight")
    expected = [shown[1], shown[0], *shown[2:]]
    page.wait_for_function("(first) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]"
                           ".some(h => h.shadowRoot.querySelector('[data-token]')?.dataset.token === first)",
                           arg=expected[0], timeout=TIME)  # fmt: skip
    letters.nth(2).drag_to(letters.nth(0))
    expected = [expected[2], expected[0], expected[1]]
    assert [one.get_attribute("data-token") for one in letters.all()] == expected
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Store this order").click()
    page.get_by_text("Item 2 of 2").wait_for(timeout=TIME)
    (stored,) = store.history(study="an order")
    from icbir_core.study.exchange import load_study
    from icbir_core.study.session import ReadingSession

    session = ReadingSession(store, load_study(store, "an order"), "reader-d")
    names = dict(zip(sorted(shown), session.find_cases(shown[0].rsplit("-", 1)[0])[1], strict=True))
    assert stored.answer["order"] == [names[token] for token in expected]
    for again in (False, True):  # in the same session, and after a reload
        if again:
            page.reload()
        page.get_by_role("button", name="Back").click()
        page.get_by_text("Item 1 of 2").wait_for(timeout=TIME)
        page.wait_for_function("(first) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]"
                               ".some(h => h.shadowRoot.querySelector('[data-token]')?.dataset.token === first)",
                               arg=expected[0], timeout=TIME)  # fmt: skip
        assert [one.get_attribute("data-token") for one in letters.all()] == expected, "as she stored it"
        page.get_by_role("button", name="Store this order").click()
        page.get_by_text("Item 2 of 2").wait_for(timeout=TIME)
        assert store.history(study="an order")[-1].answer == stored.answer, "what is stored is what is shown"


def test_each_answer_is_stored_with_the_view_in_which_it_was_given(served, page):
    from icbir_core.study.creating import open_store
    from tests.helpers import fakes

    address, workspace = served
    store = open_store(workspace)
    fakes.make_study(workspace, "views", ("case_000", "case_003"), methods=("ig_cbir",), stages=1)
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    accept(page, address, "reader-v")
    remember_reader(page.context, address, "reader-v")
    page.goto(f"{address}/rate?study=views")
    token, seen = wait_for_item(page, None), []
    for number, answer in enumerate(("4", "2 · ")):
        page.wait_for_timeout(1500)
        sent.clear()
        page.keyboard.press("i")
        for _ in range(number + 1):
            page.keyboard.press("n")
        page.wait_for_timeout(700)
        assert not sent
        seen.append(page.evaluate(f"(() => {{ const v = ({VIEWER})(); v.paint(); return v.panes[0].look.window; }})()"))
        if number == 0:
            page.keyboard.press(answer)
        else:
            page.get_by_role("button", name=answer).first.click()
        token = wait_for_item(page, token)
    stored = store.history(study="views", reader="reader-v")
    views = [one.actions[-1] for one in stored]
    assert [one.score for one in stored] == [4, 2] and [view["invert"] for view in views] == [True, False]
    assert [view["panes"]["query"]["width"] for view in views] == pytest.approx([one["width"] for one in seen])


def test_she_goes_back_and_forward_by_keys_and_a_name_that_she_types_answers_nothing(served, page):
    from icbir_core.study.creating import open_store
    from icbir_core.study.exchange import load_study
    from tests.helpers import fakes

    address, workspace = served
    store = open_store(workspace)
    fakes.make_study(workspace, "to and fro", ("case_000", "case_003"), methods=("ig_cbir",), stages=1)
    accept(page, address, "reader-f")
    remember_reader(page.context, address, "reader-f")
    page.goto(f"{address}/rate?study=to+and+fro")
    first = wait_for_item(page, None)
    page.keyboard.press("j")
    second = wait_for_item(page, first)
    page.keyboard.press("u")
    assert wait_for_item(page, second) == first
    take_picture(page, "rate-back")
    page.keyboard.press("g")
    assert wait_for_item(page, first) == second
    page.get_by_text("New study").click()
    page.get_by_role("textbox", name="Name").press_sequentially("my 2nd jug", delay=60)
    page.get_by_role("spinbutton", name="Queries").fill("3")
    page.get_by_role("spinbutton", name="Queries").press("Tab")
    page.get_by_text("At most 74 answers for each reader").wait_for(timeout=TIME)  # 2 × (3 × (3 × 3 + 2) + 4)
    assert get_case(page) == second and len(store.history(study="to and fro")) == 1
    page.get_by_role("spinbutton", name="Queries").fill("2")
    page.get_by_role("button", name="Make the study").click()  # at once: the number has not been sent before
    page.get_by_text("'my 2nd jug' is made: ").wait_for(timeout=TIME)
    take_picture(page, "rate-made")
    assert len(load_study(store, "my 2nd jug").queries) == 2
    wait_for_item(page, second)
