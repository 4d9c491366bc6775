"""Bones: mm of bone along the beam, beyond the soft tissue they replace."""

from __future__ import annotations

import numpy as np

from .canvas import band, curve
from .chest import Chest

_RIBS = 12
_STEPS = 40
_BOX = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


def rib_lines(chest: Chest, random: np.random.Generator) -> np.ndarray:
    """Middle lines of the ribs, float64 (2 sides, 12, 40, 2) in mm, from the spine round the side to the front end.

    Each rib is a ring in a plane that slopes down to the front. Seen along the beam it leaves the spine
    level, turns down at the chest wall and comes back towards the middle lower down, which is how the back
    and the front part of one rib cross.
    """
    a = chest.anatomy
    number = np.arange(_RIBS)
    spacing = 21.5 * a.scale * random.uniform(0.92, 1.08)
    start = 5 * a.scale + number * spacing + random.uniform(-8, 8)
    slope = random.uniform(0.8, 1.15) * (0.72 + 0.28 * a.inspiration) * a.scale
    drop = np.minimum(38 + 18 * number, 140) * slope
    drop = np.where(number >= 9, drop * (1 + 0.25 * (number - 8)), drop)
    last = np.where(number < 7, 0.80, np.where(number < 10, 0.74 - 0.04 * (number - 7), 0.5))[:, None] * np.pi
    last[0] = 0.86 * np.pi
    angle = np.linspace(0.02, 1, _STEPS)[None, :] * last
    lines = np.empty((2, _RIBS, _STEPS, 2))
    radius = chest.wall_at(np.clip(start + 0.5 * drop, 4, None).astype(np.float32)) + 1.5
    radius[0] = max(radius[0], 46 * a.scale)
    for index, sign in enumerate((-1, 1)):
        turn = sign * a.rotation
        wobble = random.normal(0, 1.5, (_RIBS, 1))
        x = radius[:, None] * np.sin(angle) ** 0.92 * (1 + 0.08 * turn * np.cos(angle)) + 12 * a.scale * np.cos(angle)
        x = sign * x - a.rotation * 55 * np.cos(angle)
        hump = 2 * a.scale * np.sin(np.clip(angle / 0.5, 0, np.pi))
        y = start[:, None] + drop[:, None] * (0.3 * (1 - np.cos(angle)) / 2 + 0.7 * angle / np.pi) - hump + wobble
        lines[index, ..., 0] = x
        lines[index, ..., 1] = y
    shift = np.interp(lines[..., 1], chest.canvas.y[:, 0], chest.midline[:, 0])
    lines[..., 0] += shift
    return lines


def skeleton(chest: Chest, random: np.random.Generator) -> np.ndarray:
    """Bone of the whole chest, float32 (N, N) in mm; thoracic cage, spine, clavicles, scapulae, upper arms."""
    canvas, a, s = chest.canvas, chest.anatomy, chest.anatomy.scale
    back, front, core = canvas.blank(), canvas.blank(), canvas.blank()
    lines = rib_lines(chest, random)
    back_width = random.uniform(8.5, 12) * s
    front_width = random.uniform(10, 15) * s
    cortex = random.uniform(1.8, 2.8)
    back_steps, front_steps = int(_STEPS * 0.68), int(_STEPS * 0.6)
    for side in range(2):
        for rib in range(_RIBS - 1, -1, -1):
            line = lines[side, rib]
            last = back_steps if rib < 10 else _STEPS
            taper = np.interp(np.arange(last), [0, 6, last - 1], [0.75, 1.0, 0.9])
            canvas.fill(back, band(line[:last], back_width * taper), 235)
            canvas.fill(core, band(line[:last], np.maximum(back_width * taper - cortex * 2, 1)), 150)
            if rib < 10:
                part = line[front_steps:]
                widen = np.interp(np.arange(len(part)), [0, len(part) - 1], [0.7, 1.15])
                canvas.fill(front, band(part, front_width * widen), 170)
    ribs = back.astype(np.float32) * np.float32(1 / 255) * (1 - core.astype(np.float32) * np.float32(0.42 / 255))
    ribs += canvas.blur(front, 1.1).astype(np.float32) * np.float32(random.uniform(0.5, 0.95) / 255)
    hidden = np.clip((chest.heart + chest.centre_mass) / 60, 0, 1) * random.uniform(0.3, 0.8)
    ribs *= 1 - np.maximum(hidden, np.where(canvas.y > chest.dome, np.float32(0.5), np.float32(0)))
    calcium = 1.15 - 0.005 * max(a.age - 45, 0)
    bone = canvas.blur(ribs, 0.3) * np.float32(random.uniform(4.0, 7.5) * calcium)
    bone += _spine(chest, random)
    bone += _shoulders(chest, random)
    return bone


