"""The texts of the pages in the reader's language: English as the program holds it, others from gettext catalogues.

A language is one file, `languages/<code>.po`; nothing is compiled before. What is stored, exported as data or logged is
never translated, and neither are names of files, cases, studies and readers.
"""

from __future__ import annotations

import gettext
import io
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import streamlit as st
from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from streamlit.runtime.scriptrunner import get_script_run_ctx

from icbir_ui import state
from icbir_ui.logs import log_event
from icbir_ui.state import Key

FOLDER = Path(__file__).parent / "languages"
COOKIE = "icbir_language"
ENGLISH = "en"
TOLD = "told"
"""The context of messages with places that are filled elsewhere: they are found again in a finished sentence."""
_PLACE = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"\d[\d,]*")
_SAID = re.compile(r'\b(?:say|mark)\(\s*("(?:[^"\\]|\\.)*")')
MOST_NAMES = 60  # in a list that is translated one by one
DEEPEST = 8  # sentences inside sentences: a text that others chose must not nest without end
LEAST = 4
"""Letters that a pattern must have beside its places, or it would fit any sentence."""
_BOUND: ContextVar[str | None] = ContextVar("language", default=None)
_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class Pattern:
    """What a sentence looks like: literals around places that have names. made : its translation. counts : a number
    stands in its place."""

    literals: tuple[str, ...]
    names: tuple[str, ...]
    made: str
    counts: bool = False

    @cached_property
    def quoted(self) -> frozenset[str]:
        """The places between quotation marks: names that somebody gave, which are never translated."""
        around = zip(self.names, self.literals, self.literals[1:], strict=False)
        return frozenset(name for name, before, after in around if before[-1:] == after[:1] == "'")

    def read(self, sentence: str) -> dict[str, str] | None:
        """Name → what stands in its place; None for another sentence. Each literal is taken where it comes first, and
        nothing is tried twice: a name that a reader chose must not make the server search for long."""
        first, *between, last = self.literals
        at, end = len(first), len(sentence) - len(last)
        if not sentence.startswith(first) or not sentence.endswith(last) or end < at:
            return None
        values: dict[str, str] = {}
        for name, literal in zip(self.names, [*between, None], strict=True):
            stop = end if literal is None else sentence.find(literal, at, end)
            if stop < 0 or values.setdefault(name, sentence[at:stop]) != sentence[at:stop]:
                return None
            at = stop + len(literal or "")
        return None if self.counts and not all(map(_NUMBER.fullmatch, values.values())) else values


@dataclass(frozen=True, eq=False)
class Language:
    """One language. patterns : of sentences that are made elsewhere, the most particular first."""

    texts: gettext.NullTranslations
    patterns: tuple[Pattern, ...]


def mark(text: str) -> str:
    """The text as it is. It is one of the catalogue, and is translated where it is shown."""
    return text


def say(text: str, **values: object) -> str:
    """The text in the reader's language, with the values in its places `{name}`."""
    return _fill(load_language(get_language()).texts.gettext(text), text, values)


def count_of(number: int, noun: str, plural: str = "") -> str:
    """As `icbir_core.plurals.count_of`, in the reader's language."""
    one, many = f"{{count}} {noun}", f"{{count}} {plural or noun + 's'}"
    found = load_language(get_language()).texts.ngettext(one, many, number)
    return _fill(found, one if number == 1 else many, {"count": f"{number:,}"})


def translate_told(sentence: str) -> str:
    """A text that the core made. It is looked up whole, then by the messages with places that it could have been made
    from; a sentence that fits none stays English."""
    return _translate_inside(sentence, DEEPEST)


def _translate_inside(sentence: str, left: int) -> str:
    """As `translate_told`, with so many levels of sentences inside sentences left."""
    language = load_language(get_language())
    if (found := language.texts.gettext(sentence)) != sentence or not sentence:
        return found if sentence else ""
    for pattern in language.patterns if left else ():
        if (values := pattern.read(sentence)) is not None:
            made = {name: one if name in pattern.quoted else _translate_list(one, left - 1)
                    for name, one in values.items()}  # fmt: skip
            return _fill(pattern.made, sentence, made)
    return sentence


def _translate_list(words: str, left: int) -> str:
    """What stands in a place of a sentence: one text, or several joined by ", "."""
    parts = words.split(", ", MOST_NAMES)
    made = [_translate_inside(one, left) for one in parts] if len(parts) > 1 else parts
    return ", ".join(made) if made != parts else _translate_inside(words, left)


def _fill(found: str, text: str, values: Mapping[str, object]) -> str:
    """The places filled; a translation with a place that is not there is not used."""
    if not values:
        return found
    try:
        return found.format(**values)
    except (KeyError, IndexError, ValueError):
        return text.format(**values) if _PLACE.search(text) else text


