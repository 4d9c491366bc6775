"""Commands of the retrieval: index, query, demo, app."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icbir_core.cli import conventions as cli
from icbir_core.cli.rankings import describe_ranking, format_ranking
from icbir_core.retrieval.methods import ENGINES, SEARCH_METHODS

if TYPE_CHECKING:
    from icbir_core.catalogue import Workspace
    from icbir_core.jobs.units import IndexPlan
    from icbir_core.retrieval.index_report import IndexReport
    from icbir_core.retrieval.retriever import Retriever
    from icbir_core.types import Query, Ranking


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    for command in (index, query, demo, app_command):
        app.command("app" if command is app_command else None)(command)


def index(
    workspace: cli.WorkspaceArgument,
    target: cli.TargetOption = None,
    methods: Annotated[
        str | None, typer.Option(help=f"Of {', '.join(SEARCH_METHODS)}, with commas (default: all that can be).")
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            help="Networks to compare beside the classifier, with commas, or none (default: the workspace's own, and "
            "with the starter models those that come with the program)."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--index",
            help=f"What holds the vectors: {' or '.join(ENGINES)}, which needs ICBIR_DATABASE_URL (default: as before, "
            "at first annoy).",
        ),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option("--jobs", metavar="QUEUE", help="Let workers do it (`icbir worker`), as jobs in this queue."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Let a Dask cluster do it, such as tcp://scheduler:8786."),
    ] = None,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Compute maps and embeddings of new cases and build the indexes. Continues where it was interrupted."""
    from icbir_core.catalogue import Workspace
    from icbir_core.jobs.units import IndexPlan

    opened = Workspace.open(workspace)
    named = None if encoders is None else () if encoders.strip() == "none" else cli.split_names(encoders)
    if queue or dask:
        plan = IndexPlan(target, cli.split_names(methods) or None, named, engine)
        _index_elsewhere(opened, plan, queue, dask, device, as_json)
        return
    from icbir_core.retrieval.index_workspace import index_workspace

    cli.announce_device(device)
    with cli.progress_bar("index", "case") as progress:
        report = index_workspace(
            opened,
            target,
            None if methods is None else cli.split_names(methods),
            device,
            progress=progress,
            encoders=named,
            engine=engine,
        )
    _tell_report(report, as_json)


def _tell_report(report: IndexReport, as_json: bool) -> None:
    """Print what an indexing did; raises `typer.Exit` where something was left out."""
    if report.starter:
        cli.say("This workspace has no models of its own: the starter models were used. `train` makes its own.")
    if report.started_anew:
        cli.say("The models have changed: all maps and embeddings were computed anew.")
    for line in report.left_out:
        cli.say(line)
    lines = [f"{report.target}: {report.embedded} cases embedded, {report.already} there before."]
    for method, facts in report.indexes.items():
        tail = f" ({facts['tail']} in the tail)" if facts["tail"] else ""
        trees = f"{facts['trees']} trees, search_k {facts['search_k']}, " if "trees" in facts else "exact, "
        if facts.get("ef_search"):
            trees = f"pgvector, ef_search {facts['ef_search']}, "
        lines.append(f"  {method}: {facts['count']} cases{tail}, {trees}recall at 10: {facts['recall_at_10']:.4f}")
    result = {name: getattr(report, name) for name in ("target", "embedded", "already", "device", "indexes")} | {
        "starter_models": report.starter,
        "unreadable": [{"case_id": case_id, "reason": reason} for case_id, reason in report.unreadable],
        "failed": [{"method": name, "reason": reason} for name, reason in report.failed],
    }
    cli.emit(result, "\n".join(lines), as_json)
    if report.left_out:
        raise typer.Exit(1)


