"""Region features: sums kept, boxes weighed by overlap, and the place of a pattern decides."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.errors import RetrievalError
from icbir_core.retrieval.methods import REGION
from icbir_core.retrieval.part_index import PartIndex, measure_nearest, measure_places
from icbir_core.retrieval.regions import (
    GRID,
    describe_region,
    list_shifts,
    place_region,
    shift_box,
    summarise_features,
    weigh_cells,
)


def test_summary_keeps_the_mean_and_cells_of_equal_grids():
    features = np.random.default_rng(0).random((3, 7, 7, 32), dtype=np.float32)
    np.testing.assert_array_equal(summarise_features(features), features)
    finer = np.random.default_rng(1).random((2, 10, 12, 16), dtype=np.float32)
    np.testing.assert_allclose(
        summarise_features(finer).astype("f8").mean((1, 2)),
        finer.mean((1, 2)),
        rtol=2e-3,
        err_msg="averaging keeps the mean",
    )


def test_projection_roughly_keeps_distances():
    features = np.random.default_rng(2).random((12, 7, 7, 1024), dtype=np.float32)
    summary = summarise_features(features)
    assert summary.shape == (12, 7, 7, 128)
    flat, short = features.reshape(12, -1), summary.astype("f4").reshape(12, -1)
    true = np.linalg.norm(flat[1:] - flat[0], axis=1)
    np.testing.assert_allclose(np.linalg.norm(short[1:] - short[0], axis=1) / true, 1.0, atol=0.1)


def test_boxes_are_weighed_by_overlap():
    weights = weigh_cells((16, 0, 32, 32), 224)
    assert weights[0, 0] == pytest.approx(0.5) and weights[0, 1] == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(1.0)
    for box in ((300, 300, 10, 10), (5, 5, 0, 9), (np.nan, 0, 1, 1)):
        with pytest.raises(RetrievalError, match="region"):
            weigh_cells(box, 224)


def test_the_same_place_and_anywhere():
    spatial = np.zeros((3, GRID, GRID, 4), np.float16)
    spatial[0, 1, 1] = spatial[1, 1, 1] = spatial[2, 5, 5] = (1, 2, 3, 4)
    weights = weigh_cells((32, 32, 32, 32), 224)
    described = describe_region(spatial[:1], weights)[0]
    same = measure_places(described, place_region(spatial, weights))
    assert same[0] == same[1] == 0 and same[2] == pytest.approx(np.sqrt(30))
    assert (measure_places(described, place_region(spatial, weights, anywhere=True)) == 0).all()


@pytest.mark.parametrize("anywhere", [False, True])
def test_the_nearest_of_many_is_what_one_comparison_after_another_finds(anywhere):
    spatial = np.random.default_rng(3).random((40, GRID, GRID, 16)).astype(np.float16)
    rows, weights = np.arange(100, 140), weigh_cells((40, 70, 60, 45), 224)
    described = describe_region(spatial[:6], weights)
    excluded = [np.array([row, row + 20]) for row in rows[:5]] + [rows]
    pieces = (place_region(piece, weights, anywhere) for piece in (spatial[:25], spatial[25:]))
    found = measure_nearest(described, excluded, rows, pieces)
    for number in range(5):
        left = ~np.isin(rows, excluded[number])
        slow = measure_places(described[number], place_region(spatial[left], weights, anywhere)).min()
        assert found[number] == pytest.approx(slow, rel=1e-4)
    assert np.isinf(found[5]), "nothing is left for the last"


@pytest.mark.parametrize("anywhere", [False, True])
def test_the_place_of_each_case_is_the_one_that_its_distance_was_measured_to(anywhere):
    spatial = np.random.default_rng(4).random((9, GRID, GRID, 5)).astype(np.float16)
    box, size = (40, 70, 60, 45), 224
    weights = weigh_cells(box, size)
    query = np.random.default_rng(5).random(5, dtype=np.float32)

    def place(rows):
        return (place_region(spatial[piece], weights, anywhere) for piece in np.array_split(rows, 2))

    index, rows = PartIndex(REGION, np.arange(9), place, place), np.array([6, 0, 8, 3])
    shifts = list_shifts(weights, anywhere)
    found = [shift_box(box, shifts[one], size) for one in index.find_places(query, rows)]
    assert len(shifts) == (5 * 6 if anywhere else 1), "three cells down, two across"
    for row, distance, (left, top, width, height) in zip(rows, index.measure(query, rows), found, strict=True):
        slow = {}
        for down in range(-7, 8):
            for across in range(-7, 8):
                mean, inside = np.zeros(5), True
                for cell in np.argwhere(weights > 0):
                    there = cell + (down, across)
                    inside = inside and bool((there >= 0).all() and (there < GRID).all())
                    if inside:
                        mean += weights[tuple(cell)] * spatial[row][tuple(there)].astype("f8")
                if inside and (anywhere or down == across == 0):
                    slow[down, across] = np.sqrt(((mean - query) ** 2).sum())
        down, across = min(slow, key=slow.get)
        assert (left, top, width, height) == (40 + 32 * across, 70 + 32 * down, 60, 45)
        assert slow[down, across] == pytest.approx(distance, rel=1e-3)
