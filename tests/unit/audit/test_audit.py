"""The audit log: whatever is done to the file afterwards is found, and nothing personal can be written into it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from icbir_core.audit import Action, AuditLog, Subject, open_audit
from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.errors import AuditError

WRITER = """
import sys
from icbir_core.audit import Action, Subject, open_audit
from icbir_core.catalogue import Workspace
log = open_audit(Workspace.open(sys.argv[1]))
for number in range(int(sys.argv[2])):
    log.record(sys.argv[3], Action.SEARCHED, Subject("case", f"SMITH^JANE {number}"), place=number)
    print(number, flush=True)
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv("ICBIR_AUDIT", raising=False)
    return Workspace.create(tmp_path / "workspace")


@pytest.fixture
def log(workspace) -> AuditLog:
    """A log of six entries."""
    log = open_audit(workspace)
    for number in range(6):
        log.record("reader 1", Action.SAW, Subject("case", f"case{number}"), place=number)
    return log


def is_right(log: AuditLog, head: str = "") -> bool:
    return all(check.passed for check in log.verify(head))


def write_lines(log: AuditLog, lines: list[bytes]) -> None:
    log.path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_a_log_as_it_was_written_is_right(log):
    (check,) = log.verify()
    assert check.passed and "6 entries" in check.text
    assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5, 6]
    assert [dict(entry.details) for entry in log.entries()][3] == {"place": 3}


@pytest.mark.parametrize("place", range(6))
def test_each_deleted_and_each_changed_entry_is_found(log, place):
    lines = log.path.read_bytes().splitlines()
    write_lines(log, lines[:place] + lines[place + 1 :])
    assert not is_right(log)
    for old, new in ((b"reader 1", b"reader 2"), (b'"place":', b'"plaie":'), (b'"saw"', b'"rated"'), (b",", b", ")):
        write_lines(log, [*lines[:place], lines[place].replace(old, new, 1), *lines[place + 1 :]])
        assert not is_right(log), (old, new)
    write_lines(log, lines)
    assert is_right(log)


def test_each_single_byte_that_is_changed_is_found(log):
    whole = log.path.read_bytes()
    for place in range(0, len(whole), 7):
        log.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert not is_right(log), place


@pytest.mark.parametrize("first", range(5))
def test_entries_in_another_order_and_doubled_ones_are_found(log, first):
    lines = log.path.read_bytes().splitlines()
    swapped = [*lines]
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    write_lines(log, swapped)
    assert not is_right(log)
    write_lines(log, [*lines[:first], lines[first], *lines[first:]])
    assert not is_right(log)


@pytest.mark.parametrize("kept", range(6))
def test_an_end_that_was_cut_off_is_found(log, kept):
    lines = log.path.read_bytes().splitlines()
    write_lines(log, lines[:kept])
    assert not is_right(log)
    log.path.write_bytes(b"".join(line + b"\n" for line in lines[:kept]) + lines[kept][:40])
    assert not is_right(log)


def test_a_log_that_is_gone_whole_is_missed(log):
    log.path.unlink()
    assert not is_right(log)
    log.head_path.unlink()
    assert not is_right(log)


def test_a_head_that_is_damaged_missing_or_of_another_log_is_found(log, workspace):
    kept = log.head_path.read_bytes()
    log.head_path.write_bytes(kept.replace(b"6:", b"5:"))
    assert not is_right(log)
    log.head_path.write_bytes(kept[:20])
    assert not is_right(log)
    log.head_path.unlink()
    assert not is_right(log)


def test_a_log_written_anew_by_one_who_knows_the_salt_is_found_by_a_head_kept_elsewhere(log):
    (check,) = log.verify()
    head = check.text.rpartition(" ")[2]
    assert is_right(log, head)
    log.record("reader 1", Action.RATED)
    assert is_right(log, head), "a log that has grown since"
    log.path.unlink()
    log.head_path.unlink()
    for number in range(7):
        log.record("reader 2", Action.SAW, Subject("case", f"case{number}"), place=number)
    assert is_right(log) and not is_right(log, head)


def test_the_chain_of_another_workspace_does_not_pass(log, tmp_path):
    other = open_audit(Workspace.create(tmp_path / "other"))
    other.record("reader 1", Action.SAW)
    other.path.write_bytes(log.path.read_bytes())
    other.head_path.write_bytes(log.head_path.read_bytes())
    assert not is_right(other)


