"""Maps as they are drawn: no grid, the strongest tenth, and words for maps that show little."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.saliency.display import find_threshold, is_smoothed, name_strength, smooth_for_display
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.types import SaliencyMap


def make(values, method="deep_taylor", signed=False, state="ok") -> SaliencyMap:
    return SaliencyMap(np.asarray(values, np.float32), method, "Effusion", signed, state=state)


def make_blob(size: int = 224) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.exp(-((rows - 120) ** 2 + (columns - 70) ** 2) / (2 * 20**2)).astype(np.float32)


@pytest.mark.parametrize("period", [2, 4])
def test_the_grid_of_the_strides_goes_and_the_finding_stays(period):
    blob = make_blob()
    grid = np.zeros_like(blob)
    grid[::period, ::period] = period**2  # all the relevance on one pixel of each cell
    drawn = smooth_for_display(make(blob * grid)).values
    np.testing.assert_allclose(drawn, blob, atol=0.03)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == pytest.approx((120, 70), abs=4)
    assert drawn.sum() == pytest.approx((blob * grid).sum(), rel=1e-3)


def test_coarse_maps_and_those_that_mark_no_place_are_drawn_as_they_are():
    coarse = make(make_blob(), "grad_cam")
    assert {name for name in SALIENCY_METHODS if not is_smoothed(name)} == {"grad_cam", "occlusion"}
    assert smooth_for_display(coarse) is coarse and not is_smoothed("grad_cam") and not is_smoothed("similarity")
    empty = make(np.zeros((32, 32)), state="zero")
    assert smooth_for_display(empty) is empty
    original = make(make_blob())
    before = original.values.copy()
    smooth_for_display(original)
    np.testing.assert_array_equal(original.values, before)


def test_the_threshold_shows_the_strongest_tenth():
    values = np.random.default_rng(0).permutation(np.linspace(0, 2, 10_000)).reshape(100, 100)
    threshold = find_threshold(values, scale=2.0)
    assert threshold == pytest.approx(0.9, abs=0.01)
    assert (values / 2.0 >= find_threshold(values, 4.0) * 2).mean() == pytest.approx(0.1, abs=0.02)
    assert find_threshold(values - 2, 2.0) == 0  # nothing speaks for the finding
    assert find_threshold(values - 2, 2.0, signed=True) == pytest.approx(0.9, abs=0.01)
    few = np.zeros((100, 100))
    few[:5, :5] = 1
    assert find_threshold(few, 1.0) == 0 and find_threshold(few, 0.0) == 0


def test_faint_and_empty_maps_are_named():
    blob = make(make_blob())
    assert name_strength(blob, scale=1.0, threshold=0.4) == ""
    assert name_strength(blob, scale=10.0, threshold=0.4) == "faint"
    assert name_strength(make(-make_blob()), 1.0, 0.4) == "faint"
    assert name_strength(make(-make_blob(), signed=True), 1.0, 0.4) == ""
    assert name_strength(make(np.ones((8, 8)), state="flat"), 1.0, 0.4) == "empty"
