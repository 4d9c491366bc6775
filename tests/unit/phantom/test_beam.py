"""Physics of the film: Beer–Lambert, thickness, noise."""

import numpy as np
import pytest

from icbir_core.phantom.anatomy import draw_anatomy
from icbir_core.phantom.beam import Beam, develop, draw_tone, expose, transmit
from icbir_core.phantom.canvas import Canvas

BEAM = Beam(water=0.02, bone=0.03, scatter=0.2, scatter_reach=30, veil=1e-3, photons=1e6, blur=0.2)


def test_transmission_is_beer_lambert():
    path = np.array([[0.0, 0.5, 3.0]], np.float32)
    assert transmit(path) == pytest.approx(np.array([[1.0, 0.60653, 0.049787]]), rel=1e-4)
    halves = transmit(path / 2)
    assert halves * halves == pytest.approx(transmit(path), rel=1e-5)


def test_thicker_is_darker_light_and_brighter_picture():
    canvas = Canvas(64, 4.0, (0.0, 0.0))
    thickness = np.repeat(np.linspace(0, 200, 64, dtype=np.float32)[None, :], 64, axis=0)
    signal = expose(thickness * np.float32(BEAM.water), BEAM, canvas, np.random.default_rng(0))
    columns = signal.mean(axis=0)
    assert np.all(np.diff(columns) > 0)
    picture = develop(signal, draw_tone(np.random.default_rng(1)), canvas, float(columns[20]), float(columns[60]))
    assert picture.min() >= 0 and picture.max() <= 255
    assert picture[:, 60].mean() > picture[:, 20].mean()


def test_fewer_photons_give_more_noise():
    canvas = Canvas(64, 1.0, (0.0, 0.0))
    flat = np.full((64, 64), 2.0, np.float32)
    spread = []
    for photons in (1e3, 1e5):
        beam = Beam(**{**BEAM.__dict__, "photons": photons})
        spread.append(expose(flat, beam, canvas, np.random.default_rng(3)).std())
    assert spread[0] == pytest.approx(10 * spread[1], rel=0.15)


def test_enlarged_heart_changes_nothing_else():
    normal = draw_anatomy(np.random.default_rng(4))
    enlarged = draw_anatomy(np.random.default_rng(4), 0.5)
    assert enlarged.ratio > normal.ratio
    assert {**normal.__dict__, "ratio": 0} == {**enlarged.__dict__, "ratio": 0}


def test_ellipsoid_has_the_thickness_of_the_formula():
    canvas = Canvas(101, 1.0, (0.0, 0.0))
    out = np.zeros((101, 101), np.float32)
    canvas.ellipsoid(out, (0.0, 0.0), (40.0, 20.0), 0.0, 30.0)
    assert out[50, 50] == pytest.approx(30)
    assert out[50, 70] == pytest.approx(30 * np.sqrt(1 - 0.25), rel=1e-5)
    assert out[71, 50] == 0 and out[50, 91] == 0
    assert out.sum() == pytest.approx(4 / 3 * np.pi * 40 * 20 * 15, rel=0.01)
