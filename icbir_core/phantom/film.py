"""One seed, one simulated chest radiograph with its ground truth."""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from icbir_core.findings import NO_FINDING, require_canonical_name

from .abnormalities import DRAWERS
from .anatomy import Anatomy, draw_anatomy
from .beam import Beam, develop, draw_beam, draw_tone, expose
from .canvas import Canvas
from .chest import Chest, trachea
from .devices import belly_gas, draw_devices, put_letters, shade_border
from .lungs import Lungs
from .skeleton import skeleton
from .truth import SimulatedFinding, SimulatedTruth, SimulationError
from .vessels import lung_markings

SIMULATED_FINDINGS: tuple[str, ...] = ("Cardiomegaly", *DRAWERS)
"""Names of the findings that can be simulated."""

_MARGIN = 1.09
_NO_FINDING_SHARE = 0.3
_FREQUENCY = {
    "Effusion": 0.22,
    "Cardiomegaly": 0.15,
    "Pneumothorax": 0.13,
    "Consolidation": 0.12,
    "Edema": 0.10,
    "Nodule": 0.08,
    "Mass": 0.07,
    "Atelectasis": 0.08,
    "Pneumonia": 0.08,
}
_COMPANIONS = {"Edema": {"Effusion": 0.4, "Cardiomegaly": 0.4}, "Cardiomegaly": {"Effusion": 0.15}}


@dataclass(frozen=True)
class SimulatedFilm:
    """A film: `pixels` uint8 (size, size), air dark, bone bright, the patient's right on the viewer's left; and its
    truth."""

    pixels: np.ndarray
    truth: SimulatedTruth


