"""Commands that ask how good the retrieval is: evaluate, and the reading studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icbir_core.cli import conventions as cli

if TYPE_CHECKING:
    from icbir_core.catalogue import Workspace
    from icbir_core.evaluation.running import EvaluationOptions
    from icbir_core.study.store import RatingsStore

NameOption = Annotated[str, typer.Option("--name", help="Name of the study.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="URL of a PostgreSQL database (default: ratings.db in the workspace).")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(evaluate)
    study = typer.Typer(help="Reading studies: make, carry, and report them.")
    for command in (create, export, import_ratings, report, simulate_readers, plan):
        study.command(name=_NAMES.get(command.__name__, command.__name__))(command)
    app.add_typer(study, name="study")


_NAMES = {"import_ratings": "import", "simulate_readers": "simulate-readers"}


def evaluate(
    workspace: cli.WorkspaceArgument,
    protocol: Annotated[str, typer.Option(help="held-out, silva2020 or simulated.")] = "held-out",
    target: Annotated[str | None, typer.Option(help="Target finding (default: the first indexed).")] = None,
    layout: Annotated[str | None, typer.Option(help="Layout of the query films' data set.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the query films.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their table of labels.")] = None,
    split: Annotated[Path | None, typer.Option(help="Table of patients and parts (Patient ID, part).")] = None,
    part: Annotated[str | None, typer.Option(help="Search with this part of the split only: tune or test.")] = None,
    view: Annotated[str | None, typer.Option(help="Search with this view only: AP or PA.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of query films.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods and controls, separated by commas (default: all).")
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            help="Compare these encoders of the index instead of methods, over all findings: names with commas, "
            "classifier for the workspace's own, or all."
        ),
    ] = None,
    single_query: Annotated[bool, typer.Option(help="silva2020: one query a split, as released.")] = False,
    truth: Annotated[list[Path] | None, typer.Option(help="simulated: a folder with truth.jsonl; repeatable.")] = None,
    retrain: Annotated[
        list[str] | None, typer.Option(help="Train a saliency classifier anew on these maps; repeatable.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of --retrain.")] = 8,
    permutations: Annotated[int, typer.Option(min=20, help="Random orders that chance is taken from.")] = 200,
    report: Annotated[Path | None, typer.Option(help="Write a self-contained HTML report here.")] = None,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Measure the retrieval by labels, with chance and controls for comparison. Computed vectors are reused."""
    given = dict(locals())
    from icbir_core.catalogue import Workspace
    from icbir_core.evaluation.report import render_html, to_json, to_text
    from icbir_core.evaluation.running import run_evaluation
    from icbir_core.files import write_text_atomically

    options = read_options(given)
    opened = Workspace.open(workspace)
    cli.announce_device(device)
    if encoders is not None:
        from icbir_core.evaluation import encoder_comparison as comparison

        with cli.progress_bar("evaluate") as progress:
            found = comparison.run_comparison(opened, options, cli.split_names(encoders), progress)
        if report is not None:
            write_text_atomically(report, comparison.render_comparison(found))
        cli.emit(comparison.comparison_to_json(found), comparison.comparison_to_text(found), as_json)
        return
    with cli.progress_bar("evaluate") as progress:
        result = run_evaluation(opened, options, progress)
    if report is not None:
        write_text_atomically(report, render_html(result))
    cli.emit(to_json(result), to_text(result), as_json)


def read_options(given: Mapping[str, Any]) -> EvaluationOptions:
    """What the values of the command's options ask for. Raises `EvaluationError`."""
    from icbir_core.catalogue import IngestOptions
    from icbir_core.errors import EvaluationError
    from icbir_core.evaluation.running import EvaluationOptions

    films = None
    if given["layout"] is not None or given["images"] is not None:
        if given["layout"] is None or given["images"] is None:
            raise EvaluationError("--layout and --images belong together; give both.")
        named = ("layout", "images", "labels", "view", "limit", "split", "part")
        films = IngestOptions(**{name: given[name] for name in named})
    plain = ("protocol", "target", "single_query", "permutations", "epochs", "device")
    return EvaluationOptions(
        **{name: given[name] for name in plain},
        films=films,
        methods=cli.split_names(given["methods"]),
        truth=tuple(given["truth"] or ()),
        retrain=tuple(given["retrain"] or ()),
    )


