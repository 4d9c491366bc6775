"""The colours of the dark and of the light pages: readable, and the same wherever they are written."""

from __future__ import annotations

import asyncio
import re
import tomllib
from pathlib import Path

import pytest

from icbir_core.server_settings import ServerSettings
from icbir_ui import theme
from icbir_ui.charts import draw_ages
from icbir_ui.gate import Gate
from icbir_ui.viewer import assets

ROOT = Path(__file__).resolve().parents[2]
SHEETS = sorted((ROOT / "icbir_ui").rglob("*.css"))
WRITTEN = [("text", "ground"), ("text", "panel"), ("text", "raised"), ("text", "hover"), ("text", "pressed")]
WRITTEN += [("strong", "raised"), ("strong", "pressed"), ("strong", "ground"), ("accent", "pressed")]
WRITTEN += [("quiet", "ground"), ("quiet", "panel"), ("quiet", "raised"), ("accent", "ground"), ("accent", "panel")]
WRITTEN += [("on-accent", "accent"), ("link", "ground"), ("link", "panel"), ("found", "found-ground")]
WRITTEN += [("warning", "ground"), ("warning", "panel"), ("warning", "warning-ground")]
DRAWN = [("accent", "ground"), ("present", "ground"), ("absent", "ground"), ("accent", "track"), ("strong", "track")]
THEMES = [theme.LIGHT, theme.DARK]
ON_FILM = r"\.(side|turned|box|readout|badge|word|lens|film|chip|none)\b|img|::backdrop"
BEHIND = r"var\(--st-[a-z-]+, #0b0d10\)|--on-film: #d8dee6"  # where Streamlit has no say, and letters on a film


def measure_contrast(one: str, other: str) -> float:
    """Of two colours as WCAG 2.2 defines it, 1 to 21."""

    def measure(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((measure(one), measure(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_the_rule_says():
    assert measure_contrast("#ffffff", "#000000") == pytest.approx(21)
    assert measure_contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("number", [0, 1], ids=THEMES)
def test_what_is_written_and_drawn_can_be_told_from_its_ground(number):
    for least, pairs in ((4.5, WRITTEN), (3.0, DRAWN)):
        for front, back in pairs:
            found = measure_contrast(theme.COLOURS[front][number], theme.COLOURS[back][number])
            assert found >= least, f"{front} on {back}: {found:.2f}"


def test_no_style_sheet_has_a_colour_of_its_own_but_for_what_lies_on_a_film():
    known, on_film = {f"--icbir-{name}" for name in theme.COLOURS}, re.compile(ON_FILM)
    for sheet in SHEETS:
        text = re.sub(BEHIND, "", sheet.read_text(encoding="utf-8"))
        assert set(re.findall(r"--icbir-[a-z-]+", text)) <= known, sheet.name
        for rule in re.findall(r"[^{}]*\{[^}]*\}", text):
            selector, values = rule.split("{", 1)
            own = re.findall(r"#[0-9a-f]{3,8}\b", values)
            assert not own or on_film.search(selector), f"{sheet.name}: {rule.strip()}"
    assert all(f"--icbir-{name}:light-dark(" in assets.read_style() for name in theme.COLOURS)


@pytest.mark.parametrize("number", [0, 1], ids=THEMES)
def test_streamlit_draws_in_the_same_colours(number):
    held = tomllib.loads((ROOT / "assets/theme/reading-room.toml").read_text())["theme"][THEMES[number]]
    names = {"primaryColor": "accent", "backgroundColor": "ground", "secondaryBackgroundColor": "panel"}
    names |= {"textColor": "text", "linkColor": "link", "borderColor": "line"}
    assert {name: held[name] for name in names} == {name: theme.COLOURS[own][number] for name, own in names.items()}


def test_a_browser_that_chose_the_light_pages_gets_light_charts_and_the_way_back(open_page, browser):
    dark = draw_ages([50]).data[0].marker.color
    browser[theme.COOKIE] = theme.LIGHT
    assert (dark, draw_ages([50]).data[0].marker.color) == theme.COLOURS["accent"][::-1]
    assert any("Dark screen" in one.proto.body for one in open_page("about").app.get("html"))


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_knows_its_theme_before_its_program_runs_and_nothing_else_is_changed(kind):
    page, sent, asked = b"<html><head><script src=main></script></head></html>", [], []

    async def answer(scope, receive, send):
        asked.append(dict(scope["headers"]))
        head = [(b"content-type", kind.encode()), (b"content-length", str(len(page)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": page[:20], "more_body": True})
        await send({"type": "http.response.body", "body": page[20:]})

    async def take(message):
        sent.append(message)

    headers = [(b"accept", b"text/html"), (b"accept-encoding", b"gzip")]
    scope = {"type": "http", "path": "/compare", "headers": headers, "method": "GET", "client": ("127.0.0.1", 1)}
    asyncio.run(Gate(answer, ServerSettings(), lambda: (True, ""))({**scope, "query_string": b""}, None, take))
    body = b"".join(one.get("body", b"") for one in sent)
    whole = page.replace(b"<head>", b"<head>" + theme.SCRIPT.encode()) if kind == "text/html" else page
    lengths = [value for name, value in sent[0]["headers"] if name == b"content-length"]
    assert body == whole and lengths == [str(len(whole)).encode()] and b"accept-encoding" not in asked[0]
