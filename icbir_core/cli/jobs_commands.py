"""Commands of shared work: worker, jobs, put-job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icbir_core.cli import conventions as cli

if TYPE_CHECKING:
    from icbir_core.jobs.queue import Queue


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    for command in (worker, jobs):
        app.command()(command)
    app.command("put-job", context_settings={"allow_interspersed_args": False})(put_job)


def open_queue(workspace: Path) -> Queue:
    """The jobs of a workspace. Raises `WorkspaceError` where it has none, or the packages for them are missing."""
    from icbir_core.catalogue import Workspace
    from icbir_core.errors import WorkspaceError

    try:
        from icbir_core.jobs.queue import Queue
    except ModuleNotFoundError:
        raise WorkspaceError("Jobs need further packages; run `pip install icbir[postgresql]`.") from None
    return Queue(Workspace.open(workspace))


def worker(
    workspace: cli.WorkspaceArgument,
    queue: Annotated[
        str | None, typer.Option(help="Queues to take jobs from, with commas (default: all), such as index or gpu.")
    ] = None,
    device: cli.DeviceOption = "auto",
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End once no job is left.")] = False,
    silence: Annotated[
        float, typer.Option(min=1.0, help="Seconds without a sign of life after which another worker counts as dead.")
    ] = 30.0,
) -> None:
    """Do the jobs of a workspace in a database server, one after the other. Several may run, on several machines."""
    from icbir_core.cli import main
    from icbir_core.cli.dividing import divide

    opened = open_queue(workspace)
    cli.say("Waiting for jobs; Ctrl-C ends it after the one that runs.")
    opened.work(cli.split_names(queue) or None, device, not until_empty, silence, main, divide)


def jobs(
    workspace: cli.WorkspaceArgument,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take back every job that waits.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete the records of jobs that ended.")] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """How far the jobs of a workspace are."""
    opened = open_queue(workspace)
    taken = opened.cancel() if cancel else 0
    if forget:
        opened.forget_ended()
    found = opened.read_progress()
    text = f"{found.done} of {found.total} jobs done, {found.running} running, {found.waiting} waiting"
    text += f", {found.failed} failed" if found.failed else ""
    text += f", {found.cancelled} taken back" if found.cancelled else ""
    lines = [f"{text}.", *(f"  Failed: {reason}" for reason in found.reasons)]
    cli.emit(asdict(found) | {"taken_back": taken}, "\n".join(lines), as_json)


def put_job(
    workspace: cli.WorkspaceArgument,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND…", help="Such as: train WORKSPACE --target Effusion")],
    queue: Annotated[str, typer.Option(help="Queue of the job.")] = "commands",
    as_json: cli.JsonOption = False,
) -> None:
    """Let workers run ingest, index, train or evaluate. Each goes on where a killed worker left it; an evaluation and
    an ingest from the archive are divided among them. Options of put-job stand before WORKSPACE; what stands after it
    is the job's."""
    if words[0].startswith("-"):
        raise typer.BadParameter(f"{words[0]} stands before WORKSPACE; after it comes the command.")
    fresh = open_queue(workspace).put_command(words, queue)
    cli.emit({"put": fresh}, "It waits for a worker." if fresh else "The same job waits already.", as_json)