def get_language() -> str:
    """The code of the reader's language: her choice, else what her browser asks for, else English. Outside of a page
    English."""
    if bound := _BOUND.get():
        return bound
    if get_script_run_ctx(suppress_warning=True) is None:
        return ENGLISH
    chosen = state.get(Key.LANGUAGE) or st.context.cookies.get(COOKIE)
    return choose_language(chosen, st.context.headers.get("Accept-Language"))


@contextmanager
def speak_one_language() -> Iterator[None]:
    """Look once for the reader's language, for all that is said inside: her cookies are read slowly."""
    before = _BOUND.set(get_language())
    try:
        yield
    finally:
        _BOUND.reset(before)


def speak_english(function: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """The function in English, whatever the page speaks: for what is stored, sent or taken away as a file."""

    def run(*given: _Given.args, **named: _Given.kwargs) -> _Made:
        before = _BOUND.set(ENGLISH)
        try:
            return function(*given, **named)
        finally:
            _BOUND.reset(before)

    return run


@lru_cache(maxsize=256)
def choose_language(chosen: str | None, accepted: str | None) -> str:
    """The language that is chosen, if there is one of that code; else the first of the header Accept-Language."""
    there = {code.lower(): code for code in list_languages()}
    if chosen in there.values():
        return str(chosen)
    weighed = []
    for place, part in enumerate((accepted or "")[:400].lower().replace(" ", "").split(",")):
        tag, _, weight = part.partition(";q=")
        try:
            share = float(weight or 1)
        except ValueError:
            continue
        if 0 < share <= 1:  # no other number either, such as nan, which would stand anywhere in the order
            weighed.append((-share, place, tag.replace("-", "_")))
    for _, _, tag in sorted(weighed):
        for code in (tag, tag.split("_")[0]):
            if code in there:
                return there[code]
    return ENGLISH


@cache
def list_languages() -> dict[str, str]:
    """Code → what the language calls itself, English first."""
    codes = sorted(path.stem for path in FOLDER.glob("*.po"))
    return {code: _name(code) for code in (ENGLISH, *codes)}


def _name(code: str) -> str:
    try:
        return Locale.parse(code).get_display_name(code) or code
    except (UnknownLocaleError, ValueError):
        return code


@cache
def load_language(code: str) -> Language:
    """The texts of a language. A file that cannot be read leaves the pages English, and the log says so."""
    path = FOLDER / f"{code}.po"
    if code == ENGLISH:
        return Language(gettext.NullTranslations(), ())
    try:
        with path.open("rb") as file:
            return make_language(read_po(file, locale=None, abort_invalid=True))
    except (OSError, ValueError, PoFileError, UnknownLocaleError) as error:
        log_event("language_unread", logging.WARNING, error=error, language=code.lower())
        return Language(gettext.NullTranslations(), ())


def make_language(catalogue: Catalog) -> Language:
    """A language from its catalogue; what is not translated or doubtful (fuzzy) there stays English."""
    held = io.BytesIO()
    write_mo(held, catalogue)
    held.seek(0)
    told = [(str(one.id), str(one.string), False) for one in catalogue
            if one.context == TOLD and one.string and not one.fuzzy]  # fmt: skip
    for one in catalogue:  # a number with its noun may stand in such a sentence
        if isinstance(one.id, tuple) and isinstance(one.string, tuple | list) and all(one.string) and not one.fuzzy:
            told += [(one.id[0], one.string[0], True), (one.id[1], one.string[-1], True)]
    patterns = sorted((one for one in told if weigh(one[0]) >= LEAST), key=lambda one: -weigh(one[0]))
    return Language(gettext.GNUTranslations(held), tuple(_read(*one) for one in patterns))


def weigh(text: str) -> int:
    """The letters of a message beside its places."""
    return sum(map(str.isalpha, _PLACE.sub("", text)))


def _read(text: str, made: str, counts: bool) -> Pattern:
    parts = _PLACE.split(text)
    return Pattern(tuple(parts[::2]), tuple(parts[1::2]), made, counts)


@cache
def find_words(script: str) -> tuple[str, ...]:
    """The texts of a script: what stands in its calls of `say` and `mark`."""
    return tuple(dict.fromkeys(json.loads(found) for found in _SAID.findall(script)))


def translate_script(script: str) -> dict[str, str]:
    """Text → translation for the texts of a script, only those that differ."""
    return _translate_script(script, get_language())


@lru_cache(maxsize=64)
def _translate_script(script: str, language: str) -> dict[str, str]:
    made = {text: load_language(language).texts.gettext(text) for text in find_words(script)}
    return {text: found for text, found in made.items() if found != text}
