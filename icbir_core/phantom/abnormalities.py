"""Findings: what each does to the lungs, how big it is in physical units, and which pixels it changes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .canvas import curve, smooth_step
from .chest import Chest
from .lungs import Extent, Lungs


def _draw_side(random: np.random.Generator, both: float) -> str:
    value = random.random()
    if value < both:
        return "both"
    return "right" if value < both + (1 - both) * 0.5 else "left"


def _sides(side: str) -> tuple[str, ...]:
    return ("right", "left") if side == "both" else (side,)


def _tissue_of(chest: Chest, share: np.ndarray) -> np.ndarray:
    return np.asarray(chest.lung * share * np.float32(1 - chest.anatomy.aerated))


def _share_of_lung(chest: Chest, share: np.ndarray, side: str) -> float:
    """Percent of the lung volume of that side."""
    lung = chest.lung * chest.side_mask(side)
    return float(100 * (lung * share).sum() / max(float(lung.sum()), 1.0))


def effusion(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """Pleural fluid. Upright: a level with a meniscus that climbs the chest wall. Supine: a veil that thickens
    to the base.

    Fluid takes the room of lung, so a blunted angle, a lost diaphragm and a white base all follow from one
    volume, in mL.
    """
    a, canvas = chest.anatomy, chest.canvas
    side = _draw_side(random, 0.35)
    supine = not a.erect
    total = np.zeros_like(chest.lung)
    for each in _sides(side):
        amount = severity * (1.0 if side != "both" else random.uniform(0.45, 1.0))
        sign = -1 if each == "right" else 1
        dome = a.height + (a.left_dome_offset if each == "left" else 0.0)
        bottom = dome + (a.sulcus[0] if each == "right" else a.sulcus[1])
        to_wall = np.maximum(chest.half_width - sign * chest.lateral, 0)
        climb = random.uniform(10, 22) + 34 * amount
        reach = random.uniform(9, 22) + 22 * amount
        upright_amount = amount * random.uniform(0.2, 0.5) if supine else amount
        level = bottom - random.uniform(14, 22) - upright_amount * 0.8 * a.height
        to_middle = np.maximum(sign * chest.lateral - 20, 0)
        surface = level - climb * np.exp(-to_wall / reach) - 0.35 * climb * np.exp(-to_middle / reach)
        surface = surface + random.uniform(-0.12, 0.12) * (chest.lateral * sign - 80)
        thickness = random.uniform(7, 16) + 40 * amount
        share = smooth_step((canvas.y - surface) / thickness)
        if supine:
            start = random.uniform(0.0, 0.4) * a.height
            veil = (0.08 + 0.6 * amount) * smooth_step((canvas.y - start) / (bottom - start))
            rim = 0.75 * np.exp(-to_wall / (2 + 9 * amount)) * smooth_step((canvas.y - start * 0.6) / 60)
            share = 1 - (1 - share) * (1 - veil) * (1 - rim)
        total += (share * chest.side_mask(each)).astype(np.float32)
    lungs.flood(total)
    magnified = 1.06 if a.view == "PA" else 1.14
    volume = float((total * chest.lung).sum()) * canvas.spacing**2 / magnified**2 / 1000
    return Extent(side, volume, "mL", _tissue_of(chest, total))


def pneumothorax(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """Free air round a lung that fell back: no markings outside a fine pleural line; size is the rim at the apex in
    mm."""
    a, canvas = chest.anatomy, chest.canvas
    side = _draw_side(random, 0.03)
    cage = (chest.cage > 0).astype(np.uint8)
    depth = cv2.distanceTransform(cage, cv2.DIST_L2, 3) * np.float32(canvas.spacing)
    apex = 6 + severity * random.uniform(45, 80)
    base = apex * (random.uniform(0.02, 0.7) if a.erect or random.random() < 0.5 else random.uniform(0.8, 1.6))
    height = smooth_step(canvas.y / a.cage_height)
    ripple = canvas.noise(random, 90, 40) * (1.0 + 0.06 * apex)
    rim = apex + (base - apex) * height + ripple
    gap = (rim - depth) / np.float32(max(canvas.spacing, 0.8))
    here = chest.side_mask(side) * (chest.lung > 3)
    outside = (np.clip(gap + 0.5, 0, 1) * here).astype(np.float32)
    line = (np.exp(-((gap * canvas.spacing / 1.0) ** 2)) * here).astype(np.float32)
    lungs.free_air = np.maximum(lungs.free_air, outside)
    lungs.clarity *= 1 - outside
    lungs.tissue += line * np.float32(random.uniform(2.5, 5.5)) * np.minimum(chest.lung / 40, 1)
    collapse = np.float32(0.04 + 0.35 * severity**1.5) * (1 - outside) * here
    lungs.fluid += (collapse * (1 - lungs.fluid)).astype(np.float32)
    return Extent(side, float(apex), "mm rim", (outside + line).astype(np.float32), 0.5)


def _opacity(
    lungs: Lungs,
    chest: Chest,
    random: np.random.Generator,
    severity: float,
    side: str,
    count: int,
    lobar: bool,
    strength: float,
) -> np.ndarray:
    """Share of air lost in `count` foci with fractal borders; `lobar` ones stop at a fissure. Float32 (N, N)."""
    a, canvas = chest.anatomy, chest.canvas
    texture = canvas.noise(random, 60, max(3.0, 2 * canvas.spacing), 0.72)
    total = np.zeros_like(chest.lung)
    for index in range(count):
        each = side if side != "both" else ("right", "left")[index % 2]
        sign = -1 if each == "right" else 1
        centre_x = sign * a.half_width * random.uniform(0.32, 0.78)
        centre_y = a.height * random.uniform(0.2, 0.95)
        radius = a.half_width * (0.16 + 0.45 * severity) * random.uniform(0.8, 1.25) / count**0.35
        stretch = random.uniform(0.7, 1.4)
        distance = ((canvas.x - centre_x) / radius) ** 2 + ((canvas.y - centre_y) / (radius * stretch)) ** 2
        body = np.exp(-0.7 * distance)
        focus = smooth_step((body + 0.16 * texture - 0.38) / random.uniform(0.35, 1.0))
        if lobar:
            edge = centre_y + random.choice([-1, 1]) * radius * random.uniform(0.3, 0.7)
            slope = random.uniform(-0.25, 0.25)
            cut = (canvas.y - edge - slope * (canvas.x - centre_x)) * (1 if edge < centre_y else -1)
            focus = focus * smooth_step(cut / random.uniform(2, 8) + 0.5)
        focus = focus * chest.side_mask(each) * strength * random.uniform(0.75, 1.15)
        total = np.maximum(total, focus.astype(np.float32))
    total = canvas.blur(np.clip(total * (1 + 0.22 * texture), 0, 0.95), random.uniform(0.6, 4.0))
    return np.asarray(total * (chest.lung > 2), dtype=np.float32)


def _bronchograms(chest: Chest, random: np.random.Generator, share: np.ndarray, side: str) -> np.ndarray:
    """Air left in the bronchi inside an opacity, mm of air."""
    canvas = chest.canvas
    layer = canvas.blank()
    for each in _sides(side):
        hilum = np.array(chest.hila[each])
        sign = -1 if each == "right" else 1
        for _ in range(random.integers(3, 7)):
            angle = random.uniform(-0.9, 1.3)
            steps = random.normal(0, 7, (4, 2)) + np.linspace(8, random.uniform(45, 90), 4)[:, None] * (
                sign * np.cos(angle),
                np.sin(angle),
            )
            canvas.stroke(layer, [curve(hilum + steps, 12)], random.uniform(2, 4), 200)
    return np.asarray(canvas.blur(layer, 0.8).astype(np.float32) * np.float32(4.0 / 255) * share)


def consolidation(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """Air spaces filled: one dense focus or a few, lobar or patchy, sometimes with air bronchograms; size in % of the
    lung."""
    side = _draw_side(random, 0.22)
    count = int(random.integers(1, 3)) * (2 if side == "both" else 1)
    share = _opacity(lungs, chest, random, severity, side, count, random.random() < 0.4, 0.22 + 0.48 * random.random())
    if random.random() < 0.5:
        lungs.tissue -= _bronchograms(chest, random, share, side)
    lungs.flood(share)
    return Extent(side, _share_of_lung(chest, share, side), "% of lung", _tissue_of(chest, share))


def pneumonia(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """Infectious-looking opacities: several patchy, fainter foci. Only its look distinguishes it from consolidation."""
    side = _draw_side(random, 0.45)
    count = int(random.integers(2, 6))
    share = _opacity(lungs, chest, random, severity, side, count, False, 0.16 + 0.34 * random.random())
    lungs.flood(share)
    return Extent(side, _share_of_lung(chest, share, side), "% of lung", _tissue_of(chest, share))


def atelectasis(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """Lung without air: thin plates near the bases, or a dense wedge behind the heart or over the dome; size in % of
    the lung."""
    a, canvas = chest.anatomy, chest.canvas
    side = _draw_side(random, 0.3)
    total = np.zeros_like(chest.lung)
    for each in _sides(side):
        sign = -1 if each == "right" else 1
        dome = a.height + (a.left_dome_offset if each == "left" else 0.0)
        layer = canvas.blank()
        for _ in range(1 + int(random.integers(0, 2 + round(3 * severity)))):
            x0 = a.half_width * random.uniform(0.25, 0.65)
            y0 = dome - random.uniform(4, 70)
            length, rise = random.uniform(25, 75), random.uniform(-18, 22)
            line = curve(
                [(sign * x0, y0), (sign * (x0 + length / 2), y0 + rise * 0.6), (sign * (x0 + length), y0 + rise)], 16
            )
            canvas.fill(layer, np.clip(_taper(line, random.uniform(2, 4 + 7 * severity)), -1e4, 1e4), 255)
        plates = canvas.blur(layer, 0.9).astype(np.float32) * np.float32(random.uniform(0.08, 0.35) / 255)
        wedge = 0.0
        if random.random() < 0.35 + 0.5 * severity:
            reach = (14 + 55 * severity) * random.uniform(0.8, 1.2)
            inner = a.half_width * random.uniform(0.15, 0.55)
            across = np.exp(-(((sign * chest.lateral - inner) / (0.30 * a.half_width + 20 * severity)) ** 2))
            wedge = (
                random.uniform(0.35, 0.85) * smooth_step((canvas.y - dome + reach * across) / (0.7 * reach)) * across
            )
        total += (np.maximum(plates, wedge) * chest.side_mask(each)).astype(np.float32)
    total = np.clip(total, 0, 0.95) * (chest.lung > 2)
    lungs.flood(total)
    return Extent(side, _share_of_lung(chest, total, side), "% of lung", _tissue_of(chest, total))


def _taper(line: np.ndarray, width: float) -> np.ndarray:
    from .canvas import band

    return band(line, width * np.sin(np.linspace(0.15, np.pi - 0.15, len(line))))


def edema(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """Fluid in the lung: haze round the hila and towards the bases, wide upper vessels, septal lines; size in % of the
    lung."""
    a, canvas = chest.anatomy, chest.canvas
    reach = a.half_width * random.uniform(0.45, 0.85)
    texture = canvas.noise(random, 80, max(3.0, 2 * canvas.spacing), 0.7)
    haze = np.zeros_like(chest.lung)
    for each, sign in (("right", -1), ("left", 1)):
        hx, hy = chest.hila[each]
        centre = (hx + sign * random.uniform(5, 30), hy + random.uniform(0, 40))
        distance = ((canvas.x - centre[0]) / reach) ** 2 + (
            (canvas.y - centre[1]) / (reach * random.uniform(1.1, 1.7))
        ) ** 2
        haze = np.maximum(haze, np.exp(-distance) * random.uniform(0.7, 1.0) * chest.side_mask(each))
    basal = smooth_step((canvas.y - 0.3 * a.height) / (0.8 * a.height)) * random.uniform(0, 0.6)
    share = (0.07 + 0.5 * severity) * (haze + basal) * (1 + random.uniform(0.15, 0.4) * texture)
    share = (np.clip(share, 0, 0.85) * (chest.lung > 2)).astype(np.float32)
    lungs.flood(share * np.float32(0.8))
    lungs.clarity = np.sqrt(np.clip(lungs.clarity, 0, 1))
    lungs.vessels *= 1.05 + 0.25 * severity
    lungs.upper_share += random.uniform(0.1, 0.45)
    lungs.net += random.uniform(0.4, 1.5) + 3.0 * severity * random.random()
    if random.random() < 0.6:
        layer = canvas.blank()
        for sign in (-1, 1):
            for _ in range(int(random.integers(4, 12))):
                y = a.height * random.uniform(0.6, 1.02)
                wall = float(chest.wall_at(np.array([y], np.float32))[0]) - 3
                x = sign * (wall - random.uniform(8, 20))
                canvas.stroke(layer, [np.array([(sign * wall, y), (x, y + random.uniform(-2, 4))])], 0.9, 220)
        lungs.tissue += layer.astype(np.float32) * np.float32(1.8 / 255) * (chest.lung > 2)
    return Extent("both", _share_of_lung(chest, share, "both"), "% of lung", _tissue_of(chest, share))


def _place_in_lung(chest: Chest, random: np.random.Generator, side: str) -> tuple[float, float]:
    """A point well inside the lung of one side, mm."""
    a = chest.anatomy
    sign = -1 if side == "right" else 1
    for _ in range(20):
        y = a.height * random.uniform(0.1, 1.0)
        wall = float(chest.wall_at(np.array([y], np.float32))[0])
        x = sign * random.uniform(0.3, 0.92) * wall
        column = int((x - chest.canvas.left) / chest.canvas.spacing)
        row = int((y - chest.canvas.top) / chest.canvas.spacing)
        if 0 <= row < chest.canvas.pixels and 0 <= column < chest.canvas.pixels and chest.lung[row, column] > 45:
            return x, y
    return sign * 0.6 * a.half_width, 0.5 * a.height


def _growth(lungs: Lungs, chest: Chest, random: np.random.Generator, diameter: float, side: str) -> np.ndarray:
    """One rounded growth with a lobed, sometimes spiculated edge; returns mm of water it adds, float32 (N, N)."""
    canvas = chest.canvas
    x0, y0 = _place_in_lung(chest, random, side)
    dx, dy = canvas.x - np.float32(x0), canvas.y - np.float32(y0)
    angle = np.arctan2(dy, dx)
    edge = np.ones_like(chest.lung)
    for order in (2, 3, 4, 5, 7, 9):
        edge += np.float32(random.normal(0, 0.16 / order)) * np.cos(order * angle + np.float32(random.uniform(0, 6.3)))
    radius = diameter / 2
    squared = (dx * dx + dy * dy) / (edge * radius) ** 2
    flat = random.uniform(0.75, 1.3)
    added = np.float32(diameter * flat) * np.sqrt(np.clip(1 - squared, 0, 1))
    if random.random() < 0.4:
        layer = canvas.blank()
        for turn in random.uniform(0, 2 * np.pi, 14):
            start = np.array([x0 + 0.8 * radius * np.cos(turn), y0 + 0.8 * radius * np.sin(turn)])
            reach = radius * random.uniform(0.3, 0.8)
            canvas.stroke(layer, [np.array([start, start + reach * np.array([np.cos(turn), np.sin(turn)])])], 1.0, 200)
        added = added + layer.astype(np.float32) * np.float32(1.5 / 255)
    added = canvas.blur(added.astype(np.float32), random.uniform(0.4, 1.6))
    added = np.minimum(added, chest.lung * np.float32(1 - chest.anatomy.aerated))
    lungs.tissue += added
    return np.asarray(added)


def nodule(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """One to five round shadows of up to 30 mm; size is the greatest diameter in mm."""
    side = _draw_side(random, 0.15)
    count = 1 if random.random() < 0.6 else int(random.integers(2, 6))
    count = max(count, 2) if side == "both" else count
    diameters = (8 + 21 * severity) * np.concatenate([[1.0], random.uniform(0.5, 1.0, count - 1)])
    change = np.zeros_like(chest.lung)
    for index, diameter in enumerate(diameters):
        each = side if side != "both" else ("right", "left")[index % 2]
        change += _growth(lungs, chest, random, float(diameter), each)
    return Extent(side, float(diameters[0]), "mm diameter", change)


def mass(lungs: Lungs, chest: Chest, random: np.random.Generator, severity: float) -> Extent:
    """One shadow of more than 30 mm; size is its diameter in mm."""
    side = _draw_side(random, 0.0)
    diameter = 31 + 62 * severity
    return Extent(side, float(diameter), "mm diameter", _growth(lungs, chest, random, diameter, side))


DRAWERS: dict[str, Callable[[Lungs, Chest, np.random.Generator, float], Extent]] = {
    "Edema": edema,
    "Consolidation": consolidation,
    "Pneumonia": pneumonia,
    "Atelectasis": atelectasis,
    "Nodule": nodule,
    "Mass": mass,
    "Effusion": effusion,
    "Pneumothorax": pneumothorax,
}
"""In the order in which they are laid over each other. Cardiomegaly is no layer: the heart itself is drawn larger."""