def _index_elsewhere(
    workspace: Workspace, plan: IndexPlan, queue: str | None, dask: str | None, device: str, as_json: bool
) -> None:
    """Put the indexing into a queue, or onto a Dask cluster and wait for it."""
    if queue:
        from icbir_core.cli.jobs_commands import open_queue

        fresh = open_queue(workspace.path).put_index(plan, queue)
        cli.emit({"put": fresh}, "It waits for a worker." if fresh else "The same job waits already.", as_json)
        return
    from icbir_core.jobs.cluster import index_on_cluster

    assert dask is not None
    with cli.progress_bar("index", "chunk") as progress:
        report = index_on_cluster(workspace, plan, dask, device, progress)
    _tell_report(report, as_json)


def query(
    workspace: cli.WorkspaceArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Films: PNG, JPEG or DICOM.")],
    top_k: Annotated[int, typer.Option(min=1, help="How many cases to return.")] = 10,
    method: Annotated[
        str | None, typer.Option(help=f"Of {', '.join(SEARCH_METHODS)} (default: the first of these that is indexed).")
    ] = None,
    target: cli.TargetOption = None,
    filter_text: Annotated[str | None, typer.Option("--filter", help='Such as "view=AP, sex=F, age=40-60".')] = None,
    search: Annotated[str, typer.Option(help="auto, exact, or the index's own way: annoy or hnsw.")] = "auto",
    same_patient: Annotated[bool, typer.Option(help="Return other films of the query's patient too.")] = False,
    identical_image: Annotated[bool, typer.Option(help="Return the query's own film too.")] = False,
    device: cli.DeviceOption = "auto",
    save_overlays: Annotated[Path | None, typer.Option(help="Folder for films with their maps, as PNG.")] = None,
    as_json: cli.JsonOption = False,
) -> None:
    """Find the most similar cases of the catalogue. A film that cannot be read does not stop the others; exit 1
    then."""
    from icbir_core.catalogue import Workspace
    from icbir_core.errors import IcbirError
    from icbir_core.radiograph import assess_quality
    from icbir_core.retrieval.retriever import Retriever
    from icbir_core.retrieval.target_files import list_targets
    from icbir_core.settings import SearchFilter, SearchSettings

    settings = SearchSettings(
        top_k=top_k,
        method=method,
        target=target,
        search=search,
        filter=SearchFilter.parse(filter_text),
        same_patient=same_patient,
        identical_image=identical_image,
    )
    opened = Workspace.open(workspace)
    indexed = target if target and target in list_targets(opened) else None  # else another index may serve it
    retriever = Retriever.open(opened, indexed, device)
    chosen = cli.announce_device(device)
    failed = 0
    for image in images:
        try:
            asked, ranking, timings = _answer(retriever, image, settings)
            found = [("case", hit.case.case_id) for hit in ranking.hits]
            cli.record_audit(retriever.workspace, "searched", ("film", asked.radiograph.pixel_sha256[:24]), *found)
            if save_overlays is not None:
                _save_overlays(retriever, asked, ranking, save_overlays)
            warnings = [warning.text for warning in assess_quality(asked.radiograph).warnings]
            result = describe_ranking(ranking, timings) | {"device": chosen.name, "warnings": warnings}
            lines = [format_ranking(ranking), *(f"  Warning: {text}" for text in warnings)]
            cli.emit(result, "\n".join(lines), as_json)
        except (IcbirError, OSError) as error:
            failed += 1
            line = cli.describe_error(error)
            if as_json:
                cli.emit({"query": str(image), "error": line}, "", True)
            cli.say(f"Error: {image}: {line}")
    if failed:
        raise typer.Exit(1)


def _answer(retriever: Retriever, image: Path, settings: Any) -> tuple[Query, Ranking, dict[str, float]]:
    import time

    from icbir_core.catalogue import read_query

    start = time.perf_counter()
    asked = read_query(retriever.workspace, str(image), image)
    read = 1000 * (time.perf_counter() - start)
    ranking = retriever.search(asked, settings)
    total = 1000 * (time.perf_counter() - start)
    return asked, ranking, {"read": read, **ranking.timings_ms, "total": total}


