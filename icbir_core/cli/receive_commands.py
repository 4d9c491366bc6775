"""Films of an archive by DIMSE: receive what is pushed, and ask for what is wanted."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from icbir_core.cli import conventions as cli

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    for command in (receive, pull):
        app.command()(command)


def receive(
    workspace: cli.WorkspaceArgument,
    allow: Annotated[
        list[str] | None, typer.Option(help="Who may send: AE-TITLE@ADDRESS. Again for each further sender.")
    ] = None,
    ae_title: Annotated[str, typer.Option(help="The AE title under which films are sent here.")] = "ICBIR",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 11112,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    keep_hours: Annotated[float, typer.Option(min=0.01, help="How long a film is kept in the inbox.")] = 24.0,
    search: Annotated[bool, typer.Option("--search/--no-search", help="Search with each film that comes.")] = True,
    device: cli.DeviceOption = "auto",
) -> None:
    """Take films that an archive pushes (C-STORE, C-ECHO) and search with each, until stopped.

    The films wait on the page PACS with their results, and are dropped after some hours.
    """
    from icbir_core.catalogue import Workspace
    from icbir_core.pacs.auto_search import AutoSearch
    from icbir_core.pacs.inbox import Inbox
    from icbir_core.pacs.receiving import Receiver, ReceiverSettings, Sender

    inbox = Inbox(Workspace.open(workspace), keep_hours)
    inbox.tidy()
    senders = tuple(Sender.parse(one) for one in allow or ())

    def open_retriever() -> Retriever:
        from icbir_core.retrieval.retriever import Retriever

        return Retriever.open(inbox.workspace, device=device)

    leaving = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: leaving.set())
    searching: list[AutoSearch] = []

    def search_with(name: str) -> None:
        for one in searching:
            one.add(name)

    receiver = Receiver(ReceiverSettings(ae_title, port, host, senders), inbox, search_with)
    receiver.start()
    if search:
        searching.append(AutoSearch(inbox, open_retriever, cli.say))
    cli.say(f"Films are received at {host}:{port} as {ae_title}; stop with Ctrl-C.")
    try:
        leaving.wait()
    finally:
        receiver.stop()
        for one in searching:
            one.stop(0.1)
    cli.say("Stopped; films that wait are searched at the next start.")


def pull(
    workspace: cli.WorkspaceArgument,
    peer: Annotated[str, typer.Argument(metavar="ARCHIVE", help="The archive: AE-TITLE@HOST:PORT.")],
    query: Annotated[str, typer.Option(help="Which studies, as in 'patient=123, date=20260101-20260131'.")],
    to: Annotated[str, typer.Option(help="The AE title that they go to, which the archive must know.")] = "ICBIR",
    limit: Annotated[int, typer.Option(min=1, help="Most studies that are asked for.")] = 20,
    as_json: cli.JsonOption = False,
) -> None:
    """Have an archive send studies to a running `receive` (C-FIND, C-MOVE); the workspace's audit log records it."""
    from icbir_core.catalogue import Workspace
    from icbir_core.errors import PacsNotFound
    from icbir_core.pacs.moving import Peer, find_studies, move_study
    from icbir_core.pacs.studies import StudyQuery

    archive, asked, opened = Peer.parse(peer, to), StudyQuery.parse(query), Workspace.open(workspace)
    named = asked.list_asked()
    cli.record_audit(opened, "asked_archive", *named, by=named[0][0] if named else "days")
    studies = find_studies(archive, asked)
    if not studies:
        raise PacsNotFound("The archive (PACS) has no film study that fits the query.")
    arrived = 0
    for study in studies[:limit]:
        cli.record_audit(opened, "opened", *study.list_subjects(), by="pull")
        arrived += move_study(archive, study, to).arrived
    left = max(len(studies) - limit, 0)
    cli.emit(
        {"studies": len(studies) - left, "films": arrived, "left": left},
        f"{arrived} films of {len(studies) - left} studies were sent; {left} studies were left.",
        as_json,
    )
