"""Commands of the audit log: verify, show."""

from __future__ import annotations

from typing import Annotated

import typer

from icbir_core.cli import conventions as cli


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    audit = typer.Typer(help="The audit log: check it, and read what it says of a case or a reader.")
    for command in (verify, show):
        audit.command()(command)
    app.add_typer(audit, name="audit")


def verify(
    workspace: cli.WorkspaceArgument,
    head: Annotated[
        str, typer.Option(help="NUMBER:HASH that an earlier check printed and that was kept in another place.")
    ] = "",
    as_json: cli.JsonOption = False,
) -> None:
    """Check that no entry of the audit log was changed, deleted, moved or cut off. Exit 1 if anything is wrong."""
    from icbir_core.audit import open_audit
    from icbir_core.catalogue import Workspace

    checks = list(open_audit(Workspace.open(workspace)).verify(head))
    passed = all(check.passed for check in checks)
    lines = [f"{'right' if check.passed else 'WRONG'}  {check.text}" for check in checks]
    cli.emit({"passed": passed, "checks": [check.text for check in checks]}, "\n".join(lines), as_json)
    if not passed:
        cli.say("Error: the audit log is not as it was written.")
        raise typer.Exit(1)


def show(
    workspace: cli.WorkspaceArgument,
    case: Annotated[str, typer.Option(help="Only entries about this case.")] = "",
    study: Annotated[str, typer.Option(help="Only entries about this study.")] = "",
    reader: Annotated[str, typer.Option(help="Only entries of this pseudonym.")] = "",
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: cli.JsonOption = False,
) -> None:
    """Print entries of the audit log. Cases and studies stand there as hashes, so name the one that you look for."""
    from collections import deque

    from icbir_core.audit import Subject, open_audit
    from icbir_core.catalogue import Workspace

    log = open_audit(Workspace.open(workspace))
    wanted = {log.name(Subject(kind, name)) for kind, name in (("case", case), ("study", study)) if name}
    found = deque(
        (one for one in log.entries() if wanted <= set(one.subjects) and reader in ("", one.who)), maxlen=last
    )
    lines = [
        " ".join([f"{one.number} {one.time} {one.who} {one.action}", *one.subjects,
                  *(f"{name}={value}" for name, value in one.details.items())])
        for one in found
    ]  # fmt: skip
    listed = [{**vars(one), "details": dict(one.details)} for one in found]
    cli.emit({"entries": listed}, "\n".join(lines) or "No such entry.", as_json)
