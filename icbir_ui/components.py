"""The small components of the pages: each a script and a style sheet beside the module that draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from icbir_ui.language import translate_script

_SHARED = [Path(__file__).parent / name for name in ("words.js", "elements.js")]


def make_component(name: str, module: str, html: str) -> Callable[..., Any]:
    """The component of a module, to be drawn with `key` and `data`, to which its words are added.

    name : of its two files; module : its `__file__`; html : what the script finds on the page."""
    files = Path(module).parent
    script = "\n".join(path.read_text(encoding="utf-8") for path in (*_SHARED, files / f"{name}.js"))
    style = (files / f"{name}.css").read_text(encoding="utf-8")
    mount: Callable[..., Any] = st.components.v2.component(
        f"icbir_{name}", html=html, css=style, js=script, isolate_styles=True
    )

    def draw(*, data: Mapping[str, Any], **more: Any) -> Any:
        return mount(data={**data, "words": translate_script(script)}, **more)

    return draw
