"""Commands that keep a workspace: backup, restore-backup, migrate, repair, move-to-database."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from icbir_core.cli import conventions as cli
from icbir_core.plurals import count_of, join_words


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    for command in (backup, restore_backup, migrate, repair, move_to_database, move_films):
        app.command()(command)


def backup(
    workspace: cli.WorkspaceArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the copy.")],
    link: Annotated[
        bool, typer.Option(help="Films as hard links where the file system allows it: quick, small.")
    ] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Copy a workspace while readers use it, with a hash of every file. ingest, train and index wait for it."""
    from icbir_core.catalogue import Workspace
    from icbir_core.keeping.backup import back_up

    opened = Workspace.open(workspace)
    with cli.progress_bar("backup", unit="file") as progress:
        report = back_up(opened, folder, link, progress)
    cli.record_audit(opened, "exported", ("folder", str(folder.absolute())), files=report.files)
    text = f"{report.files} files, {report.size:,} bytes: {report.cases} cases, {report.ratings} ratings in '{folder}'."
    if report.unindexed:
        text += f" The vectors of {join_words(report.unindexed)} could not be read from the database server; where the "
        text += "copy is restored, `icbir index` makes them again."
    cli.emit(asdict(report), text + _tell_left(report.left), as_json)


def _tell_left(count: int) -> str:
    return f" Not in the copy: {count_of(count, 'film')} left in the archive (PACS)." if count else ""


def restore_backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the copy.")],
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="New folder for the workspace.")],
    to_database: Annotated[
        bool, typer.Option("--to-database", help="Then move it into the server of ICBIR_DATABASE_URL.")
    ] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Make a workspace out of a copy that `backup` made, in a new folder; every file is checked by its hash. The copy
    may be of a workspace in a folder or in a database server."""
    from icbir_core.catalogue import Workspace
    from icbir_core.database import find_engine
    from icbir_core.keeping.backup import restore_backup as restore
    from icbir_core.keeping.moving import move_to_database as move

    if to_database:
        find_engine()  # says so at once where none is named
    with cli.progress_bar("restore", unit="file") as progress:
        report = restore(folder, workspace, progress)
    if to_database:
        move(Workspace.open(workspace))
    cli.record_audit(Workspace.open(workspace), "imported", ("folder", str(folder.absolute())), files=report.files)
    text = f"{report.cases} cases and {report.ratings} ratings in '{workspace}'. Next: icbir verify {workspace}"
    if report.unindexed:
        text += " The vectors of some indexes lay in a database server and are not in one now; run `icbir index` for "
        text += f"{join_words(report.unindexed)} first (--index annoy: without a server)."
    cli.emit(asdict(report), text + _tell_left(report.left), as_json)


def migrate(workspace: cli.WorkspaceArgument, as_json: cli.JsonOption = False) -> None:
    """Bring the databases of a workspace that an earlier version made to this version. Make a backup first."""
    from icbir_core.catalogue import Workspace
    from icbir_core.keeping.migrating import migrate_workspace

    found = migrate_workspace(Workspace.open(workspace))
    lines = [
        f"{one.name}: of this version ({one.after})"
        if one.before == one.after
        else f"{one.name}: from version {one.before} to {one.after}"
        for one in found
    ]
    cli.emit({"files": [asdict(one) for one in found]}, "\n".join(lines), as_json)


def repair(
    workspace: cli.WorkspaceArgument,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="A copy of this workspace, made by backup.")
    ] = None,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Mend what can be mended: what was computed is computed again, the rest comes out of a copy. Then run verify."""
    from icbir_core.catalogue import Workspace
    from icbir_core.keeping.repairing import repair_workspace

    found = repair_workspace(workspace, source)
    opened = Workspace.open(workspace)
    cli.record_audit(opened, "repaired", things=len(found))
    lines = [f"{one.name}: {one.text}" for one in found] or ["Nothing that can be mended is damaged."]
    cli.emit({"mended": [asdict(one) for one in found]}, "\n".join(lines), as_json)
    if any(one.recompute for one in found):
        from icbir_core.retrieval.index_workspace import index_workspace
        from icbir_core.retrieval.target_files import list_targets

        with cli.progress_bar("index", "case") as progress:
            for target in list_targets(opened):
                index_workspace(opened, target, device=device, progress=progress)
    cli.say(f"Next: icbir verify {workspace}")


def move_to_database(workspace: cli.WorkspaceArgument, as_json: cli.JsonOption = False) -> None:
    """Move catalogue and ratings into the server of ICBIR_DATABASE_URL. Make a backup and stop all pages, workers and
    receivers of the workspace first."""
    from icbir_core.catalogue import Workspace
    from icbir_core.keeping.moving import move_to_database as move

    report = move(Workspace.open(workspace))
    facts = {"cases": report.cases, "ratings": report.ratings}
    cli.record_audit(Workspace.open(workspace), "moved", ("folder", report.schema), **facts)
    text = f"{report.cases} cases and {report.ratings} ratings lie in the schema {report.schema} now."
    cli.emit(asdict(report), text, as_json)


def move_films(
    workspace: cli.WorkspaceArgument,
    url: Annotated[str, typer.Argument(metavar="URL", help="Such as s3://bucket/films; rights by its own variables.")],
    as_json: cli.JsonOption = False,
) -> None:
    """Move films, maps and embeddings to a place that several machines reach by a URL, or end a move that was cut
    short. Make a backup and stop all pages, workers and receivers of the workspace first."""
    from icbir_core.catalogue import Workspace
    from icbir_core.keeping.moving import move_films as move

    opened = Workspace.open(workspace)
    with cli.progress_bar("films") as progress:
        report = move(opened, url, progress)
    cli.record_audit(opened, "moved", ("folder", report.address), films=report.films, deleted=report.deleted)
    text = f"{count_of(report.films, 'film')} copied to '{report.address}' and compared with the hashes; "
    text += f"{report.deleted} deleted in the folder; {count_of(report.chunks, 'chunk')} of maps and embeddings moved."
    if report.left:
        text += f" The folder still holds {count_of(report.left, 'file')} that no case stored; look"
        text += " there, then delete by hand."
    cli.emit(asdict(report), text, as_json)
