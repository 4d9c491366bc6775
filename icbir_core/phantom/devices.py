"""Things that are on a film and are no finding: gas in the belly, leads, tubes, lines, clips, letters, the edge
of the beam.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from .canvas import curve
from .chest import Chest


def belly_gas(chest: Chest, random: np.random.Generator) -> np.ndarray:
    """Gas of stomach and bowel under the diaphragm, float32 (N, N) in mm of air."""
    a, canvas, s = chest.anatomy, chest.canvas, chest.anatomy.scale
    gas = np.zeros_like(chest.lung)
    dome = a.height + a.left_dome_offset
    if random.random() < 0.75:
        width, height = random.uniform(14, 44) * s, random.uniform(9, 28) * s
        centre = (a.half_width * random.uniform(0.28, 0.6), dome + height + random.uniform(5, 16))
        canvas.ellipsoid(gas, centre, (width, height), random.uniform(-0.35, 0.35), random.uniform(10, 65))
        if a.erect and random.random() < 0.6:
            level = centre[1] + height * random.uniform(0.0, 0.7)
            gas *= smooth_edge(level - canvas.y, canvas.spacing)
    bowel = np.zeros_like(gas)
    for _ in range(max(0, int(random.integers(-5, 5)))):
        size = random.uniform(7, 24) * s
        centre = (a.half_width * random.uniform(-0.75, 0.85), dome + random.uniform(35, 130))
        canvas.ellipsoid(
            bowel, centre, (size * random.uniform(1, 1.8), size), random.uniform(-1, 1), random.uniform(3, 16)
        )
    gas = np.maximum(gas, bowel)
    return np.asarray(canvas.blur(gas, 2.4) * np.clip((canvas.y - chest.dome - 2) / 3, 0, 1).astype(np.float32))


def smooth_edge(distance: np.ndarray, spacing: float) -> np.ndarray:
    """An antialiased step: 1 where `distance` (mm) is above 0."""
    return np.clip(distance / spacing + 0.5, 0, 1).astype(np.float32)


def draw_devices(chest: Chest, random: np.random.Generator) -> np.ndarray | None:
    """What metal and plastic add to the attenuation line integral, float32 (N, N); None when there is none. Drawn
    without a look at the findings, so that a network cannot learn that a tube means an effusion."""
    a, canvas, s = chest.anatomy, chest.canvas, chest.anatomy.scale
    portable = a.view == "AP"
    layer = canvas.blank()
    amount = np.zeros_like(chest.lung)
    used = False

    def add(strength: float, blur: float = 0.5) -> None:
        nonlocal used, amount
        amount += canvas.blur(layer, blur).astype(np.float32) * np.float32(strength / 255)
        layer[:] = 0
        used = True

    def wander(start: ArrayLike, end: ArrayLike, sway: float, bends: int = 3) -> np.ndarray:
        steps = np.linspace(0, 1, bends + 2)[:, None]
        points = np.array(start) * (1 - steps) + np.array(end) * steps
        points[1:-1] += random.normal(0, sway, (bends, 2))
        return curve(points, 40)

    low, high = -a.field, a.field
    if random.random() < (0.45 if portable else 0.07):
        for _ in range(int(random.integers(2, 5))):
            spot = (a.half_width * random.uniform(-1.0, 1.0), a.height * random.uniform(-0.05, 1.1))
            radius = random.uniform(3, 8)
            turn = np.linspace(0, 2 * np.pi, 20)
            canvas.fill(
                layer, np.array(spot) + radius * np.stack([np.cos(turn), np.sin(turn)], 1), random.uniform(60, 220)
            )
            far = (random.choice([low, high]) * 0.5, a.height * random.uniform(-0.3, 1.4))
            canvas.stroke(layer, [wander(spot, far, 25)], random.uniform(1.0, 2.2), random.uniform(90, 220))
        add(random.uniform(0.4, 1.5))
    if random.random() < (0.3 if portable else 0.05):
        side = random.choice([-1, 1])
        carina = a.height * 0.34
        tip = (-16 * s, carina + random.uniform(0, 45))
        begin = (side * random.uniform(40, 130), a.shoulder_height + random.uniform(-60, 40))
        line = curve([begin, (side * 30 * s, 15 * s + random.normal(0, 6)), (-14 * s, carina - 25), tip], 40)
        canvas.stroke(layer, [line], random.uniform(1.2, 2.4), 220)
        add(random.uniform(0.15, 0.5))
    if random.random() < (0.16 if portable else 0.0):
        end = a.height * 0.34 - random.uniform(15, 60)
        line = curve([(random.normal(0, 8), -110), (random.normal(0, 3), -20), (random.normal(0, 3), end)], 30)
        canvas.stroke(layer, [line + (4, 0), line - (4, 0)], 1.2, 200)
        add(random.uniform(0.15, 0.4))
    if random.random() < (0.18 if portable else 0.02):
        line = curve([(3, -110), (random.normal(2, 3), 40), (12, a.height * 0.7), (55 * s, a.height + 45)], 40)
        canvas.stroke(layer, [line], random.uniform(1.5, 3.5), 200)
        add(random.uniform(0.15, 0.45))
    if random.random() < 0.06:
        side = random.choice([-1, 1], p=[0.3, 0.7])
        box = np.array([side * a.half_width * 0.72, a.height * random.uniform(0.08, 0.28)])
        turn = np.linspace(0, 2 * np.pi, 32)
        shape = np.stack([np.cos(turn), np.sin(turn)], 1)
        shape = np.sign(shape) * np.abs(shape) ** 0.6 * (random.uniform(18, 27), random.uniform(17, 24))
        canvas.fill(layer, box + shape, 230)
        canvas.fill(layer, box + shape * 0.8, 190)
        for _ in range(int(random.integers(1, 4))):
            tip = (random.uniform(-25, 60) * s, a.height * random.uniform(0.65, 0.95))
            lead = curve(
                [tuple(box), (side * 30, a.height * 0.1), (-18, a.height * 0.35), (-24, a.height * 0.6), tip], 50
            )
            canvas.stroke(layer, [lead], 1.8, 160)
        add(random.uniform(1.2, 2.6))
    if random.random() < 0.06:
        for index in range(int(random.integers(4, 7))):
            y = 45 * s + index * 25 * s
            ring = np.array([(0, y), (7, y + 4), (0, y + 8), (-7, y + 4), (0, y)]) + (
                random.normal(a.rotation * 80, 2),
                0,
            )
            canvas.stroke(layer, [curve(ring, 20)], 1.2, 220)
        for _ in range(int(random.integers(0, 8))):
            middle = np.array([random.uniform(-15, 60) * s, a.height * random.uniform(0.35, 0.8)])
            canvas.stroke(layer, [np.array([middle, middle + random.normal(0, 4, 2)])], 1.4, 220)
        add(random.uniform(0.8, 2.0))
    if random.random() < (0.08 if portable else 0.01):
        side = random.choice([-1, 1])
        start = (side * a.half_width * 1.3, a.height * random.uniform(0.6, 0.95))
        target = (side * a.half_width * random.uniform(0.3, 0.8), a.height * random.uniform(0.05, 0.7))
        line = wander(start, target, 12)
        canvas.stroke(layer, [line], random.uniform(4, 8), 70)
        canvas.stroke(layer, [line], 1.2, 220)
        add(random.uniform(0.2, 0.6))
    if random.random() < (0.25 if portable else 0.08):
        for _ in range(int(random.integers(1, 4))):
            start = (random.uniform(low, high) / 2, random.choice([-0.35, 1.35]) * a.height)
            target = (random.choice([low, high]) * 0.55, a.height * random.uniform(-0.2, 1.2))
            canvas.stroke(layer, [wander(start, target, 30)], random.uniform(1, 6), random.uniform(50, 200))
        add(random.uniform(0.15, 0.9))
    if random.random() < 0.05:
        for _ in range(int(random.integers(1, 5))):
            middle = np.array([random.uniform(-1, 1) * a.half_width, a.height * random.uniform(-0.05, 1.2)])
            turn = np.linspace(0, 2 * np.pi, 16)
            radius = random.uniform(1.5, 6)
            canvas.fill(layer, middle + radius * np.stack([np.cos(turn), np.sin(turn)], 1), 255)
            if random.random() < 0.5:
                canvas.fill(layer, middle + 0.5 * radius * np.stack([np.cos(turn), np.sin(turn)], 1), 30)
        add(random.uniform(0.4, 2.0))
    if random.random() < 0.08:
        for sign in (-1, 1):
            middle = np.array([sign * a.half_width * 0.62, a.height * random.uniform(0.72, 0.85) + random.normal(0, 4)])
            turn = np.linspace(0, 2 * np.pi, 16)
            canvas.fill(layer, middle + random.uniform(3.5, 6) * np.stack([np.cos(turn), np.sin(turn)], 1), 200)
        add(random.uniform(0.08, 0.22), 1.0)
    return amount if used else None


def put_letters(picture: np.ndarray, view: str, random: np.random.Generator) -> None:
    """Side letters and words of the examination on a uint8 (H, W) picture, in place."""
    size = picture.shape[0]

    def write(text: str, x: float, y: float, height: float, value: int) -> None:
        scale = height * size * 0.03 / 21
        layer = np.zeros_like(picture)
        thickness = max(1, round(scale * random.uniform(1.5, 3.2)))
        origin = (int(x * size), int(y * size))
        cv2.putText(layer, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
        if random.random() < 0.4:
            turn = cv2.getRotationMatrix2D(origin, random.uniform(-25, 25), 1)
            layer = cv2.warpAffine(layer, turn, (size, size))
        np.maximum(picture, (layer.astype(np.float32) * (value / 255)).astype(np.uint8), out=picture)

    if random.random() < 0.85:
        left = random.random() < 0.75
        x = random.uniform(0.84, 0.95) if left else random.uniform(0.02, 0.1)
        write(
            "L" if left else "R", x, random.uniform(0.05, 0.3), random.uniform(0.7, 1.5), int(random.integers(150, 256))
        )
    if random.random() < 0.35:
        words = {"AP": ["PORTABLE", "AP", "AP PORT", "SUPINE", "ERECT", "SEMI"], "PA": ["PA", "ERECT", "CHEST"]}
        x, y = random.choice([0.03, 0.78]) + random.uniform(0, 0.06), random.choice([0.06, 0.12, 0.3, 0.9])
        write(str(random.choice(words[view])), x, y, random.uniform(0.35, 0.6), int(random.integers(120, 256)))


def shade_border(picture: np.ndarray, random: np.random.Generator) -> None:
    """The edge of the collimated field on a uint8 (H, W) picture, in place: black or, seldom, white beyond it."""
    if random.random() > 0.35:
        return
    size = picture.shape[0]
    value = 0 if random.random() < 0.8 else int(random.integers(150, 256))
    turn = random.normal(0, 0.012)
    for edge in range(4):
        if random.random() < 0.5:
            continue
        depth = abs(random.normal(0, 0.03)) * size
        corner = [(0.0, depth - turn * size / 2), (size, depth + turn * size / 2), (size, -2 * size), (0, -2 * size)]
        points = np.array(corner) - size / 2
        angle = edge * np.pi / 2
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        cv2.fillPoly(picture, [np.rint((points @ rotation + size / 2) * 16).astype(np.int32)], value, cv2.LINE_AA, 4)
