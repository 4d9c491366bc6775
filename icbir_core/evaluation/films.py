"""The films that an evaluation compares: a catalogue, or held-out films of a data set, with labels and patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from icbir_core.catalogue import IngestOptions, Workspace, iterate_layout, read_case_radiograph
from icbir_core.catalogue.layouts import RawCase
from icbir_core.errors import EvaluationError, RadiographError
from icbir_core.files import PathLike
from icbir_core.findings import FindingState
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.settings import InputSettings
from icbir_core.types import Case, Progress, Radiograph

Text = TypeVar("Text")


@dataclass(frozen=True, eq=False)
class FilmSet:
    """N films, decoded when asked for.

    names, films (hash of the grey levels), patients (hashed as in the workspace, or None), views : each of length N.
    others : the other patients' hashes under which each film is known, (N,) or empty where none has any.
    findings : F names; labels : float64 (N, F) of 1 present, 0 absent, NaN unknown. rows : catalogue rows, or None for
    films from outside. read : number → `Radiograph`. skipped : films that could not be read.
    """

    names: tuple[str, ...]
    films: tuple[str, ...]
    patients: tuple[str | None, ...]
    views: tuple[str, ...]
    findings: tuple[str, ...]
    labels: np.ndarray
    read: Callable[[int], Radiograph]
    rows: np.ndarray | None = None
    skipped: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def load_images(self, numbers: Sequence[int], settings: InputSettings) -> np.ndarray:
        """Network images float32 (B, S, S) in [0, 1] of some films."""
        return np.stack([fit_to_network(self.read(int(i)).pixels, settings) for i in numbers])

    def states(self, finding: str) -> np.ndarray:
        """float64 (N,) of one finding; all NaN if these films never name it."""
        if finding not in self.findings:
            return np.full(len(self), np.nan)
        return self.labels[:, self.findings.index(finding)]

    def align_labels(self, findings: Sequence[str]) -> np.ndarray:
        """float64 (N, F') of the given findings, in their order; unknown where these films do not name one."""
        return np.stack([self.states(name) for name in findings], axis=1) if findings else np.zeros((len(self), 0))

    def select(self, numbers: Iterable[int]) -> FilmSet:
        """Some of the films, in the given order."""
        chosen = [int(i) for i in numbers]

        def take(values: tuple[Text, ...]) -> tuple[Text, ...]:
            return tuple(values[i] for i in chosen)

        return FilmSet(
            take(self.names), take(self.films), take(self.patients), take(self.views), self.findings,
            self.labels[chosen], lambda i: self.read(chosen[i]),
            None if self.rows is None else self.rows[chosen], self.skipped,
            take(self.others) if self.others else (),
        )  # fmt: skip


def collect_catalogue(workspace: Workspace, rows: np.ndarray) -> FilmSet:
    """The catalogue cases of the given rows. Raises `EvaluationError` if there is none."""
    cases = workspace.catalogue.cases(rows)
    if not cases:
        raise EvaluationError("No case of the catalogue is indexed; ingest films and run the index command.")
    findings = tuple(workspace.catalogue.findings)

    def read(i: int) -> Radiograph:
        return read_case_radiograph(workspace, cases[i])

    return _make(cases, findings, read, np.array([case.row for case in cases], dtype=np.int64))


def collect_layout(
    workspace: Workspace,
    options: IngestOptions,
    progress: Progress | None = None,
    listed: Sequence[tuple[RawCase, PathLike]] | None = None,
) -> FilmSet:
    """Films of a data set outside the workspace; patients hashed as the workspace would. listed : these rows of
    `iterate_layout` alone. Raises `EvaluationError`."""
    raw: Sequence[tuple[RawCase, PathLike]] = list(iterate_layout(options)) if listed is None else listed
    kept, hashes, skipped = [], [], []
    for done, (case, path) in enumerate(raw):
        if progress and done % 25 == 0:
            progress(done, len(raw), "reading query films")
        try:
            radiograph = read_radiograph(path)
        except RadiographError as error:
            skipped.append(f"{case.label}: {error}")
            continue
        if options.view is not None and radiograph.view not in ("unknown", options.view.upper()):
            skipped.append(f"{case.label}: the header says {radiograph.view}")
            continue
        if radiograph.pixel_sha256 in hashes:
            skipped.append(f"{case.label}: a copy of another of these films")
            continue
        kept.append((case, path))
        hashes.append(radiograph.pixel_sha256)
    if not kept:
        raise EvaluationError(
            f"None of the {len(raw)} films of the layout '{options.layout}' can be read; "
            "check --images, --labels, --split and --part."
        )
    names = sorted({name for case, _ in kept for name in case.findings})
    cases = [
        Case(
            row=-1, case_id=case.case_id, path="", sha256="", pixel_sha256=pixels, findings=case.findings,
            patient=workspace.hash_patient(case.patient), view=case.view,
            other_patients=tuple(one for one in (workspace.hash_patient(case.header_patient),) if one),
        )
        for (case, _), pixels in zip(kept, hashes, strict=True)
    ]  # fmt: skip
    return _make(cases, tuple(names), lambda i: read_radiograph(kept[i][1]), None, tuple(skipped))


def _make(
    cases: Sequence[Case], findings: tuple[str, ...], read: Callable[[int], Radiograph], rows: np.ndarray | None,
    skipped: tuple[str, ...] = (),
) -> FilmSet:  # fmt: skip
    def number(states: Mapping[str, FindingState], name: str) -> float:
        return states.get(name, FindingState.UNKNOWN).as_number()

    labels = np.array([[number(case.findings, name) for name in findings] for case in cases], dtype=np.float64)
    return FilmSet(
        names=tuple(case.case_id for case in cases),
        films=tuple(case.pixel_sha256 for case in cases),
        patients=tuple(case.patient for case in cases),
        views=tuple(case.view for case in cases),
        findings=findings,
        labels=labels.reshape(len(cases), len(findings)),
        read=read,
        rows=rows,
        skipped=skipped,
        others=tuple(case.other_patients for case in cases) if any(case.other_patients for case in cases) else (),
    )


def find_allowed(queries: FilmSet, catalogue: FilmSet) -> np.ndarray:
    """bool (Q, N): False where case and query share a patient, under any of their names, or are the same film (so also
    the query itself)."""
    films = np.array(catalogue.films)
    places: dict[str, list[int]] = {}
    for place, names in enumerate(_list_patients(catalogue)):
        for name in names:
            places.setdefault(name, []).append(place)
    allowed = np.ones((len(queries), len(catalogue)), dtype=bool)
    for i, (names, film) in enumerate(zip(_list_patients(queries), queries.films, strict=True)):
        allowed[i] = films != film
        for name in names:
            allowed[i, places.get(name, [])] = False
    return allowed


def _list_patients(films: FilmSet) -> list[set[str]]:
    """Every name of each film's patient; an empty set where the patient is not known."""
    others = films.others or ((),) * len(films)
    return [{name for name in (patient, *more) if name} for patient, more in zip(films.patients, others, strict=True)]
