"""Lung markings: a branching tree of vessels from each hilum, and the fine net between."""

from __future__ import annotations

import numpy as np

from .chest import Chest

_GENERATIONS = 7


def lung_markings(
    chest: Chest, random: np.random.Generator, prominence: float, upper_share: float = 0.0, net: float = 0.0
) -> np.ndarray:
    """Tissue of vessels and interstitium inside aerated lung, float32 (N, N) in mm.

    `prominence` scales all vessels (1 is usual); `upper_share` (0 … 1) widens those of the upper zones as
    congestion does; `net` (mm) is the amplitude of the reticular pattern of thickened septa.
    """
    canvas, a = chest.canvas, chest.anatomy
    markings = np.zeros((canvas.pixels, canvas.pixels), np.float32)
    for side, sign in (("right", -1), ("left", 1)):
        hilum = np.array(chest.hila[side])
        trunks = 9
        angle = np.linspace(-1.3, 1.75, trunks) + random.normal(0, 0.15, trunks)
        start = np.repeat(hilum[None, :], trunks, axis=0) + random.normal(0, 9, (trunks, 2)) * (0.6, 1.6)
        diameter = random.uniform(4.0, 7.4, trunks) * a.scale * (1 + 0.35 * np.sin(angle)) * prominence
        diameter *= 1 + upper_share * np.clip(-np.sin(angle) + 0.35, 0, 1)
        length = random.uniform(17, 32, trunks) * a.scale * a.height / 216
        length *= 1 + 0.45 * np.clip(np.sin(angle), 0, 1)
        for generation in range(_GENERATIONS):
            bend = random.normal(0.02, 0.14, len(angle))
            middle = start + 0.5 * length[:, None] * np.stack([sign * np.cos(angle), np.sin(angle)], axis=1)
            turned = angle + bend
            end = middle + 0.5 * length[:, None] * np.stack([sign * np.cos(turned), np.sin(turned)], axis=1)
            lines = np.stack([start, middle, end], axis=1)
            layer = canvas.blank()
            mean = float(diameter.mean())
            wide = diameter > mean
            for group in (wide, ~wide):
                if group.any():
                    size = float(diameter[group].mean())
                    canvas.stroke(layer, lines[group], size, 220)
                    markings += layer.astype(np.float32) * np.float32((1.2 * size + 1.7) / 220)
                    layer[:] = 0
            if generation == _GENERATIONS - 1:
                break
            away = random.choice([-1.0, 1.0], len(angle)) * random.uniform(0.35, 0.95, len(angle))
            angle = np.concatenate([turned - 0.25 * away, turned + away])
            start = np.concatenate([end, middle])
            diameter = np.concatenate([diameter * 0.82, diameter * random.uniform(0.5, 0.7, len(diameter))])
            length = np.concatenate([length * 0.9, length * random.uniform(0.55, 0.9, len(length))])
    markings = canvas.blur(markings, 0.35)
    fine = canvas.noise(random, 7, max(1.6, 1.5 * canvas.spacing), 0.8)
    markings += np.float32(random.uniform(0.25, 0.9)) * fine
    if net > 0:
        mesh = np.abs(canvas.noise(random, 9, max(2.0, 1.5 * canvas.spacing), 0.8))
        markings += np.float32(net) * np.clip(0.5 - mesh, 0, None) * 1.6
    return markings
