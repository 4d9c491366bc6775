"""What counts as rounding: by hand, slowly again, and that no decision changes with the scale of the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.evaluation.agreement import intraclass_correlations
from icbir_core.evaluation.methods import measure_euclidean
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.exact import measure_distances
from icbir_core.retrieval.part_index import measure_places as measure_to_places
from icbir_core.rounding import COARSE, DOUBLE, SINGLE, clear_distances, clear_rounding, invert_lengths
from icbir_core.saliency.encoding import name_state
from icbir_core.saliency.localisation import measure_overlap, point_into


def test_a_small_share_of_what_was_subtracted_is_0_and_nothing_else_changes():
    differences, sizes = np.array([3e-5, -3e-5, 1e-4, -1e-4, 0.0], np.float32), np.array([4, 4, 4, 4, 0], np.float32)
    found = clear_rounding(differences, sizes)
    slow = [float(d) if abs(d) > SINGLE * s else 0.0 for d, s in zip(differences, sizes, strict=True)]
    assert found.tolist() == slow == [0.0, 0.0, differences[2], differences[3], 0.0] and found.dtype == np.float32
    assert clear_rounding(1e-6, 1.0) == 0 and clear_rounding(1e-6, 1.0, DOUBLE) == 1e-6
    for scale in (1e-20, 1e20):
        np.testing.assert_allclose(clear_rounding(differences.astype(float) * scale, sizes * scale), found * scale)


@pytest.mark.parametrize("share", [SINGLE, COARSE])
def test_a_distance_is_0_by_the_lengths_of_both_vectors(share):
    query = np.random.default_rng(0).random(64) + 1.0
    length = float(np.sqrt(sum(float(x) ** 2 for x in query)))
    for factor in (0.0, 0.9, 1.1):
        near = query.copy()
        near[3] += factor * share * length * 2**0.5
        distance = np.array([np.linalg.norm(near - query), 5.0])
        bound = share * (length**2 + float(np.linalg.norm(near)) ** 2) ** 0.5
        found = clear_distances(distance, query, share)
        assert found.tolist() == [distance[0] if factor > 1 else 0.0, 5.0] and (distance[0] > bound) == (factor > 1)


def test_every_distance_of_a_vector_that_rounding_moved_is_0():
    vectors = np.random.default_rng(1).random((4, 1024)).astype(np.float32)
    moved = np.nextafter(vectors, np.float32(2))
    assert np.abs(moved - vectors).max() > 0
    for i, query in enumerate(moved):
        assert np.flatnonzero(measure_distances(vectors, np.arange(4), query) == 0).tolist() == [i]
        assert np.flatnonzero(measure_to_places(query, vectors[:, None]) == 0).tolist() == [i]
    assert (np.argwhere(measure_euclidean(moved, vectors) == 0) == np.arange(4)[:, None]).all()


def test_no_direction_is_made_from_rounding():
    film = np.random.default_rng(2).random((1, 256)).astype(np.float32)
    alike = np.concatenate([film, np.nextafter(film, np.float32(2)), np.nextafter(film, np.float32(0))])
    assert not Centre.measure([alike], {}).transform(alike).any(), "a catalogue of one film, three times"
    other = Centre.measure([np.concatenate([alike, film + 0.01])], {})
    np.testing.assert_allclose(np.linalg.norm(other.transform(alike), axis=1), 1, rtol=1e-6)
    assert invert_lengths(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [0.2, 0.0]


def test_a_constant_map_is_flat_whatever_the_order_of_its_sums():
    flat = np.full((8, 8), 0.7, np.float32)
    flat[::2] = np.nextafter(flat[::2], np.float32(1))
    for scale in (1e-12, -1.0, 1e12):
        assert name_state(flat * np.float32(scale)) == "flat"
    flat[3, 3] *= 1.001
    assert name_state(flat) == "ok" and name_state(-flat) == "ok" and name_state(0 * flat) == "zero"


def test_no_place_is_pointed_at_by_rounding():
    values, mask = np.ones((4, 4), np.float32), np.zeros((4, 4), bool)
    mask[0, 0] = True
    values[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    assert point_into(values, mask) == 1 / 16 and measure_overlap(values, mask) == 0.0
    values[0, 0] = 1.01
    assert point_into(values, mask) == 1.0 and measure_overlap(values, mask) == 1.0


def test_readers_who_score_all_films_alike_have_no_correlation_made_of_rounding():
    scores = np.repeat(np.array([[0.1], [0.7], [0.2]]), 7, axis=1)  # sums that do not come out
    assert np.isnan(intraclass_correlations(np.full((3, 7), 0.1)))[[0, 1]].all()
    assert intraclass_correlations(scores)[0] == pytest.approx(0.0, abs=1e-9)
