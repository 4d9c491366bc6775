"""Commands of the archive: write results as DICOM objects, send those that wait, and films without identifiers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from icbir_core.cli import conventions as cli


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    export = typer.Typer(help="Write a result for other programs.")
    export.command(name="dicom")(export_dicom)
    app.add_typer(export, name="export")
    app.command()(send)
    app.command()(deidentify)


def export_dicom(
    workspace: cli.WorkspaceArgument,
    film: Annotated[Path, typer.Argument(help="The film to search with: a DICOM file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the objects.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Put the objects into the outbox, for `send`.")] = False,
    top_k: Annotated[int, typer.Option(min=1, help="How many cases to return.")] = 8,
    method: Annotated[str | None, typer.Option(help="Search method (default: the first that is indexed).")] = None,
    saliency: Annotated[
        str | None, typer.Option("--map", help="Saliency method (default: composite relevance propagation).")
    ] = None,
    target: cli.TargetOption = None,
    cases: Annotated[bool, typer.Option("--cases/--no-cases", help="Show the films of the cases on the page.")] = True,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Search with a DICOM film and write the result as Secondary Capture, Structured Report and presentation state."""
    from icbir_core.catalogue import read_query
    from icbir_core.deidentifying.leaving import read_leaving_case
    from icbir_core.errors import PacsError
    from icbir_core.files import write_bytes_atomically
    from icbir_core.pacs.composing import compose_result, draw_maps
    from icbir_core.pacs.destination import open_outbox, read_destination
    from icbir_core.pacs.result_objects import make_result_objects
    from icbir_core.pacs.source_header import read_source_header
    from icbir_core.retrieval.retriever import Retriever
    from icbir_core.settings import SearchSettings

    if out is None and not queue:
        raise typer.BadParameter("Say where the objects go: --out FOLDER, or --queue.")
    if queue and not read_destination().sends:
        raise PacsError("Nothing may be sent from here: ICBIR_RESULTS names no archive.")
    data = film.read_bytes()
    source = read_source_header(data)  # before the networks are loaded, because it may say no
    settings = SearchSettings(top_k=top_k, method=method, target=target)
    retriever = Retriever.open(workspace, target, device)
    cli.announce_device(device)
    query = read_query(retriever.workspace, "query", data)
    ranking = retriever.search(query, settings)
    maps = draw_maps(retriever, query, ranking, saliency or retriever.choose_map())

    read_case = partial(read_leaving_case, retriever.workspace) if cases else None
    made = make_result_objects(compose_result(source, query.radiograph, ranking, maps, read_case))
    for sentence in made.left_out:
        cli.say(f"Left out: {sentence}")
    for sentence in made.warnings:
        cli.say(sentence)
    written = []
    if out is not None:
        for one in made.objects:
            write_bytes_atomically(out / one.name, one.data, 0o600)
            written.append(str(out / one.name))
    if queue:
        open_outbox(workspace).put(made.objects)
    cli.record_audit(
        retriever.workspace, "exported", ("film", query.radiograph.pixel_sha256[:24]), objects=len(made.objects)
    )
    lines = [*(f"Written: {path}" for path in written), *(["In the outbox; `icbir send` sends it."] if queue else [])]
    cli.emit({"written": written, "queued": queue, "left_out": list(made.left_out)}, "\n".join(lines), as_json)


def send(
    workspace: cli.WorkspaceArgument,
    again: Annotated[bool, typer.Option("--again", help="Try at once, also what was refused or waits.")] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Send the results that wait in the outbox to the archive; exit 1 while something is left."""
    from icbir_core.catalogue import Workspace
    from icbir_core.pacs.destination import open_outbox, read_destination
    from icbir_core.pacs.sending import send_waiting
    from icbir_core.plurals import count_of

    outbox, opener = open_outbox(workspace), read_destination().get_opener()
    if again:
        outbox.retry()
    cli.record_audit(Workspace.open(workspace), "sent", parcels=len(outbox.list_parcels()))
    outcome = send_waiting(outbox, opener)
    damaged = outbox.list_damaged()
    for name in damaged:
        cli.say(f"The parcel '{name}' in {outbox.folder} is damaged and is not sent.")
    if outcome.word:
        cli.say(outcome.word)
    lines = [f"{count_of(outcome.sent, 'object')} sent, {outcome.refused} refused; {outcome.waiting} results wait."]
    if outcome.found:
        lines.append(f"{count_of(outcome.found, 'object')} had arrived before.")
    cli.emit(vars(outcome) | {"damaged": damaged}, "\n".join(lines), as_json)
    if outcome.waiting or damaged:
        raise typer.Exit(1)


def deidentify(
    workspace: cli.WorkspaceArgument,
    films: Annotated[list[Path], typer.Argument(help="The films: DICOM files.")],
    out: Annotated[Path, typer.Option(help="Folder for the films without identifiers.")],
    mask: Annotated[
        list[str] | None,
        typer.Option(help="Region to black out in each film: x,y,width,height in pixels. Again for each further one."),
    ] = None,
    looked: Annotated[
        bool, typer.Option("--looked", help="Say that you have looked, and no text is burned into these films.")
    ] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Write DICOM films without identifiers, by the basic profile of PS3.15; exit 1 where a film was left out.

    New UIDs are the same for the same workspace, so that the films of a study stay together. Each file is named by its
    new UID.
    """
    from icbir_core.catalogue import Workspace
    from icbir_core.deidentifying.film import Clearance, deidentify_film
    from icbir_core.deidentifying.masking import Mask
    from icbir_core.errors import DicomExportError, IcbirError
    from icbir_core.files import sha256_of_bytes, write_bytes_atomically
    from icbir_core.plurals import count_of

    opened = Workspace.open(workspace)
    clearance = Clearance(tuple(Mask.parse(one) for one in mask or ()), looked)
    written: dict[str, str] = {}
    refused = 0
    for path in films:
        try:
            made = deidentify_film(path.read_bytes(), opened, clearance)
            target, digest = out / f"{made.instance}.dcm", sha256_of_bytes(made.data)
            if written.get(str(target), digest) != digest:
                raise DicomExportError("A film before it has the same UID and other content; export one of them anew.")
        except (IcbirError, OSError) as error:
            cli.say(f"{path}: {cli.describe_error(error)}")
            refused += 1
            continue
        for sentence in made.warnings:
            cli.say(f"{path}: {sentence}")
        cli.record_audit(opened, "exported", ("film", made.pixel_sha256[:24]), format="deidentified")
        write_bytes_atomically(target, made.data, 0o600)
        written[str(target)] = digest
    lines = [f"Written: {one}" for one in written]
    lines += [f"{count_of(refused, 'film')} left out."] if refused else []
    cli.emit({"written": list(written), "left_out": refused}, "\n".join(lines), as_json)
    if refused:
        raise typer.Exit(1)
