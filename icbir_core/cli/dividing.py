"""Commands that several workers do in parts: which words are one, and what its parts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import typer

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.cli import conventions as cli
from icbir_core.jobs.units import Divided


def divide(words: Sequence[str]) -> Divided | None:
    """The parts of a command line without the program; None for one that a single worker does whole."""
    try:
        given = read_words(words)
    except typer.TyperException:
        return None  # running it says what is wrong
    if words[0] == "ingest" and given["layout"] == "dicomweb" and given["limit"] is None:
        known = {one.name: given[one.name] for one in fields(IngestOptions) if one.name in given}
        return IngestInParts(given["workspace"], IngestOptions(**known | {"images": given["images"] or ""}))
    if words[0] == "evaluate" and given["encoders"] is None and not given["retrain"]:
        from icbir_core.cli.evaluation_commands import read_options
        from icbir_core.evaluation.parts import EvaluationInParts

        return EvaluationInParts(Workspace.open(given["workspace"]), read_options(given))
    return None


def read_words(words: Sequence[str]) -> dict[str, Any]:
    """The values of a command's arguments and options. Raises `typer.TyperException` for words that are none."""
    from icbir_core.cli import app

    group: Any = typer.main.get_command(app)
    given: dict[str, Any] = group.commands[words[0]].make_context(words[0], list(words[1:])).params
    return given


@dataclass(frozen=True)
class IngestInParts:
    """An ingest from the archive, one study a part."""

    workspace: str
    options: IngestOptions

    def list_parts(self) -> list[str]:
        from icbir_core.pacs.parts import list_studies

        return list_studies(Workspace.create(self.workspace), self.options)

    def do_part(self, part: str) -> None:
        from icbir_core.pacs.parts import ingest_study

        workspace = Workspace.open(self.workspace)
        if added := ingest_study(workspace, self.options, part):
            place = str(self.options.images) or "the archive of the settings"
            cli.record_audit(workspace, "added", ("folder", place), films=added, skipped=0)
