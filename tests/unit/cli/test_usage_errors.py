"""Whatever is wrong with a command's words: one line, exit 1, nothing left behind; with --json an object too."""

from __future__ import annotations

import json

import click
import pytest
import typer

from icbir_core.cli import app, main
from icbir_core.cli.conventions import describe_error


def list_commands(command, path=()) -> list[tuple[str, ...]]:
    if hasattr(command, "commands"):
        return [found for name, inner in command.commands.items() for found in list_commands(inner, (*path, name))]
    return [path]


COMMANDS = list_commands(typer.main.get_command(app))


def run_and_read(words, capsys) -> str:
    assert main(list(words)) == 1
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if not line.startswith("computing on")]
    assert len(lines) == 1 and lines[0].startswith("Error: "), output.err
    assert output.out == ""
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_bad_option(command, capsys):
    assert "No such option: --nonsense" in run_and_read((*command, "--nonsense"), capsys)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one != ("explain",)], ids=" ".join)
def test_a_word_too_few_and_with_json_an_object(command, capsys):
    """`explain` needs none for --list and says itself what it lacks."""
    assert "Missing " in run_and_read(command, capsys)
    assert main([*command, "--json"]) == 1
    assert "error" in json.loads(capsys.readouterr().out)


OPTIONS = {
    "train": ("--target", "Effusion"),
    "query": ("film.png",),
    "explain": ("film.png", "--out", "map.npy"),
    "remove": ("case",),
    "restore": ("case",),
}


@pytest.mark.parametrize(
    "command", ["verify", "train", "index", "query", "explain", "checks", "remove", "restore", "evaluate", "app"]
)
def test_no_workspace_there(command, tmp_path, capsys):
    line = run_and_read((command, str(tmp_path / "none"), *OPTIONS.get(command, ())), capsys)
    assert "is not a workspace" in line
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "changed, part",
    [
        ({"--images": "/nowhere"}, "There is no folder '/nowhere' on this machine; name the folder of the films."),
    ],
)
def test_a_slip_in_ingest_leaves_no_workspace(changed, part, tmp_path, capsys):
    options = {"--layout": "nih", "--images": str(tmp_path)} | changed
    words = ("ingest", str(tmp_path / "new"), *(word for pair in options.items() for word in pair))
    assert part in run_and_read(words, capsys)
    assert not (tmp_path / "new").exists()


def test_a_group_without_a_command(capsys):
    assert "Missing command" in run_and_read(("study",), capsys)


def test_a_path_that_cannot_be_used_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert f"Cannot use '{tmp_path / 'file' / 'images'}'" in run_and_read(
        ("simulate", str(tmp_path / "file"), "--count", "1", "--size", "64"), capsys
    )


def test_what_nobody_foresaw_is_one_line_too():
    assert describe_error(ValueError("two\nlines")).startswith("Unexpected ValueError: two lines (run again with")
    assert "\n" not in describe_error(click.UsageError("a\nb"))
