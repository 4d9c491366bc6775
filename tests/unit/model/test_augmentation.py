"""Augmentation keeps values in range, repeats by seed, moves what it says and mirrors only when asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from icbir_core.model.augmentation import augment, resize_image
from icbir_core.model.recipes import Augmentation

STILL = Augmentation(shift=0, scale=0, rotation=0, brightness=0, contrast=0, gamma=0, noise=0)


@pytest.fixture
def image() -> np.ndarray:
    values = np.zeros((48, 48), np.float32)
    values[10:20, 5:15] = 0.8
    values[30:40, 25:45] = 0.3
    return values


def test_no_change_without_ranges(image):
    np.testing.assert_allclose(augment(image, STILL, np.random.default_rng(0)), image, atol=1e-6)


def test_stays_in_range_and_repeats_by_seed(image):
    strong = Augmentation(brightness=0.9, contrast=0.9, noise=0.3, erase=1.0)
    for seed in range(20):
        one = augment(image, strong, np.random.default_rng(seed))
        assert one.dtype == np.float32 and one.shape == image.shape
        assert one.min() >= 0 and one.max() <= 1
        np.testing.assert_array_equal(one, augment(image, strong, np.random.default_rng(seed)))


def test_dark_values_survive():
    """A layer that assumes values of 0 to 255 would turn a dark ramp into zeros; the order of the ramp must stay."""
    ramp = np.tile(np.linspace(0.02, 0.6, 32, dtype=np.float32), (32, 1))
    changed = augment(ramp, replace(STILL, contrast=0.2, gamma=0.2), np.random.default_rng(3))
    assert (np.diff(changed[16]) > 0).all()


def test_mirrors_only_when_asked(image):
    always = augment(image, replace(STILL, flip=1.0), np.random.default_rng(0))
    np.testing.assert_allclose(always, image[:, ::-1], atol=1e-6)
    sides = [augment(image, Augmentation(), np.random.default_rng(seed)) for seed in range(40)]
    assert all(values[:, :24].sum() > values[:24, 24:].sum() for values in sides)


def test_shift_moves_the_centre_of_mass(image):
    random = np.random.default_rng(1)
    expected = np.random.default_rng(1)
    moved = augment(image, replace(STILL, shift=0.04), random)
    expected.uniform(-1, 1), expected.uniform(-1, 1), expected.uniform(-1, 1)
    shift = expected.uniform(-1, 1, 2) * 0.04 * 48

    def centre(values):
        rows, columns = np.indices(values.shape)
        return np.array([(columns * values).sum(), (rows * values).sum()]) / values.sum()

    np.testing.assert_allclose(centre(moved) - centre(image), shift, atol=0.1)


def test_resize_takes_the_mean_when_it_shrinks():
    image = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    small = resize_image(image, 32)
    slow = image.reshape(32, 2, 32, 2).mean((1, 3)) / 255
    np.testing.assert_allclose(small, slow, atol=1e-5)
    np.testing.assert_array_equal(resize_image(image, 64), image.astype(np.float32) / 255)