def open_stream(seed: int, name: str) -> np.random.Generator:
    """An own random stream a part of the film, so that adding a finding leaves all the rest as it was."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))


def draw_findings(seed: int) -> tuple[str, ...]:
    """The random mix of findings that `simulate_film(seed)` shows: none on about 30 % of the films, else one to
    three."""
    random = open_stream(seed, "mix")
    if random.random() < _NO_FINDING_SHARE:
        return ()
    count = int(random.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
    weights = np.array(list(_FREQUENCY.values()))
    names = set(random.choice(list(_FREQUENCY), count, replace=False, p=weights / weights.sum()).tolist())
    for name, companions in _COMPANIONS.items():
        for companion, chance in companions.items():
            if name in names and random.random() < chance and len(names) < 3:
                names.add(companion)
    return tuple(name for name in SIMULATED_FINDINGS if name in names)


def _checked(findings: Sequence[str]) -> tuple[str, ...]:
    names = {require_canonical_name(name) for name in findings} - {NO_FINDING}
    unknown = sorted(names - set(SIMULATED_FINDINGS))
    if unknown:
        raise SimulationError(f"{unknown[0]} cannot be simulated; choose from {', '.join(SIMULATED_FINDINGS)}.")
    return tuple(name for name in SIMULATED_FINDINGS if name in names)


def simulate_film(seed: int, size: int = 512, findings: Sequence[str] | None = None) -> SimulatedFilm:
    """Simulates the film of one seed; the same arguments give the same bytes on one machine.

    Parameters
    ----------
    seed : non-negative integer; it fixes the person, the pose, the exposure and each finding's place and severity.
    size : pixels along each edge, 64 … 2048.
    findings : names to show; None draws a random mix (`draw_findings`), an empty sequence gives a film without
        any. The
        person and the exposure of a seed stay the same whatever the findings, so two films can be compared.

    Raises `SimulationError` for a seed or size out of range or a finding that cannot be simulated,
    `UnknownNameError` for a name that is no finding.
    """
    if seed < 0:
        raise SimulationError(f"A seed must be 0 or more, got {seed}.")
    if not 64 <= size <= 2048:
        raise SimulationError(f"A simulated film must have 64 to 2048 pixels along its edge, got {size}.")
    names = draw_findings(seed) if findings is None else _checked(findings)
    severities = {name: float(open_stream(seed, "severity " + name).beta(1.05, 1.5)) for name in names}
    anatomy = draw_anatomy(open_stream(seed, "anatomy"), severities.get("Cardiomegaly"))
    pixels = round(size * _MARGIN)
    canvas = Canvas(pixels, anatomy.field / size, anatomy.centre)
    chest = Chest(anatomy, canvas, open_stream(seed, "chest"))

    lungs = Lungs.clear(chest)
    turn = cv2.getRotationMatrix2D(((pixels - 1) / 2, (pixels - 1) / 2), anatomy.tilt, 1.0)
    turn[:, 2] = turn[:, 2] - (pixels - size) / 2
    found = []
    if "Cardiomegaly" in names:
        size_and_unit = (round(chest.ratio, 4), "cardiothoracic ratio")
        mask = _turn_mask(chest.heart_mask, turn, size)
        found.append(SimulatedFinding("Cardiomegaly", "midline", severities["Cardiomegaly"], *size_and_unit, mask))
    for name, draw in DRAWERS.items():
        if name in names:
            extent = draw(lungs, chest, open_stream(seed, name), severities[name])
            mask = _turn_mask(np.abs(extent.change) > extent.limit, turn, size)
            found.append(
                SimulatedFinding(name, extent.side, severities[name], round(extent.size, 2), extent.unit, mask)
            )

    picture = _photograph(seed, chest, lungs, turn, size)
    marks = open_stream(seed, "marks")
    shade_border(picture, marks)
    put_letters(picture, anatomy.view, marks)
    truth = SimulatedTruth(
        seed=seed,
        view=anatomy.view,
        age=anatomy.age,
        sex=anatomy.sex,
        spacing=round(canvas.spacing, 6),
        findings=tuple(found),
        cardiothoracic_ratio=round(chest.ratio, 4),
        lung_mask=_turn_mask(chest.lung_mask, turn, size),
        heart_mask=_turn_mask(chest.heart_mask, turn, size),
    )
    return SimulatedFilm(picture, truth)


def _turn_mask(mask: np.ndarray, turn: np.ndarray, size: int) -> np.ndarray:
    return cv2.warpAffine(mask.astype(np.uint8), turn, (size, size), flags=cv2.INTER_NEAREST).astype(bool)


def _photograph(seed: int, chest: Chest, lungs: Lungs, turn: np.ndarray, size: int) -> np.ndarray:
    """The picture, uint8 (size, size), of the chest with its lungs as they are."""
    anatomy, canvas = chest.anatomy, chest.canvas
    beam = draw_beam(open_stream(seed, "beam"), anatomy.view)
    texture = open_stream(seed, "texture")
    usual_vessels = texture.uniform(0.8, 1.3)
    aerated = np.float32(anatomy.aerated)
    markings = lung_markings(
        chest, open_stream(seed, "vessels"), usual_vessels * lungs.vessels, lungs.upper_share, lungs.net
    )
    inflated = np.minimum(chest.lung * np.float32(1 / 55), 1)
    fat = canvas.noise(texture, 70, 9, 0.6) * np.float32(texture.uniform(0.8, 3.0))
    solid = chest.body - trachea(chest, open_stream(seed, "trachea")) - belly_gas(chest, open_stream(seed, "gas"))
    solid += fat * np.minimum(chest.body * np.float32(1 / 60), 1)
    healthy = solid - chest.lung * (1 - aerated)
    water = solid - chest.lung * (1 - aerated * (1 - lungs.free_air)) * (1 - lungs.fluid)
    water += markings * inflated * lungs.clarity + lungs.tissue
    bone = skeleton(chest, open_stream(seed, "bones")) * np.minimum(chest.body * np.float32(1 / 40), 1)
    attenuation = np.maximum(water, 0) * np.float32(beam.water) + bone * np.float32(beam.bone)
    devices = draw_devices(chest, open_stream(seed, "devices"))
    if devices is not None:
        attenuation += devices
    attenuation = cv2.warpAffine(
        attenuation, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    film = Canvas(size, canvas.spacing, anatomy.centre)
    signal = expose(attenuation, beam, film, open_stream(seed, "noise"))
    dark, bright = _reference_levels(healthy, bone, beam, chest)
    tone = draw_tone(open_stream(seed, "tone"))
    return np.asarray(np.rint(develop(signal, tone, film, dark, bright)), dtype=np.uint8)


def _reference_levels(healthy: np.ndarray, bone: np.ndarray, beam: Beam, chest: Chest) -> tuple[float, float]:
    """Signal behind the lungs and behind the middle of the chest, of the chest without findings. Taken from the healthy
    chest so that the window does not betray a finding."""
    step = max(healthy.shape[0] // 64, 1)
    attenuation = np.maximum(healthy[::step, ::step], 0) * beam.water + bone[::step, ::step] * beam.bone
    primary = np.exp(-attenuation)
    reach = beam.scatter_reach / (chest.canvas.spacing * step)
    scattered = beam.scatter * cv2.GaussianBlur(primary * (1 - primary), (0, 0), reach, borderType=cv2.BORDER_REPLICATE)
    signal = -np.log(primary + scattered + beam.veil)
    lung = chest.lung[::step, ::step] > 40
    inside = (chest.cage[::step, ::step] > 0) & ~lung
    dark = float(np.percentile(signal[lung], 15)) if lung.any() else float(signal.mean())
    bright = float(np.percentile(signal[inside], 85)) if inside.any() else float(signal.max())
    return dark, bright


def _prepare_worker() -> None:
    cv2.setNumThreads(1)


def simulate_films(
    seeds: Iterable[int], size: int = 512, workers: int = 2, findings: Sequence[str] | None = None
) -> Iterator[SimulatedFilm]:
    """Yields the films of `seeds` in order, made by `workers` processes (0 or 1: in this one)."""
    make = partial(simulate_film, size=size, findings=findings)
    if workers <= 1:
        yield from map(make, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(workers, initializer=_prepare_worker) as pool:
        yield from pool.imap(make, seeds, chunksize=4)


__all__ = ["SIMULATED_FINDINGS", "Anatomy", "SimulatedFilm", "draw_findings", "simulate_film", "simulate_films"]
