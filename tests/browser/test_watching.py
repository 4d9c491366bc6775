"""What the watched windows of these tests hold against a page."""

from __future__ import annotations

import pytest

from tests.browser.conftest import watch
from tests.browser.test_application import TIME, accept

pytestmark = pytest.mark.browser


def test_errors_exceptions_and_whatever_leaves_are_faults(chromium):
    context = chromium.new_context(offline=True)
    faults = watch(context)
    page = context.new_page()
    page.evaluate("console.error('said'); console.log('no error')")
    page.evaluate("setTimeout(() => { throw new Error('thrown'); })")
    page.evaluate("fetch('http://192.0.2.1/film').catch(() => {})")
    page.evaluate("new WebSocket('ws://192.0.2.1/stream'); null")
    page.wait_for_timeout(500)
    context.close()
    for fault in ("said", "thrown", "left: http://192.0.2.1/film", "left: ws://192.0.2.1/stream"):
        assert any(fault in one for one in faults), fault
    assert not any("no error" in one for one in faults)


def test_only_what_streamlit_asks_below_a_page_may_be_missing(served, chromium):
    context = chromium.new_context()
    faults, missing = watch(context), []
    page = context.new_page()
    page.on("response", lambda one: missing.append(one.url) if one.status == 404 else None)
    accept(page, served[0])
    page.goto(f"{served[0]}/rate")
    page.get_by_text("not for diagnosis").first.wait_for(timeout=TIME)
    assert set(missing) == {f"{served[0]}/rate/_stcore/{name}" for name in ("health", "host-config")}
    assert not faults
    page.evaluate("fetch('/media/gone.bin')")
    page.wait_for_timeout(500)
    context.close()
    assert len(faults) == 1 and faults[0].endswith("/media/gone.bin"), faults
