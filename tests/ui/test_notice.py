"""The notice: accepted once in a browser, never by a link."""

from __future__ import annotations

import json

import pytest

from icbir_ui.frame.notice import COOKIE, clean


def cookie_written(page) -> str | None:
    """The pseudonym that the page tells the browser to keep."""
    told = [json.loads(one.proto.json) for one in page.app.get("bidi_component") if "reader_cookie" in one.proto.id]
    return told[0]["name"] if told else None


def test_first_visit_asks_to_accept_and_the_browser_keeps_the_pseudonym(open_page):
    page = open_page("search", reader="")
    assert "Find past films" not in page.text() and "not a medical device" in page.text()
    page.app.text_input[0].set_value("R <b>é</b>")
    page.press("I understand")
    assert "Find past films" in page.text() and cookie_written(page) == "R%20b%C3%A9b"
    assert "reader" not in page.app.query_params
    assert page.app.session_state["reader"] == "R béb"


def test_the_browser_that_accepted_is_not_asked_again_and_told_nothing(open_page, browser):
    page = open_page("search", reader="R béb")
    assert browser[COOKIE] == "R%20b%C3%A9b"
    assert "Find past films" in page.text() and page.app.session_state["reader"] == "R béb"
    assert cookie_written(page) is None


@pytest.mark.parametrize("own", ["", "R2"])
def test_a_link_neither_skips_the_notice_nor_rates_under_the_name_in_it(make_page, own):
    page = make_page("search", reader=own)
    page.app.query_params["reader"] = "R1"
    page.run()
    assert "not a medical device" in page.text() and page.app.text_input[0].value == "R1"
    page.app.text_input[0].set_value("R3")
    page.press("I understand")
    assert page.app.session_state["reader"] == "R3" and "reader" not in page.app.query_params


def test_an_invitation_of_her_own_name_asks_nothing(make_page):
    page = make_page("search", reader="R1")
    page.app.query_params["reader"] = "R1"
    assert "Find past films" in page.run().text()


def test_readers_who_enter_nothing_do_not_share_a_pseudonym(open_page):
    names = {open_page("search", reader="").app.text_input[0].value for _ in range(2)}
    assert len(names) == 2 and all(name.startswith("reader-") for name in names)


def test_another_reader_of_the_same_browser_is_asked_and_finds_nothing_of_the_one_before(make_page):
    page = make_page("search", reader="R1", film="effusion_1").run()
    page.decide("marked", 1, pane=page.case_ids[0], mark="more")
    page.press("Read as somebody else")
    assert "not a medical device" in page.text() and cookie_written(page) == "", "the browser forgets her"
    assert page.app.text_input[0].value.startswith("reader-") and "film" not in page.app.query_params
    page.app.text_input[0].set_value("R2")
    page.press("I understand")
    assert page.app.session_state["reader"] == "R2" and cookie_written(page) == "R2"
    assert "Find past films" in page.text() and "marks" not in page.app.session_state


def test_an_invitation_that_was_not_accepted_is_not_forgotten_on_another_page(make_page):
    page = make_page("rate", reader="R1")
    page.app.query_params["reader"] = "R2"
    assert "not a medical device" in page.run().text()
    del page.app.query_params["reader"]  # as the menu does
    assert "not a medical device" in page.run().text()


@pytest.mark.parametrize("invited", ["Dr. O'Neil", "", "***"])
def test_an_invitation_is_compared_as_a_pseudonym(make_page, invited):
    page = make_page("search", reader="Dr. ONeil")
    page.app.query_params["reader"] = invited
    assert "Find past films" in page.run().text()


@pytest.mark.parametrize("held", ["%", "***", "\0"])
def test_a_cookie_without_a_name_is_no_acceptance(open_page, held):
    assert "not a medical device" in open_page("search", reader=held).text()


def test_what_a_stranger_wrote_into_the_cookie_is_only_a_name(open_page):
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    assert clean(decomposed) == clean(composed) == composed, "one reader, however her keyboard sends the letter"
    name = open_page("search", reader="<script>\n" + "x" * 99).app.session_state["reader"]
    assert name == "script" + "x" * 34
