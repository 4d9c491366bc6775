"""Shared work without networks: a case is described by its thumbnail, and what is computed is noted in a file.

    python -m tests.helpers.fake_work WORKSPACE --silence 1 --pause 0.2

is a worker of a process of its own that computes in this way, until no job is left.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from sqlalchemy import text

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.cli.dividing import divide
from icbir_core.database import find_engine
from icbir_core.evaluation import parts
from icbir_core.jobs import cluster, queue, units
from icbir_core.retrieval.devices import Part, checking_device
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.index_report import IndexReport
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import TargetFiles, get_catalogue_sha256
from icbir_core.settings import InputSettings

TARGET = "Effusion"
UNTOLD = {"tail": 0, "recall_at_10": 1.0}


class FakeFilling:
    """As `retrieval.filling.Filling`. kind : of its device; off : added to every value, as another device might, or
    other networks. model : the name of the networks."""

    pause, kind, off, model, target, started_anew = 0.0, "cpu", 0.0, "thumbnails", TARGET, False

    def __init__(self, workspace: Workspace):
        self.workspace, self.kind, self.off = workspace, self.kind, self.off  # as networks stay in memory
        with workspace.lock("stores"):
            path, made_by = TargetFiles(workspace, TARGET).store, {"model": self.model}
            fields = {"cnn": ((64,), "float32")}
            self.store, _ = CaseStore.open_or_create(path, made_by, fields, workspace.films_address)
        self.stores = (self.store,)
        self.parts = [Part(self.store, lambda rows: (rows, self.compute(rows)))]

    def make_room(self, count: int) -> None:
        self.store.grow(count)

    def list_lacking(self, rows: np.ndarray) -> np.ndarray:
        return np.setdiff1d(rows, self.store.get_completed())

    def compute(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        films = [read_case_radiograph(self.workspace, one).pixels for one in self.workspace.catalogue.cases(rows)]
        small = [cv2.resize(one, (8, 8), interpolation=cv2.INTER_AREA).ravel() for one in films]
        return {"cnn": np.array(small, np.float32) + self.off}

    def fill(self, cases) -> int:
        rows = np.array([case.row for case in cases], np.int64)
        if len(rows):
            note(self.workspace, "begun", rows)
            time.sleep(self.pause)
            with checking_device(self.workspace, self.kind, self.parts):
                self.store.write(rows, self.compute(rows))
            note(self.workspace, "written", rows)
        return len(rows)


def note(workspace: Workspace, word: str, rows: np.ndarray) -> None:
    with open(find_notes(workspace), "a") as file:
        file.write(f"{word} {' '.join(map(str, rows))}\n")


def find_notes(workspace: Workspace) -> Path:
    return workspace.path.with_name(f"{workspace.path.name}.notes")


def read_notes(workspace: Workspace, word: str) -> list[int]:
    """The rows that were noted with a word, in the order of noting."""
    file = find_notes(workspace)
    lines = [line.split() for line in file.read_text().splitlines()] if file.is_file() else []
    return [int(row) for first, *rows in lines if first == word for row in rows]


def count_ends(workspace: Workspace) -> list[tuple[str, int]]:
    """(task, how often it succeeded) of every job."""
    query = text(
        "SELECT task_name, count(*) FILTER (WHERE type = 'succeeded') FROM procrastinate_jobs j "
        "JOIN procrastinate_events e ON e.job_id = j.id GROUP BY j.id, task_name ORDER BY j.id"
    )
    with find_engine(workspace.database_schema).connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def build(bench: units.Bench, plan: units.IndexPlan) -> IndexReport:
    """A true index of Annoy over the thumbnails, recorded as an indexing records it."""
    workspace, files = bench.workspace, TargetFiles(bench.workspace, TARGET)
    store, catalogue = bench.open(plan).store, get_catalogue_sha256(bench.workspace)
    rows = store.get_completed()
    workspace.record_artefact(files.get_store_name(), {"path": store.seal()})
    made_from = {"model": "thumbnails", "catalogue": catalogue}
    vectors = store.view("cnn", rows)
    index = Index.update(files.get_index("cnn"), vectors, rows, np.empty(0, np.int64), made_from, lambda *_: None)
    facts = {"cnn": {"count": len(rows), "sha256": index.sha256}}
    workspace.record_artefact(
        files.name, {"catalogue": catalogue, "models": {"classifier": "thumbnails"}, "methods": facts, "order": 0}
    )
    return IndexReport(TARGET, 0, len(rows), False, False, indexes={"cnn": facts["cnn"] | UNTOLD})


class FakeTarget:
    """As `retrieval.opened_target.OpenedTarget`: a film's features are the mean of its image, and none is stored."""

    target, map_method, pause = TARGET, "deep_taylor", 0.0

    def __init__(self, workspace: Workspace):
        classifier = SimpleNamespace(input_settings=InputSettings(size=32, equalise=False))
        self.workspace, self.embedder = workspace, self
        self.models = SimpleNamespace(identity={"model": "means"}, encoders=(), classifier=classifier,
                                      saliency_classifier=None, predictor=SimpleNamespace(encoders=()))  # fmt: skip
        rows = np.arange(workspace.catalogue.count())
        self.store = SimpleNamespace(names=(), get_completed=lambda: rows)

    def embed(self, images: np.ndarray) -> SimpleNamespace:
        note(self.workspace, "begun", np.arange(len(images)))
        time.sleep(self.pause)
        means = images.mean(axis=(1, 2))[:, None]
        return SimpleNamespace(to_fields=lambda: {"cnn": means})


def evaluate(words: list[str]) -> int:
    """What the command `evaluate` asks for of the cases, without its statistics."""
    divided = divide(words)
    assert isinstance(divided, parts.EvaluationInParts)
    source = parts.VectorSource(FakeTarget(divided.workspace), divided.workspace.path / parts.VECTORS)
    source.get(parts.collect_indexed(divided.workspace, source.opened), "cnn")
    note(divided.workspace, "evaluated", np.zeros(1, int))
    return 0


def use(patch) -> None:
    """Let units of this process compute so. patch(object, name, value) puts a value in the place of another."""
    patch(units.Bench, "load", lambda bench, plan: FakeFilling(bench.workspace))
    patch(units, "build_indexes", build)
    patch(queue, "build_indexes", build)
    patch(cluster, "build_indexes", build)
    patch(parts, "open_target", lambda workspace, options: FakeTarget(workspace))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace")
    parser.add_argument("--silence", type=float, default=30.0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--wait", action="store_true")
    given = parser.parse_args()
    use(setattr)
    FakeFilling.pause = FakeTarget.pause = given.pause
    print(os.getpid(), flush=True)
    queue.Queue(Workspace.open(given.workspace)).work(None, "auto", given.wait, given.silence, evaluate, divide)


if __name__ == "__main__":
    main()
