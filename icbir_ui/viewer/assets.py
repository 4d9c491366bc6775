"""The viewer's JavaScript and style sheet, joined from their files; no build step."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from icbir_ui.theme import write_variables

STATIC = Path(__file__).parent / "static"
WORDS = Path(__file__).parents[1] / "words.js"
SCRIPTS = (
    "unpacking", "films", "geometry", "turning", "canvas_painter", "webgl_painter", "panes", "measuring", "marks",
    "bench", "pointer", "saving", "region", "strip", "room", "second", "keyboard", "viewer",
)  # fmt: skip
STYLES = ("viewer", "room")
HTML = '<div class="viewer" tabindex="-1"></div>'


@cache
def read_script() -> str:
    """One ECMAScript module: the files in the order in which they build on each other."""
    files = (WORDS, *(STATIC / f"{name}.js" for name in SCRIPTS))
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@cache
def read_style() -> str:
    """The style sheet; it lives inside the component's shadow root."""
    sheets = [(STATIC / f"{name}.css").read_text(encoding="utf-8") for name in STYLES]
    return "\n".join([write_variables(".viewer"), *sheets])
