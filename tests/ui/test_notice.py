"""The notice: accepted once in a browser, never by a link."""

from __future__ import annotations

import json

import pytest

from icbir_ui.notice import COOKIE


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
    assert "Reader: R béb · change" in [button.label for button in page.app.button]


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


def test_another_reader_of_the_same_browser_is_asked(open_page):
    page = open_page("search", reader="R1")
    page.press("Reader: R1")
    assert "not a medical device" in page.text()
    page.app.text_input[0].set_value("R2")
    page.press("I understand")
    assert page.app.session_state["reader"] == "R2" and cookie_written(page) == "R2"


def test_what_a_stranger_wrote_into_the_cookie_is_only_a_name(open_page):
    name = open_page("search", reader="<script>\n" + "x" * 99).app.session_state["reader"]
    assert name == "script" + "x" * 34
