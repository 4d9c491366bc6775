"""The index in a database: what is lost when a writer is killed, what a mismatch says, and which way a search goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from icbir_core import database
from icbir_core.errors import DatabaseAway, IndexMismatch, RetrievalError, UnknownNameError, WorkspaceError
from icbir_core.retrieval import vector_index, vector_tables
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.search_index import Eligible, find_engine_name, find_index_class
from icbir_core.retrieval.vector_index import VectorIndex, forget_folder
from scripts.postgres import run_postgres

MADE_FROM = {"model": "m" * 64, "catalogue": "c" * 64}
NOTHING = np.empty(0, np.int64)
PASSWORD = "a-word-of-the-tests"


def make_vectors(number: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(number, dimension)).astype(np.float32)


@pytest.fixture
def url(vector_url, monkeypatch) -> str:
    monkeypatch.setenv("ICBIR_DATABASE_URL", vector_url.replace("icbir@", f"icbir:{PASSWORD}@"))
    monkeypatch.setattr(vector_index, "SAMPLE", 20)
    return vector_url


def ask(url: str, query: str) -> list:
    with create_engine(url).begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def build(folder: Path, vectors: np.ndarray, made_from=MADE_FROM, **options) -> VectorIndex:
    return VectorIndex.update(folder, vectors, np.arange(len(vectors)), NOTHING, made_from, **options)


# A writer that stores a chunk of eight and then waits to be killed, 200 vectors in all.
WRITER = """
import sys, time
import numpy as np
from icbir_core.retrieval.vector_index import VectorIndex
vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
def tell(done, total, text):
    if done >= 96:
        print("waiting", flush=True)
        time.sleep(60)
VectorIndex.update(sys.argv[1], vectors, np.arange(200), np.empty(0, np.int64),
                   {"model": "m" * 64, "catalogue": "c" * 64}, tell, chunk=8)