def test_two_processes_and_eight_threads_write_one_chain(workspace):
    command = [sys.executable, "-c", WRITER, str(workspace.path), "25"]
    writers = [subprocess.Popen([*command, f"reader {n}"], stdout=subprocess.DEVNULL) for n in range(2)]
    log = open_audit(workspace)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.record("thread", Action.SAW, place=number), range(40)))
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert is_right(log) and len(list(log.entries())) == 90


def test_a_writer_that_is_killed_costs_no_entry_that_it_had_written(workspace):
    command = [sys.executable, "-c", WRITER, str(workspace.path), "100000", "reader"]
    log = open_audit(workspace)
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(0.05)
            os.kill(writer.pid, signal.SIGKILL)
            done = len(writer.stdout.read().splitlines())
        before = len(list(log.entries()))
        assert before >= done and is_right(log)
        log.record("after", Action.STARTED)
        assert is_right(log)


def test_a_line_that_was_cut_short_by_a_kill_is_no_entry_and_the_next_one_says_so(log):
    with open(log.path, "ab") as file:
        file.write(b'{"number":7,"time":"20')
    assert is_right(log)
    entry = log.record("reader 1", Action.SAW)
    assert entry.number == 7 and entry.details["torn_bytes"] == 22 and is_right(log)


PLANTED = "SMITH^JANE 1931-02-03"


@pytest.mark.parametrize(
    "details", [{"report": PLANTED}, {"file": "smith jane.png"}, {"probability": 0.5}, {"a b": 1}, {"word": "Upper"}]
)
def test_text_of_others_cannot_be_written(log, details):
    with pytest.raises(AuditError, match="was not written"):
        log.record("reader 1", Action.SAW, **details)
    assert is_right(log) and len(list(log.entries())) == 6


def test_names_of_cases_studies_and_folders_are_hashes(workspace):
    log = open_audit(workspace)
    log.record("reader 1", Action.SAW, *(Subject(kind, PLANTED) for kind in ("case", "study", "folder", "film")))
    held = log.path.read_text()
    assert "SMITH" not in held and "1931-02-03" not in held
    assert log.name(Subject("case", PLANTED)) in held and log.name(Subject("study", PLANTED)) in held


def test_commands_are_recorded_and_the_log_can_be_asked(workspace, capsys):
    log = open_audit(workspace)
    log.record("reader 1", Action.SAW, Subject("case", "a"))
    log.record("reader 2", Action.RATED, Subject("case", "b"))
    assert main(["audit", "show", str(workspace.path), "--case", "b", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["who"] == "reader 2" and entry["action"] == "rated"
    assert main(["audit", "verify", str(workspace.path)]) == 0
    log.path.write_bytes(log.path.read_bytes().replace(b"reader 2", b"reader 3"))
    assert main(["audit", "verify", str(workspace.path)]) == 1
    assert "Entry 2 was changed." in capsys.readouterr().out


def test_the_file_is_for_its_owner_only_and_may_lie_elsewhere(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_AUDIT", str(tmp_path / "far" / "log.jsonl"))
    log = open_audit(workspace)
    log.record("reader 1", Action.SAW)
    assert log.path == Path(tmp_path / "far" / "log.jsonl")
    assert {log.path.stat().st_mode & 0o777, log.head_path.stat().st_mode & 0o777} == {0o600}


def test_many_threads_of_one_server_are_all_recorded(workspace, monkeypatch):
    monkeypatch.setattr("icbir_core.audit.log._PATIENCE", 0.2)  # for other processes, of which there is none
    log = open_audit(workspace)
    with ThreadPoolExecutor(40) as readers:
        list(readers.map(lambda number: log.record("reader", Action.SAW, number=number), range(160)))
    assert len(list(log.entries())) == 160 and all(check.passed for check in log.verify())


def test_where_the_workspace_was_no_second_log_begins(workspace, log):
    workspace.path.rename(workspace.path.with_name("away"))
    workspace.path.mkdir()
    with pytest.raises(AuditError, match="Nothing can be recorded"):
        log.record("reader 1", Action.SEARCHED)
    assert not list(workspace.path.iterdir())
