"""Frame times of the viewer in Chromium: twelve panes of 2,000 × 2,500 at 16 bits, windowing, zooming, with overlay.

python benchmarks/viewer_frames.py [--width 1280] [--height 1080] [--frames 120] [--painters canvas webgl]

A frame is the time between two animation frames while every one of them changes all twelve panes, so it holds the
painting, the browser's compositing, and whatever else the machine does. Also printed: how the painters compare.
"""

from __future__ import annotations

import argparse
import base64

import cv2
import numpy as np
from playwright.sync_api import sync_playwright
from processor import describe_processor

from icbir_core.radiograph.overlay import colour_table
from icbir_ui.viewer.payload import pack_film, pack_map
from scripts.chromium import ARGUMENTS, CHROMIUM
from scripts.viewer_harness import Harness, address

PANES, ROWS, COLUMNS = 12, 2500, 2000
MEASURE = """async ([kind, overlay, frames]) => {
  const v = root.viewer, gaps = []; v.memory.overlay = overlay; v.act('reset');
  let last = performance.now();
  for (let i = 0; i < frames + 10; i++) {
    const there = i % 40 < 20;
    if (kind === 'windowing') v.tone(v.panes[0], there ? 3 : -3, 1);
    else v.zoom(v.panes[0], there ? 1.02 : 0.98, 120, 90);
    await new Promise(requestAnimationFrame);  // asked for after the viewer's own: it runs when the panes are painted
    if (i >= 10) gaps.push(performance.now() - last);
    last = performance.now();
  }
  gaps.sort((a, b) => a - b);
  return [gaps[Math.floor(0.5 * gaps.length)], gaps[Math.floor(0.95 * gaps.length)]];
}"""


def make_harness() -> Harness:
    """Twelve smooth films with noise, different in each pane, each with a map."""
    generator, films, panes = np.random.default_rng(0), {}, []
    for number in range(PANES):
        coarse = generator.random((25, 20), np.float32)
        film = cv2.resize(coarse, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
        film = np.clip(film + generator.normal(0, 0.01, film.shape), 0, 1).astype(np.float32)
        pane = {"key": f"pane{number}", "title": f"Case {number}", "lines": ["a film"], "orientation": "unverified"}
        for role, data in (("film", pack_film(film, 16, f"f{number}")), ("map", pack_map(coarse[:20], f"m{number}"))):
            name, place = address(data)
            films[place] = data
            pane[role] = {"hash": name, "url": place}
        panes.append(pane)
    colours = base64.b64encode(colour_table("inferno").tobytes()).decode()
    data = {"name": "frames", "panes": panes, "colours": colours, "overlayScale": 1.0, "signed": False, "columns": 4}
    return Harness(data, films)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--painters", nargs="+", default=["canvas", "webgl"])
    given = parser.parse_args()
    if not CHROMIUM:
        raise SystemExit("no Chromium here: apt-get install chromium, or set CHROMIUM to its path")
    print(describe_processor())
    print(f"{PANES} panes of {COLUMNS} × {ROWS}, 16 bits, window of {given.width} × {given.height}")
    with make_harness() as harness, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for painter in given.painters:
            page = browser.new_page(viewport={"width": given.width, "height": given.height})
            page.add_init_script(f"globalThis[Symbol.for('icbir.painter')] = {painter!r}")
            page.goto(harness.url)
            page.wait_for_function("window.root?.viewer?.panes.every(p => p.pixels && p.steps)", timeout=180_000)
            kind = page.evaluate("root.viewer.painter.kind")
            for what in ("windowing", "zooming"):
                for overlay in (False, True):
                    middle, high = page.evaluate(MEASURE, [what, overlay, given.frames])
                    painted = page.evaluate("root.dataset.painted")
                    print(f"  {kind:6} {what:9} overlay {'on ' if overlay else 'off'}: frame median {middle:5.1f} ms, "
                          f"95th percentile {high:5.1f} ms ({painted} panes painted)")  # fmt: skip
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
