"""Pictures that are no chest film, drawn by the program: one set to teach the quality gate with, another to measure it.

No kind of the first set is in the second, so that the figures say how the gate meets what it was not taught.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

SIDE = 192
Generator = np.random.Generator
Draw = Callable[[Generator], np.ndarray]


def _grid() -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[0:SIDE, 0:SIDE] / SIDE  # type: ignore[return-value]


def _finish(picture: np.ndarray, generator: Generator, blur: float = 0.0) -> np.ndarray:
    """Blur, noise, any contrast, as float32 in [0, 1]."""
    picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), blur) if blur else picture.astype(np.float32)
    picture = picture + generator.uniform(0, 0.04) * generator.standard_normal(picture.shape).astype(np.float32)
    low, high = picture.min(), picture.max()
    return np.ascontiguousarray(((picture - low) / max(high - low, 1e-6)) ** generator.uniform(0.6, 1.6), np.float32)


def _sheet(generator: Generator) -> tuple[np.ndarray, float]:
    """A light or dark sheet, and the grey of a pen that shows on it."""
    light = generator.random() < 0.6
    ground, ink = (generator.uniform(0.8, 1), generator.uniform(0, 0.4)) if light else (
        generator.uniform(0, 0.2), generator.uniform(0.6, 1))  # fmt: skip
    return np.full((SIDE, SIDE), ground, np.float32), float(ink)


def _points(generator: Generator, count: int) -> np.ndarray:
    return (generator.random((count, 2)) * SIDE).astype(np.int32)


# ------------------------------------------------------------------------------------------------ to teach with


def draw_dead_leaves(generator: Generator) -> np.ndarray:
    """Overlapping discs of all sizes and greys: the statistics of photographs."""
    picture = np.full((SIDE, SIDE), 0.5, np.float32)
    for size in np.sort(3 + 90 * generator.random(int(generator.integers(30, 300))) ** generator.uniform(1, 4))[::-1]:
        centre = tuple(int(one) for one in generator.integers(-20, SIDE + 20, 2))
        if generator.random() < 0.5:
            cv2.circle(picture, centre, int(size), float(generator.random()), -1)
        else:
            corner = tuple(int(one + size * generator.uniform(0.5, 2)) for one in centre)
            cv2.rectangle(picture, centre, corner, float(generator.random()), -1)
    shade = cv2.resize(generator.random((3, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return _finish(picture + generator.uniform(0, 1) * shade, generator, generator.uniform(0, 2))


def draw_clouds(generator: Generator) -> np.ndarray:
    """Noise whose energy falls with the frequency by some power."""
    rows, columns = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None]
    fall = np.maximum(np.hypot(rows * generator.uniform(0.5, 2), columns), 1 / SIDE) ** -generator.uniform(0.3, 2.2)
    return _finish(np.real(np.fft.ifft2(np.fft.fft2(generator.standard_normal((SIDE, SIDE))) * fall)), generator)


def draw_scribble(generator: Generator) -> np.ndarray:
    """Lines, ellipses and polygons by hand on a sheet."""
    picture, ink = _sheet(generator)
    for _ in range(int(generator.integers(2, 16))):
        thick = int(generator.integers(1, 7))
        kind = generator.integers(3)
        if kind == 0:
            cv2.polylines(picture, [_points(generator, int(generator.integers(2, 7)))], False, ink, thick)
        elif kind == 1:
            centre, axes = _points(generator, 1)[0], generator.integers(5, 70, 2)
            filled = -1 if generator.random() < 0.4 else thick
            angle = int(generator.integers(180))
            cv2.ellipse(picture, centre.tolist(), axes.tolist(), angle, 0, 360, ink * generator.uniform(0.5, 1), filled)
        else:
            cv2.fillPoly(picture, [_points(generator, int(generator.integers(3, 6)))], generator.random())
    return _finish(picture, generator, generator.uniform(0, 1.5))


def draw_face(generator: Generator) -> np.ndarray:
    """A round thing with two eyes and a mouth: as symmetrical as a chest."""
    picture, ink = _sheet(generator)
    x, y = (SIDE * generator.uniform(0.4, 0.6, 2)).astype(int).tolist()
    size = int(SIDE * generator.uniform(0.25, 0.48))
    filled = -1 if generator.random() < 0.5 else int(generator.integers(1, 6))
    cv2.ellipse(picture, (x, y), (size, int(size * generator.uniform(0.9, 1.3))), 0, 0, 360, ink, filled)
    eye = generator.random()
    for side in (-1, 1):
        centre = (x + side * int(size * generator.uniform(0.3, 0.45)), y - int(size * 0.2))
        radius = int(size * generator.uniform(0.06, 0.3))
        cv2.ellipse(picture, centre, (radius, int(radius * generator.uniform(0.5, 2))), 0, 0, 360, eye, -1)
    cv2.ellipse(picture, (x, y + size // 4), (size // 2, size // 4), 0, 10, 170, eye, int(generator.integers(2, 9)))
    return _finish(picture, generator, generator.uniform(0, 3))


def draw_page(generator: Generator) -> np.ndarray:
    """Lines of text or of a table."""
    sheet, ink = _sheet(generator)
    picture, pen = np.rint(255 * sheet).astype(np.uint8), round(255 * ink)  # OpenCV writes on 8 bits only
    step, size = int(generator.integers(8, 26)), generator.uniform(0.25, 0.9)
    for top in range(step, SIDE, step):
        letters = "".join(chr(int(one)) for one in generator.integers(65, 122, int(generator.integers(2, 30))))
        cv2.putText(picture, letters, (int(generator.integers(2, 40)), top), cv2.FONT_HERSHEY_SIMPLEX, size, pen, 1)
    if generator.random() < 0.4:
        for at in generator.integers(0, SIDE, 4):
            cv2.line(picture, (int(at), 0), (int(at), SIDE), pen, 1)
    return _finish(picture / 255, generator, generator.uniform(0, 1.5))


def draw_pattern(generator: Generator) -> np.ndarray:
    """Stripes, squares, rings or a gradient."""
    rows, columns = _grid()
    angle, often = generator.uniform(0, np.pi), generator.uniform(1, 25)
    along, across = rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)
    middle = generator.uniform(0.2, 0.8, 2)
    away = np.hypot(rows - middle[0], (columns - middle[1]) * generator.uniform(0.5, 2))
    waves = [
        along,
        np.sin(often * along),
        np.sign(np.sin(often * along) * np.sin(often * across)),
        np.sin(often * away),
        away ** generator.uniform(0.3, 2),
        np.exp(-((away / generator.uniform(0.1, 0.5)) ** 2)),
    ]
    return _finish(waves[int(generator.integers(len(waves)))], generator, generator.uniform(0, 3))


def _bone(picture: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, generator: Generator) -> None:
    """A long bone with thicker ends, added to a film in place."""
    layer = np.zeros_like(picture)
    first, last = (tuple(int(one) for one in point) for point in (start, end))
    cv2.line(layer, first, last, 1.0, max(2, int(width)))
    for point in (first, last):
        cv2.circle(layer, point, max(2, int(width * generator.uniform(0.7, 1.1))), 1.0, -1)
    picture += generator.uniform(0.35, 0.6) * cv2.GaussianBlur(layer, (0, 0), 1.5)


def draw_hand(generator: Generator) -> np.ndarray:
    """Soft tissue and rays of short bones."""
    film = np.zeros((SIDE, SIDE), np.float32)
    wrist = np.array([SIDE * generator.uniform(0.4, 0.6), SIDE * generator.uniform(0.85, 1.0)])
    for finger in np.linspace(-0.9, 0.9, 5) + generator.normal(0, 0.06, 5):
        way, at = np.array([np.sin(finger), -np.cos(finger)]), wrist.copy()
        reach = SIDE * generator.uniform(0.14, 0.2)
        soft = np.zeros_like(film)
        tip = wrist + way * reach * 4
        cv2.line(soft, tuple(wrist.astype(int).tolist()), tuple(tip.astype(int).tolist()), 1.0, int(SIDE * 0.1))
        film = np.maximum(film, 0.3 * cv2.GaussianBlur(soft, (0, 0), 3))
        for part in (1.4, 1.0, 0.8, 0.6):
            _bone(film, at + way * 4, at + way * reach * part, SIDE * 0.035, generator)
            at = at + way * reach * part
    return _finish(film, generator, 1.0)


def draw_knee(generator: Generator) -> np.ndarray:
    """Two thick bones that meet in soft tissue, and the kneecap."""
    rows, columns = _grid()
    centre = generator.uniform(0.4, 0.6)
    film = (0.35 * (np.abs(columns - centre) < generator.uniform(0.2, 0.36))).astype(np.float32)
    middle, wide = np.array([centre, generator.uniform(0.4, 0.6)]) * SIDE, SIDE * generator.uniform(0.12, 0.2)
    for way in (-1, 1):
        end = middle + np.array([generator.uniform(-0.1, 0.1) * SIDE, way * SIDE * 0.7])
        _bone(film, middle + np.array([0, way * wide * 0.75]), end, wide, generator)
    cv2.circle(
        film, tuple((middle + [generator.uniform(-20, 20), -wide / 2]).astype(int).tolist()), int(wide / 2), 0.9, -1
    )
    return _finish(film, generator, 2.0)


def draw_skull(generator: Generator) -> np.ndarray:
    """A bright rim, two dark sockets, teeth."""
    rows, columns = _grid()
    x, y = generator.uniform(0.45, 0.55), generator.uniform(0.4, 0.5)
    away = np.hypot((columns - x) / generator.uniform(0.3, 0.42), (rows - y) / generator.uniform(0.36, 0.46))
    film = 0.55 * (away < 1) + 0.35 * np.exp(-(((away - 0.96) / 0.06) ** 2))
    for side in (-1, 1):
        film -= 0.25 * (np.hypot((columns - x - side * 0.13) / 0.08, (rows - y - 0.1) / 0.07) < 1)
    film -= 0.2 * (np.hypot((columns - x) / 0.04, (rows - y - 0.2) / 0.07) < 1)
    film += 0.2 * (np.abs(columns - x) < 0.12) * (np.abs(rows - y - 0.32) < 0.05) * (np.sin(columns * 160) > -0.3)
    return _finish(film, generator, 2.0)


TEACHING: dict[str, Draw] = {
    "dead leaves": draw_dead_leaves, "clouds": draw_clouds, "scribbles": draw_scribble, "faces": draw_face,
    "pages": draw_page, "patterns": draw_pattern, "hands": draw_hand, "knees": draw_knee, "skulls": draw_skull,
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ to measure with


def draw_house(generator: Generator) -> np.ndarray:
    """A house with roof, door and windows, a tree and the sun."""
    picture, ink = _sheet(generator)
    left, right = (int(SIDE * one) for one in (generator.uniform(0.1, 0.3), generator.uniform(0.6, 0.85)))
    top, bottom = (int(SIDE * one) for one in (generator.uniform(0.35, 0.5), generator.uniform(0.8, 0.95)))
    thick = -1 if generator.random() < 0.5 else int(generator.integers(1, 5))
    cv2.rectangle(picture, (left, top), (right, bottom), ink, thick)
    roof = np.array(
        [(left - 12, top), ((left + right) // 2, top - int(SIDE * generator.uniform(0.15, 0.3))), (right + 12, top)]
    )
    cv2.fillPoly(picture, [roof], generator.random())
    pane = generator.random()
    for at in np.linspace(left + 8, right - 24, int(generator.integers(2, 4))):
        cv2.rectangle(picture, (int(at), top + 14), (int(at) + 16, top + 32), pane, -1)
    cv2.rectangle(picture, ((left + right) // 2 - 8, bottom - 34), ((left + right) // 2 + 8, bottom), pane, -1)
    cv2.circle(
        picture, (int(SIDE * generator.uniform(0.05, 0.95)), int(SIDE * 0.12)), int(generator.integers(8, 20)), ink, -1
    )
    return _finish(picture, generator, generator.uniform(0, 1.5))


def draw_chart(generator: Generator) -> np.ndarray:
    """A chart of bars or of a curve, with its axes."""
    picture, ink = _sheet(generator)
    count = int(generator.integers(4, 14))
    heights = generator.uniform(0.1, 0.8, count) * SIDE
    places = np.linspace(24, SIDE - 16, count)
    if generator.random() < 0.5:
        for place, height in zip(places, heights, strict=True):
            cv2.rectangle(picture, (int(place) - 5, SIDE - 16 - int(height)), (int(place) + 5, SIDE - 16), ink, -1)
    else:
        curve = np.stack([places, SIDE - 16 - heights], axis=1).astype(np.int32)
        cv2.polylines(picture, [curve], False, ink, int(generator.integers(1, 5)))
    cv2.line(picture, (16, SIDE - 16), (SIDE - 4, SIDE - 16), ink, 1)
    cv2.line(picture, (16, 4), (16, SIDE - 16), ink, 1)
    return _finish(picture, generator, generator.uniform(0, 1))


def draw_landscape(generator: Generator) -> np.ndarray:
    """Sky, hills one behind the other, and a road."""
    rows, columns = _grid()
    picture = (0.9 - 0.4 * rows).astype(np.float32)
    for depth in np.sort(generator.uniform(0.3, 0.8, 4)):
        hill = depth + sum(
            generator.uniform(0.01, 0.08) * np.sin(columns * often + generator.uniform(0, 6)) for often in (3, 7, 17)
        )
        picture = np.where(rows > hill, generator.uniform(0.1, 0.8), picture)
    road = np.abs(columns - 0.5) < 0.3 * (rows - 0.55)
    return _finish(np.where(road, generator.random(), picture), generator, generator.uniform(0, 2))


def draw_pelvis(generator: Generator) -> np.ndarray:
    """Two iliac wings, the spine between, hips and thighs below."""
    rows, columns = _grid()
    film = 0.45 * np.exp(-(((columns - 0.5) / 0.55) ** 4)).astype(np.float32)
    film += 0.25 * (np.abs(columns - 0.5) < generator.uniform(0.05, 0.08)) * (rows < 0.55)
    for side in (-1, 1):
        across = (columns - 0.5) * side
        film += 0.3 * np.exp(-(((np.hypot((across - 0.22) / 0.16, (rows - 0.35) / 0.2) - 0.9) / 0.25) ** 2))
        film += 0.3 * (np.hypot((across - 0.26) / 0.07, (rows - 0.62) / 0.07) < 1)
        film += 0.3 * (np.abs(across - 0.3 - 0.05 * (rows - 0.65)) < 0.05) * (rows > 0.66)
        film += 0.2 * np.exp(-(((np.hypot((across - 0.1) / 0.08, (rows - 0.72) / 0.07) - 1) / 0.3) ** 2))
    return _finish(film, generator, generator.uniform(1, 3))


def draw_foot(generator: Generator) -> np.ndarray:
    """A foot from the side: heel, ankle, long bones forward."""
    film = np.zeros((SIDE, SIDE), np.float32)
    heel = np.array([generator.uniform(0.15, 0.3), generator.uniform(0.7, 0.8)]) * SIDE
    ankle = heel + np.array([0.15, -0.15]) * SIDE
    soft = np.zeros_like(film)
    outline = [
        heel + [-14, 10],
        ankle + [-24, -90],
        ankle + [26, -90],
        ankle + [30, 4],
        heel + [125, 8],
        heel + [125, 28],
    ]
    cv2.fillPoly(soft, [np.array(outline).astype(np.int32)], 0.3)
    film += cv2.GaussianBlur(soft, (0, 0), 3)
    _bone(film, ankle, ankle + np.array([generator.uniform(-8, 8), -0.6 * SIDE]), SIDE * 0.09, generator)
    _bone(film, heel, ankle + np.array([4, 8]), SIDE * 0.11, generator)
    for drop in (-4, 4, 12):
        _bone(film, ankle + [22, 12 + drop], heel + [112, 6 + drop], SIDE * 0.035, generator)
    return _finish(film[:, :: generator.choice([-1, 1])], generator, 1.2)


def draw_lumbar_spine(generator: Generator) -> np.ndarray:
    """A column of vertebrae from the side or the front, in soft tissue."""
    rows, columns = _grid()
    bend = 0.5 + generator.uniform(-0.12, 0.12) * np.sin(rows * generator.uniform(2, 4))
    wide = generator.uniform(0.09, 0.16)
    film = 0.4 * np.exp(-(((columns - 0.5) / 0.5) ** 2)).astype(np.float32)
    film += 0.4 * (np.abs(columns - bend) < wide) * (np.sin(rows * generator.uniform(34, 48)) > -0.6)
    film += 0.15 * (np.abs(columns - bend - wide * 1.4) < 0.04) * (np.sin(rows * 40 + 1) > 0)
    return _finish(film, generator, generator.uniform(1, 2.5))


MEASURING: dict[str, Draw] = {
    "houses": draw_house, "charts": draw_chart, "landscapes": draw_landscape, "pelves, simulated": draw_pelvis,
    "feet, simulated": draw_foot, "lumbar spines, simulated": draw_lumbar_spine,
}  # fmt: skip
