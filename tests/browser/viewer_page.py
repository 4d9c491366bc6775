"""A page that holds the viewer alone: films and maps for it, what it has painted, and a hand on it."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from icbir_core.radiograph.overlay import colour_table
from icbir_ui.viewer.payload import pack_film, pack_map
from scripts.viewer_harness import Harness, address

SIDE = 256
READ = """([pane, x, y, w, h]) => { const v = root.viewer, p = v.panes[pane];
  cancelAnimationFrame(v.pending); v.pending = 0; v.paint();
  return Array.from(v.context.getImageData(p.rect.left + x, p.rect.top + y, w, h).data); }"""
FULL = "() => { const v = root.viewer; v.memory.preset = 'full'; v.memory.overlay = false; v.act('one'); }"


def make_films(bits: int = 8, count: int = 2) -> list[np.ndarray]:
    top = 255 if bits == 8 else 65535
    generator = np.random.default_rng(bits)
    return [(generator.integers(0, top + 1, (SIDE, SIDE)) / top).astype(np.float32) for _ in range(count)]


def make_map() -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return (np.sin(7 * rows) * np.cos(5 * columns)).astype(np.float32)


def make_harness(
    films: list[np.ndarray], bits: int = 8, values: np.ndarray | None = None, signed=False, bars=(), **more
) -> Harness:
    files, panes = {}, []
    for number, film in enumerate(films):
        name, place = address(data := pack_film(film, bits, f"film {number}"))
        files[place] = data
        pane = {"key": f"pane{number}", "title": f"Case {number}", "film": {"hash": name, "url": place}, "lines": ["a"],
                "ratable": True, "regionable": number == 0, "markable": True, "orientation": "unverified",
                "spacing": None if number else [0.2, 0.15], "bars": [] if number else list(bars)}  # fmt: skip
        if values is not None:
            name, place = address(data := pack_map(values, f"map {number}"))
            files[place] = data
            pane["map"] = {"hash": name, "url": place}
        panes.append(pane)
    table = colour_table("berlin" if signed else "inferno")
    data = {"name": "test", "panes": panes, "colours": base64.b64encode(table.tobytes()).decode(), "overlayScale": 1.0,
            "signed": signed, "opacity": 0.5, "region": True, "scale": [[n, f"step {n}"] for n in range(1, 6)],
            "report": True, **more}  # fmt: skip
    return Harness(data, files)


def open_harness(page, harness: Harness, painter: str = "canvas") -> None:
    page.add_init_script(f"globalThis[Symbol.for('icbir.painter')] = {painter!r}")
    page.goto(harness.url)
    page.wait_for_function(
        "window.root?.viewer?.panes.every(p => p.pixels && (p.steps || !p.map) && p.rect)", timeout=20_000
    )
    kind = page.evaluate("root.viewer.painter.kind")
    if painter == "webgl" and kind != "webgl":
        pytest.skip("no WebGL 2 in this Chromium, not even in software")
    assert kind == painter


def read(page, pane: int = 0, x: int = 0, y: int = 0, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    return np.array(page.evaluate(READ, [pane, x, y, width, height]), np.uint8).reshape(height, width, 4)[..., :3]


def place_of_film(page, pane: int = 0) -> tuple[int, int]:
    """Where film pixel (0, 0) lies in its pane at 1:1; panes have even sides only by chance, so it is asked for."""
    return tuple(page.evaluate(
        "(n) => { const p = root.viewer.panes[n]; return filmAt(p); function filmAt(p) {"
        "const s = Math.min(p.rect.width / 256, p.rect.height / 256) * p.state.view.zoom;"
        "return [p.rect.width / 2 - p.state.view.x * 256 * s, p.rect.height / 2 - p.state.view.y * 256 * s]; } }", pane,
    ))  # fmt: skip


def show_exactly(page) -> tuple[int, int]:
    """1:1, and moved by less than a pixel so that film pixels and screen pixels coincide."""
    page.evaluate(FULL)
    page.evaluate("""() => { for (const p of root.viewer.panes) { const v = p.state.view;
      for (const [axis, side] of [["x", p.rect.width], ["y", p.rect.height]])
        v[axis] = (side / 2 - Math.ceil(side / 2 - 128)) / 256; } }""")
    left, top = place_of_film(page)
    assert abs(left - round(left)) < 1e-6 and abs(top - round(top)) < 1e-6
    return round(left), round(top)


def drag(page, start, end, **options):
    page.mouse.move(*start)
    page.mouse.down(**options)
    page.mouse.move(*end, steps=6)
    page.mouse.up(**options)


def middle(page, pane: int, dx: float = 0, dy: float = 0) -> tuple[float, float]:
    box = page.locator(f"[data-pane=pane{pane}] .film").bounding_box()
    return box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy
