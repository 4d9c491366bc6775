"""What stands in the place of a page for one who is not signed in, has no role, or whose visit has ended."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from icbir_core.access import Person
from icbir_core.audit import Action
from icbir_ui import access, links, state
from icbir_ui.access import SignedIn
from icbir_ui.keeping import forget_kept
from icbir_ui.language import say
from icbir_ui.state import Key

_LOOK = 20.0
"""Seconds between two looks at whether a visit is over."""


def let_in() -> bool:
    """True where the page may be drawn; else a sentence and a button stand in its place."""
    settings = access.get_settings()
    if not settings.asks_to_sign_in:
        return True
    found = access.find_signed_in()
    if found is None:
        _ask_to_sign_in(provider=settings.oidc is not None)
        return False
    if access.get_visits().is_over(found):
        _close_visit(found)
        return False
    person = access.get_person()
    if person.role is None:
        access.record_once(Action.REFUSED, right="enter")
        st.error(say("You are signed in, but have no role on this server; ask its operator for one."))
        return False
    _welcome(found, person, by="openid" if settings.oidc else "proxy")
    return True


def sign_out() -> None:
    """End the visit, here and, where there is one, at the provider."""
    found = access.find_signed_in()
    access.record(Action.SIGNED_OUT)
    forget_kept()
    if found is not None:
        access.get_visits().end(found)
    state.forget()
    if access.get_settings().oidc is not None:
        st.logout()


def _welcome(found: SignedIn, person: Person, by: str) -> None:
    if state.get(Key.READER) not in (None, person.pseudonym):
        state.forget()  # another person in the same window finds nothing of the one before
    state.put(Key.READER, person.pseudonym)
    if not state.get(Key.SIGNED_IN):
        access.record(Action.SIGNED_IN, by=by, role=str(person.role))
        state.put(Key.SIGNED_IN, True)
    access.get_visits().touch(found)
    st.fragment(_watch, run_every=_LOOK)()


def _watch() -> None:
    """Runs by itself, so that the films of one who left are not shown until somebody comes."""
    found = access.find_signed_in()
    if found is None or access.get_visits().is_over(found):
        st.rerun(scope="app")


def _ask_to_sign_in(provider: bool) -> None:
    _, middle, _ = st.columns([1, 2, 1])
    with middle.container(border=True):
        st.subheader("ICBIR")
        if provider:
            st.markdown(say("This server is for people who are signed in."))
            st.button(say("Sign in"), type="primary", on_click=_leave, args=(st.login,), key=Key.SIGN_IN.value)
        else:
            st.markdown(say("You are not signed in. Open this page through your department's own address."))


def _leave(provider: Callable[[], None]) -> None:
    """Go to the provider; the study that a link named waits for her to come back."""
    browser = st.context.cookies.get(links.COOKIE) or ""
    links.WAITING.go_to_sign_in(browser, st.query_params.get(links.PARAMETER_LINK, ""))
    provider()


def _close_visit(found: SignedIn) -> None:
    reader = access.make_pseudonym(found.issuer, found.subject)
    if state.get(Key.SIGNED_IN):
        access.Recorder(reader, strict=False).record(Action.SIGNED_OUT, by="time")
    state.forget()
    _, middle, _ = st.columns([1, 2, 1])
    with middle.container(border=True):
        st.subheader(say("This visit has ended"))
        st.markdown(say("You signed out, or the page was not used for some time. Its films are closed."))
        if access.get_settings().oidc is not None:
            st.button(say("Sign in again"), type="primary", on_click=_leave, args=(st.logout,), key=Key.SIGN_IN.value)
        else:
            st.button(say("Go on"), type="primary", on_click=access.get_visits().resume, args=(found,))
