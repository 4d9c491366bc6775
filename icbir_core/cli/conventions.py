"""What every command shares: options, printing, progress bars, and one line for an error."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from icbir_core.catalogue import Workspace
    from icbir_core.model.device import Device
    from icbir_core.types import Progress


def name_target(name: str | None) -> str | None:
    """The finding of `--target` under its canonical name. Raises `UnknownNameError`."""
    from icbir_core.findings import require_canonical_name

    return require_canonical_name(name) if name else None


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where to compute: auto, cpu or gpu.")]
TargetOption = Annotated[
    str | None, typer.Option("--target", callback=name_target, help="Target finding (default: the first one).")
]
WorkspaceArgument = Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder of the workspace.")]


def emit(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print one result on standard output: one JSON object on one line if `as_json`, else `text`."""
    typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str) if as_json else text)


def say(text: str) -> None:
    """Print what is not the result on standard error, so that standard output holds the result alone."""
    typer.echo(text, err=True)


def announce_device(choice: str) -> Device:
    """The device of `--device`, after printing its name. Raises `DeviceError`."""
    from icbir_core.model.device import choose_device

    device = choose_device(choice)
    say(f"computing on {device.name}")
    return device


def split_names(text: str | None) -> tuple[str, ...]:
    """The names of an option that lists them, separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def record_audit(workspace: Workspace, action: str, *subjects: tuple[str, str], **details: int | str) -> None:
    """Write what a command did into the audit log; where that fails, say so. subjects : kind and name of each."""
    from icbir_core.audit import Action, Subject
    from icbir_core.audit.log import record_command

    if word := record_command(workspace, Action(action), *(Subject(*one) for one in subjects), **details):
        say(word)


@contextmanager
def progress_bar(description: str, unit: str = "film") -> Iterator[Progress]:
    """Yield a `progress(done, total, text)` that draws a bar on standard error; silent when that is not a terminal.

    A total of 0 or less means "not known".
    """
    from tqdm import tqdm

    options = {"unit": unit, "unit_scale": unit == "B", "dynamic_ncols": True}
    with tqdm(desc=description, file=sys.stderr, disable=None, **options) as bar:

        def progress(done: int, total: int, text: str = "") -> None:
            if bar.disable:
                return
            bar.total = total if total > 0 else None
            if text:
                bar.set_postfix_str(text, refresh=False)
            if done < bar.n:
                bar.reset(bar.total)
            bar.update(done - bar.n)

        yield progress


def describe_error(error: BaseException) -> str:
    """One line for an error: its text if it is ours, of usage or of a file, else its type and where to find more."""
    from icbir_core.errors import IcbirError

    if isinstance(error, typer.TyperException):
        return f"{_one_line(error.format_message())} (--help shows what the command takes.)"
    if isinstance(error, IcbirError):
        return _one_line(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        return _one_line(f"Cannot use '{error.filename}': {error.strerror}.")
    return (
        f"Unexpected {type(error).__name__}: {_one_line(str(error))} (run again with ICBIR_DEBUG=1 for the traceback)"
    )


def report_error(error: BaseException, as_json: bool) -> None:
    """Print an error as one line on standard error, and as a JSON object on standard output if `as_json`."""
    line = describe_error(error)
    if as_json:
        typer.echo(json.dumps({"error": line}, ensure_ascii=False))
    say(f"Error: {line}")


def debugging() -> bool:
    """Whether tracebacks are wanted (ICBIR_DEBUG=1)."""
    from icbir_core.settings import get_environment

    return get_environment("DEBUG") not in (None, "0")


def quieten_libraries() -> None:
    """Keep TensorFlow's start-up lines and pydicom's doubts about a header off the terminal, unless debugging."""
    if not debugging():
        warnings.filterwarnings("ignore", module="pydicom")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _one_line(text: str) -> str:
    return " ".join(text.split())
