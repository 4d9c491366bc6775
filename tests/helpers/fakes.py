"""A small stand-in for the retriever, for tests of the pages only: real films and a real catalogue, no network."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.errors import UnknownNameError
from icbir_core.radiograph.network_input import Letterbox, fit_to_network
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.radiograph.writing import write_lossless
from icbir_core.settings import InputSettings
from icbir_core.study.creating import create_workspace_study, open_store
from icbir_core.study.design import Study, StudyPlan
from icbir_core.types import Case, Hit, Prediction, Query, Radiograph, Ranking, SaliencyMap

SIZE = 64
MAPS = {
    "deep_taylor": ("Deep Taylor decomposition", False, "Where it looked."),
    "signed": ("Signed", True, "For and against."),
}


PREDICTION = Prediction(
    {"Effusion": 0.72, "Cardiomegaly": 0.14, "No Finding": 0.2}, {"Effusion": 0.31, "Cardiomegaly": 0.4}
)


_EMBEDDED: dict[str, np.ndarray] = {}


class FakeRetriever:
    """Nearest by thumbnails of 8 × 8. `calls` lists what was computed, so that a rerun can be proved idle."""

    targets = ("Effusion", "Cardiomegaly")
    default_target = "Effusion"
    pause = map_pause = 0.0  # seconds that a search and a map take, for tests of those who wait

    def __init__(self, workspace: Workspace, seconds: float = 0.0):
        time.sleep(seconds)
        self.workspace = workspace
        self.calls: list[str] = []
        cases = workspace.catalogue.cases(include_removed=True)
        self.vectors = {case.row: self._embed_case(case) for case in cases}

    def _embed_case(self, case: Case) -> np.ndarray:
        """Films of equal pixels are read once for all tests of a process."""
        if case.pixel_sha256 not in _EMBEDDED:
            _EMBEDDED[case.pixel_sha256] = self._embed(read_case_radiograph(self.workspace, case).pixels)
        return _EMBEDDED[case.pixel_sha256]

    def methods(self, target: str) -> tuple[str, ...]:
        return ("ig_cbir", "cnn", "ssim")

    @property
    def findings(self) -> tuple[str, ...]:
        return ("Effusion", "Cardiomegaly", "No Finding")

    @property
    def questions(self) -> tuple[str, ...]:
        return ("Effusion", "Cardiomegaly")

    def predict(self, query: Query) -> Prediction:
        return PREDICTION

    def get_target(self, target: str) -> FakeRetriever:
        return self

    get_index = get_target

    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self.vectors[int(row)] for row in rows])

    def embed_query(self, query: Query, target: str | None = None) -> np.ndarray:
        return self._embed(query.radiograph.pixels)

    def describe_query(self, query: Query, method: str, target: str | None = None) -> np.ndarray:
        return self._embed(query.radiograph.pixels)

    def _embed(self, pixels: np.ndarray) -> np.ndarray:
        return cv2.resize(fit_to_network(pixels, InputSettings(SIZE)), (8, 8), interpolation=cv2.INTER_AREA).ravel()

    def search(self, query: Query, settings, trail=None) -> Ranking:
        self.calls.append("search")
        time.sleep(self.pause)
        vector = self._embed(query.radiograph.pixels)
        region = trail is not None and trail.region is not None
        if region:
            inside = Letterbox.of(query.radiograph.pixels.shape, 8).box_to_network(trail.region.box)
            mask = np.zeros((8, 8))
            left, top, width, height = (round(value) for value in inside)
            mask[top : top + max(height, 1), left : left + max(width, 1)] = 1
            weights = mask.ravel()
        elif trail is not None and trail.finding:
            if trail.finding not in self.findings:
                raise UnknownNameError("finding of this classifier", trail.finding, self.findings)
            weights = np.random.default_rng(self.findings.index(trail.finding)).random(64)
        else:
            weights = np.ones(64)
        part = "region" if region else "finding" if trail is not None and trail.finding else ""
        rows = self.workspace.catalogue.eligible_rows(settings.filter)
        indexed = [one for one in self.workspace.catalogue.cases(rows) if one.row in self.vectors]
        cases = [one for one in indexed if one.case_id != query.case_id]
        distances = [float(np.linalg.norm((self.vectors[case.row] - vector) * weights)) for case in cases]
        order = np.argsort(distances, kind="stable")[: settings.top_k]
        box = trail.region.box if region else None  # the drawn films have one size
        hits = tuple(Hit(rank, distances[place], cases[place], box) for rank, place in enumerate(order, start=1))
        target = (trail and trail.finding) or settings.target
        bases = {name: float(np.mean([name in one.present for one in cases])) for name in self.findings if cases}
        return Ranking(
            query.name, part or settings.method or self.methods(target)[0], target,
            f"euclidean ({part})" if part else "euclidean", "exact", len(cases),
            self.workspace.catalogue.count(), hits,
            PREDICTION,
            bases.get(target), tuple(np.linspace(0.05, 0.9, len(hits))), {"search": 1.0},
            {"model": "a" * 64, "index": "b" * 64},
            {"top_k": settings.top_k, "refinement": list(trail.describe()) if trail else []}, bases,
        )  # fmt: skip

    def choose_map(self, wanted: str = "lrp_composite") -> str:
        return wanted

    def map_of(self, item: Query | Case, method: str = "deep_taylor", target: str | None = None) -> SaliencyMap:
        asked = method in MAPS  # else it is the one that warms the networks
        self.calls.append("map" if asked else "first map")
        time.sleep(self.map_pause if asked else 0)
        pixels = (
            item.radiograph.pixels if isinstance(item, Query) else read_case_radiograph(self.workspace, item).pixels
        )
        image = fit_to_network(pixels, InputSettings(SIZE))
        values = cv2.GaussianBlur(np.abs(cv2.Laplacian(image, cv2.CV_32F)), (0, 0), 3)
        signed = method == "signed"
        return SaliencyMap(values - values.mean() if signed else values, method, target or "Effusion", signed)


def read_plain(markdown: str) -> str:
    """The letters that a reader sees of text that was escaped."""
    return re.sub(r"\\(.)", r"\1", markdown).replace("\u2060", "")


def make_radiograph(seed: int, shape: tuple[int, int] = (180, 160)) -> Radiograph:
    """A picture with two dark fields and a bright blob; different for each seed."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    pixels = np.full(shape, 0.7)
    for middle in (0.3, 0.7):
        pixels -= 0.45 * (np.hypot((columns / shape[1] - middle) / 0.17, (rows / shape[0] - 0.48) / 0.33) < 1)
    x, y = generator.uniform(0.2, 0.8, 2)
    pixels += 0.5 * np.exp(-((columns / shape[1] - x) ** 2 + (rows / shape[0] - y) ** 2) / 0.006)
    levels = np.rint(np.clip(pixels + generator.normal(0, 0.01, shape), 0, 1) * 255) / 255
    return Radiograph(levels.astype(np.float32), f"{seed:064x}", f"{seed:064x}", "png")


