"""What every engine that holds vectors does alike: Annoy with exact search, and pgvector in a database."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.retrieval import vector_index
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.search_index import Eligible
from icbir_core.retrieval.vector_index import VectorIndex
from tests.helpers.postgres import create_empty_database

MADE_FROM = {"model": "m" * 64, "catalogue": "c" * 64}
DIMENSION, NUMBER = 24, 3000
NOTHING = np.empty(0, np.int64)


def make_vectors(number: int, seed: int, unit: bool = False) -> np.ndarray:
    centres = np.random.default_rng(100).normal(size=(20, DIMENSION))
    generator = np.random.default_rng(seed)
    found = centres[generator.integers(20, size=number)] + 0.5 * generator.normal(size=(number, DIMENSION))
    found = found / np.linalg.norm(found, axis=1, keepdims=True) if unit else found
    return found.astype(np.float32)


@pytest.fixture(scope="module", params=["annoy", "pgvector"])
def engine(request):
    """The class of an engine; of pgvector with a database of its own."""
    if request.param == "annoy":
        yield Index
        return
    server = request.getfixturevalue("vector_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICBIR_DATABASE_URL", create_empty_database(server))
        patch.setattr(vector_index, "SAMPLE", 50)
        yield VectorIndex


@pytest.fixture(scope="module", params=["euclidean", "cosine"])
def cases(request) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with their rows, some of them equal; by cosine they have length 1, as the centred features have."""
    vectors = make_vectors(NUMBER, 0, request.param == "cosine")
    vectors[50:60] = vectors[40]
    return vectors, np.random.default_rng(1).permutation(5000)[:NUMBER]


@pytest.fixture(scope="module")
def index(engine, cases, tmp_path_factory):
    return engine.update(tmp_path_factory.mktemp("index"), *cases, NOTHING, MADE_FROM)


def rank_slowly(vectors, rows, query, k, allowed=None) -> list[int]:
    """By cosine where all are of length 1, else by distance, in double precision; equal ones by row."""
    kept = np.arange(len(rows)) if allowed is None else np.flatnonzero(np.isin(rows, allowed))
    one, other = vectors[kept].astype(np.float64), np.float64(query)
    far = np.sqrt(((one - other) ** 2).sum(axis=1))
    if np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5):
        far = 1 - one @ other / np.linalg.norm(one, axis=1) / np.linalg.norm(other)
    return rows[kept][np.lexsort((rows[kept], np.round(far, 9)))][:k].tolist()


@pytest.mark.parametrize("share", [1.0, 0.1, 0.01, 0.001])
def test_rankings_are_the_exact_ones_and_as_long_as_asked_under_every_filter(index, cases, share):
    vectors, rows = cases
    allowed = np.sort(np.random.default_rng(5).permutation(rows)[: max(int(share * NUMBER), 2)])
    eligible = None if share == 1.0 else Eligible(allowed, NUMBER, filtered=True)
    unit = bool(np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5))
    shared = []
    for query in make_vectors(30, 9, unit):
        expected = rank_slowly(vectors, rows, query, 10, allowed)
        exact = index.search(query, 10, eligible, "exact")
        assert exact.rows.tolist() == expected and exact.route == "exact"
        np.testing.assert_array_equal(index.measure(query, exact.rows), exact.distances)
        found = index.search(query, 10, eligible)
        assert len(found.rows) == min(10, len(allowed)) and (np.diff(found.distances) >= 0).all()
        assert np.isin(found.rows, allowed).all()
        shared.append(len(set(found.rows) & set(expected)) / len(expected))
    assert np.mean(shared) >= 0.97
    assert share > 0.01 or (np.mean(shared) == 1.0 and found.route == "exact (few eligible)")


def test_the_insisted_route_is_as_long_as_asked_where_few_pass(index, cases):
    """Proposals that the filter takes away must not shorten an answer."""
    vectors, rows = cases
    allowed = np.sort(rows[np.random.default_rng(2).permutation(NUMBER)[:30]])
    route = "annoy" if isinstance(index, Index) else "hnsw"
    for query in vectors[100:110]:
        found = index.search(query, 20, Eligible(allowed, NUMBER, filtered=True), route)
        assert found.rows.tolist() == rank_slowly(vectors, rows, query, 20, allowed)


