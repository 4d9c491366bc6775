"""Commands of the catalogue: ingest, verify, remove, restore, fetch, simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icbir_core.cli import conventions as cli

LAYOUT_NAMES = "nih, chexpert, mimic, padchest, vindr, folder, dicom, dicomweb"
"""Spelt out: the registry lies behind imports that `--help` does not wait for."""
CaseArgument = Annotated[str, typer.Argument(metavar="CASE_ID", help="Name of the case.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    for command in (ingest, verify, remove, restore, erase, fetch, simulate):
        app.command()(command)


def ingest(
    workspace: cli.WorkspaceArgument,
    layout: Annotated[str, typer.Option(help=f"{LAYOUT_NAMES}, or one of an installed package.")],
    images: Annotated[
        str | None, typer.Option(help="Folder of the films; for dicomweb the archive's address (ICBIR_DICOMWEB).")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Table of labels (.csv or .csv.gz).")] = None,
    view: Annotated[str | None, typer.Option(help="Keep only this view: AP or PA.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of films of this data set.")] = None,
    include_laterals: Annotated[bool, typer.Option(help="Keep films that are not frontal.")] = False,
    split: Annotated[Path | None, typer.Option(help="Table of patients and parts (Patient ID, part).")] = None,
    part: Annotated[str | None, typer.Option(help="Keep only this part of the split, such as train.")] = None,
    source: Annotated[str | None, typer.Option(help="Name recorded with the cases (default: the layout).")] = None,
    private: Annotated[
        bool, typer.Option(help="Hash case names and paths (always so for dicom, dicomweb), and keep no reports.")
    ] = False,
    texts: Annotated[
        bool, typer.Option(help="With --private: keep reports, without the names, dates and numbers in them.")
    ] = False,
    query: Annotated[
        str, typer.Option(help="For dicomweb: which studies, as in 'date=20260101-20260131, modality=DX'.")
    ] = "",
    leave_films: Annotated[
        bool,
        typer.Option("--leave-films", help="For dicomweb: keep no film, and fetch it whenever it is shown or indexed."),
    ] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Add the films of a data set to a workspace, which is made if needed. Continues where it was interrupted."""
    from icbir_core.catalogue import IngestOptions, Workspace
    from icbir_core.catalogue import ingest as run_ingest
    from icbir_core.catalogue.ingesting import DOUBTFUL_FILE, SKIPPED_FILE
    from icbir_core.catalogue.selecting import check_data_set
    from icbir_core.catalogue.workspace import MANIFEST
    from icbir_core.plurals import count_of

    if images is None and layout != "dicomweb":
        raise typer.BadParameter("Name the folder of the films.", param_hint="--images")
    options = IngestOptions(
        layout=layout,
        images=(images or "") if layout == "dicomweb" else Path(images or ""),
        labels=labels,
        view=view,
        limit=limit,
        include_laterals=include_laterals,
        split=split,
        part=part,
        source=source,
        private=private,
        texts=texts,
        query=query,
        leave_films=leave_films,
    )
    if not (workspace / MANIFEST).is_file():
        check_data_set(options)  # before there is a workspace: a typing error must not create one
    opened = Workspace.create(workspace)
    with cli.progress_bar("ingest") as progress:
        report = run_ingest(opened, options, progress)
    place = (images or "the archive of the settings") if layout == "dicomweb" else str(Path(images or "").absolute())
    cli.record_audit(opened, "added", ("folder", place), films=report.added, skipped=len(report.skipped))
    cases, digest = opened.catalogue.count(), opened.catalogue.sha256()
    lines = [
        f"{report.added} added, {report.already} there before, {len(report.skipped)} skipped; {cases} cases in all."
    ]
    lines += [f"  skipped {count}: {reason}" for reason, count in list(report.count_reasons().items())[:10]]
    if report.skipped:
        lines.append(f"  each skipped row and its reason: {opened.path / SKIPPED_FILE}")
    if report.doubtful:
        doubtful = count_of(len(report.doubtful), "doubtful film")
        lines.append(f"  {doubtful}, taken in all the same; each with its warning: {opened.path / DOUBTFUL_FILE}")
    if report.others:
        lines.append(f"  {report.describe_others()}")
    if report.encoding:
        lines.append(f"  {report.encoding}")
    lines += [f"  not in the vocabulary, ignored {count}: {name}" for name, count in report.ignored.items()]
    result = {
        "added": report.added,
        "already": report.already,
        "copies": report.count_copies(),
        "skipped": [{"item": item, "reason": reason} for item, reason in report.skipped],
        "doubtful": [{"item": item, "reason": reason} for item, reason in report.doubtful],
        "other_files": report.others,
        "encoding": report.encoding,
        "ignored": report.ignored,
        "cases": cases,
        "catalogue": digest,
    }
    cli.emit(result, "\n".join(lines), as_json)
    if not report.added + report.already:
        cli.say(
            f"Warning: no film was taken in: each of the {len(report.skipped)} rows was skipped, for the reasons given."
        )


