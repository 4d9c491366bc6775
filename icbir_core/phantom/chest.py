"""The thickness of a chest's parts along the beam: float32 (N, N) in mm, in the plane of the detector."""

from __future__ import annotations

import cv2
import numpy as np

from .anatomy import Anatomy
from .canvas import Canvas, curve, smooth_step


class Chest:
    """Thickness maps of one `Anatomy` on a `Canvas`; computed once, read by everything that draws.

    lung (mm of aerated lung), body (mm of body outline), heart (mm of heart), cage (mm between the chest
    walls), `heart_mask` bool, `ratio` the cardiothoracic ratio measured on that mask.
    """

    def __init__(self, anatomy: Anatomy, canvas: Canvas, random: np.random.Generator):
        self.anatomy = anatomy
        self.canvas = canvas
        a, x, y = anatomy, canvas.x, canvas.y
        phase = random.uniform(0, 2 * np.pi)
        self.midline = (a.curvature * np.sin(y / 130 + phase)).astype(np.float32)
        self.lateral = x - self.midline
        self.half_width = self.wall_at(y)
        side = np.where(x < 0, 0, 1)
        self.dome = self._dome(x, side, random)
        self.reach = np.abs(self.lateral) / np.maximum(self.half_width, 1)
        row_depth = a.depth * np.sqrt(np.clip(1 - (1 - np.clip(y / a.cage_height, 0, 1)) ** 2.4, 0, 1)) * (y > 0)
        shape = np.sqrt(np.clip(1 - self.reach**2.5, 0, 1))
        top = 20 * a.scale * np.clip((54 * a.scale - np.abs(x)) / (30 * a.scale), 0, 1.5) ** 2
        dome = np.sqrt(np.clip((y - top) / 14, 0, 1))
        self.cage = (row_depth * shape * dome).astype(np.float32)
        self.aerated_fraction = self._above_diaphragm()
        self._draw_heart(random)
        self.centre_mass = self._mediastinum(random)
        solid = np.maximum(self.heart, self.centre_mass)
        self.lung = np.maximum(self.cage - solid, 0) * self.aerated_fraction
        self.body = self._body(random)
        self.lung_mask = self.lung > 8

    def wall_at(self, y: np.ndarray) -> np.ndarray:
        """Inner half-width of the rib cage at heights `y` (mm)."""
        a = self.anatomy
        t = np.clip(y / a.cage_height, 0, 1)
        flare = 1 + 0.03 * np.clip((t - 0.6) / 0.4, 0, 1)
        return (a.half_width * flare * (1 - (1 - t) ** a.apex_power) ** a.apex_round).astype(np.float32)

    def _dome(self, x: np.ndarray, side: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Height (y, mm) of the top of the diaphragm for every column, (1, N)."""
        a = self.anatomy
        left = smooth_step((x + 18) / 36)
        peak = (a.dome_peak[0] + (a.dome_peak[1] - a.dome_peak[0]) * left) * a.half_width
        top = a.height + a.left_dome_offset * left
        sulcus = np.choose(side, a.sulcus)
        outward = np.abs(x) - peak
        lateral = np.clip(outward / (a.half_width * 1.02 - peak), 0, 1.3)
        medial = np.clip(-outward / peak, 0, 1)
        scallop = random.uniform(0, 3) * np.sin(x / random.uniform(14, 25) + random.uniform(0, 6))
        fall = sulcus * lateral**a.dome_power + random.uniform(8, 22) * medial**2
        return np.asarray(top + fall + scallop * (lateral < 1), dtype=np.float32)

    def _above_diaphragm(self) -> np.ndarray:
        """Share of the depth of the cage that holds lung: 1 above the dome, less where the sulci reach below it."""
        a = self.anatomy
        below = np.maximum(self.canvas.y - self.dome, 0)
        front = np.clip(1 - np.sqrt(below / a.anterior_drop), 0, 1)
        back = np.clip(1 - np.sqrt(below / a.posterior_drop), 0, 1)
        return np.asarray(0.72 * front + 0.28 * back, dtype=np.float32)

    def _draw_heart(self, random: np.random.Generator) -> None:
        a, canvas = self.anatomy, self.canvas
        thoracic = 2 * float(np.max(self.wall_at(np.array([a.height * 0.9, a.height], np.float32))))
        width = a.ratio * thoracic
        sway = a.rotation * 60
        right, left = a.right_share * width - sway, (1 - a.right_share) * width + sway
        right = max(right, 18.0)
        left = width - right
        dome = a.height + a.left_dome_offset
        row = int(np.clip(np.searchsorted(canvas.y[:, 0], dome), 0, canvas.pixels - 1))
        middle = float(self.midline[row, 0])
        upright = (0.62 + 0.38 * a.inspiration) * a.scale
        level = min(dome - random.uniform(0, 24) * upright, a.height + 5)
        right_level = min(level - random.uniform(0, 28) * upright, a.height - 14)
        base = a.height * random.uniform(0.40, 0.47)
        waist = random.uniform(0.40, 0.62)
        swell = random.uniform(0.72, 0.9)
        points = [
            (middle - 20 * a.scale - sway * 0.6, base - 40),
            (middle - max(0.66 * right, 24 * a.scale), base + 0.25 * (right_level - base)),
            (middle - 0.97 * right, right_level - 0.22 * (right_level - base)),
            (middle - 0.98 * right, right_level + 8),
            (middle - random.uniform(0.7, 0.9) * right, a.height + 12),
            (middle, a.height + 32),
            (middle + 0.62 * left, dome + random.uniform(14, 30)),
            (middle + 0.88 * left, level + random.uniform(17, 27) * upright),
            (middle + left, level),
            (middle + swell * left, level - 0.42 * (level - base)),
            (middle + max(waist * left, 26 * a.scale), base + random.uniform(0.08, 0.25) * (level - base)),
            (middle + 24 * a.scale + sway * 0.6, base - 36),
        ]
        outline = curve([*points, points[0]], 72)
        inner = outline[:, 1] > base
        ends = (outline[inner, 0].min(), outline[inner, 0].max())
        outline[:, 0] = middle + (outline[:, 0] - middle) * (width / max(ends[1] - ends[0], 1.0))
        layer = canvas.blank()
        canvas.fill(layer, outline)
        distance = cv2.distanceTransform((layer > 127).astype(np.uint8), cv2.DIST_L2, 3) * np.float32(canvas.spacing)
        depth = a.depth * random.uniform(0.62, 0.86)
        rise = np.clip(distance / np.float32(0.36 * width), 0, 1)
        self.heart = canvas.blur(depth * np.sqrt(1 - (1 - rise) ** 2), 1.0) * (layer * np.float32(1 / 255))
        self.heart *= smooth_step((canvas.y - np.float32(base - 40)) / 45)
        self.heart_mask = (layer > 127) & (canvas.y > base - 30) & (canvas.y < self.dome + 30)
        columns = np.flatnonzero(self.heart_mask.any(axis=0))
        extent = (columns[-1] - columns[0] + 1) * canvas.spacing if columns.size else 0.0
        self.thoracic = thoracic
        self.ratio = float(extent / thoracic)

    def _mediastinum(self, random: np.random.Generator) -> np.ndarray:
        """Vessels and tissue of the middle, aortic knob, pulmonary trunk, hila: mm of tissue that is not lung."""
        a, canvas, s = self.anatomy, self.canvas, self.anatomy.scale
        y = canvas.y
        sway = a.rotation * 90
        wide = (1.12 if a.view == "AP" else 1.0) * s * random.uniform(1.0, 1.45)
        right = (
            np.interp(y[:, 0], [-30, 0, 25, 60, 110, 200], np.array([34, 28, 25, 25, 27, 24]) * wide)[:, None] - sway
        )
        left = np.interp(y[:, 0], [-30, 0, 25, 60, 110, 200], np.array([34, 30, 28, 27, 26, 26]) * wide)[:, None] + sway
        right, left = np.maximum(right, 14), np.maximum(left, 14)
        reach = np.where(self.lateral < 0, -self.lateral / right, self.lateral / left)
        shape = np.clip(1 - reach**2.2, 0, 1) * smooth_step((y + 60) / 60)
        mass = (shape * a.depth * random.uniform(0.75, 1.0)).astype(np.float32)
        arch = a.height * random.uniform(0.24, 0.30)
        elongation = max(0.0, (a.age - 45) / 45) * random.random()
        knob = (15 + 9 * random.random() + 10 * elongation) * s
        centre = 20 * s + sway + 8 * elongation
        canvas.ellipsoid(mass, (centre, arch), (knob * 1.05, knob), 0.3, 75)
        canvas.ellipsoid(mass, (centre + 4, arch + 34 * s), (19 * s, 23 * s), 0.5, 70)
        trunk = random.uniform(20, 27) * s
        canvas.ellipsoid(mass, (24 * s + sway, a.height * 0.42), (trunk, trunk * 1.2), 0.6, 70)
        descending = (random.uniform(11, 16) + 6 * elongation) * s
        line = (
            sway + random.uniform(14, 24) * s + 10 * elongation * np.sin(np.clip((y - arch) / a.height, 0, 1) * np.pi)
        )
        tube = np.sqrt(np.clip(1 - ((self.lateral - line) / descending) ** 2, 0, 1)) * (y > arch)
        np.maximum(mass, (tube * 2.4 * descending).astype(np.float32), out=mass)
        if elongation > 0.3 or random.random() < 0.2:
            ascending = random.uniform(26, 40) * s
            canvas.ellipsoid(mass, (-10 * s + sway * 0.5, arch + 40 * s), (ascending, 52 * s), 0.1, 70)
        self.hila = {
            "right": (float(-random.uniform(33, 44) * s + sway), float(a.height * random.uniform(0.40, 0.48))),
            "left": (float(random.uniform(36, 46) * s + sway), float(a.height * random.uniform(0.36, 0.44))),
        }
        for side, sign in (("right", -1), ("left", 1)):
            hx, hy = self.hila[side]
            for _ in range(4):
                offset = (random.normal(0, 6) * s, random.normal(0, 15) * s)
                size = random.uniform(5, 9) * s
                canvas.ellipsoid(mass, (hx + offset[0], hy + offset[1]), (size, size * 1.5), sign * 0.4, 1.2 * size)
            if random.random() < 0.55:
                pad = random.uniform(14, 34) * s * (0.6 + 0.5 * a.obesity)
                canvas.ellipsoid(
                    mass, (sign * (0.42 * a.half_width) + 12, a.height + 4), (pad, pad * 0.8), sign * 0.5, 45
                )
        return canvas.blur(mass, random.uniform(0.6, 2.0))

    def _body(self, random: np.random.Generator) -> np.ndarray:
        """Whole thickness of the body outline: neck, shoulders, trunk, arms, breasts; mm."""
        a, canvas, s = self.anatomy, self.canvas, self.anatomy.scale
        y = canvas.y
        trunk = a.half_width + a.wall
        shoulder = min(max(trunk * 1.18, 165 * s), trunk * 1.5) + random.uniform(-8, 20)
        top = a.shoulder_height
        neck = (52 + 16 * a.obesity) * s
        axilla = a.height * random.uniform(0.38, 0.6)
        heights = [
            top - 110,
            top - 62,
            top - 38,
            top - 12,
            top + 22,
            axilla - 15,
            axilla + 15,
            a.height,
            a.height + 150,
        ]
        hips = trunk * (1 + 0.10 * a.obesity * random.random())
        widths = [neck, neck * 1.02, neck * 1.35, shoulder * 0.72, shoulder, shoulder * 0.98, trunk * 1.03, trunk, hips]
        outline = np.interp(y[:, 0], heights, widths)
        kernel = max(int(14 / canvas.spacing), 1)
        outline = np.convolve(np.pad(outline, kernel, mode="edge"), np.ones(kernel) / kernel, "same")[kernel:-kernel]
        depth_trunk = a.depth * 1.16 + 20 + 75 * a.obesity
        share = np.array([0.7, 0.7, 0.72, 0.8, 0.88, 0.96, 0.98, 1.04, 1.16])
        depths = np.concatenate([share[:4] * 215 * s, share[4:] * depth_trunk])
        depth = np.interp(y[:, 0], heights, depths)[:, None]
        reach = np.abs(self.lateral) / outline[:, None].astype(np.float32)
        body = (depth * np.sqrt(np.clip(1 - reach**3.0, 0, 1))).astype(np.float32)
        arms = np.zeros_like(body)
        radius = (36 + 14 * a.obesity) * s
        for sign in (-1, 1):
            angle = a.arm_angle * random.uniform(0.6, 1.4)
            x0 = sign * (shoulder - radius * 0.9)
            dx, dy = sign * np.sin(angle), np.cos(angle)
            across = (canvas.x - x0) * dy - (y - (top + 20)) * dx
            along = (canvas.x - x0) * dx + (y - (top + 20)) * dy
            profile = np.sqrt(np.clip(1 - (across / radius) ** 2, 0, 1)) * (along > -10)
            np.maximum(arms, (2 * radius * profile).astype(np.float32), out=arms)
        beside = np.clip((np.abs(self.lateral) - outline[:, None] * 0.86) / (0.1 * outline[:, None]), 0, 1)
        body = np.maximum(body, arms * beside.astype(np.float32))
        breasts = np.zeros_like(body)
        if a.breast > 0.05:
            for sign in (-1, 1):
                size = (45 + 45 * a.breast + 14 * a.obesity) * s * random.uniform(0.93, 1.07)
                centre = (
                    sign * a.half_width * random.uniform(0.56, 0.72),
                    a.height * random.uniform(0.70, 0.90) + 14 * a.obesity,
                )
                canvas.ellipsoid(
                    breasts, centre, (size, size * random.uniform(0.75, 1.0)), sign * 0.2, 8 + 44 * a.breast
                )
            fade = smooth_step((y - (a.height * 0.45)) / (0.3 * a.height)).astype(np.float32)
            breasts *= fade
            breasts = canvas.blur(breasts, random.uniform(0.8, 4))
            inside = smooth_step((outline[:, None] * 1.05 - np.abs(self.lateral)) / 8).astype(np.float32)
            body = body + breasts * inside
        self.outline = outline[:, None].astype(np.float32)
        return np.asarray(body)

    def side_mask(self, side: str) -> np.ndarray:
        """Float32 (N, N): 1 on one side ("right", "left"), fading over the midline; 1 everywhere for "both"."""
        if side == "both":
            return np.ones_like(self.lung)
        left = smooth_step((self.lateral + 10) / 20).astype(np.float32)
        return left if side == "left" else 1 - left


def trachea(chest: Chest, random: np.random.Generator) -> np.ndarray:
    """Thickness of air in the trachea and the main bronchi, float32 (N, N) mm."""
    canvas, a, s = chest.canvas, chest.anatomy, chest.anatomy.scale
    layer = canvas.blank()
    carina = a.height * random.uniform(0.32, 0.38)
    sway = a.rotation * 40 + random.normal(0, 3)
    width = random.uniform(14, 19) * s
    line = curve([(sway * 0.2, -90), (sway * 0.6, 0), (sway - 3 * s, carina)])
    canvas.stroke(layer, [line], width, 230)
    for side, drop in (("right", 26), ("left", 22)):
        hx, _ = chest.hila[side]
        end = (hx * 0.95, carina + drop * s * random.uniform(0.9, 1.4))
        canvas.stroke(
            layer, [curve([(sway - 3 * s, carina - 4), (end[0] * 0.5, carina + 9 * s), end])], width * 0.68, 140
        )
    return canvas.blur(layer, 1.6).astype(np.float32) * np.float32(0.85 * width / 255)
