"""The network's input: geometry of the letterbox, equalisation of the film alone, standardisation."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.radiograph.network_input import (
    Letterbox,
    box_from_input,
    box_to_input,
    equalise_contrast,
    fit_to_network,
    measure_whole_square,
    show_whole_film,
    standardise,
)
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


@pytest.mark.parametrize("shape", [(300, 200), (200, 301), (128, 128), (51, 120)])
def test_the_middle_square_and_its_place_on_the_whole_film(shape):
    """A bright spot within the square is found at the same place of the network's image and of the whole film."""
    settings = InputSettings(64, equalise=False, crop=True)
    side, film = min(shape), np.zeros(shape, np.float32)
    spot = slice(shape[0] // 2 - side // 8, shape[0] // 2 + side // 8), slice(shape[1] // 2, shape[1] // 2 + side // 4)
    film[spot] = 1
    image = fit_to_network(film, settings)
    assert image.shape == (64, 64) and image.mean() == pytest.approx((side // 8 * 2) * (side // 4) / side**2, abs=0.02)
    whole = show_whole_film(image, shape, settings)
    assert whole.shape[0] == measure_whole_square(shape, settings) and whole.sum() == pytest.approx(image.sum())
    back = Letterbox.of(shape, whole.shape[0]).to_film(whole)
    rows, columns = np.nonzero(back > 0.5)
    found = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    np.testing.assert_allclose(found, (spot[0].start, spot[0].stop, spot[1].start, spot[1].stop), atol=side / 64 + 1)
    box = (spot[1].start, spot[0].start, spot[1].stop - spot[1].start, spot[0].stop - spot[0].start)
    left, top, width, height = box_to_input(box, shape, settings)
    assert box_from_input((left, top, width, height), shape, settings) == pytest.approx(box)
    rows, columns = np.nonzero(image > 0.5)
    np.testing.assert_allclose(
        (left, top, left + width, top + height),
        (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1),
        atol=2,
    )


def test_what_lies_beside_the_middle_square_is_not_seen():
    film = np.zeros((100, 300), np.float32)
    film[:, :100] = 1
    assert not fit_to_network(film, InputSettings(32, equalise=False, crop=True)).any()
    assert fit_to_network(film, InputSettings(32, equalise=False)).any()
    left, _, width, _ = box_to_input((0, 0, 90, 50), film.shape, InputSettings(32, crop=True))
    assert left + width < 0
    # A box of a square that reaches beyond a lying film is cut to it; above the film nothing is left.
    assert box_from_input((0, 0, 32, 16), film.shape, InputSettings(32)) == pytest.approx(
        (0, 0, 300, 6 / 11 * 100), abs=1
    )
    assert box_from_input((0, 0, 32, 10), film.shape, InputSettings(32)) is None
    # Without the crop nothing changes.
    values = np.ones((32, 32), np.float32)
    assert show_whole_film(values, film.shape, InputSettings(32)) is values