"""


def test_a_killed_writer_loses_no_chunk_and_the_next_run_adds_none_twice(tmp_path, url):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "waiting\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    [(table,)] = ask(url, "SELECT name FROM icbir_vectors.indexes")
    assert ask(url, f"SELECT count(*) FROM icbir_vectors.{table}") == [(96,)]
    with pytest.raises(IndexMismatch, match="holds no index"):
        VectorIndex.open(tmp_path)
    stored = []
    index = build(tmp_path, make_vectors(200), progress=lambda done, total, text: stored.append(total))
    assert stored[0] == 104 and index.manifest["count"] == 200 and index.manifest["table"] == table
    index.verify()
    np.testing.assert_array_equal(index.get_vectors(np.arange(200)), make_vectors(200))
    whole = build(tmp_path / "whole", make_vectors(200))
    assert whole.sha256 == index.sha256, "the sum of the hashes does not know in which runs they were stored"


def test_what_the_table_holds_of_a_lost_time_is_not_taken_for_new_cases(tmp_path, url):
    """A folder that an older copy was put in the place of: the table knows cases that came after the copy."""
    vectors = make_vectors(54)
    build(tmp_path, vectors[:50])
    held = (tmp_path / "manifest.json").read_bytes()
    build(tmp_path, vectors)
    (tmp_path / "manifest.json").write_bytes(held)
    other = np.concatenate([vectors[:50], make_vectors(3, seed=9)])
    index = build(tmp_path, other)
    np.testing.assert_array_equal(index.get_vectors(np.arange(53)), other)
    assert len(index) == 53


def test_another_content_of_the_database_is_refused_by_name(tmp_path, url):
    table = build(tmp_path, make_vectors(50)).manifest["table"]
    ask(url, f"UPDATE icbir_vectors.{table} SET embedding = embedding + embedding WHERE row = 7 RETURNING row")
    with pytest.raises(IndexMismatch, match="have changed since they were stored"):
        VectorIndex.open(tmp_path).verify()
    ask(url, f"DELETE FROM icbir_vectors.{table} WHERE row = 7 RETURNING row")
    with pytest.raises(IndexMismatch, match="holds 49 of 50 vectors"):
        VectorIndex.open(tmp_path)
    ask(url, "UPDATE icbir_vectors.generations SET digest = repeat('f', 64) RETURNING name")
    with pytest.raises(IndexMismatch, match="holds other vectors"):
        VectorIndex.open(tmp_path)
    ask(url, "DELETE FROM icbir_vectors.generations RETURNING name")
    with pytest.raises(IndexMismatch, match="holds no vectors of this index"):
        VectorIndex.open(tmp_path)


def test_several_indexes_live_in_one_database_and_are_forgotten_one_by_one(tmp_path, url):
    first, second = build(tmp_path / "a", make_vectors(50)), build(tmp_path / "b", make_vectors(60, seed=1))
    assert len(first) == 50 and len(second) == 60
    other = build(tmp_path / "a", make_vectors(50, seed=2), MADE_FROM | {"model": "n" * 64})
    assert first.search(make_vectors(50)[3], 1).distances[0] == 0.0, "who has it open still searches the former"
    build(tmp_path / "a", make_vectors(50, seed=3), MADE_FROM | {"model": "o" * 64})
    with pytest.raises(IndexMismatch, match="run the index command again"):
        first.search(make_vectors(50)[3], 1)
    assert other.search(make_vectors(50, seed=2)[3], 1).distances[0] == 0.0
    assert forget_folder(tmp_path / "a") == 2 and len(second.search(make_vectors(1)[0], 5).rows) == 5


def test_the_graph_is_asked_unless_few_are_eligible_and_no_page_is_half_empty(tmp_path, url, monkeypatch):
    """The statement is looked at as the server plans it: a filter must not make it walk over the whole table."""
    vectors = make_vectors(1500, 1024)
    index = build(tmp_path, vectors)
    table = index.manifest["table"]
    [(size,)] = ask(url, f"SELECT pg_table_size('icbir_vectors.{table}')")
    assert size < 1.5 * vectors.nbytes, "stored plainly it is twice"
    plans, fetch = [], vector_tables.fetch_vectors

    def look(connection, query, values, dimension):
        with vector_tables.get_driver(connection).cursor() as cursor:
            plans.append("\n".join(line for (line,) in cursor.execute(f"EXPLAIN {query}".encode(), values)))
        return fetch(connection, query, values, dimension)

    monkeypatch.setattr(vector_tables, "fetch_vectors", look)
    half = Eligible(np.arange(0, 1500, 2), 1500, True)
    index.manifest["ef_search"] = 128  # whatever its recall on numbers without any structure
    assert index.search(vectors[4], 10, half).route == "hnsw" and f"{table}_graph" in plans[-1]
    assert index.search(vectors[4], 10).route == "hnsw" and f"{table}_graph" in plans[-1]
    few = Eligible(np.arange(0, 1500, 30), 1500, True)
    assert index.search(vectors[4], 10, few).route == "exact (few eligible)"
    assert "_pkey" in plans[-1] and "_graph" not in plans[-1]


@pytest.mark.parametrize("kind", ["wide", "large"])
def test_vectors_that_half_precision_cannot_hold_are_searched_exactly(tmp_path, url, kind):
    vectors = make_vectors(60, 4_100) if kind == "wide" else 1e6 * make_vectors(60)
    index = build(tmp_path, vectors)
    assert index.manifest["ef_search"] == 0
    found = index.search(vectors[5], 3)
    assert found.route == "exact" and found.rows[0] == 5 and found.distances[0] == 0.0


def test_a_large_vector_that_comes_later_takes_the_graph_away(tmp_path, url):
    vectors = make_vectors(400)
    assert build(tmp_path, vectors).manifest["ef_search"] > 0
    grown = build(tmp_path, np.concatenate([vectors, 1e6 * vectors[:1]]))
    assert grown.manifest["ef_search"] == 0 and grown.search(1e6 * vectors[0], 1).rows[0] == 400


def test_neither_manifest_nor_error_tells_the_password(tmp_path, url, monkeypatch):
    build(tmp_path, make_vectors(20))
    assert PASSWORD not in (tmp_path / "manifest.json").read_text()
    assert PASSWORD not in json.dumps(ask(url, "SELECT name, owner, origin FROM icbir_vectors.indexes"))
    monkeypatch.setenv("ICBIR_DATABASE_URL", f"postgresql://icbir:{PASSWORD}@127.0.0.1:9/nowhere")
    with pytest.raises(DatabaseAway, match="^The database does not answer; ") as away:
        VectorIndex.open(tmp_path)
    assert PASSWORD not in f"{away.value} {away.value.__cause__}"
    monkeypatch.setenv("ICBIR_DATABASE_URL", f"mysql://icbir:{PASSWORD}@127.0.0.1/nowhere")
    with pytest.raises(WorkspaceError, match="ICBIR_DATABASE_URL is no address") as wrong:
        VectorIndex.open(tmp_path)
    assert PASSWORD not in str(wrong.value)
    monkeypatch.delenv("ICBIR_DATABASE_URL")
    with pytest.raises(WorkspaceError, match="none is named; set ICBIR_DATABASE_URL"):
        VectorIndex.open(tmp_path)


def test_a_server_that_stops_is_one_sentence_and_comes_back(tmp_path, url, monkeypatch):
    with run_postgres() as server:
        monkeypatch.setenv("ICBIR_DATABASE_URL", server.get_url())
        index = build(tmp_path, make_vectors(20))
        server.stop()
        with pytest.raises(DatabaseAway, match="does not answer"):
            index.search(make_vectors(1)[0], 3)
        server.start([])
        assert len(index.search(make_vectors(1)[0], 3).rows) == 3
        database.find_engine().dispose()


def test_the_engine_is_the_one_asked_for_else_that_of_the_manifest(tmp_path, url, monkeypatch):
    method, own = SEARCH_METHODS["cnn_centred"], SEARCH_METHODS["ssim"]
    assert find_engine_name(method, tmp_path) == "annoy" and find_engine_name(own, tmp_path, "pgvector") is None
    build(tmp_path, make_vectors(20))
    assert find_index_class(method, tmp_path) is VectorIndex
    assert find_index_class(method, tmp_path, "annoy") is Index
    with pytest.raises(UnknownNameError, match="kind of index 'tree'"):
        find_engine_name(method, tmp_path, "tree")
    monkeypatch.setitem(sys.modules, "icbir_core.retrieval.vector_index", None)
    with pytest.raises(RetrievalError, match="pip install icbir"):
        find_index_class(method, tmp_path)