def verify(workspace: cli.WorkspaceArgument, as_json: cli.JsonOption = False) -> None:
    """Check a workspace against its manifest: films, rows, artefacts, maps, embeddings. Exit 1 if anything is wrong."""
    from icbir_core.audit import open_audit
    from icbir_core.catalogue import Workspace
    from icbir_core.catalogue.verifying import guard, verify_workspace
    from icbir_core.retrieval.target_files import verify_stores
    from icbir_core.study.verifying import verify_ratings

    with cli.progress_bar("verify") as progress:
        opened = Workspace.open(workspace)
        checks = [*verify_workspace(opened, progress), *verify_stores(opened, progress)]
        checks += verify_ratings(opened)
        checks += guard("audit", lambda: open_audit(opened).verify())
    passed = all(check.passed for check in checks)
    lines = [f"{'right' if check.passed else 'WRONG'}  {check.name}: {check.text}" for check in checks]
    listed = [{"name": check.name, "passed": check.passed, "text": check.text} for check in checks]
    cli.emit({"passed": passed, "checks": listed}, "\n".join(lines), as_json)
    if not passed:
        cli.say("Error: the workspace does not match its manifest; see the lines marked WRONG.")
        raise typer.Exit(1)


def remove(workspace: cli.WorkspaceArgument, case_id: CaseArgument, as_json: cli.JsonOption = False) -> None:
    """Take a case out of every search; its film stays, and `restore` brings it back."""
    _change(workspace, case_id, "removed", as_json)


def restore(workspace: cli.WorkspaceArgument, case_id: CaseArgument, as_json: cli.JsonOption = False) -> None:
    """Bring a removed case back."""
    _change(workspace, case_id, "restored", as_json)


def _change(workspace: Path, case_id: str, change: str, as_json: bool) -> None:
    from icbir_core.catalogue import Workspace

    opened = Workspace.open(workspace)
    case = opened.catalogue.remove(case_id) if change == "removed" else opened.catalogue.restore(case_id)
    cli.record_audit(opened, change, ("case", case_id))
    state, cases = "removed" if case.removed else "in the catalogue", opened.catalogue.count()
    cli.emit({"case_id": case.case_id, "removed": case.removed, "cases": cases}, f"{case.case_id}: {state}.", as_json)


