"""Run a protocol on a workspace: open the target, collect films, measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.errors import EvaluationError
from icbir_core.evaluation.controls import CONTROL_MAPS
from icbir_core.evaluation.films import FilmSet, collect_catalogue, collect_layout
from icbir_core.evaluation.methods import find_method, list_default_methods, require_methods
from icbir_core.evaluation.protocols import EvaluationResult, evaluate_held_out, evaluate_paper, evaluate_simulated
from icbir_core.evaluation.retraining import SUFFIX, retrain
from icbir_core.evaluation.vectors import VectorSource
from icbir_core.files import PathLike
from icbir_core.retrieval.model_choice import Models
from icbir_core.types import Progress

if TYPE_CHECKING:
    from icbir_core.retrieval.opened_target import OpenedTarget

VECTORS = "evaluation/vectors"
"""Within the workspace, where computed vectors are kept."""
PROTOCOLS = ("held-out", "silva2020", "simulated")


@dataclass(frozen=True)
class EvaluationOptions:
    """protocol : one of `PROTOCOLS`. films : the query films' data set (None: the catalogue's own cases).

    methods : names, or empty for all that this workspace allows; single_query : the released script's variant of
    silva2020; retrain : maps ("ig_cbir" or controls) on which a saliency classifier is trained anew for `epochs`;
    truth : folders of simulated films with truth.jsonl; ks : where precision is taken.
    """

    protocol: str = "held-out"
    target: str | None = None
    films: IngestOptions | None = None
    methods: tuple[str, ...] = ()
    single_query: bool = False
    truth: tuple[PathLike, ...] = ()
    ks: tuple[int, ...] = (1, 5, 10)
    permutations: int = 200
    retrain: tuple[str, ...] = ()
    epochs: int = 8
    device: str = "auto"


def run_evaluation(
    workspace: Workspace, options: EvaluationOptions, progress: Progress | None = None
) -> EvaluationResult:
    """The result of one protocol. Raises `EvaluationError`, `WorkspaceError`, `UnknownNameError`, `IndexMismatch`."""
    if options.protocol not in PROTOCOLS:
        raise EvaluationError(f"There is no protocol '{options.protocol}'; choose one of {', '.join(PROTOCOLS)}.")
    require_methods(options.methods)
    from icbir_core.model.device import choose_device

    device = choose_device(options.device)
    return replace(run_protocol(workspace, options, progress), device=device.as_dict())


def run_protocol(workspace: Workspace, options: EvaluationOptions, progress: Progress | None) -> EvaluationResult:
    """The result of `options.protocol`, without the device that it was computed on."""
    opened = open_target(workspace, options)
    methods, notes = choose_methods(options.methods, opened.models)
    catalogue = collect_indexed(workspace, opened)
    retrained = {name: retrain(workspace, opened, catalogue, name, options.epochs, progress=progress)
                 for name in options.retrain}  # fmt: skip
    source = VectorSource(opened, workspace.path / VECTORS, progress, retrained)
    methods += [name + SUFFIX for name in retrained if name + SUFFIX not in methods]
    if retrained:
        notes.append(f"Retrained for at most {options.epochs} epochs on the catalogue: {', '.join(retrained)}.")
    elif set(methods) & set(CONTROL_MAPS):
        notes.append("No control was retrained in this run (--retrain NAME does it).")
    if options.protocol == "silva2020":
        return _run_paper(workspace, options, opened.target, source, catalogue, methods, notes, progress)
    if options.protocol == "simulated":
        return _run_simulated(workspace, options, opened.target, source, catalogue, methods, notes, progress)
    if options.films is None:
        raise EvaluationError("Name the held-out films to search with by --layout, --images and --labels.")
    queries = collect_layout(workspace, options.films, progress)
    return evaluate_held_out(
        queries, catalogue, source, opened.target, methods, options.ks, permutations=options.permutations, notes=notes
    )


def open_target(workspace: Workspace, options: EvaluationOptions) -> OpenedTarget:
    """The networks and stores of the target that is evaluated."""
    from icbir_core.retrieval.retriever import Retriever

    return Retriever.open(workspace, options.target, options.device).get_target()


def collect_indexed(workspace: Workspace, opened: OpenedTarget) -> FilmSet:
    """The cases that are searched. Raises `EvaluationError` if there is none."""
    return collect_catalogue(workspace, np.setdiff1d(opened.store.get_completed(), workspace.catalogue.removed_rows()))


def choose_queries(options: EvaluationOptions) -> IngestOptions | None:
    """The data set of the query films; None for the catalogue's own cases."""
    if options.protocol == "silva2020" and options.films is not None and not options.films.view:
        return replace(options.films, view="AP")
    return options.films


def choose_methods(asked: Sequence[str], models: Models) -> tuple[list[str], list[str]]:
    """The methods to compare and what to say of those that cannot be."""
    names = list(asked or list_default_methods())
    if not models.encoders:
        needing = [name for name in names if find_method(name).needs_encoders]
        if asked and needing:
            raise EvaluationError(
                f"The target was indexed without encoders, which {needing[0]} compares; leave it out."
            )
        names = [name for name in names if name not in needing]
    if models.saliency_classifier is not None:
        return names, []
    left_out = [name for name in names if find_method(name).needs_saliency_classifier]
    kept = [name for name in names if name not in left_out]
    if not kept or (asked and left_out):
        raise EvaluationError(
            f"There is no saliency classifier for {', '.join(left_out)}; train it or leave these methods out."
        )
    return kept, [f"No saliency classifier for this target: {', '.join(left_out)} left out."]


def _run_paper(
    workspace: Workspace, options: EvaluationOptions, target: str, source: VectorSource, catalogue: FilmSet,
    methods: Sequence[str], notes: list[str], progress: Progress | None,
) -> EvaluationResult:  # fmt: skip
    if (films := choose_queries(options)) is not None:
        pool = collect_layout(workspace, films, progress)
        notes = [*notes, f"View {films.view} only, as in the paper (unless --view says otherwise)."]
    else:
        chosen = [i for i, view in enumerate(catalogue.views) if view == "AP"]
        pool = catalogue.select(chosen) if len(chosen) >= 8 else catalogue
        notes = [
            *notes,
            "The pool is the catalogue itself, on which the networks may have been trained: an optimistic number.",
            "AP views only." if len(chosen) >= 8 else "Fewer than 8 films are marked AP: all views.",
        ]
    return evaluate_paper(pool, source, target, methods, options.single_query, notes=notes)


def _run_simulated(
    workspace: Workspace, options: EvaluationOptions, target: str, source: VectorSource, catalogue: FilmSet,
    methods: Sequence[str], notes: list[str], progress: Progress | None,
) -> EvaluationResult:  # fmt: skip
    from icbir_core.phantom.dataset import read_truth

    if not options.truth:
        raise EvaluationError("Name the folders of the simulated films with --truth.")
    truths = {truth.seed: truth for folder in options.truth for truth in read_truth(folder)}
    if options.films is not None:
        queries = collect_layout(workspace, options.films, progress)
    else:
        queries = catalogue
        notes = [
            *notes,
            "Every catalogue film was a query against the others: the networks may have been trained on it.",
        ]
    return evaluate_simulated(
        queries, catalogue, source, target, methods, truths, permutations=options.permutations, notes=notes
    )
