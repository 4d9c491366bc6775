"""The page that the secondary capture shows: the film, the film under its map, and the cases, each marked as research.

Words are part of the pixels, because an archive's viewer shows a picture without what is written beside it.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icbir_core.annotation.drawing import Marks, draw_marks
from icbir_core.files import find_program_folder
from icbir_core.findings import FindingState
from icbir_core.pacs.result import RESEARCH, SearchResult, ShownFilm
from icbir_core.radiograph.marks import draw_region, write_sides
from icbir_core.radiograph.overlay import attach_legend, render_overlay
from icbir_core.retrieval.methods import find_title

WIDTH = 1600
MARGIN = 20
BAND = 48
MOST_CASES = 12
ACROSS = 4
_FILM_HEIGHT = 860
_CASE_HEIGHT = 370
_LINE = 25
_INK, _QUIET, _WARNING, _PAPER = (232, 237, 242), (170, 180, 190), (255, 212, 121), (14, 17, 22)


def draw_page(result: SearchResult) -> np.ndarray:
    """The page as uint8 RGB (H, 1600, 3). The notice stands above, below, and on every picture."""
    top = _draw_row([(result.query, draw_pictures(result.query, result, True))], 1)
    cases = [(case, draw_pictures(case, result, False)) for case in result.cases[:MOST_CASES]]
    rows = [cases[start : start + ACROSS] for start in range(0, len(cases), ACROSS)]
    parts = [_draw_band(), _draw_head(result), top, *(_draw_row(row, ACROSS) for row in rows)]
    return np.concatenate([*parts, _draw_foot(result), _draw_band()])


def draw_pictures(film: ShownFilm, result: SearchResult, whole: bool) -> list[np.ndarray]:
    """The film and, where there is one, the film under its map (of a case only the second)."""
    height = _FILM_HEIGHT if whole else _CASE_HEIGHT
    pixels = _reduce(film.pixels, height, whole and bool(result.turn.quarters % 2))
    pictures = []
    if whole or film.found is None:
        pictures.append(np.repeat(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2))
    if film.found is not None:
        pictures.append(render_overlay(pixels, film.found.values, result.style, result.scale))
    region = result.region if whole else film.place
    if region is not None:
        pictures = [draw_region(one, region, film.pixels.shape) for one in pictures]
    sides = film.sides
    if whole:
        sides = result.turn.turn_sides(sides)
        marks = result.marks or Marks((), film.pixels)
        pictures = [draw_marks(result.turn.turn_picture(one), marks, result.turn) for one in pictures]
    pictures = [stamp(write_sides(one, sides) if sides else one) for one in pictures]
    if whole and film.found is not None and result.scale > 0:
        pictures[-1] = attach_legend(pictures[-1], result.style, result.scale)
    return pictures


def _reduce(pixels: np.ndarray, height: int, lying: bool = False) -> np.ndarray:
    """The film at most `height` pixels high and as wide as its place allows, averaged over areas. lying : it will be
    turned by a quarter, so that its rows are what is seen across."""
    width = (WIDTH - 3 * MARGIN) * (0.44 if height == _FILM_HEIGHT else 1 / ACROSS - 0.01)
    rows, columns = pixels.shape[::-1] if lying else pixels.shape
    scale = min(height / rows, width / columns)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels, np.float32), size, interpolation=how))


def stamp(picture: np.ndarray) -> np.ndarray:
    """The picture with the notice at its upper edge, so that a part cut out of the page still carries it."""
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    size = max(9, min(26, picture.shape[1] // 22))
    pen.text(
        (picture.shape[1] / 2, 4), RESEARCH, fill=_WARNING, font=_font(size), anchor="ma", stroke_width=2,
        stroke_fill=(0, 0, 0),
    )  # fmt: skip
    return np.asarray(canvas)


def _draw_row(films: list[tuple[ShownFilm, list[np.ndarray]]], places: int) -> np.ndarray:
    height = max(picture.shape[0] for _, pictures in films for picture in pictures)
    lines = max(1 + len(film.lines) for film, _ in films)
    canvas = Image.new("RGB", (WIDTH, height + lines * _LINE + 2 * MARGIN), _PAPER)
    pen = ImageDraw.Draw(canvas)
    place = WIDTH // places
    for number, (film, pictures) in enumerate(films):
        left = number * place + MARGIN
        across = left
        for picture in pictures:
            canvas.paste(Image.fromarray(picture), (across, MARGIN))
            across += picture.shape[1] + MARGIN
        for line, text in enumerate((film.title, *film.lines)):
            shown = _shorten(text, place - MARGIN, _font(18))
            pen.text((left, MARGIN + height + 4 + line * _LINE), shown, fill=_QUIET if line else _INK, font=_font(18))
    return np.asarray(canvas)


def _draw_band() -> np.ndarray:
    canvas = Image.new("RGB", (WIDTH, BAND), (60, 44, 0))
    pen = ImageDraw.Draw(canvas)
    pen.text(
        (WIDTH / 2, BAND / 2), f"{RESEARCH.upper()} · NOT A MEDICAL DEVICE", fill=_WARNING, font=_font(28), anchor="mm"
    )
    return np.asarray(canvas)


def _draw_head(result: SearchResult) -> np.ndarray:
    ranking = result.ranking
    states = [hit.case.findings.get(ranking.target, FindingState.UNKNOWN) for hit in ranking.hits]
    known = [state for state in states if state.known]
    carrying = sum(state is FindingState.PRESENT for state in known)
    share = f"{ranking.target} is present in {carrying} of the {len(known)} similar cases that are labelled for it"
    if ranking.base_rate is not None:
        share += f", and in {100 * ranking.base_rate:.0f} % of the eligible cases"
    lines = ["Similar past cases", share + ".", f"Map: {result.map_title}" if result.map_title else "No map."]
    return _draw_lines(lines)


def _draw_foot(result: SearchResult) -> np.ndarray:
    prediction = result.ranking.prediction
    ordered = sorted(prediction.probabilities.items(), key=lambda one: -one[1]) if prediction else []
    shown = ", ".join(f"{name} {value:.2f}" for name, value in ordered)
    shown += f"; {prediction.caution}" if prediction and prediction.caution else ""
    source = f" by {prediction.source}" if prediction and prediction.source else ""
    versions = ", ".join(f"{name} {value[:12]}" for name, value in result.versions)
    return _draw_lines(
        [
            f"Probabilities{source}: {shown or 'none'}",
            f"Searched by: {find_title(result.ranking.method)}; {result.filters}; {versions}",
        ]
    )


def _draw_lines(lines: list[str]) -> np.ndarray:
    wrapped = [part for line in lines for part in _wrap(line, WIDTH - 2 * MARGIN, _font(18))]
    canvas = Image.new("RGB", (WIDTH, len(wrapped) * _LINE + MARGIN), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for number, text in enumerate(wrapped):
        pen.text((MARGIN, MARGIN // 2 + number * _LINE), text, fill=_INK, font=_font(18))
    return np.asarray(canvas)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(find_program_folder() / "assets" / "fonts" / "DejaVuSans.ttf"), size)


def _wrap(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, _shorten(line, width, font)]


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
