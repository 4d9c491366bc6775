"""The audit log: whatever is done to it afterwards is found, and nothing personal can be written into it. Most tests
run on both places: a file in the folder, and a table in a database server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from icbir_core.audit import Action, AuditLog, Subject, log_table, open_audit
from icbir_core.audit.log_file import LogFile
from icbir_core.audit.log_table import TABLE, LogTable
from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.database import find_engine
from icbir_core.errors import AuditError, IcbirError
from icbir_core.keeping.moving import move_to_database

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
def workspace(either_database, tmp_path, monkeypatch):
    monkeypatch.delenv("ICBIR_AUDIT", raising=False)
    return Workspace.create(tmp_path / "workspace")


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """A workspace whose log is a file."""
    for name in ("ICBIR_AUDIT", "ICBIR_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Workspace.create(tmp_path / "workspace")


def write_six(workspace) -> AuditLog:
    log = open_audit(workspace)
    for number in range(6):
        log.record("reader 1", Action.SAW, Subject("case", f"case{number}"), place=number)
    return log


@pytest.fixture
def log(workspace) -> AuditLog:
    """A log of six entries."""
    return write_six(workspace)


@pytest.fixture
def file_log(in_folder) -> AuditLog:
    """The same in a file."""
    return write_six(in_folder)


def is_right(log: AuditLog, head: str = "") -> bool:
    return all(check.passed for check in log.verify(head))


def read_lines(log: AuditLog) -> list[bytes]:
    return list(log.place.read_lines())


def write_lines(log: AuditLog, lines: list[bytes]) -> None:
    """Put others in the place of all lines, as only one can who owns the file or the table."""
    if isinstance(log.place, LogFile):
        log.place.path.write_bytes(b"".join(line + b"\n" for line in lines))
        return
    with find_engine(log.place.schema).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
        connection.execute(TABLE.delete())
        rows = [{"number": 3 * number, "line": line.decode()} for number, line in enumerate(lines, start=1)]
        if rows:
            connection.execute(TABLE.insert(), rows)
        connection.exec_driver_sql("ALTER TABLE audit_log ENABLE TRIGGER USER")


def test_a_log_as_it_was_written_is_right(log):
    (check,) = log.verify()
    assert check.passed and "6 entries" in check.text
    assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5, 6]
    assert [dict(entry.details) for entry in log.entries()][3] == {"place": 3}


@pytest.mark.parametrize("place", range(6))
def test_each_deleted_and_each_changed_entry_is_found(log, place):
    lines = read_lines(log)
    write_lines(log, lines[:place] + lines[place + 1 :])
    assert not is_right(log)
    for old, new in ((b"reader 1", b"reader 2"), (b'"place":', b'"plaie":'), (b'"saw"', b'"rated"'), (b",", b", ")):
        write_lines(log, [*lines[:place], lines[place].replace(old, new, 1), *lines[place + 1 :]])
        assert not is_right(log), (old, new)
    write_lines(log, lines)
    assert is_right(log)


def test_each_single_byte_that_is_changed_is_found(file_log):
    whole = file_log.place.path.read_bytes()
    for place in range(0, len(whole), 7):
        file_log.place.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert not is_right(file_log), place


@pytest.mark.parametrize("first", range(5))
def test_entries_in_another_order_and_doubled_ones_are_found(log, first):
    lines = read_lines(log)
    swapped = [*lines]
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    write_lines(log, swapped)
    assert not is_right(log)
    write_lines(log, [*lines[:first], lines[first], *lines[first:]])
    assert not is_right(log)


@pytest.mark.parametrize("kept", range(6))
def test_an_end_that_was_cut_off_is_found(log, kept):
    lines = read_lines(log)
    write_lines(log, lines[:kept])
    assert not is_right(log)
    for number in range(8):
        log.record("reader 1", Action.SAW, place=number)
        assert not is_right(log), "what is recorded afterwards does not hide the loss"


@pytest.mark.parametrize("kept", range(6))
def test_a_file_that_was_cut_off_within_a_line_is_found(file_log, kept):
    lines = read_lines(file_log)
    file_log.place.path.write_bytes(b"".join(line + b"\n" for line in lines[:kept]) + lines[kept][:40])
    assert not is_right(file_log)


def test_a_log_that_is_gone_whole_is_missed(log):
    write_lines(log, [])
    assert not is_right(log)
    log.place.head_path.unlink()
    if isinstance(log.place, LogFile):
        log.place.path.unlink()
    assert not is_right(log)


def test_a_head_that_is_damaged_missing_or_of_another_log_is_found(log, workspace):
    kept = log.place.head_path.read_bytes()
    log.place.head_path.write_bytes(kept.replace(b"6:", b"5:"))
    assert not is_right(log)
    log.place.head_path.write_bytes(kept[:20])
    assert not is_right(log)
    log.place.head_path.unlink()
    assert not is_right(log)
    log.record("reader 1", Action.SAW)
    assert not is_right(log), "a new head would hide what the former one knew"


def test_a_head_that_lies_behind_because_its_writer_was_killed_goes_on(log):
    kept = log.place.head_path.read_bytes()
    log.record("reader 1", Action.SAW)
    log.place.head_path.write_bytes(kept)
    assert is_right(log)
    log.record("reader 1", Action.SAW)
    assert is_right(log) and b'"8:' in log.place.head_path.read_bytes()


def test_a_log_whose_first_writers_were_killed_before_they_wrote_a_head_goes_on(workspace, monkeypatch):
    """On several machines three may add their entries before the first of them gets to the head."""
    with monkeypatch.context() as killed:
        killed.setattr(AuditLog, "_move_head", lambda *_: None)
        log = open_audit(workspace)
        for number in range(3):
            log.record("reader 1", Action.SAW, place=number)
            assert is_right(log)
    log.record("reader 1", Action.SAW)
    assert is_right(log) and b'"4:' in log.place.head_path.read_bytes()
    log.place.head_path.unlink()
    assert not is_right(log)


def test_a_log_written_anew_by_one_who_knows_the_salt_is_found_by_a_head_kept_elsewhere(log):
    (check,) = log.verify()
    head = check.text.rpartition(" ")[2]
    assert is_right(log, head)
    log.record("reader 1", Action.RATED)
    assert is_right(log, head), "a log that has grown since"
    write_lines(log, [])
    log.place.head_path.unlink()
    for number in range(7):
        log.record("reader 2", Action.SAW, Subject("case", f"case{number}"), place=number)
    assert is_right(log) and not is_right(log, head)


def test_the_chain_of_another_workspace_does_not_pass(log, tmp_path):
    other = open_audit(Workspace.create(tmp_path / "other"))
    other.record("reader 1", Action.SAW)
    write_lines(other, read_lines(log))
    other.place.head_path.write_bytes(log.place.head_path.read_bytes())
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


def test_a_line_that_was_cut_short_by_a_kill_is_no_entry_and_the_next_one_says_so(file_log):
    log = file_log
    with open(log.place.path, "ab") as file:
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
    held = b"".join(read_lines(log)).decode()
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
    write_lines(log, [line.replace(b"reader 2", b"reader 3") for line in read_lines(log)])
    assert main(["audit", "verify", str(workspace.path)]) == 1
    assert "Entry 2 was changed." in capsys.readouterr().out


def test_the_file_is_for_its_owner_only_and_may_lie_elsewhere(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_AUDIT", str(tmp_path / "far" / "log.jsonl"))
    log = open_audit(workspace)
    log.record("reader 1", Action.SAW)
    assert isinstance(log.place, LogFile) and log.place.path == Path(tmp_path / "far" / "log.jsonl")
    assert {log.place.path.stat().st_mode & 0o777, log.place.head_path.stat().st_mode & 0o777} == {0o600}


def test_many_threads_of_one_server_are_all_recorded(workspace, monkeypatch):
    monkeypatch.setattr("icbir_core.audit.log_file.PATIENCE", 0.2)  # for other processes, of which there is none
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


@pytest.fixture
def table_log(database_url, tmp_path, monkeypatch) -> AuditLog:
    """Six entries in a table."""
    monkeypatch.delenv("ICBIR_AUDIT", raising=False)
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    log = write_six(Workspace.create(tmp_path / "workspace"))
    assert isinstance(log.place, LogTable) and not list(tmp_path.rglob("audit.jsonl"))
    return log


def test_the_database_itself_refuses_changes_and_deletions(table_log):
    engine = find_engine(table_log.place.schema)
    for statement in ("UPDATE audit_log SET line = ''", "DELETE FROM audit_log WHERE number > 4", "TRUNCATE audit_log"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    assert is_right(table_log) and len(read_lines(table_log)) == 6


GUIDE = Path(__file__).resolve().parents[3] / "docs" / "operator-guide.md"


def test_the_account_of_the_pages_records_and_can_do_no_more_as_the_guide_gives_it_rights(
    table_log, database_url, monkeypatch
):
    schema, account = table_log.place.schema, f"room_{os.urandom(4).hex()}"
    lines = [line.strip() for line in GUIDE.read_text().splitlines() if "icbir_0123456789ab" in line]
    assert len(lines) == 4
    auditor = f"auditor_{account}"
    made = [line.replace("icbir_0123456789ab", schema).replace("TO auditor", f"TO {auditor}") for line in lines]
    made = [line.replace("TO icbir;", f"TO {account};") for line in made]
    with find_engine(schema).begin() as connection:
        for statement in (f"CREATE ROLE {account} LOGIN", f"CREATE ROLE {auditor}", *made):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {account}")  # it owns them there
    try:
        monkeypatch.setenv("ICBIR_DATABASE_URL", database_url.replace("icbir@", f"{account}@"))
        log, engine = open_audit(Workspace.open(table_log.workspace.path)), find_engine(schema)
        log.record("reader 1", Action.SAW)
        assert is_right(log) and len(read_lines(log)) == 7
        for statement in (
            "ALTER TABLE audit_log DISABLE TRIGGER USER",
            "DELETE FROM audit_log",
            "DROP TABLE audit_log",
        ):
            refused = pytest.raises(DBAPIError, match="must be owner|permission denied")
            with refused, engine.begin() as connection:
                connection.exec_driver_sql(statement)
        engine.dispose()
    finally:
        monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
        with find_engine(schema).begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {account}, {auditor} CASCADE")
            connection.exec_driver_sql(f"DROP ROLE {account}, {auditor}")


def test_a_table_that_cannot_be_written_is_named_and_a_writer_waits_no_longer_than_it_says(table_log, monkeypatch):
    monkeypatch.setattr("icbir_core.audit.log_table.PATIENCE", 0.2)
    with find_engine(table_log.place.schema).begin() as other:
        log_table.take_turn(other)
        with pytest.raises(AuditError, match="Another process holds the audit log"):
            table_log.record("reader 1", Action.SAW)
    table_log.record("reader 1", Action.SAW)
    monkeypatch.setenv("ICBIR_DATABASE_URL", "postgresql://icbir@127.0.0.1:9/none")
    with pytest.raises(IcbirError, match="does not answer"):
        open_audit(table_log.workspace).record("reader 1", Action.SAW)


def test_a_log_of_the_folder_moves_into_the_database_and_stays_one_chain(file_log, database_url, monkeypatch):
    (check,) = file_log.verify()
    head, workspace = check.text.rpartition(" ")[2], file_log.workspace
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    move_to_database(workspace)
    moved = Workspace.open(workspace.path)
    logs = list(ThreadPoolExecutor(2).map(lambda _: open_audit(moved), range(2)))
    logs[0].record("reader 1", Action.MOVED)
    assert is_right(logs[1], head) and len(read_lines(logs[1])) == 7 and not (workspace.path / "audit.jsonl").exists()
    (workspace.path / "audit.jsonl.moved").rename(workspace.path / "audit.jsonl")
    assert len(read_lines(open_audit(moved))) == 7, "a start that was cut short before the file was renamed"
    (workspace.path / "audit.jsonl").write_bytes(read_lines(logs[0])[6] + b"\n")
    with pytest.raises(AuditError, match="does not move"):
        open_audit(moved)


def test_two_servers_that_start_at_once_move_a_log_once(file_log, database_url, monkeypatch):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    move_to_database(file_log.workspace)
    rename, others = Path.rename, []

    def rename_late(path, target):
        if path.name == "audit.jsonl" and not others:
            others.append(pool.submit(lambda: len(read_lines(open_audit(Workspace.open(path.parent))))))
            with suppress(TimeoutError):
                others[0].result(2)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_late)
    with ThreadPoolExecutor(1) as pool:
        log = open_audit(Workspace.open(file_log.workspace.path))
        assert others[0].result(60) == 6 and is_right(log)


def test_a_log_of_the_folder_that_was_changed_does_not_move(file_log, database_url, monkeypatch):
    write_lines(file_log, [line.replace(b"reader 1", b"reader 2") for line in read_lines(file_log)])
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    move_to_database(file_log.workspace)
    moved = Workspace.open(file_log.workspace.path)
    with pytest.raises(AuditError, match="Entry 1 was changed"):
        open_audit(moved)
    file_log.place.path.rename(file_log.place.path.with_name("kept.jsonl"))
    file_log.place.head_path.unlink()
    open_audit(moved).record("reader 1", Action.MOVED)
    assert is_right(open_audit(moved))