def _spine(chest: Chest, random: np.random.Generator) -> np.ndarray:
    canvas, a, s = chest.canvas, chest.anatomy, chest.anatomy.scale
    layer, processes = canvas.blank(), canvas.blank()
    height = 21.5 * s
    corners = [(-1, 0.09), (-0.9, 0.5), (-1, 0.91), (1, 0.91), (0.9, 0.5), (1, 0.09)]
    block = curve(corners, 18)
    for index in range(-6, 19):
        half = 18.5 * s * (0.72 + 0.028 * max(index, -4))
        y = -8 * s + index * height
        middle = float(np.interp(y, canvas.y[:, 0], chest.midline[:, 0]))
        canvas.fill(layer, block * (half, height) + (middle, y), 190)
        swing = a.rotation * 28
        canvas.fill(processes, _BOX * (5 * s, 12 * s) + (middle - swing, y + 14 * s), 150)
        for sign in (-1, 1):
            place = (middle + sign * half * 0.62 - swing * 0.4, y + 10 * s)
            canvas.fill(processes, _BOX * (4.5 * s, 6 * s) + place, 120)
    spine = canvas.blur(layer, 0.7).astype(np.float32) * np.float32(1 / 255)
    spine += canvas.blur(processes, 0.6).astype(np.float32) * np.float32(0.5 / 255)
    return spine * np.float32(random.uniform(4, 10) * s)


def _shoulders(chest: Chest, random: np.random.Generator) -> np.ndarray:
    """Clavicles, scapulae, heads and shafts of the upper arms, breastbone."""
    canvas, a, s = chest.canvas, chest.anatomy, chest.anatomy.scale
    clavicle, blade, arm = canvas.blank(), canvas.blank(), canvas.blank()
    sway = a.rotation * 85
    lift = random.uniform(-14, 14) - (14 if a.view == "AP" else 0)
    outer = max(a.half_width * 1.12, 150 * s) + random.uniform(-6, 14)
    top = a.shoulder_height
    for sign in (-1, 1):
        inner_y = 42 * s + lift + random.uniform(-5, 5)
        end_y = 0.6 * (top + 12) + 0.4 * (inner_y - 50 * s) + random.uniform(-8, 8)
        line = curve(
            [
                (sign * 16 * s + sway, inner_y),
                (sign * 55 * s + sway * 0.7, inner_y - 8 * s),
                (sign * outer * 0.72, 0.45 * inner_y + 0.55 * end_y - 12 * s),
                (sign * outer * 0.97, end_y),
            ],
            30,
        )
        width = 10.5 * s * np.interp(np.arange(30), [0, 6, 15, 29], [1.6, 1.05, 0.9, 1.25])
        canvas.fill(clavicle, band(line, width), 235)
        canvas.fill(clavicle, band(line, np.maximum(width - 5, 1)), 165)
        joint = np.array([sign * (outer + 4), end_y + 24 * s])
        spread = random.uniform(0.0, 0.3) if a.view == "PA" else random.uniform(-0.25, 0.15)
        medial = sign * (outer * (0.74 + spread))
        tip = (sign * outer * (0.82 + spread), end_y + random.uniform(125, 155) * s)
        outline = curve(
            [
                (joint[0] - sign * 12, joint[1] - 8),
                (medial + sign * 5, end_y + 14 * s),
                (medial, end_y + 70 * s),
                tip,
                (sign * outer * (0.93 + 0.6 * spread), end_y + 80 * s),
                (joint[0] - sign * 14, joint[1] + 16 * s),
            ],
            36,
        )
        canvas.fill(blade, outline, 70)
        border = band(outline[8:32], 4.5 * s)
        canvas.fill(blade, border, 115)
        spine_line = curve([(medial + sign * 4, end_y + 38 * s), (joint[0], end_y - 4)], 10)
        canvas.fill(blade, band(spine_line, 9 * s), 140)
        radius = random.uniform(22, 26) * s
        head = joint[:, None] + radius * np.array([np.cos(t := np.linspace(0, 2 * np.pi, 28)), np.sin(t)])
        canvas.fill(arm, head.T + (sign * 10, 0), 200)
        angle = a.arm_angle
        shaft = np.array(
            [joint + (sign * 16, 10), joint + (sign * (16 + 260 * np.sin(angle)), 10 + 260 * np.cos(angle))]
        )
        canvas.fill(arm, band(shaft, 21 * s), 220)
        canvas.fill(arm, band(shaft, 11 * s), 150)
    manubrium = curve(
        [
            (sway - 20 * s, 24 * s + lift),
            (sway + 20 * s, 24 * s + lift),
            (sway + 12 * s, 70 * s),
            (sway - 12 * s, 70 * s),
        ],
        16,
    )
    canvas.fill(blade, manubrium, 60)
    bone = canvas.blur(clavicle, 0.4).astype(np.float32) * np.float32(random.uniform(7, 12) / 255)
    bone += canvas.blur(blade, 0.6).astype(np.float32) * np.float32(random.uniform(9, 17) / 255)
    bone += canvas.blur(arm, 0.8).astype(np.float32) * np.float32(random.uniform(9, 18) / 255)
    return bone
