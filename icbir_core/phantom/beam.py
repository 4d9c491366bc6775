"""From thickness to a film: Beer–Lambert transmission, scatter, noise, and the tone curve of the reader's picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .canvas import Canvas


@dataclass(frozen=True)
class Beam:
    """What the tube and the detector were set to.

    `water` and `bone` are linear attenuation coefficients in 1/mm at the effective energy (NIST XCOM: water
    0.0206 at 60 keV, cortical bone 0.060 at 60 keV); `bone` is what bone adds beyond water. `scatter` is the
    ratio of scattered to primary light behind the chest, `veil` the even share of light that no detail
    carries, `photons` the mean number counted in a pixel of 1 mm² behind no object, `blur` mm of unsharpness.
    """

    water: float
    bone: float
    scatter: float
    scatter_reach: float
    veil: float
    photons: float
    blur: float


def draw_beam(random: np.random.Generator, view: str) -> Beam:
    """Draws the exposure: about 110–140 kV with a grid for PA, 70–100 kV, often without grid, for AP."""
    if view == "PA":
        energy = random.uniform(0.0, 0.45)
        scatter = random.uniform(0.08, 0.4)
    else:
        energy = random.uniform(0.35, 1.0)
        scatter = random.uniform(0.15, 0.9)
    beam = Beam(
        water=float(0.0190 + 0.0040 * energy),
        bone=float(0.024 + 0.026 * energy),
        scatter=float(scatter),
        scatter_reach=float(random.uniform(18, 60)),
        veil=float(10 ** random.uniform(-2.8, -2.0)),
        photons=float(10 ** random.uniform(5.0, 6.4)),
        blur=float(random.uniform(0.1, 0.7) if view == "PA" else random.uniform(0.2, 1.1)),
    )
    # Bone mineral density differs from person to person; drawn last, so that the other draws of a seed stay.
    return replace(beam, bone=beam.bone * float(random.uniform(0.9, 1.4)))


def transmit(attenuation: np.ndarray) -> np.ndarray:
    """Primary transmission exp(−∫μ dl), in (0, 1], for an attenuation line integral (float32, same shape)."""
    return cv2.exp(-attenuation)


def expose(attenuation: np.ndarray, beam: Beam, canvas: Canvas, random: np.random.Generator) -> np.ndarray:
    """The logarithmic detector signal, float32 (N, N): high where the body stops more.

    Scatter is a wide blur of the primary beam weighted by what the body took out of it; noise is Gaussian
    with the variance of a photon count and correlated over the detector's unsharpness.
    """
    primary = transmit(attenuation)
    scattered = canvas.blur(primary * (1 - primary), beam.scatter_reach) * np.float32(beam.scatter)
    light = canvas.blur(primary, beam.blur) + scattered + np.float32(beam.veil)
    grain = random.standard_normal(light.shape, dtype=np.float32)
    if random.random() < 0.5:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * np.float32(1.9)
    count = np.float32(beam.photons * canvas.spacing**2)
    light += grain * cv2.sqrt(light / count)
    return np.asarray(-cv2.log(np.maximum(light, np.float32(1e-5))))


@dataclass(frozen=True)
class Tone:
    """How the picture was made from the signal: window as shares of the signal's range in the body, curve,
    enhancement."""

    low: float
    high: float
    gamma: float
    shoulder: float
    sharpen: float
    sharpen_reach: float
    equalise: float


def draw_tone(random: np.random.Generator) -> Tone:
    """Draws the display curve, wide: flat portable films, hard modern ones, and equalised digital ones."""
    return _draw_hard_tone(random) if random.random() < 0.5 else _draw_wide_tone(random)


def _draw_hard_tone(random: np.random.Generator) -> Tone:
    """A curve that spends its contrast on the lungs and may burn out what lies below the diaphragm."""
    return Tone(
        low=float(random.uniform(0.0, 0.82)),
        high=float(random.uniform(-0.05, 0.30)),
        gamma=float(np.exp(random.normal(0.33, 0.3))),
        shoulder=float(random.uniform(0.0, 1.0)),
        sharpen=float(random.uniform(0, 1.6) if random.random() < 0.6 else 0.0),
        sharpen_reach=float(random.uniform(1.0, 9.0)),
        equalise=float(random.uniform(0.0, 0.55) if random.random() < 0.5 else 0.0),
    )


def _draw_wide_tone(random: np.random.Generator) -> Tone:
    """A curve that seldom burns out the mediastinum, as many digital films have it."""
    return Tone(
        low=float(random.uniform(-0.05, 0.85)),
        high=float(random.uniform(0.1, 1.1) if random.random() < 0.85 else random.uniform(-0.1, 0.2)),
        gamma=float(np.exp(random.normal(0.0, 0.28))),
        shoulder=float(random.uniform(0.3, 1.0)),
        sharpen=float(random.uniform(0, 1.6) if random.random() < 0.6 else 0.0),
        sharpen_reach=float(random.uniform(1.0, 9.0)),
        equalise=float(random.uniform(0.1, 0.8) if random.random() < 0.8 else 0.0),
    )


def develop(signal: np.ndarray, tone: Tone, canvas: Canvas, dark: float, bright: float) -> np.ndarray:
    """The picture, float32 (N, N) in [0, 255], from the signal of `expose`. `dark` and `bright` are the signal behind
    the lungs and behind the middle of the chest; the window hangs on them."""
    if tone.equalise > 0:
        signal = signal - np.float32(tone.equalise) * (canvas.blur(signal, 30.0) - np.float32(0.5 * (dark + bright)))
    if tone.sharpen > 0:
        signal = signal + np.float32(tone.sharpen) * (signal - canvas.blur(signal, tone.sharpen_reach))
    span = max(bright - dark, 0.2)
    low = max(tone.low * dark, dark - 1.6 * span)
    high = bright + tone.high * span
    picture = np.clip((signal - np.float32(low)) * np.float32(1 / (high - low)), 0, 1.3)
    picture = cv2.pow(picture, tone.gamma)
    knee = np.float32(0.75)
    rolled = knee + (1 - knee) * (1 - cv2.exp(-(np.maximum(picture - knee, 0)) / (1 - knee)))
    rolled = np.where(picture > knee, rolled, picture)
    picture = picture + np.float32(tone.shoulder) * (rolled - picture)
    return np.asarray(np.clip(picture, 0, 1) * np.float32(255))
