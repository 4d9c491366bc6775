"""The command line: the only place of the core that prints.

Each `<room>_commands` module holds a group of commands and a `register(app)`; heavy rooms are imported inside the
functions, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

import typer

from icbir_core.cli.conventions import debugging, quieten_libraries, report_error, say

PROGRAM = "icbir"
INTERRUPTED = 130  # what a shell gives for Ctrl-C, and Typer with it
GROUPS = ("catalogue", "model", "retrieval", "saliency", "evaluation", "audit", "pacs", "receive", "keeping", "jobs")


def build_app() -> typer.Typer:
    """The application with the commands of every group."""
    built = typer.Typer(
        name=PROGRAM,
        help="Interpretability-guided case retrieval for chest radiographs.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for group in GROUPS:
        name = f"{__name__}.{group}_commands"
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).register(built)
    return built


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 after an error, which is shown as one line, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    quieten_libraries()
    try:
        status = app(args=words or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except typer.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`| head`); flushing at interpreter exit would complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debugging():
            raise
        report_error(error, as_json="--json" in words)
        return 1
    if status == INTERRUPTED:
        say("Stopped; run the same command again to continue.")
    return status if isinstance(status, int) else 0


app = build_app()
