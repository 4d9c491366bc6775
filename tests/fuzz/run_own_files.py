"""Damage to the project's own files without end: reading them must give values or one named sentence.

    python -m tests.fuzz.run_own_files FOLDER [--inputs 100000] [--seconds S] [--seed 1]

A small workspace is made here, without a network: catalogue, ratings, centre, distances, store, both kinds of index, a
study's export, manifest and films. Each damage changes one file (bits turned, bytes set, put in or cut out, cut short,
emptied, swapped with another file, removed), reads it as the program does, and puts it right again. FOLDER gets
`own_files.json`; a later run goes on where it stopped. Ends with 1 if anything but a named error came out.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults import store_study
from icbir_core.catalogue.table import Catalogue
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_core.radiograph import read_radiograph
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.neighbours import read_neighbours, write_neighbours
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.structural_similarity import StructuralSimilarityIndex
from icbir_core.study.exchange import import_study
from icbir_core.study.store import RatingsStore
from tests.fuzz.long_run import go_on, run_command
from tests.fuzz.mutations import change_bytes
from tests.fuzz.seeds import list_seeds

CASES = 40


def make_workspace(folder: Path) -> dict[str, Callable[[], object]]:
    """The workspace in `folder`; file's path below it → what reads that file as the program does."""
    generator = np.random.default_rng(0)
    workspace = Workspace.create(folder)
    records = [
        {"case_id": str(i), "path": f"images/{i}.png", "sha256": "a" * 64, "pixel_sha256": f"{i:064d}", "age": i,
         "findings": {"Effusion": "present"}, "report": "words " * 20} for i in range(CASES)
    ]  # fmt: skip
    workspace.catalogue.add(records)
    workspace.catalogue.close()
    workspace.record_artefact("catalogue", {"sha256": "a" * 64, "cases": CASES})
    (workspace.images / "1.png").write_bytes(list_seeds()[0][1])
    vectors, rows = generator.normal(size=(CASES, 8)).astype("f4"), np.arange(CASES)
    Index.build(folder / "annoy", vectors, rows, {"model": "m", "catalogue": "c"})
    images = generator.random((CASES, 64, 64)).astype("f2")
    StructuralSimilarityIndex.update(folder / "ssim", images, rows, np.empty(0, int), {"model": "m"})
    Centre.measure([vectors], {"model": "m"}).save(folder)
    write_neighbours(folder, "hash", np.arange(9.0))
    store = CaseStore.create(folder / "store.zarr", {"model": "m"}, {"maps": ((4, 4), "f2"), "cnn": ((8,), "f4")})
    store.write(rows, {"maps": np.ones((CASES, 4, 4)), "cnn": vectors})
    store.seal()
    store_study(folder / "ratings.db", folder / "study.zip")
    for left in folder.glob("ratings.db-*"):
        left.unlink()
    readers: dict[str, Callable[[], object]] = {
        "manifest.json": lambda: [Workspace.open(folder).check_artefact(name) for name in ("catalogue",)],
        "patients.salt": lambda: Workspace.open(folder).hash_patient("17"),
        "catalogue.db": lambda: _read_catalogue(folder / "catalogue.db"),
        "ratings.db": lambda: _read_ratings(folder / "ratings.db"),
        "study.zip": lambda: _import_study(folder),
        "centre.npz": lambda: Centre.open(folder, {"model": "m"}).transform(vectors),
        "neighbours.npz": lambda: read_neighbours(folder, "hash"),
        "images/1.png": lambda: read_radiograph(folder / "images" / "1.png"),
    }
    for kind, index in (("annoy", Index), ("ssim", StructuralSimilarityIndex)):
        for file in (folder / kind).iterdir():
            readers[f"{kind}/{file.name}"] = lambda index=index, kind=kind: index.open(folder / kind).rows
    for file in (folder / "store.zarr").rglob("*"):
        if file.is_file():
            readers[file.relative_to(folder).as_posix()] = lambda: _read_store(folder / "store.zarr", rows)
    return readers


def _read_catalogue(path: Path) -> None:
    catalogue = Catalogue(path)
    try:
        catalogue.cases(include_removed=True), catalogue.eligible_rows(), catalogue.labels(("Effusion",))
        catalogue.sha256(), catalogue.patients(), catalogue.removed_rows(), catalogue.find_identifiers(["1"])
    finally:
        catalogue.close()


def _read_ratings(path: Path) -> None:
    store = RatingsStore.open(path)
    try:
        store.latest(), [store.find_study(name) for name in store.study_names()]
    finally:
        store.close()


def _import_study(folder: Path) -> None:
    store = RatingsStore.open("sqlite://")
    try:
        import_study(store, folder / "study.zip")
        store.latest()
    finally:
        store.close()


def _read_store(path: Path, rows: np.ndarray) -> None:
    store = CaseStore.open(path, {"model": "m"})
    store.get_completed(), store.read("maps", rows), store.read("cnn", rows[::3]), store.check()


def damage(draw: random.Random, data: bytes, others: list[bytes]) -> bytes | None:
    """The changed bytes; None for a file that is removed."""
    way = draw.random()
    if way < 0.03:
        return None
    if way < 0.06:
        return draw.choice((b"", draw.choice(others), bytes(len(data))))
    for _ in range(draw.randint(1, 3)):
        data = change_bytes(draw, data)
    return data


def run(folder: Path, inputs: int, seconds: float, seed: int) -> dict:
    """Work until `inputs` inputs are done in all, or for `seconds`; returns the state, which is in the folder too."""
    place = folder / "workspace"
    shutil.rmtree(place, ignore_errors=True)
    readers = make_workspace(place)
    originals = {file: (place / file).read_bytes() for file in readers}
    for file, read in readers.items():
        read()
        assert (place / file).read_bytes() == originals[file] or file.endswith(".db"), file
    files, contents = sorted(readers), [originals[file] for file in sorted(readers)]

    def attempt(draw: random.Random, name: str, _: Counter) -> str:
        file = draw.choice(files)
        changed = damage(draw, originals[file], contents)
        (place / file).unlink() if changed is None else (place / file).write_bytes(changed)
        try:
            readers[file]()
            came = "read"
        except IcbirError as error:
            came = "sentence" if str(error).isprintable() else "FOREIGN sentence of several lines"
        except Exception as error:
            came = f"FOREIGN {type(error).__name__} from {file.split('-')[0]}"
            (folder / f"{name}_{file.replace('/', '_')}").write_bytes(changed or b"")
        for left in place.glob("*.db-*"):
            left.unlink()
        (place / file).write_bytes(originals[file])
        return came

    state = go_on(folder / "own_files.json", attempt, inputs, seconds, seed)
    shutil.rmtree(place, ignore_errors=True)
    return state


if __name__ == "__main__":
    sys.exit(run_command(str(__doc__), run, inputs=100_000))