def test_other_films_of_the_patient_never_come_back_and_the_rest_moves_up(index, cases):
    vectors, rows = cases
    first = index.search(vectors[7], 8, route="exact").rows
    rest = Eligible(np.setdiff1d(rows, first[:3]), NUMBER)
    assert index.search(vectors[7], 5, rest).rows.tolist() == first[3:8].tolist()
    assert index.search(vectors[7], 5, rest, "exact").rows.tolist() == first[3:8].tolist()


def test_equal_cases_come_in_the_order_of_their_rows(index, cases):
    vectors, rows = cases
    same = sorted(rows[[40, *range(50, 60)]].tolist())
    for route in ("auto", "exact"):
        found = index.search(vectors[40], 11, route=route)
        assert found.rows.tolist() == same and not found.distances.any()


def test_no_eligible_case_is_an_empty_answer(index, cases):
    for eligible in (Eligible(NOTHING, NUMBER, True), Eligible(np.array([99_999]), NUMBER, True)):
        for route in ("auto", "exact"):
            found = index.search(cases[0][0], 5, eligible, route)
            assert len(found.rows) == 0 and len(found.distances) == 0


def test_vectors_come_back_as_they_were(index, cases):
    vectors, rows = cases
    np.testing.assert_array_equal(index.get_vectors(rows[[5, 3, 5]]), vectors[[5, 3, 5]])
    assert sorted(index.rows) == sorted(rows)
    with pytest.raises(RetrievalError, match="4999999 is not indexed"):
        index.get_vectors(np.array([4_999_999]))


def test_what_cannot_be_asked_or_stored_is_refused_by_name(index, cases, engine, tmp_path):
    vectors, rows = cases
    with pytest.raises(IndexMismatch, match="dimension 24"):
        index.search(vectors[0][:5], 3)
    with pytest.raises(IndexMismatch, match="NaN"):
        index.search(np.full(DIMENSION, np.nan, "f4"), 3)
    with pytest.raises(RetrievalError, match="fast"):
        index.search(vectors[0], 3, route="fast")
    spoilt = vectors[:20].copy()
    spoilt[7, 3] = np.nan
    with pytest.raises(IndexMismatch, match="row 107"):
        engine.update(tmp_path / "spoilt", spoilt, np.arange(100, 120), NOTHING, MADE_FROM)


def test_the_manifest_says_what_it_was_made_from_and_how_good_it_is(index, engine):
    assert index.manifest["recall_at_10"] >= 0.99 and index.manifest["count"] == NUMBER
    assert engine.open(index.directory, MADE_FROM).sha256 == index.sha256
    index.verify()
    with pytest.raises(IndexMismatch, match="made from the model"):
        engine.open(index.directory, {"model": "x" * 64})


def test_new_cases_are_found_and_removed_ones_leave(engine, tmp_path):
    vectors = make_vectors(1300, 3)
    engine.update(tmp_path, vectors[:1000], np.arange(1000), NOTHING, MADE_FROM)
    former = engine.open(tmp_path, MADE_FROM)
    grown = engine.update(tmp_path, vectors[:1050], np.arange(1050), NOTHING, MADE_FROM | {"catalogue": "d" * 64})
    found = grown.search(vectors[1049], 3)
    assert (found.rows[0], found.distances[0]) == (1049, 0.0) and grown.manifest["count"] == 1050
    assert 1049 not in former.search(vectors[1049], 3).rows, "what is open stays as it was"
    with pytest.raises(IndexMismatch, match="made from the catalogue"):
        engine.open(tmp_path, MADE_FROM)
    fewer = engine.update(tmp_path, vectors[:1200], np.arange(1200), np.arange(150), MADE_FROM)
    assert not np.isin(np.arange(150), fewer.rows).any() and len(fewer.rows) == 1050
    again = engine.update(tmp_path, vectors[:1200], np.arange(1200), NOTHING, MADE_FROM)
    assert again.search(vectors[5], 1).rows[0] == 5
