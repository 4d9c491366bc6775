"""The colours of every page, dark for the reading room and light for a seminar room; films lie on black in both.

One table: the style sheets read it as `--icbir-NAME`, the charts by `find_colour`, and Streamlit's own theme file says
the same. Which of the two is shown is a cookie of the browser, read before the page is drawn.
"""

from __future__ import annotations

from html import escape

import streamlit as st

from icbir_ui.language import say

COOKIE = "icbir_theme"
LIGHT, DARK = "light", "dark"
COLOURS = {
    "ground": ("#f6f7f9", "#0b0d10"),
    "panel": ("#ffffff", "#161b21"),
    "raised": ("#e9edf1", "#151a20"),
    "hover": ("#dfe5eb", "#1b2129"),
    "pressed": ("#d5e6ef", "#17242d"),
    "text": ("#1d242c", "#d8dee6"),
    "strong": ("#0b1016", "#eef2f6"),
    "quiet": ("#4a5663", "#97a3b0"),
    "line": ("#c9d0d8", "#262c34"),
    "edge": ("#8793a0", "#3a4655"),
    "accent": ("#1a5f80", "#7fb2cc"),
    "on-accent": ("#ffffff", "#0b0d10"),
    "link": ("#14587a", "#9cc7dc"),
    "warning": ("#6f4a00", "#e0b872"),
    "warning-ground": ("#fbeed3", "#2a2419"),
    "found": ("#1d242c", "#ffe9b8"),
    "found-ground": ("#ffe39a", "#5d4a1f"),
    "track": ("#cdd4dc", "#232b35"),
    "fill": ("#7b8fa0", "#4d6473"),
    "present": ("#96650c", "#e0b872"),
    "absent": ("#1a5f80", "#7fb2cc"),
    "unknown": ("#87929d", "#5a6570"),
}
"""Name → (light, dark)."""
SCRIPT = (
    f'<script>try{{localStorage.setItem("stActiveTheme-"+location.pathname+"-v2",/(?:^|; ){COOKIE}={LIGHT}/'
    ".test(document.cookie)?'\"Light\"':'\"Dark\"')}catch{}</script>"
)
"""Stands first in every page: Streamlit reads which of its themes to draw before anything else, by the page's path."""
SWITCH = f"""<script>{{
  const button = document.querySelector("#icbir-theme");
  if (button) button.onclick = () => {{
    const wanted = button.dataset.wanted;
    document.cookie = `{COOKIE}=${{wanted}}; path=/; max-age=31536000; samesite=strict`;
    location.reload();
  }};
}}</script>"""


def is_light() -> bool:
    """Whether this browser asked for the light pages."""
    return st.context.cookies.get(COOKIE) == LIGHT


def find_colour(name: str) -> str:
    """A colour of the table for what is drawn without a style sheet, such as a chart."""
    return COLOURS[name][0 if is_light() else 1]


def write_variables(selector: str) -> str:
    """The colours as a rule of a style sheet."""
    values = "".join(f"--icbir-{name}:light-dark({light},{dark});" for name, (light, dark) in COLOURS.items())
    return f"{selector}{{{values}}}"


def write_scheme() -> str:
    """Which of both holds, as a rule: menus and dialogs lie beside what Streamlit tells it."""
    return f":root{{color-scheme:{LIGHT if is_light() else DARK}}}"


def make_switch() -> str:
    """The button at the foot of every page, as HTML."""
    label, wanted = (say("Dark screen"), DARK) if is_light() else (say("Light screen"), LIGHT)
    use = say("For the reading room") if is_light() else say("For a seminar room; films stay on black")
    title = f"{use}. {say('The page loads again.')}"
    return (
        f'<button type="button" id="icbir-theme" data-wanted="{wanted}" title="{escape(title)}">'
        f"{escape(label)}</button>"
    )
