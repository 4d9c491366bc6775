"""A workspace of many cases for measurements: true films with what the networks computed of them, and copies of them.

    icbir demo FOLDER
    python -m benchmarks.filled_workspace FOLDER --cases 100000

Takes a workspace whose films are indexed and fills it up in place. A copy is another case of another patient: its row
of the catalogue, its film (another name of the same file where the drive has such), and, in every store, its values.
The map, the probabilities and the region features are those of the true film. The vectors that a search compares are
the true ones with a seeded difference of a tenth of each number's standard deviation over the true films, so that no
two cases lie at the same place. Then `index` runs as for any workspace. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.film_places import FOLDER
from icbir_core.catalogue.storing import name_image
from icbir_core.retrieval import index_workspace as indexing
from icbir_core.retrieval.methods import ENCODERS, FEATURES, SALIENCY_FEATURES
from icbir_core.retrieval.neighbours import measure_neighbours
from icbir_core.retrieval.store import CaseStore
from icbir_core.types import Case

SOURCE, BLOCK, DIFFERENCE = "copy", 1000, 0.1
SAMPLE = 50
"""Cases whose nearest neighbour is measured, in place of 1,000: each has some hundreds of the same picture, which are
no neighbours and are all found first."""
COMPARED = (FEATURES, SALIENCY_FEATURES, ENCODERS)


def fill(workspace: Workspace, count: int, methods: Sequence[str]) -> None:
    """Add copies until the catalogue holds `count` cases, then index it."""
    true = [case for case in workspace.catalogue.cases() if case.source != SOURCE]
    stores = [CaseStore.open(path.parent) for path in sorted(workspace.path.glob("*/**/*.zarr/zarr.json"))]
    values = [{name: store.read(name, np.arange(len(true))) for name in store.names} for store in stores]
    for start in range(len(true), count, BLOCK):
        # blocks have fixed bounds, so that a run that goes on draws the same differences
        rows = np.arange(start, min(start + BLOCK, count))
        known = workspace.catalogue.count(include_removed=True)
        if lacking := [int(row) for row in rows if row >= known]:
            workspace.catalogue.add([copy_case(workspace, true[row % len(true)], row) for row in lacking])
        for number, (store, held) in enumerate(zip(stores, values, strict=True)):
            if not np.isin(rows, store.get_completed()).all():
                store.write(rows, vary(held, rows, np.random.default_rng([start, number])))
        print(f"{rows[-1] + 1} of {count} cases", file=sys.stderr, flush=True)
    record_catalogue(workspace)
    indexing.measure_neighbours = lambda *given: measure_neighbours(*given[:-1], min(SAMPLE, given[-1]))
    indexing.index_workspace(workspace, methods=methods, progress=tell)


def copy_case(workspace: Workspace, case: Case, row: int) -> dict[str, Any]:
    """The columns of a copy, whose film is there by then."""
    name = f"{case.case_id}-{row:06d}"
    path = f"{FOLDER}/{name_image(name)}"
    (workspace.path / path).unlink(missing_ok=True)
    try:
        os.link(workspace.path / case.path, workspace.path / path)
    except OSError:
        shutil.copyfile(workspace.path / case.path, workspace.path / path)
    same = ("sha256", "pixel_sha256", "stored_sha256", "view", "age", "sex", "report", "diagnosis")
    kept = {column: getattr(case, column) for column in (*same, "orientation_verified")}
    findings = {finding: state.value for finding, state in case.findings.items() if state.known}
    own = {"case_id": name, "path": path, "patient": workspace.hash_patient(name), "source": SOURCE}
    return kept | own | {"findings": findings}


def vary(held: dict[str, np.ndarray], rows: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """The values of copies; held : those of the true films."""
    found = {name: values[rows % len(values)] for name, values in held.items()}
    for name in COMPARED:
        if name in found:
            noise = draw.standard_normal(found[name].shape, np.float32)
            found[name] = found[name] + DIFFERENCE * held[name].std(axis=0) * noise
    return found


def tell(done: int, total: int, text: str) -> None:
    """A line of an indexing, now and then."""
    if done in (0, total) or done % 20_000 == 0:
        print(f"{text}: {done} of {total}", file=sys.stderr, flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--methods", nargs="+", default=["encoders_centred"])
    given = parser.parse_args()
    fill(Workspace.open(given.workspace), given.cases, given.methods)


if __name__ == "__main__":
    main()