def create(
    workspace: cli.WorkspaceArgument,
    name: NameOption,
    target: Annotated[str | None, typer.Option(help="Target finding (default: the first indexed).")] = None,
    queries: Annotated[int, typer.Option(min=1, help="How many query films, drawn from cases with the target.")] = 8,
    case: Annotated[list[str] | None, typer.Option(help="Use this case as a query instead; repeatable.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods to pool, separated by commas (default: all indexed).")
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Cases pooled from each method.")] = 3,
    negatives: Annotated[int, typer.Option(min=0, help="Random cases added to each pool.")] = 2,
    tasks: Annotated[str, typer.Option(help="similarity, ranking, choice, separated by commas.")] = "similarity",
    maps: Annotated[bool, typer.Option(help="Ask everything a second time with the heat maps shown.")] = True,
    repeats: Annotated[float, typer.Option(help="Share of hidden repeats, 0.10 to 0.15.")] = 0.125,
    seed: Annotated[int, typer.Option(help="Fixes what is drawn and each reader's order.")] = 0,
    store: StoreOption = None,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Make a reading study from the catalogue: pooled, blinded, in a seeded order for each reader."""
    from icbir_core.retrieval.retriever import Retriever
    from icbir_core.study.creating import create_workspace_study
    from icbir_core.study.design import StudyPlan

    chosen = cli.split_names(tasks) or ("similarity",)
    plan = StudyPlan(cli.split_names(methods), top_k, negatives, chosen, 2 if maps else 1, repeats, seed)
    opened, ratings = _open_store(workspace, store)
    cli.announce_device(device)
    with cli.progress_bar("study", unit="query") as progress:
        study = create_workspace_study(
            opened, ratings, name, lambda: Retriever.open(opened, target, device), plan,
            case or queries, progress,
        )  # fmt: skip
    cli.record_audit(opened, "made_study", ("study", study.name), queries=len(study.queries))
    answers = len(study.steps("any reader"))
    result = {"study": study.name, "sha256": study.sha256, "target": study.target, "queries": len(study.queries),
              "methods": study.methods, "answers_per_reader": answers}  # fmt: skip
    text = (
        f"Study '{study.name}': {len(study.queries)} queries with {study.target}, {answers} answers for each reader. "
        "Open the page Rate to read it."
    )
    cli.emit(result, text, as_json)


def export(workspace: cli.WorkspaceArgument, name: NameOption,
           file: Annotated[Path, typer.Option(help="Zip to write.")],
           store: StoreOption = None, as_json: cli.JsonOption = False) -> None:  # fmt: skip
    """Write a study and every rating of it to one zip with hashes. No film is in it."""
    from icbir_core.study.exchange import export_study

    opened, ratings = _open_store(workspace, store)
    count = export_study(ratings, name, file)
    cli.record_audit(opened, "exported", ("study", name), ratings=count)
    cli.emit({"study": name, "ratings": count, "file": str(file)}, f"{count} ratings of '{name}' in {file}.", as_json)


def import_ratings(workspace: cli.WorkspaceArgument, file: Annotated[Path, typer.Argument(help="Exported zip.")],
                   store: StoreOption = None, as_json: cli.JsonOption = False) -> None:  # fmt: skip
    """Add an exported study and its ratings; what is there already is not added again."""
    from dataclasses import asdict

    from icbir_core.study.exchange import import_study

    opened, ratings = _open_store(workspace, store)
    done = import_study(ratings, file)
    cli.record_audit(opened, "imported", ("study", done.study), ratings=done.added)
    cli.emit(asdict(done), f"'{done.study}': {done.added} ratings added, {done.already} were there already.", as_json)


def report(
    workspace: cli.WorkspaceArgument,
    name: NameOption,
    file: Annotated[Path | None, typer.Option("--report", help="Write a self-contained HTML report here.")] = None,
    simulated: Annotated[bool, typer.Option(help="Report the simulated readers instead of the real ones.")] = False,
    store: StoreOption = None,
    as_json: cli.JsonOption = False,
) -> None:
    """Print the statistics of a study: how readers agree with each other, with themselves and with each method."""
    from icbir_core.evaluation.page import make_plain
    from icbir_core.files import write_text_atomically
    from icbir_core.study.analysis import analyse_study
    from icbir_core.study.exchange import load_study
    from icbir_core.study.report import render_report, render_text

    opened, ratings = _open_store(workspace, store)
    study = load_study(ratings, name)
    cli.record_audit(opened, "unblinded", ("study", name))
    result = analyse_study(study, ratings.latest(study=name), simulated=simulated)
    if file is not None:
        write_text_atomically(file, render_report(study, result))
    cli.emit(make_plain(result), render_text(result), as_json)


def simulate_readers(
    workspace: cli.WorkspaceArgument,
    name: NameOption,
    readers: Annotated[int, typer.Option(min=1, help="Number of readers.")] = 3,
    bias: Annotated[float, typer.Option(help="Steps between the strictest and the mildest reader.")] = 0.6,
    noise: Annotated[float, typer.Option(min=0, help="Standard deviation of a score in steps.")] = 0.5,
    lapse: Annotated[float, typer.Option(min=0, max=1, help="Share of answers at random.")] = 0.02,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    store: StoreOption = None,
    as_json: cli.JsonOption = False,
) -> None:
    """Answer a study by readers of known bias, noise and lapses. Marked simulated, never mixed with real ratings."""
    import numpy as np

    from icbir_core.plurals import count_of
    from icbir_core.study.creating import grade_by_labels
    from icbir_core.study.exchange import load_study
    from icbir_core.study.simulated_readers import ReaderModel, simulate_reader

    opened, ratings = _open_store(workspace, store)
    study = load_study(ratings, name)
    similarity = grade_by_labels(opened)
    total = 0
    for number, offset in enumerate(np.linspace(-bias / 2, bias / 2, readers) if readers > 1 else [0.0], start=1):
        model = ReaderModel(float(offset), noise, lapse)
        total += simulate_reader(ratings, study, f"simulated-{number}", model, similarity, seed + number)
    stored = f"{count_of(total, 'answer')} of {count_of(readers, 'simulated reader')}"
    text = f"{stored} stored; see `study report --simulated`."
    cli.emit({"study": name, "readers": readers, "answers": total}, text, as_json)


def plan(
    effect: Annotated[float, typer.Option(help="Difference of nDCG between two methods that must be seen.")],
    query_spread: Annotated[float, typer.Option(help="Standard deviation of the difference between queries.")] = 0.15,
    reader_spread: Annotated[float, typer.Option(help="Standard deviation of the difference between readers.")] = 0.03,
    residual: Annotated[float, typer.Option(help="Standard deviation of what is left.")] = 0.10,
    power: Annotated[float, typer.Option(min=0.5, max=0.99, help="Power that the study should have.")] = 0.8,
    as_json: cli.JsonOption = False,
) -> None:
    """Work out how many readers and queries a study needs."""
    from icbir_core.evaluation.planning import Spread, find_queries_needed

    spread = Spread(query_spread, reader_spread, residual)
    needed = {readers: find_queries_needed(effect, spread, readers, power) for readers in (2, 3, 4, 5, 8, 12)}
    lines = [f"{readers:>3} readers: {count if count is not None else 'not reachable'} queries"
             for readers, count in needed.items()]  # fmt: skip
    cli.emit({"effect": effect, "power": power, "queries_by_readers": needed}, "\n".join(lines), as_json)


def _open_store(workspace: Path, store: str | None) -> tuple[Workspace, RatingsStore]:
    from icbir_core.catalogue import Workspace
    from icbir_core.study.creating import open_store

    opened = Workspace.open(workspace)
    return opened, open_store(opened, store)
