"""One person's chest: a random draw of its measures.

Shapes and sizes follow the usual adult measures (Gray's Anatomy; Fraser and Paré, Diagnosis of Diseases of the Chest)
and are spread wider than in life on purpose: networks trained on these films meet real ones (domain randomisation,
Tobin et al., IROS 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AERATED_DENSITY = 0.21
"""Density of inflated lung, water = 1 (about −790 Hounsfield units, a deep breath)."""

NORMAL_RATIO = {"PA": 0.50, "AP": 0.55}
"""Largest normal cardiothoracic ratio by view; the heart is magnified on AP films."""


@dataclass(frozen=True)
class Anatomy:
    """The measures of one chest on one film, in mm on the detector; see `draw_anatomy`."""

    view: str
    age: int
    sex: str
    erect: bool
    field: float
    centre: tuple[float, float]
    scale: float
    half_width: float
    height: float
    depth: float
    left_dome_offset: float
    sulcus: tuple[float, float]
    dome_peak: tuple[float, float]
    dome_power: float
    anterior_drop: float
    posterior_drop: float
    apex_power: float
    apex_round: float
    curvature: float
    wall: float
    obesity: float
    inspiration: float
    rotation: float
    tilt: float
    ratio: float
    right_share: float
    shoulder_height: float
    arm_angle: float
    breast: float
    aerated: float

    @property
    def cage_height(self) -> float:
        """Apex to the bottom of the right costophrenic sulcus, mm."""
        return self.height + 0.8 * max(self.sulcus)


def draw_anatomy(random: np.random.Generator, enlarged_heart: float | None = None) -> Anatomy:
    """Draws a person and how they stand before the detector.

    `enlarged_heart` (0 … 1) asks for a cardiothoracic ratio above the view's normal limit, further above for
    1; None draws a normal ratio. All other draws are the same with and without it.
    """
    view = "PA" if random.random() < 0.55 else "AP"
    sex = "M" if random.random() < 0.56 else "F"
    age = int(np.clip(random.normal(52, 18), 16, 92))
    erect = view == "PA" or random.random() < 0.4
    portable = view == "AP"
    inspiration = float(np.clip(random.normal(0.88 if portable else 1.0, 0.10), 0.6, 1.16))
    scale = (1.0 if sex == "M" else 0.93) * float(np.clip(random.normal(1.0, 0.06), 0.82, 1.18))
    obesity = float(np.clip(random.gamma(1.6, 0.28), 0, 1.8))
    half_width = 146 * scale * random.uniform(0.9, 1.1) * (0.96 + 0.04 * inspiration) * (1.05 if portable else 1.0)
    height = 216 * scale * inspiration * random.uniform(0.9, 1.1)
    if random.random() < 0.12:
        height *= random.uniform(0.78, 0.95)
    field = 2 * half_width * random.uniform(1.13, 1.52)
    field = max(field, (height + 45) * random.uniform(1.12, 1.3))
    slack = field - (height + 40)
    centre_y = field / 2 - slack * random.uniform(0.25, 0.62)
    centre = (float(random.normal(0, 0.025) * field), float(centre_y))
    dome_offset = random.uniform(2, 20) if random.random() < 0.75 else random.uniform(-18, 45)
    normal = random.beta(2.2, 2.0)
    limit = NORMAL_RATIO[view]
    ratio = limit - 0.012 - 0.135 * (1 - normal) if enlarged_heart is None else limit + 0.012 + 0.2 * enlarged_heart
    return Anatomy(
        view=view,
        age=age,
        sex=sex,
        erect=erect,
        field=float(field),
        centre=centre,
        scale=scale,
        half_width=float(half_width),
        height=float(height),
        depth=float(180 * scale * random.uniform(0.85, 1.2)),
        left_dome_offset=float(dome_offset),
        sulcus=(float(random.uniform(28, 62)), float(random.uniform(28, 62))),
        dome_peak=(float(random.uniform(0.36, 0.5)), float(random.uniform(0.4, 0.55))),
        dome_power=float(random.uniform(1.9, 2.7)),
        anterior_drop=float(random.uniform(12, 30)),
        posterior_drop=float(random.uniform(45, 85)),
        apex_power=float(random.uniform(2.2, 3.1)),
        apex_round=float(random.uniform(0.33, 0.42)),
        curvature=float(random.normal(0, 4)) * (1 + 2 * (random.random() < 0.1)),
        wall=float(random.uniform(26, 46) * (1 + 0.8 * obesity)),
        obesity=obesity,
        inspiration=inspiration,
        rotation=float(random.normal(0, 0.05 if not portable else 0.09)),
        tilt=float(random.normal(0, 1.6 if not portable else 3.0)),
        ratio=float(ratio),
        right_share=float(random.uniform(0.26, 0.42)),
        shoulder_height=float(random.uniform(-35, 15) if not portable else random.uniform(-55, 5)),
        arm_angle=float(random.uniform(0.02, 0.45)),
        breast=float(
            random.uniform(0.15, 1.0) if sex == "F" else max(0.0, random.uniform(-0.3, 0.25)) * (0.5 + obesity)
        ),
        aerated=float(AERATED_DENSITY * random.uniform(0.72, 1.35) * (1.35 - 0.35 * inspiration)),
    )
