"""Write docs/commands.md, every command with all of its options: `python -m scripts.command_reference`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from icbir_core.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HEAD = """# Commands

`icbir COMMAND …` and `python -m icbir_core COMMAND …` are the same; `--help` after a command prints what stands here.
This page is written by `make reference` from the commands themselves.
"""


def list_commands() -> Iterator[tuple[str, Any]]:
    """(name, click command) of every command, those of a group by their full name, such as "study create"."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, inner in getattr(command, "commands", {}).items():
            if hasattr(inner, "commands"):
                yield from walk(inner, (*words, name))
            else:
                yield " ".join((*words, name)), inner

    return walk(typer.main.get_command(app), ())


def describe_commands() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *(_describe(name, command) for name, command in list_commands())])


def _describe(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [one.metavar or one.name.upper() for one in arguments]
    words.insert(len(words) if command.context_settings.get("allow_interspersed_args", True) else 0, "[options]")
    usage = " ".join(["icbir", name, *words])
    lines = [f"## {name}", "", " ".join(command.help.split()), "", f"    {usage}", "", "| | |", "|---|---|"]
    lines += [f"| {one.metavar or one.name.upper()} | {_say_help(one)} |" for one in arguments]
    lines += [
        f"| {', '.join(f'`{word}`' for word in one.opts + one.secondary_opts)} | {_say_help(one)} |" for one in options
    ]
    return "\n".join([*lines, ""])


def _say_help(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    if parameter.required and parameter.param_type_name == "option":
        return f"{text} Required."
    default = parameter.default
    if default in (None, False, True, "") or callable(default) or parameter.param_type_name == "argument":
        return text
    values = ", ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
    return f"{text} Default: {values}." if values else text


if __name__ == "__main__":
    PAGE.write_text(describe_commands(), encoding="utf-8")
    print(PAGE)
