"""The index of one method: Annoy proposes, exact Euclidean distances decide.

On disk, in one directory, named by a manifest that is replaced last (a killed build leaves the former index whole):

    vectors-<hash>.npy, rows-<hash>.npy      the merged part, in the order of the Annoy items
    trees-<hash>.ann                         Annoy over the merged part's principal directions
    projection-<hash>.npy                    these directions; none where the vectors are short
    tail_vectors-….npy, tail_rows-….npy      cases added since, searched exactly
    manifest.json                            dimension, metric, count, seed, trees, search_k, recall, hashes

Annoy can neither add nor delete. A removed case is a tombstone (the caller passes its row as excluded), a new one joins
the tail; `update` merges both into a fresh build once either exceeds a tenth of the merged part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.files import PathLike
from icbir_core.retrieval import index_files
from icbir_core.retrieval.annoy_trees import METRIC, TreeSource, choose_trees, find_directions, load_trees, propose
from icbir_core.retrieval.exact import compute_squared_norms, find_nearest, measure_distances, order_nearest
from icbir_core.retrieval.probes import RECALL_TARGET
from icbir_core.retrieval.proposing import ProposingIndex
from icbir_core.retrieval.search_index import MERGE_SHARE, Eligible, Found
from icbir_core.types import Progress

FEW_ELIGIBLE = 50_000
SMALL_SHARE = 0.2
MERGED_FILES = ("vectors.npy", "rows.npy", "norms.npy", "trees.ann", "projection.npy")
TAIL_NAMES = ("tail_vectors", "tail_rows")


class Index(ProposingIndex):
    """Annoy proposes. Read-only once open."""

    proposer = "annoy"

    def __init__(self, directory: PathLike, manifest: Mapping[str, Any]):
        super().__init__(directory, manifest)
        files = self.manifest["files"]
        self._vectors = self._load(files["vectors"])
        self._rows = np.asarray(self._load(files["rows"]))
        self._tail_vectors = self._load(files["tail_vectors"]) if "tail_vectors" in files else self._vectors[:0]
        self._tail_rows = np.asarray(self._load(files["tail_rows"])) if "tail_rows" in files else self._rows[:0]
        self._norms = np.asarray(self._load(files["norms"]))
        self._tail_norms = compute_squared_norms(self._tail_vectors)
        projection = np.asarray(self._load(files["projection"])) if "projection" in files else None
        self._source = TreeSource(self._vectors, projection)
        self._trees = load_trees(self.directory / files["trees"]["name"], self._source.dimension)
        if self._trees.get_n_items() != len(self._rows):
            raise IndexMismatch(
                f"{files['trees']['name']} holds {self._trees.get_n_items()} items instead of {len(self._rows)}; "
                "run the index command again."
            )
        self.rows = np.concatenate([self._rows, self._tail_rows])
        self._position_of = np.full(int(self.rows.max()) + 1 if len(self.rows) else 0, -1, dtype=np.int64)
        self._position_of[self.rows] = np.arange(len(self.rows))

    def _load(self, entry: Mapping[str, Any]) -> np.ndarray:
        found: np.ndarray = np.load(self.directory / entry["name"], mmap_mode="r")
        return found

    # ------------------------------------------------------------------------------------------ what it holds

    @property
    def tail(self) -> int:
        """Number of cases that are not yet in the Annoy file."""
        return len(self._tail_rows)

    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        """The embeddings float32 (R, D) of catalogue rows. Raises `RetrievalError` for a row that is not indexed."""
        positions = self._find_positions(np.atleast_1d(np.asarray(rows, dtype=np.int64)))
        if (positions < 0).any():
            missing = np.atleast_1d(rows)[positions < 0]
            raise RetrievalError(f"Catalogue row {missing[0]} is not indexed; run the index command.")
        return self._take(positions)

    def _find_positions(self, rows: np.ndarray) -> np.ndarray:
        """Positions (merged part, then tail) of catalogue rows; −1 where a row is not indexed."""
        positions = np.full(len(rows), -1, dtype=np.int64)
        inside = (rows >= 0) & (rows < len(self._position_of))
        positions[inside] = self._position_of[rows[inside]]
        return positions

    def _take(self, positions: np.ndarray) -> np.ndarray:
        result = np.empty((len(positions), self.dimension), dtype=np.float32)
        merged = positions < len(self._rows)
        result[merged] = self._vectors[positions[merged]]
        result[~merged] = self._tail_vectors[positions[~merged] - len(self._rows)]
        return result

    # ------------------------------------------------------------------------------------------------ search

    def _are_few(self, number: int, k: int, eligible: Eligible | None) -> bool:
        """A filter leaves at most 50,000 cases, or less than a fifth."""
        filtered = eligible is not None and eligible.filtered
        return filtered and (number <= FEW_ELIGIBLE or number < SMALL_SHARE * len(self.rows))

    def _search(self, vector: np.ndarray, k: int, mask: np.ndarray | None, propose: bool, few: bool) -> Found:
        if propose:
            return Found(*self._search_annoy(vector, k, mask), "annoy+tail" if self.tail else "annoy")
        return Found(*self._search_exactly(vector, k, mask), "exact (few eligible)" if few else "exact")

    def _make_mask(self, eligible: Eligible | None) -> np.ndarray | None:
        """True where a position may be returned; None if all may."""
        if eligible is None:
            return None
        positions = self._find_positions(np.asarray(eligible.rows, dtype=np.int64))
        mask = np.zeros(len(self.rows), dtype=bool)
        mask[positions[positions >= 0]] = True
        return None if mask.all() else mask

    def _search_exactly(self, vector: np.ndarray, k: int, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        merged = len(self._rows)
        positions = None if mask is None else np.flatnonzero(mask[:merged])
        found, _ = find_nearest(self._vectors, self._norms, vector, k, positions)
        return self._rank(vector, k, np.concatenate([found, self._search_tail(vector, k, mask)]))

    def _search_annoy(self, vector: np.ndarray, k: int, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        merged = len(self._rows)
        allowed = merged if mask is None else int(mask[:merged].sum())
        wanted = min(k, allowed)
        # where only a share may be returned, look further from the start; a fair guess, doubled until it suffices
        share = max(allowed / merged, 1e-9) if merged else 1.0
        reach = int(self.manifest.get("reach", 1))
        kept = min(reach * wanted + 16, allowed)
        number, search_k = int(np.ceil(kept / share)), int(np.ceil(self.manifest["search_k"] / share))
        found, projected = np.empty(0, np.int64), self._source.project(vector)
        while wanted:
            number = min(number, merged)
            found = propose(self._trees, projected, number, max(search_k, number))
            found = found if mask is None else found[mask[found]]
            if len(found) >= kept:
                break
            if number == merged:  # every item was asked for and Annoy still held some back
                return self._search_exactly(vector, k, mask)
            number, search_k = number * 2, search_k * 2
        return self._rank(vector, k, np.concatenate([found[:kept], self._search_tail(vector, k, mask)]))

    def _search_tail(self, vector: np.ndarray, k: int, mask: np.ndarray | None) -> np.ndarray:
        merged = len(self._rows)
        allowed = None if mask is None else np.flatnonzero(mask[merged:])
        return find_nearest(self._tail_vectors, self._tail_norms, vector, k, allowed)[0] + merged

    def _rank(self, vector: np.ndarray, k: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distances = measure_distances(self._take(positions), np.arange(len(positions)), vector, self.rounding)
        order = order_nearest(distances, self.rows[positions], k)
        return self.rows[positions][order], distances[order]

    # ------------------------------------------------------------------------------------- build, update, open

    @classmethod
    def build(
        cls,
        directory: PathLike,
        vectors: Any,
        rows: np.ndarray,
        made_from: Mapping[str, str],
        seed: int = 20200629,
        recall_target: float = RECALL_TARGET,
        progress: Progress | None = None,
    ) -> Index:
        """Write a fresh index of `vectors` (N, D), any array that can be sliced, with their catalogue rows int64 (N,).

        made_from: hashes of what the vectors came from, "model" and "catalogue" at least; kept in the manifest and
        compared by `open`. Raises `IndexMismatch` if a vector is not finite, a row repeats, or shapes disagree.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(vectors.shape) != 2 or len(rows) != len(vectors) or len(rows) == 0:
            raise IndexMismatch(
                f"Expected N ≥ 1 vectors (N, D) with N rows, got shapes {tuple(vectors.shape)} and {rows.shape}; "
                "give one row per vector."
            )
        if len(np.unique(rows)) != len(rows):
            raise IndexMismatch("A catalogue row stands twice; give every row one vector.")
        directory = Path(directory)
        with index_files.make_aside(directory) as aside:
            index_files.copy_vectors(vectors, rows, aside / "vectors.npy", progress)
            mapped = np.load(aside / "vectors.npy", mmap_mode="r")
            norms = compute_squared_norms(mapped)
            np.save(aside / "rows.npy", rows)
            np.save(aside / "norms.npy", norms)
            source = TreeSource(mapped, find_directions(mapped, seed))
            if source.projection is not None:
                np.save(aside / "projection.npy", source.projection)
            choice = choose_trees(source, aside / "trees.ann", seed, recall_target, progress=progress)
            manifest = choice.recall.as_dict() | {
                "format": index_files.FORMAT,
                "kind": "annoy",
                "metric": METRIC,
                "dimension": int(vectors.shape[1]),
                "count": len(rows),
                "seed": seed,
                "trees": choice.trees,
                "search_k": choice.search_k,
                "reach": choice.reach,
                "made_from": dict(made_from),
                "files": {
                    Path(name).stem: index_files.adopt_file(directory, aside / name)
                    for name in MERGED_FILES
                    if (aside / name).exists()
                },
            }
        return cls(directory, index_files.publish_manifest(directory, manifest))

    @classmethod
    def update(
        cls, directory: PathLike, vectors: Any, rows: np.ndarray, removed: np.ndarray, made_from: Mapping[str, str],
        progress: Progress | None = None,
    ) -> Index:  # fmt: skip
        """Bring the index at `directory` to the given vectors and rows, with as little work as is sound.

        vectors (N, D) and rows (N,) are all that should be found, removed ones included; removed: rows marked removed.
        Cases not yet indexed become the tail; a fresh build (without the removed) follows when there is no index, it
        was made by other models, or tail or tombstones exceed a tenth of the merged part.
        """
        directory = Path(directory)
        rows, removed = np.asarray(rows, dtype=np.int64), np.asarray(removed, dtype=np.int64)
        kept = np.flatnonzero(~np.isin(rows, removed))
        try:
            # rows keep their vectors as the catalogue grows, but not under another model of any kind
            former = cls.open(directory, {name: value for name, value in made_from.items() if name != "catalogue"})
        except IndexMismatch:
            former = None
        merged = former._rows if former else np.empty(0, np.int64)
        tail = kept[~np.isin(rows[kept], merged)]
        dead = np.isin(merged, removed).sum() + (~np.isin(merged, rows)).sum()
        if former is None or max(len(tail), dead) > MERGE_SHARE * len(merged) or (~np.isin(merged, rows)).any():
            return cls.build(directory, index_files.Selection(vectors, kept), rows[kept], made_from, progress=progress)
        manifest = dict(former.manifest) | {"count": len(merged) + len(tail), "made_from": dict(made_from)}
        files = {name: entry for name, entry in manifest["files"].items() if not name.startswith("tail_")}
        if len(tail):
            with index_files.make_aside(directory) as aside:
                index_files.copy_vectors(index_files.Selection(vectors, tail), rows[tail], aside / "tail_vectors.npy")
                np.save(aside / "tail_rows.npy", rows[tail])
                files |= {name: index_files.adopt_file(directory, aside / f"{name}.npy") for name in TAIL_NAMES}
        manifest["files"] = files
        return cls(directory, index_files.publish_manifest(directory, manifest))

    @classmethod
    def open(cls, directory: PathLike, expected: Mapping[str, str] | None = None) -> Index:
        """Open the index for searching.

        expected: hashes that `made_from` must hold ("model", "catalogue"). Raises `IndexMismatch` by name if there is
        no manifest, the metric, a hash, a file's size, shape or content is not what the manifest says.
        """
        facts = {"kind": "annoy", "metric": METRIC}
        return index_files.open_index(
            Path(directory), facts, expected or {}, lambda found: cls._open_files(Path(directory), found)
        )

    @classmethod
    def _open_files(cls, directory: Path, manifest: Mapping[str, Any]) -> Index:
        dimension = int(manifest["dimension"])
        for name in ("vectors", "tail_vectors"):
            if name in manifest["files"]:
                shape = np.load(directory / manifest["files"][name]["name"], mmap_mode="r").shape
                if len(shape) != 2 or shape[1] != dimension:
                    raise IndexMismatch(
                        f"Expected vectors of dimension {dimension}, got shape {shape} in {name}; "
                        "run the index command again."
                    )
        return cls(directory, manifest)

    def verify(self) -> None:
        """Hash every file, whatever its size. Raises `IndexMismatch`."""
        index_files.check_files(self.directory, self.manifest, None)
