"""The page table. Start it with `icbir app WORKSPACE`."""

from pathlib import Path

import streamlit as st

from icbir_ui.language import say

ROOT = Path(__file__).parent
PAGES = (
    ("search", "Search"),
    ("compare", "Compare"),
    ("rate", "Rate"),
    ("results", "Results"),
    ("catalogue", "Catalogue"),
    ("pacs", "PACS"),
    ("about", "About"),
)

st.set_page_config(page_title="ICBIR", page_icon=str(ROOT / "assets" / "logo.svg"), layout="wide")
st.logo(str(ROOT / "assets" / "logo.svg"), size="large")
st.navigation(
    [
        st.Page(f"pages/{name}.py", title=say(title), default=name == "search")
        for name, title in PAGES
        if (ROOT / "pages" / f"{name}.py").is_file()
    ],
    position="top",
).run()