def make_workspace(folder: Path, count: int = 14) -> Workspace:
    """A workspace of drawn films with a demonstration query."""
    workspace = Workspace.create(folder)
    add_films(workspace, range(count))
    (workspace.path / "queries").mkdir(exist_ok=True)
    write_lossless(make_radiograph(100), workspace.path / "queries" / "effusion_1.png")
    return workspace


def add_films(workspace: Workspace, numbers: Sequence[int]) -> None:
    """Add drawn films, a case each."""
    names, records = ("Effusion", "Cardiomegaly", "No Finding"), []
    for number in numbers:
        name = f"case_{number:03d}"
        path = workspace.images / f"{name}.png"
        write_lossless(make_radiograph(number), path)
        film = read_radiograph(path)
        found = names[number % 3]
        states = {one: "present" if one == found else "absent" for one in names}
        records.append({
            "case_id": name, "path": f"images/{name}.png", "sha256": film.sha256, "pixel_sha256": film.pixel_sha256,
            "patient": f"p{number // 2}", "view": "PA" if number % 2 else "AP",
            "age": 30 + 3 * number if number else None,
            "sex": "FM"[number % 2], "source": "simulated", "findings": states,
            "report": "Drawn for a test." if number == 1 else None,
        })  # fmt: skip
    workspace.catalogue.add(records)


def make_study(workspace: Workspace, name: str = "pilot", queries: int | Sequence[str] = 2, **changes) -> Study:
    """A study that this module's retriever pools, stored with the workspace's ratings; changes : to its plan."""
    plan = StudyPlan(**({"k": 2, "negatives": 1} | changes))
    return create_workspace_study(
        workspace, open_store(workspace), name, lambda: FakeRetriever(workspace), plan, queries
    )
