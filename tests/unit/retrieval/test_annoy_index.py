"""The Annoy index against brute force, and everything that it must refuse by name."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from annoy import AnnoyIndex

from icbir_core.errors import IndexMismatch
from icbir_core.retrieval import annoy_trees, index_files
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.index_files import make_aside
from icbir_core.retrieval.search_index import Eligible

MADE_FROM = {"model": "m" * 64, "catalogue": "c" * 64}
DIMENSION = 24


def make_vectors(number: int, seed: int = 0) -> np.ndarray:
    centres = np.random.default_rng(100).normal(size=(20, DIMENSION))
    generator = np.random.default_rng(seed)
    return (centres[generator.integers(20, size=number)] + 0.5 * generator.normal(size=(number, DIMENSION))).astype(
        "f4"
    )


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return make_vectors(3000)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(1).permutation(5000)[:3000]


@pytest.fixture(scope="module")
def index(tmp_path_factory, vectors, rows) -> Index:
    return Index.build(tmp_path_factory.mktemp("index"), vectors, rows, MADE_FROM)


def rank_slowly(vectors, rows, query, k, allowed=None):
    pairs = []
    for vector, row in zip(vectors, rows, strict=True):
        if allowed is None or row in allowed:
            squares = sum((float(a) - float(b)) ** 2 for a, b in zip(vector, query, strict=True))
            pairs.append((squares**0.5, row))
    return sorted(pairs)[:k]


def test_exact_route_equals_a_slow_ranking(index, vectors, rows):
    query = make_vectors(1, seed=9)[0]
    expected = rank_slowly(vectors, rows, query, 7)
    found = index.search(query, 7, route="exact")
    assert found.route == "exact"
    assert found.rows.tolist() == [row for _, row in expected]
    np.testing.assert_array_equal(index.measure(query, found.rows), found.distances)
    np.testing.assert_allclose(found.distances, [distance for distance, _ in expected], rtol=1e-12)


def test_annoy_and_exact_agree_and_recall_is_as_promised(index, vectors):
    assert index.manifest["recall_at_10"] >= 0.99 and index.manifest["recall_at_10_between"] >= 0.99
    agreements = []
    for query in make_vectors(100, seed=5):
        found, best = index.search(query, 10), index.search(query, 10, route="exact")
        proposed, near, exact, true = found.rows, found.distances, best.rows, best.distances
        assert found.route == "annoy" and len(proposed) == 10 and (np.diff(near) >= 0).all()
        agreements.append(len(set(proposed) & set(exact)) / 10)
        np.testing.assert_allclose(near[np.isin(proposed, exact)], true[np.isin(exact, proposed)], rtol=1e-12)
    assert np.mean(agreements) >= 0.97  # new queries: below the promise for the catalogue's own cases, but near it


def make_long_vectors(number: int) -> np.ndarray:
    """In 300 numbers, of which some 20 directions hold nearly all."""
    generator = np.random.default_rng(7)
    inner = generator.normal(size=(number, 20)) @ generator.normal(size=(20, 300))
    return (inner + 0.1 * generator.normal(size=(number, 300))).astype("f4")


def test_long_vectors_are_proposed_by_their_directions_and_ranked_whole(tmp_path, monkeypatch):
    """The file over all of them is built once; the number of trees was chosen on a sample."""
    monkeypatch.setattr(annoy_trees, "TRIAL", 1500)
    built, build = [], annoy_trees.build_trees
    monkeypatch.setattr(
        annoy_trees, "build_trees", lambda source, *more: (built.append(len(source.vectors)), build(source, *more))
    )
    vectors, told = make_long_vectors(4000), []
    index = Index.build(tmp_path, vectors, np.arange(4000), MADE_FROM, progress=lambda *words: told.append(words))
    assert built.count(4000) == 1 and set(built) == {1500, 4000}
    assert (4000, 4000, "copying vectors") in told and (4000, 4000, "preparing the trees") in told
    assert index.manifest["recall_at_10"] >= 0.99 and index.manifest["files"]["projection"]["bytes"] > 128 * 300 * 4
    assert index.manifest["files"]["trees"]["bytes"] < 0.8 * vectors.nbytes
    shared = []
    for query in make_long_vectors(4040)[4000:]:
        found, best = index.search(query, 10, route="annoy"), index.search(query, 10, route="exact")
        expected = np.argsort(np.linalg.norm(vectors.astype("f8") - query, axis=1), kind="stable")[:10]
        assert best.rows.tolist() == expected.tolist()
        np.testing.assert_array_equal(found.distances, index.measure(query, found.rows))
        shared.append(len(set(found.rows) & set(best.rows)) / 10)
    assert np.mean(shared) >= 0.97


def test_where_no_setting_reaches_the_target_every_vector_is_ranked(tmp_path, monkeypatch):
    """Directions that say nothing of the distances: all noise, and as many directions as it takes to miss it."""
    monkeypatch.setattr(annoy_trees, "DIRECTIONS", 2)
    monkeypatch.setattr(annoy_trees, "REACH", (1,))
    vectors = np.random.default_rng(3).normal(size=(900, 40)).astype("f4")
    index = Index.build(tmp_path, vectors, np.arange(900), MADE_FROM)
    assert index.manifest["reach"] == 900 and index.manifest["recall_at_10"] == 1.0
    for query in np.random.default_rng(4).normal(size=(5, 40)).astype("f4"):
        assert index.search(query, 10).rows.tolist() == index.search(query, 10, route="exact").rows.tolist()


def test_an_index_that_was_built_before_directions_still_opens(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["reach"]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert Index.open(copied).search(make_vectors(1, seed=9)[0], 5).route == "annoy"


def test_every_case_finds_itself_at_distance_zero(index, vectors, rows):
    for route in ("annoy", "exact"):
        for position in range(0, 3000, 60):
            found = index.search(vectors[position], 1, route=route)
            assert found.rows[0] == rows[position] and found.distances[0] == 0.0


def test_a_filter_with_few_cases_goes_exact_and_a_forced_annoy_agrees(index, vectors, rows):
    allowed, query = np.sort(rows[:40]), make_vectors(1, seed=3)[0]
    expected = [row for _, row in rank_slowly(vectors, rows, query, 12, set(allowed.tolist()))]
    eligible = Eligible(allowed, len(rows), filtered=True)
    found = index.search(query, 12, eligible)
    assert found.route == "exact (few eligible)" and found.rows.tolist() == expected
    forced = index.search(query, 12, eligible, route="annoy")
    assert forced.route == "annoy" and forced.rows.tolist() == expected


def test_excluded_rows_never_come_back_and_the_rest_moves_up(index, vectors, rows):
    first = index.search(vectors[0], 6, route="exact").rows
    rest = Eligible(np.setdiff1d(rows, first[:2]), len(rows))
    for route in ("annoy", "exact"):
        assert index.search(vectors[0], 4, rest, route).rows.tolist() == first[2:6].tolist()
    assert index.search(vectors[0], 4, rest).route == "annoy", "without a filter nothing is few"
    assert len(index.search(vectors[0], 5, Eligible(np.array([99_999]), 1)).rows) == 0


def test_new_cases_become_a_tail_then_merge_and_removed_ones_are_tombstones(tmp_path, vectors):
    rows, none = np.arange(1000), np.empty(0, np.int64)
    Index.build(tmp_path, vectors[:1000], rows, MADE_FROM)
    grown = Index.update(tmp_path, vectors[:1050], np.arange(1050), none, MADE_FROM)
    assert grown.tail == 50 and grown.manifest["count"] == 1050
    found = grown.search(vectors[1049], 3)
    assert (found.rows[0], found.distances[0], found.route) == (1049, 0.0, "annoy+tail")
    exact = grown.search(vectors[1049], 3, route="exact")
    assert found.rows.tolist() == exact.rows.tolist()
    assert 1049 not in grown.search(vectors[1049], 3, Eligible(np.arange(1049), 1049)).rows
    merged = Index.update(tmp_path, vectors[:1200], np.arange(1200), np.arange(10), MADE_FROM)
    assert merged.tail == 0 and len(merged) == 1190 and 5 not in merged.rows
    restored = Index.update(tmp_path, vectors[:1200], np.arange(1200), none, MADE_FROM)
    assert restored.tail == 10 and restored.search(vectors[5], 1).rows[0] == 5
    np.testing.assert_array_equal(restored.get_vectors(np.array([5, 900])), vectors[[5, 900]])


def test_a_build_repeats_byte_for_byte(tmp_path, vectors):
    first = Index.build(tmp_path / "a", vectors[:500], np.arange(500), MADE_FROM)
    second = Index.build(tmp_path / "b", vectors[:500], np.arange(500), MADE_FROM)
    assert first.manifest["files"] == second.manifest["files"] and first.sha256 == second.sha256


@pytest.mark.parametrize("number", [1, 2, 3, 11])
def test_tiny_catalogues(tmp_path, vectors, number):
    index = Index.build(tmp_path, vectors[:number], np.arange(number), MADE_FROM)
    found = index.search(vectors[0], 10).rows
    assert len(found) == min(number, 10) and found[0] == 0


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_cases_that_are_equally_far_but_for_rounding_do_not_stop_a_build(tmp_path, seed):
    """Nine cases on a line, and two beside it, equally far from each point of the line: which of these two is the tenth
    is for the order of a sum to say, and Annoy sums in another order."""
    generator = np.random.default_rng(seed)
    cases = np.outer(generator.random(11) * 1e-2, np.ones(80)).astype(np.float32)
    cases[9] = generator.standard_normal(80) / 9
    cases[10] = generator.permutation(cases[9])
    assert Index.build(tmp_path, cases, np.arange(11), MADE_FROM).manifest["recall_at_10_between"] == 1.0


def test_a_row_named_twice_is_refused_and_leaves_nothing(tmp_path, vectors):
    with pytest.raises(IndexMismatch, match="twice"):
        Index.build(tmp_path, vectors[:2], np.array([4, 4]), MADE_FROM)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def copied(tmp_path, index):
    shutil.copytree(index.directory, tmp_path / "copy")
    return tmp_path / "copy"


def edit_manifest(directory, **changes):
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_refusals_at_open(copied, tmp_path):
    with pytest.raises(IndexMismatch, match="made from the model"):
        Index.open(copied, {"model": "x" * 64})
    with pytest.raises(IndexMismatch, match="made from the catalogue"):
        Index.open(copied, MADE_FROM | {"catalogue": "x" * 64})
    with pytest.raises(IndexMismatch, match="holds no index"):
        Index.open(tmp_path / "nothing")
    assert len(Index.open(copied, MADE_FROM)) == 3000
    edit_manifest(copied, metric="manhattan")
    with pytest.raises(IndexMismatch, match="metric manhattan instead of euclidean"):
        Index.open(copied, MADE_FROM)


def test_a_wrong_dimension_in_the_manifest_is_refused(copied):
    edit_manifest(copied, dimension=12)
    with pytest.raises(IndexMismatch, match="dimension 12"):
        Index.open(copied)


def test_a_tree_file_of_another_metric_is_refused(copied, index, vectors):
    name = index.manifest["files"]["trees"]["name"]
    other = AnnoyIndex(DIMENSION, "manhattan")
    for position, vector in enumerate(vectors.tolist()):
        other.add_item(position, vector)
    other.build(2)
    other.save(str(copied / name))
    with pytest.raises(IndexMismatch, match="trees"):
        Index.open(copied)


def test_a_changed_vector_is_refused(copied, index):
    name = index.manifest["files"]["vectors"]["name"]
    data = bytearray((copied / name).read_bytes())
    data[-1] ^= 1
    (copied / name).write_bytes(bytes(data))
    with pytest.raises(IndexMismatch, match="has changed since it was written"):
        Index.open(copied)


def test_opening_while_another_process_rebuilds_never_fails(tmp_path, monkeypatch):
    """The manifest that was read names files that a rebuild has deleted: the new manifest is read instead."""
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype("f4")
    Index.build(tmp_path, vectors, np.arange(60), MADE_FROM)
    opened, rebuilt = index_files.open_manifest, []

    def open_then_rebuild(*given):
        manifest = opened(*given)
        if len(rebuilt) < 3:
            rebuilt.append(Index.build(tmp_path, vectors + 1 + len(rebuilt), np.arange(60), MADE_FROM))
        return manifest

    monkeypatch.setattr(index_files, "open_manifest", open_then_rebuild)
    index = Index.open(tmp_path, MADE_FROM)
    assert len(rebuilt) == 3 and index.sha256 == rebuilt[-1].sha256
    (tmp_path / index.manifest["files"]["trees"]["name"]).unlink()
    with pytest.raises(IndexMismatch, match="run the index command"):
        Index.open(tmp_path, MADE_FROM)


def test_a_folder_that_may_no_longer_be_written_gives_the_error_that_ended_the_build(tmp_path, monkeypatch):
    def refuse(*names, **options):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(OSError, match="no room"), monkeypatch.context() as changed, make_aside(tmp_path) as aside:
        for name in ("rmdir", "unlink"):
            changed.setattr(os, name, refuse)
        (aside / "vectors").mkdir()
        raise OSError("no room")
    assert [path.name.startswith(".building-") for path in tmp_path.iterdir()] == [True]
    with make_aside(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1, "the next build clears what was left"
