"""The index of one method in PostgreSQL: a graph of pgvector (HNSW) proposes, exact Euclidean distances decide.

A search is one statement: the graph gives proposals that pass the filter, single precision ranks them, and the nearest
come here, where their distances are formed as everywhere else. In the folder lies a manifest alone; its hash is the sum
of what the database holds. A new case joins the table and the graph at once, so that there is no tail; a removed case
stays until a fresh build. A run that was killed has stored whole chunks, and the next one goes on behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.exc import DataError

from icbir_core.database import find_engine, reaching
from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.files import PathLike
from icbir_core.retrieval import vector_tables as tables
from icbir_core.retrieval.exact import measure_distances, order_nearest
from icbir_core.retrieval.index_files import FORMAT, Selection, open_index, publish_manifest
from icbir_core.retrieval.methods import EUCLIDEAN
from icbir_core.retrieval.probes import RECALL_AT, RECALL_TARGET, SAMPLE, Probe, Recall, make_probes, score_recall
from icbir_core.retrieval.proposing import ProposingIndex
from icbir_core.retrieval.search_index import MERGE_SHARE, Eligible, Found
from icbir_core.types import Progress

KIND = "pgvector"
CHUNK = 1_000
"""Vectors stored in one transaction."""
WIDTHS = (128, 256, 512, 1_000)
"""Values of `hnsw.ef_search` that are tried; the extension takes no more than a thousand."""
MOST_SCANNED = 200_000
"""Proposals that the graph gives up after; what it found too few of is then searched exactly."""
_MARGIN = 16
_GRAPH_MEMORY = (64, 4_096)
_MEASURED = (
    "ef_search", "measured", "recall_at_10", "recall_at_10_lower", "recall_at_10_between", "recall_checked_on"
)  # fmt: skip
_ADVICE = "run the index command again"


class VectorIndex(ProposingIndex):
    """Nearest neighbours by Euclidean distance among vectors in a database. Thread-safe; it sees the vectors that were
    there when its manifest was written, whatever is added meanwhile."""

    proposer = "hnsw"
    tail = 0
    """A new case joins the graph at once."""

    def __init__(self, directory: PathLike, manifest: Mapping[str, Any], rows: np.ndarray):
        super().__init__(directory, manifest)
        self.rows = rows
        self._table = f"{tables.SCHEMA}.{self.manifest['table']}"
        self._positions = np.zeros(int(rows.max(initial=-1)) + 1, dtype=bool)
        self._positions[rows] = True

    # ------------------------------------------------------------------------------------------------ search

    def _are_few(self, number: int, k: int, eligible: Eligible | None) -> bool:
        return number <= self.count_few(k)

    def _search(self, vector: np.ndarray, k: int, mask: np.ndarray | None, propose: bool, few: bool) -> Found:
        """By the route "hnsw", "exact", "exact (few eligible)", or "exact (graph gave too few)"."""
        with _connecting() as connection:
            if self.manifest["ef_search"] and propose:
                found, name = self._search_graph(connection, vector, k, mask), "hnsw"
                if len(found[0]) < k:
                    found, name = self._search_exactly(connection, vector, k, mask), "exact (graph gave too few)"
            else:
                found = self._search_exactly(connection, vector, k, mask)
                name = "exact (few eligible)" if few and mask is not None else "exact"
        return Found(*self._rank(vector, k, *found), name)

    def count_few(self, k: int) -> int:
        """How many eligible cases are compared one by one: the graph looks at about k·N/n to find k of n eligible among
        N, and comparing all looks at n, so that the two meet at the root of k·N; a look at the graph costs about four
        times the other."""
        return int(2 * np.sqrt((k + _MARGIN) * len(self.rows)))

    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        """The embeddings float32 (R, D) of catalogue rows. Raises `RetrievalError` for a row that is not indexed."""
        rows = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        inside = (rows >= 0) & (rows < len(self._positions))
        known = np.zeros(len(rows), dtype=bool)
        known[inside] = self._positions[rows[inside]]
        if not known.all():
            raise RetrievalError(f"Catalogue row {rows[~known][0]} is not indexed; run the index command.")
        unique, inverse = np.unique(rows, return_inverse=True)
        with _connecting() as connection:
            query = f"SELECT row, embedding FROM {self._table} WHERE row = ANY(%(rows)s) ORDER BY row"
            found, vectors = tables.fetch_vectors(connection, query, {"rows": unique.tolist()}, self.dimension)
        if len(found) < len(unique):
            missing = np.setdiff1d(unique, found)[0]
            raise IndexMismatch(f"The database lacks the vector of catalogue row {missing}; {_ADVICE}.")
        return np.asarray(vectors[inverse])

    def _make_mask(self, eligible: Eligible | None) -> np.ndarray | None:
        """True at each row that may be returned; None if all may."""
        if eligible is None:
            return None
        rows = np.asarray(eligible.rows, dtype=np.int64)
        mask = np.zeros_like(self._positions)
        mask[rows[(rows >= 0) & (rows < len(mask))]] = True
        mask &= self._positions
        return None if mask.sum() == len(self.rows) else mask

    def _search_graph(
        self, connection: Connection, vector: np.ndarray, k: int, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(rows, vectors) of the nearest k + 16 of twice as many proposals that pass."""
        number = 2 * k + _MARGIN
        width = min(WIDTHS[-1], max(int(self.manifest["ef_search"]), number))
        for name, value in (
            ("hnsw.ef_search", str(width)),
            ("hnsw.iterative_scan", "relaxed_order"),
            ("hnsw.max_scan_tuples", str(MOST_SCANNED)),
            ("hnsw.scan_mem_multiplier", "16"),
            ("enable_seqscan", "off"),  # it takes the filter for a rare one, and would walk over the whole table
        ):
            connection.exec_driver_sql("SELECT set_config(%s, %s, true)", (name, value))
        condition, values = self._make_condition(mask)
        half = f"halfvec({self.dimension})"
        query = (
            f"WITH proposed AS MATERIALIZED (SELECT row, embedding FROM {self._table} WHERE {condition} "
            f"ORDER BY embedding::{half} <-> %(query)s::vector::{half} LIMIT {number}) "
            f"SELECT row, embedding FROM proposed ORDER BY embedding <-> %(query)s::vector, row LIMIT {k + _MARGIN}"
        )
        given = values | {"query": tables.write_vector(vector)}
        return tables.fetch_vectors(connection, query, given, self.dimension)

    def _search_exactly(
        self, connection: Connection, vector: np.ndarray, k: int, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(rows, vectors) of the nearest k + 16."""
        condition, values = self._make_condition(mask)
        if mask is not None and mask.sum() <= self.count_few(k):  # by the ordinary index of the rows
            condition, values = "row = ANY(%(rows)s)", {"rows": np.flatnonzero(mask).tolist()}
        query = (
            f"SELECT row, embedding FROM {self._table} WHERE {condition} "
            f"ORDER BY embedding <-> %(query)s::vector, row LIMIT {k + _MARGIN}"
        )
        given = values | {"query": tables.write_vector(vector)}
        return tables.fetch_vectors(connection, query, given, self.dimension)

    def _make_condition(self, mask: np.ndarray | None) -> tuple[str, dict[str, Any]]:
        """Which rows count, as a condition with its values: a bit a row, whatever the filter was."""
        condition = "since <= %(generation)s"
        values: dict[str, Any] = {"generation": int(self.manifest["generation"])}
        if mask is None:
            return condition, values
        condition += " AND CASE WHEN row < %(length)s THEN get_bit(%(mask)s, row) = 1 ELSE false END"
        return condition, values | {"length": len(mask), "mask": np.packbits(mask, bitorder="little").tobytes()}

    def _rank(self, vector: np.ndarray, k: int, rows: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distances = measure_distances(vectors, np.arange(len(rows)), vector, self.rounding)
        order = order_nearest(distances, rows, k)
        return rows[order], distances[order]

    # ------------------------------------------------------------------------------------- build, update, open

    @classmethod
    def update(
        cls, directory: PathLike, vectors: Any, rows: np.ndarray, removed: np.ndarray, made_from: Mapping[str, str],
        progress: Progress | None = None, chunk: int = CHUNK,
    ) -> VectorIndex:  # fmt: skip
        """Bring the index to these vectors (N, D) and rows (N,), with as little work as is sound; see `StoredIndex`.

        A fresh table follows when there is none made from the same, or its removed rows exceed a tenth. The former
        table stays until the next fresh one, for readers who have it open. Raises `DatabaseAway`.
        """
        directory, tell = Path(directory), progress or (lambda done, total, text: None)
        directory.mkdir(parents=True, exist_ok=True)
        rows, removed = np.asarray(rows, dtype=np.int64), np.asarray(removed, dtype=np.int64)
        if len(vectors.shape) != 2 or len(rows) != len(vectors) or len(np.unique(rows)) != len(rows):
            raise IndexMismatch("Each vector needs one row of its own; give as many rows as vectors, each once.")
        kept = np.flatnonzero(~np.isin(rows, removed))
        if not len(kept):
            raise IndexMismatch("There is no case to index; add films, or restore some.")
        origin = {name: value for name, value in made_from.items() if name != "catalogue"}
        dimension, folder = int(vectors.shape[1]), str(directory.absolute())
        former = _read_manifest(directory)
        with _connecting() as connection:
            tables.prepare_schema(connection)
            table = tables.find_table(connection, folder, origin, dimension)
            generation = tables.find_last_generation(connection, table) if table else 1
            there = known = np.empty(0, np.int64)
            if table and former and former["table"] == table:
                generation = int(former["generation"]) + 1
                known = tables.read_rows(connection, table, generation - 1)
            if table:
                there = tables.read_rows(connection, table, generation)
                # a killed run left them, or one of a workspace that lay here until an older copy was put in its place
                if not _hold_same(connection, table, np.setdiff1d(there, known), vectors, rows):
                    table = None
            if table is None or (~np.isin(there, rows[kept])).sum() > MERGE_SHARE * len(there):
                table, generation, there = tables.make_table(connection, folder, origin, dimension), 1, there[:0]
            tables.begin_generation(connection, table, generation)
        missing = kept[~np.isin(rows[kept], there)]
        _fill(table, generation, Selection(vectors, missing), rows[missing], tell, chunk)
        with _connecting() as connection:
            content = tables.read_content(connection, table, generation) or tables.Content()
            found = tables.read_rows(connection, table, generation)
        manifest = {
            "format": FORMAT,
            "kind": KIND,
            "metric": EUCLIDEAN,
            "dimension": dimension,
            "count": content.count,
            "digest": content.digest,
            "table": table,
            "generation": generation,
            "made_from": dict(made_from),
            "files": {},
        }
        index = cls(directory, manifest, found)
        manifest |= index._make_graph(former, Selection(vectors, kept), rows[kept], tell)
        opened = cls(directory, publish_manifest(directory, manifest), found)
        with _connecting() as connection:
            tables.drop_tables(connection, folder, keep=2)
        return opened

    def _make_graph(
        self, former: Mapping[str, Any] | None, vectors: Any, rows: np.ndarray, tell: Progress
    ) -> dict[str, Any]:
        """Build the graph if it is not there, and choose its width by the recall that it reaches: for the manifest. One
        that has grown by less than a tenth keeps what was measured. vectors (N, D), rows (N,) : without removed."""
        table, number = str(self.manifest["table"]), len(rows)
        with _connecting() as connection:
            there = tables.has_graph(connection, table)
        measured = former["measured"] if former and former["table"] == table else 0
        if former and number <= (1 + MERGE_SHARE) * measured and (there or not former["ef_search"]):
            return {name: former[name] for name in _MEASURED}
        tell(0, 0, "building the graph of vectors")
        if not there and not _build_graph(table, self.dimension, number):
            return Recall(1.0, 1.0, 1.0, 0).as_dict() | {"ef_search": 0, "measured": number}
        tell(0, 0, "measuring the recall")
        probes = make_probes(vectors, 2 * SAMPLE, np.random.default_rng(number))
        alive = Eligible(rows, len(rows))
        for width in WIDTHS:
            self.manifest["ef_search"] = width
            if (recall := probes.reach(_measuring(self, rows, alive), RECALL_TARGET)) is not None:
                return recall.as_dict() | {"ef_search": width, "measured": number}
        # a graph that proposes too little is left alone
        return Recall(1.0, 1.0, 1.0, 0).as_dict() | {"ef_search": 0, "measured": number}

    @classmethod
    def open(cls, directory: PathLike, expected: Mapping[str, str] | None = None) -> VectorIndex:
        """Open the index for searching. Raises `IndexMismatch` if the folder's manifest and the database do not belong
        together, `DatabaseAway`."""
        facts = {"kind": KIND, "metric": EUCLIDEAN}
        return open_index(Path(directory), facts, expected or {}, lambda found: cls._open(Path(directory), found))

    @classmethod
    def _open(cls, directory: Path, manifest: Mapping[str, Any]) -> VectorIndex:
        table, generation = str(manifest["table"]), int(manifest["generation"])
        wanted = tables.Content(int(manifest["count"]), str(manifest["digest"]))
        with _connecting() as connection:
            content = tables.read_content(connection, table, generation)
            if content is None:
                raise IndexMismatch(f"The database holds no vectors of this index; {_ADVICE}.")
            if content != wanted:
                raise IndexMismatch(
                    f"The database holds other vectors ({content.count}, {content.digest[:12]}…) than this index has "
                    f"({wanted.count}, {wanted.digest[:12]}…); {_ADVICE}."
                )
            rows = tables.read_rows(connection, table, generation)
        if len(rows) != wanted.count:
            raise IndexMismatch(f"The database holds {len(rows)} of {wanted.count} vectors of this index; {_ADVICE}.")
        return cls(directory, manifest, rows)

    def verify(self) -> None:
        """Read and hash every vector. Raises `IndexMismatch`."""
        digest = tables.Content().digest
        for start in range(0, len(self.rows), CHUNK):
            part = self.rows[start : start + CHUNK]
            digest = tables.sum_hashes(digest, part, self.get_vectors(part))
        if digest != self.manifest["digest"]:
            raise IndexMismatch(f"The vectors in the database have changed since they were stored; {_ADVICE}.")


@contextmanager
def _connecting() -> Iterator[Connection]:
    """One transaction; whatever the database raises becomes `IndexMismatch` or `DatabaseAway`."""
    with reaching("The index", IndexMismatch, _ADVICE), find_engine().begin() as connection:
        yield connection


def forget_folder(directory: PathLike) -> int:
    """Take all vectors of an index's folder out of the database; how many tables went. Raises `DatabaseAway`."""
    with _connecting() as connection:
        tables.prepare_schema(connection)
        return tables.drop_tables(connection, str(Path(directory).absolute()))


def _read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of such an index; None where there is none, or one of another kind."""
    try:
        return open_index(directory, {"kind": KIND}, {}, lambda found: found)
    except IndexMismatch:
        return None


def _hold_same(connection: Connection, table: str, doubtful: np.ndarray, vectors: Any, rows: np.ndarray) -> bool:
    """Whether the table has, of these of its rows, the vectors that they have now."""
    if not np.isin(doubtful, rows).all():
        return False
    order = np.argsort(rows)
    query = f"SELECT row, embedding FROM {tables.SCHEMA}.{table} WHERE row = ANY(%(rows)s) ORDER BY row"
    for start in range(0, len(doubtful), CHUNK):
        part = doubtful[start : start + CHUNK]
        _, found = tables.fetch_vectors(connection, query, {"rows": part.tolist()}, int(vectors.shape[1]))
        wanted = Selection(vectors, order[np.searchsorted(rows, part, sorter=order)])
        if not np.array_equal(found, wanted[0 : len(part)]):
            return False
    return True


def _fill(table: str, generation: int, vectors: Selection, rows: np.ndarray, tell: Progress, chunk: int) -> None:
    """Store what is missing, a chunk a transaction."""
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        block = np.asarray(vectors[start : start + chunk], dtype=np.float32)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise IndexMismatch(
                f"The embedding of catalogue row {part[bad][0]} holds NaN or infinity; remove that case or run the "
                "index command again."
            )
        with _connecting() as connection:
            if np.abs(block).max(initial=0.0) > tables.LARGEST_HALF:  # half precision ends there: no graph
                tables.drop_graph(connection, table)
            tables.add_vectors(connection, table, generation, part, block)
        tell(min(start + chunk, len(rows)), len(rows), "storing vectors")


def _build_graph(table: str, dimension: int, number: int) -> bool:
    """Whether the graph could be built: half precision holds no number above 65,504, and a graph no longer vector."""
    if dimension > tables.WIDEST_GRAPH:
        return False
    memory = int(np.clip(number * dimension * 2 * 1.5 / 1e6, *_GRAPH_MEMORY))
    with reaching("The index", IndexMismatch, _ADVICE):
        try:
            with find_engine().begin() as connection:
                tables.build_graph(connection, table, dimension, memory)
        except DataError:
            return False
    return True


def _measuring(index: VectorIndex, rows: np.ndarray, alive: Eligible) -> Callable[[Sequence[Probe]], np.ndarray]:
    """Recall of this index on probes of the vectors that stand at these rows."""

    def measure(probes: Sequence[Probe]) -> np.ndarray:
        recalls = []
        for probe in probes:
            found = index.search(probe.vector, RECALL_AT + (probe.position >= 0), alive, "hnsw")
            own = rows[probe.position] if probe.position >= 0 else -1
            recalls.append(score_recall(probe, found.distances[found.rows != own]))
        return np.array(recalls)

    return measure
