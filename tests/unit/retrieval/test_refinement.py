"""The trail is immutable and can be undone; the query moves where the reader points."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.errors import RetrievalError
from icbir_core.retrieval.neighbours import describe_distance, find_percentile
from icbir_core.retrieval.refinement import Finding, MoreLikeThese, RefinementTrail, Region, move_query


def test_trail_with_undo_and_redo():
    empty = RefinementTrail()
    one = empty.add(MoreLikeThese(("a", "b"), ("c",)))
    two = one.add(Region((10, 20, 30, 40)))
    three = two.add(MoreLikeThese(("c",)))
    assert empty.steps == () and len(three.steps) == 3
    assert three.judged == (("a", "b", "c"), ()) and two.judged == (("a", "b"), ("c",))
    assert three.undo().steps == two.steps and three.undo().redo().steps == three.steps
    assert empty.undo() == empty and empty.redo() == empty
    assert two.region.box == (10, 20, 30, 40) and one.region is None
    four = three.add(Finding("Mass"))
    assert four.finding == "Mass" and four.region is None
    assert four.undo().add(Finding("Nodule")).undone == ()
    assert four.describe()[1] == "region 30 × 40 at (10, 20)"


def test_empty_and_contradictory_steps_are_refused():
    with pytest.raises(RetrievalError, match="ticked"):
        RefinementTrail().add(MoreLikeThese())
    with pytest.raises(RetrievalError, match="both"):
        RefinementTrail().add(MoreLikeThese(("a",), ("a",)))


def test_the_query_moves_towards_ticked_and_away_from_crossed():
    generator = np.random.default_rng(0)
    query, ticked, crossed = generator.normal(size=8), generator.normal(size=(3, 8)), generator.normal(size=(2, 8))
    none = np.empty((0, 8))

    def distance(first, cases):
        return np.linalg.norm(first - cases.mean(0))

    towards = move_query(query, ticked, none)
    assert distance(towards, ticked) == pytest.approx(0.4 * distance(query, ticked), rel=1e-6)
    away = move_query(query, none, crossed)
    assert distance(away, crossed) == pytest.approx(1.2 * distance(query, crossed), rel=1e-6)
    np.testing.assert_allclose(move_query(query, none, none), query, rtol=1e-6)


def test_distance_in_words():
    neighbours = np.linspace(1, 2, 101)
    assert describe_distance(find_percentile(0.5, neighbours)) == "very close"
    assert describe_distance(find_percentile(1.4, neighbours)) == "close"
    assert describe_distance(find_percentile(9.0, neighbours)) == "distant"
    assert describe_distance(find_percentile(9.0, neighbours[:0])) == "no pairs to compare with"