def erase(
    workspace: cli.WorkspaceArgument,
    case: Annotated[list[str] | None, typer.Option(help="Name of a case; again for each further one.")] = None,
    patient: Annotated[
        list[str] | None, typer.Option(help="Number of a patient, all of whose cases go; again for each further one.")
    ] = None,
    sure: Annotated[bool, typer.Option("--sure", help="Erase; without it, only say what would go.")] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Erase cases for good, from films, catalogue, maps, embeddings, indexes, ratings and folders, and search every
    byte for what is left. Stop the server before; run `index` after."""
    from icbir_core.catalogue import Workspace
    from icbir_core.catalogue.erasing import search_bytes
    from icbir_core.catalogue.folders import FOLDERS_FILE, erase_from_folders
    from icbir_core.errors import CatalogueError, WorkspaceError
    from icbir_core.jobs.erasing import erase_from_jobs
    from icbir_core.pacs.destination import open_outbox
    from icbir_core.pacs.inbox import Inbox
    from icbir_core.pipeline.erasing import erase_from_workspace, find_remains, plan_erasure
    from icbir_core.plurals import count_of
    from icbir_core.settings import get_environment
    from icbir_core.study.creating import RATINGS
    from icbir_core.study.erasing import erase_from_ratings

    if not case and not patient:
        raise CatalogueError("Name what is to be erased: --case, --patient, or both.")
    if get_environment("RATINGS"):
        raise WorkspaceError("The ratings are not in this workspace (ICBIR_RATINGS); move them in before you erase.")
    opened = Workspace.open(workspace)
    erasure = plan_erasure(opened, case or (), patient or ())
    names = [one.case_id for one in erasure.cases]
    if not sure:
        lines = [f"{count_of(len(names), 'case')} would be erased; add --sure to do it:", *names]
        cli.emit({"erased": False, "cases": names}, "\n".join(lines), as_json)
        return
    cli.record_audit(opened, "erased", *(("case", name) for name in names))
    schema = opened.database_schema
    changed = erase_from_ratings(opened.path / RATINGS, erasure.names, schema)
    erase_from_folders(opened.path / FOLDERS_FILE, names, schema)
    Inbox(opened).forget_results()
    known, outbox = [*erasure.traces, *(patient or ())], open_outbox(opened.path)
    thrown = outbox.discard(lambda parcel: bool(search_bytes(parcel, known)[2]))
    if schema:
        erase_from_jobs(schema)
    erase_from_workspace(opened, erasure)
    found = find_remains(opened, erasure, outbox.folder)
    where = f"{found.files:,} files, {found.size:,} bytes"
    where += f", and {found.rows:,} rows of {count_of(found.tables, 'table')}" if schema else ""
    lines = [f"{count_of(len(names), 'case')} erased; {count_of(changed, 'rating or study', 'ratings and studies')} "
             f"name them no more. {where} searched for {len(erasure.traces)} names, hashes and texts."]  # fmt: skip
    lines += [f"{count_of(thrown, 'result')} that named them will not be sent."] if thrown else []
    lines += [f"STILL THERE in {name}" for name in found.left] or ["Nothing is left in this workspace."]
    if schema:
        lines.append(
            "The tables were written anew. The server's log, its archives, standbys and copies are not reached."
        )
    lines.append("Now run `index`. Copies elsewhere, and networks that were trained on the films, are as they were.")
    facts = {"files": found.files, "bytes": found.size, "tables": found.tables, "rows": found.rows}
    facts["results_thrown_away"] = thrown
    cli.emit({"erased": True, "cases": names, **facts, "left": list(found.left)}, "\n".join(lines), as_json)
    if found.left:
        raise typer.Exit(1)


def fetch(
    data_set: Annotated[
        str, typer.Argument(metavar="DATA_SET", help="nih: NIH ChestX-ray14. model: a published network, named next.")
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="With model: all, nih, pc, chex, mimic_ch or mimic_nb, or a new encoder's name."
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to download into (default: data/DATA_SET).")] = None,
    file: Annotated[Path | None, typer.Option(help="With model: its weights, downloaded elsewhere.")] = None,
    workspace: Annotated[
        Path | None, typer.Option(help="With model: the workspace whose classifier, or encoder, it becomes.")
    ] = None,
    parts: Annotated[str, typer.Option(help="Parts to download: 1, 1-3 or 1,4; 'all' for all twelve.")] = "1",
    manifest: Annotated[
        Path | None,
        typer.Option(help="Another list of addresses (JSON); with model: what an encoder in ONNX or Keras is."),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Take the files by their names from this address.")] = None,
    unpack: Annotated[bool, typer.Option(help="Unpack what was downloaded.")] = True,
    as_json: cli.JsonOption = False,
) -> None:
    """Download a public data set for `ingest`, or a published network for `index` and `train`.

    A download continues where it was interrupted, and recorded hashes are checked.

    The addresses are those that the publisher names. They could not be tried where this program was written: if one has
    moved, name another with --base-url or --manifest.
    """
    from icbir_core.cli.model_commands import fetch_network, install_network
    from icbir_core.errors import FetchError
    from icbir_core.pipeline.fetching import fetch_data_set, parse_parts

    to = to or Path("data") / data_set
    if data_set == "model" and manifest is not None:
        install_network(name, file, manifest, workspace, as_json)
        return
    if data_set == "model":
        fetch_network(name, to, file, workspace, base_url, as_json)
        return
    if name is not None or file is not None or workspace is not None:
        raise FetchError("NAME, --file and --workspace belong to `fetch model`; leave them out.")
    with cli.progress_bar("fetch", unit="B") as progress:
        files = fetch_data_set(data_set, parse_parts(parts), to, progress, manifest, base_url, unpack)
    lines = [f"{file.name}: {file.size:,} bytes, sha256 {file.sha256} ({file.state})" for file in files]
    table = next((file.name for file in files if file.name.endswith(".csv")), None)
    if table is not None:
        lines.append(f"Next: icbir ingest WORKSPACE --layout {data_set} --images {to} --labels {to / table}")
    listed = [{"name": file.name, "bytes": file.size, "sha256": file.sha256, "state": file.state} for file in files]
    cli.emit({"to": str(to), "files": listed}, "\n".join(lines), as_json)


def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write the films and labels into.")],
    count: Annotated[int, typer.Option(min=1, help="How many films.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same films.")] = 0,
    size: Annotated[int, typer.Option(min=64, help="Side of a film in pixels.")] = 512,
    as_json: cli.JsonOption = False,
) -> None:
    """Write simulated chest radiographs with their labels, ready for `ingest --layout folder`."""
    from icbir_core.phantom import write_simulated

    with cli.progress_bar("simulate") as progress:
        written = write_simulated(directory, count=count, seed=seed, size=size, progress=progress)
    images, labels = written / "images", written / "labels.csv"
    options = f"--layout folder --source simulated --images {images} --labels {labels}"
    text = f"{count} simulated films in {images}.\nNext: icbir ingest WORKSPACE {options}"
    result = {"images": str(images), "labels": str(labels), "count": count, "seed": seed, "size": size}
    cli.emit(result, text, as_json)
