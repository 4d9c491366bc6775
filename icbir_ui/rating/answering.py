"""The ways to answer an item of a reading study, to go back to one and forward again."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal

import streamlit as st

from icbir_core.audit import Action, Subject
from icbir_core.study.rating import SIMILARITY_SCALE
from icbir_core.study.session import BlindItem, ReadingSession
from icbir_ui import access, state
from icbir_ui.errors import explain
from icbir_ui.language import say, translate_told
from icbir_ui.rating.ordering import choose_order
from icbir_ui.rating.panes import LETTERS
from icbir_ui.search.ratings import SHORT_SCALE
from icbir_ui.state import Key

KINDS: dict[bool, Literal["primary", "secondary"]] = {True: "primary", False: "secondary"}
"""Of a button: the answer that was given, or another."""


def show_answers(session: ReadingSession, item: BlindItem) -> None:
    """One button for each answer, above the films so that they are always in sight, and the ways back and forward.

    Every button belongs to its item: a late second click finds nothing to press. The answer that was given is marked.
    """
    columns = st.columns([1, 1, 1, 1, 1, 1, 0.6, 0.8] if item.task == "similarity" else [1, 1, 2.7, 1, 0.6, 0.8])
    given = session.find_answer(item.token)
    stored, refused = (given.score, given.cannot_judge) if given else (None, False)
    wide = partial(st.button, args=(session, item.token), width="stretch")
    offer = partial(wide, on_click=answer)
    if item.task == "similarity":
        for column, (score, words) in zip(columns, sorted(SHORT_SCALE.items()), strict=False):
            key, told = f"rate_{item.token}_{score}", translate_told(SIMILARITY_SCALE[score])
            with column:
                offer(f"{score} · {translate_told(words)}", key, told, kwargs={"score": score}, shortcut=str(score),
                      type=KINDS[score == stored])  # fmt: skip
    elif item.task == "choice":
        cases = session.find_cases(item.token)[1]
        for column, letter, token, case in zip(columns, LETTERS, item.case_tokens, cases, strict=False):
            kind = KINDS[given is None or (given.answer or {}).get("chosen") == case]
            with column:
                offer(say("Case {letter}", letter=letter), f"rate_{token}", kwargs={"chosen": token}, type=kind,
                      shortcut=letter.lower())  # fmt: skip
    elif item.task == "ranking":
        tokens = dict(zip(session.find_cases(item.token)[1], item.case_tokens, strict=True))
        first = [tokens[case] for case in given.answer["order"]] if given and given.answer else list(item.case_tokens)
        showing = f"{item.token} {state.get(Key.SHOWN)[item.token]}"
        order = choose_order(showing, item.case_tokens, LETTERS[: len(first)], Key.ORDER.value, first)
        with columns[0]:
            offer(say("Store this order"), f"rate_{item.token}", kwargs={"order": order}, type=KINDS[not refused])
    with columns[-3]:
        offer(say("Cannot judge"), f"rate_{item.token}_none", kwargs={"cannot_judge": True}, type=KINDS[refused],
              shortcut="j")  # fmt: skip
    with columns[-2]:
        told = say("To the item before, to correct it")
        wide(say("Back"), help=told, shortcut="u", on_click=return_to, disabled=item.position == 1)
    with columns[-1]:  # always there, so that nothing moves under a hand that presses Back again; F is the viewer's
        told = say("On to the item after, as you answered it")
        wide(say("Forward"), help=told, shortcut="g", on_click=go_forward, disabled=given is None)


def answer(session: ReadingSession, token: str, **given: Any) -> None:
    """Store one answer, then go to the next item. If it cannot be stored, say why and stay."""
    started = state.get(Key.SHOWN, {}).get(token)
    view = getattr(state.get(Key.RATE_VIEWER), "view", None)
    try:
        cases = session.find_cases(token)
        access.record(Action.RATED, Subject("study", session.study.name), *(Subject("case", one) for one in cases[1]))
        session.answer(
            token,
            time_ms=None if started is None else int(1000 * (time.monotonic() - started)),
            actions=[{"kind": "last view", **dict(view)}] if view else (),
            **given,
        )
    except Exception as error:
        state.put(Key.NOT_STORED, say("NOT stored: {error}", error=explain(error)))
        return
    state.put(Key.NOT_STORED, None)
    state.put(Key.RETURNED, None)  # the time it was shown stays: a second click on its way is an answer too


def return_to(session: ReadingSession, token: str | None) -> None:
    """Go to the item before; its earlier answer stays stored, a new one counts."""
    state.put(Key.RETURNED, session.previous_item(token))


def go_forward(session: ReadingSession, token: str) -> None:
    """Go to the item after one that she went back to; the first unanswered one is where she had been."""
    state.put(Key.RETURNED, session.following_item(token))