def _save_overlays(retriever: Retriever, asked: Query, ranking: Ranking, folder: Path) -> None:
    """Write the query's and the hits' films with their maps, all at the scale and threshold of the query's map."""
    from icbir_core.api import save_overlay
    from icbir_core.saliency.display import find_threshold, smooth_for_display

    def name(text: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)

    stem = name(Path(ranking.query).stem)
    scale = save_overlay(retriever, asked, folder / f"{stem}_query.png", finding=ranking.target)
    own = smooth_for_display(retriever.map_of(asked, target=ranking.target))
    threshold = find_threshold(own.values, scale, own.signed)
    for hit in ranking.hits:
        path = folder / f"{stem}_{hit.rank:02d}_{name(hit.case.case_id)}.png"
        save_overlay(retriever, hit.case, path, None, ranking.target, scale, threshold)


def demo(
    workspace: cli.WorkspaceArgument,
    make_assets: Annotated[
        bool, typer.Option("--make-assets", help="Compute the embeddings that come with the program anew.")
    ] = False,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Make a workspace of simulated films, indexed with the starter models, to try everything on."""
    from icbir_core.pipeline.demonstration import DemonstrationOptions, build_demonstration, make_demonstration_assets

    options = DemonstrationOptions(device)
    cli.announce_device(device)
    with cli.progress_bar("demo", "film") as progress:
        if make_assets:
            path = make_demonstration_assets(workspace, options, progress)
            cli.emit({"assets": str(path)}, f"Written: {path}", as_json)
            return
        report = build_demonstration(workspace, options, progress)
    lines = [
        f"{report.cases} simulated cases in {workspace}, {report.queries} query films in {report.query_folder}.",
        f"  {report.shipped} embeddings came with the program, {report.computed} were computed here.",
        f"  icbir app {workspace}",
    ]
    cli.emit(report.as_dict(), "\n".join(lines), as_json)


def require_host_name(name: str) -> str:
    """A name or number that a browser can ask for. Raises `IcbirError` for one with a port or a path."""
    from icbir_core.errors import IcbirError

    if not re.fullmatch(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*|[0-9a-fA-F:]*::?[0-9a-fA-F:]+", name):
        raise IcbirError(
            f"'{name}' is no name of a host; write it without http://, port and path, as in films.example."
        )
    return name


def app_command(
    workspace: cli.WorkspaceArgument,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    device: cli.DeviceOption = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")] = (
        "127.0.0.1"
    ),
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Name under which readers open the page, such as of a proxy; again for each further one."),
    ] = None,
    base_path: Annotated[str, typer.Option(help="Part of the address below which a proxy shows the page.")] = "",
    settings: Annotated[
        Path | None, typer.Option(help="File (TOML) of sign-in, roles, time-outs and folders.", envvar="ICBIR_SERVER")
    ] = None,
    without_sign_in: Annotated[
        bool, typer.Option("--without-sign-in", help="Listen on another address although nobody signs in.")
    ] = False,
) -> None:
    """Start the web page for a workspace."""
    import os
    import sys

    from icbir_core.catalogue import Workspace
    from icbir_core.files import find_program_folder
    from icbir_core.model.device import require_choice
    from icbir_core.server_settings import check_address, read_server_settings
    from icbir_core.settings import make_app_environment

    opened = Workspace.open(workspace)
    names = [require_host_name(name) for name in allowed_host or ()]
    command = [sys.executable, "-m", "icbir_ui.serving", str(port), f"--host={host}", f"--base-path={base_path}"]
    command += [f"--allowed-host={name}" for name in names]
    check_address(host, read_server_settings(settings), without_sign_in)
    command += ["--without-sign-in"] if without_sign_in else []
    environment = make_app_environment(opened.path, require_choice(device))
    if settings is not None:
        environment["ICBIR_SERVER"] = str(settings.absolute())
    os.chdir(find_program_folder())
    os.execve(sys.executable, command, environment)  # this process becomes the server: what ends it ends the server
