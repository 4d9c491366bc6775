"""The network's input: geometry of the letterbox, equalisation of the film alone, standardisation."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.radiograph.network_input import Letterbox, equalise_contrast, fit_to_network, standardise
from icbir_core.settings import InputSettings

SETTINGS = InputSettings(size=64)
PLAIN = InputSettings(size=64, equalise=False)


@pytest.fixture
def film() -> np.ndarray:
    rows, columns = np.mgrid[0:150, 0:100]
    texture = np.random.default_rng(0).random((150, 100))
    return (0.2 + 0.3 * rows / 150 + 0.2 * np.sin(columns / 9.0) ** 2 + 0.1 * texture).astype(np.float32)


@pytest.mark.parametrize("shape", [(150, 100), (100, 150), (64, 64), (7, 400), (400, 7), (1, 1), (3, 2)])
def test_letterbox_keeps_the_aspect_and_stays_inside(shape):
    box = Letterbox.of(shape, 64)
    assert max(box.height, box.width) == 64
    assert box.height == pytest.approx(shape[0] * box.scale, abs=1.0)
    assert box.width == pytest.approx(shape[1] * box.scale, abs=1.0)
    assert box.top >= 0 and box.left >= 0 and box.top + box.height <= 64 and box.left + box.width <= 64
    assert abs(box.top - (64 - box.top - box.height)) <= 1 and abs(box.left - (64 - box.left - box.width)) <= 1
    assert box.mask().sum() == box.height * box.width


def test_there_and_back_keeps_a_smooth_film(film):
    smooth = np.outer(np.linspace(0.1, 0.9, 150), np.linspace(0.5, 1.0, 100)).astype(np.float32)
    box = Letterbox.of(smooth.shape, 64)
    back = box.to_film(fit_to_network(smooth, PLAIN))
    assert back.shape == smooth.shape
    assert np.abs(back - smooth).max() < 0.02


def test_a_box_points_at_the_same_place_in_the_network_input(film):
    box = Letterbox.of(film.shape, 64)
    region = (20.0, 90.0, 30.0, 40.0)
    marked = np.zeros_like(film)
    marked[90:130, 20:50] = 1.0
    rows, columns = np.nonzero(fit_to_network(marked, PLAIN) > 0.5)
    left, top, width, height = box.box_to_network(region)
    assert (columns.min(), rows.min()) == pytest.approx((left, top), abs=1.0)
    assert (columns.max() + 1, rows.max() + 1) == pytest.approx((left + width, top + height), abs=1.0)


def test_padding_is_zero_and_never_enters_the_equalisation(film):
    image = fit_to_network(film, SETTINGS)
    box = Letterbox.of(film.shape, 64)
    assert image.dtype == np.float32 and image.shape == (64, 64)
    assert image.min() >= 0.0 and image.max() <= 1.0
    assert np.all(image[~box.mask()] == 0.0)
    # A square that holds only the film's area gives the same values: padding took no part.
    alone = fit_to_network(film, InputSettings(size=64, equalise=False))

    assert np.array_equal(box.crop(image), equalise_contrast(np.ascontiguousarray(box.crop(alone))))


def test_equalisation_forgets_window_and_is_deterministic(film):
    first = fit_to_network(film, SETTINGS)
    assert np.array_equal(first, fit_to_network(film.copy(), SETTINGS))
    windowed = fit_to_network(film * 0.5 + 0.25, SETTINGS)
    assert np.abs(first - windowed).max() < 0.05
    assert first.std() > 1.3 * fit_to_network(film, PLAIN)[:, 11:53].std()


def test_a_flat_film_stays_flat():
    assert np.all(fit_to_network(np.full((64, 64), 0.3, np.float32), SETTINGS) == np.float32(0.3))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="H, W"):
        fit_to_network(np.zeros((4, 4, 3), np.float32), SETTINGS)
    with pytest.raises(ValueError, match="at least one pixel"):
        Letterbox.of((0, 4), 64)
    with pytest.raises(ValueError, match="shape"):
        Letterbox.of((4, 4), 64).to_film(np.zeros((32, 32)))


def test_standardise_uses_the_imagenet_numbers():
    images = np.random.default_rng(1).random((2, 5, 5)).astype(np.float32)
    standard = standardise(images)
    assert standard.shape == (2, 5, 5, 3) and standard.dtype == np.float32
    assert standard[1, 2, 3, 1] == pytest.approx((images[1, 2, 3] - 0.456) / 0.224, rel=1e-5)
    assert standardise(images[0]).shape == (5, 5, 3)
