"""Jobs: claimed once, ended once, also when a worker is killed; taken back; and no mixture of devices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from sqlalchemy import text

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.database import find_engine
from icbir_core.errors import IndexMismatch, WorkspaceBusy, WorkspaceError
from icbir_core.jobs.listing import list_work
from icbir_core.jobs.queue import Queue
from icbir_core.jobs.units import Bench, IndexPlan, fill_chunk, list_chunks
from icbir_core.migrations import HEAD, read_revision
from icbir_core.retrieval.devices import checking_device
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.index_report import IndexReport
from icbir_core.retrieval.store import LEDGER, CaseStore
from icbir_core.retrieval.target_files import TargetFiles
from tests.helpers import fake_work, fakes
from tests.helpers.fake_work import count_ends

ROOT = Path(__file__).resolve().parents[3]
PLAN = IndexPlan("Effusion")
CASES = 20


@pytest.fixture
def workspace(database_url, tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    fake_work.use(monkeypatch.setattr)
    return fakes.make_workspace(tmp_path / "w", CASES)


def check_index(workspace: Workspace) -> None:
    """Every case is in the index once, with the values that one process alone computes."""
    filling = fake_work.FakeFilling(workspace)
    ledger = np.fromfile(filling.store.path / LEDGER, "<i8")
    rows = np.arange(CASES)
    assert sorted(ledger) == list(rows), "nothing is written twice"
    index = Index.open(TargetFiles(workspace, "Effusion").get_index("cnn"))
    assert np.allclose(index.get_vectors(rows), filling.compute(rows)["cnn"], atol=1e-6)
    assert filling.store.check() == CASES


def test_one_worker_plans_fills_and_builds_and_each_job_ends_once(workspace):
    queue = Queue(workspace)
    assert queue.put_index(PLAN) and not queue.put_index(PLAN), "the same job waits already"
    queue.work(wait=False, silence=4.0)
    assert count_ends(workspace) == [("plan", 1), ("chunk", 1), ("chunk", 1), ("chunk", 1), ("build", 1)]
    check_index(workspace)
    assert queue.put_index(PLAN)
    queue.work(wait=False, silence=4.0)
    assert sorted(fake_work.read_notes(workspace, "written")) == list(range(CASES)), "a second run computes nothing"
    found = queue.read_progress()
    assert (found.done, found.total, found.failed) == (7, 7, 0)
    queue.forget_ended()
    assert queue.read_progress().total == 0
    with find_engine(workspace.database_schema).connect() as connection:
        assert read_revision(connection) == HEAD


def test_a_worker_that_goes_on_computes_with_the_networks_that_lie_there_now(workspace, monkeypatch):
    queue, other = Queue(workspace), Bench(workspace)

    def index() -> CaseStore:
        assert queue.put_index(PLAN)
        queue.work(wait=False, silence=4.0)
        return CaseStore.open(TargetFiles(workspace, "Effusion").store)

    index()
    former = other.open(PLAN)  # of a second worker
    monkeypatch.setattr(fake_work.FakeFilling, "model", "trained anew")
    monkeypatch.setattr(fake_work.FakeFilling, "off", 0.5)
    assert index().identity == {"model": "trained anew"}
    fakes.add_films(workspace, range(CASES, CASES + 8))
    store, rows = index(), np.arange(CASES + 8)
    expected = fake_work.FakeFilling(workspace).compute(rows)["cnn"]
    assert np.allclose(store.read("cnn", rows), expected, atol=1e-6)
    with pytest.raises(IndexMismatch, match="was made anew by another process"):
        former.store.write(rows[:8], former.compute(rows[:8]))
    fakes.add_films(workspace, range(CASES + 8, CASES + 10))
    assert fill_chunk(other, PLAN, 3) == 2
    rows = np.arange(CASES + 10)
    expected = fake_work.FakeFilling(workspace).compute(rows)["cnn"]
    assert np.allclose(store.read("cnn", rows), expected, atol=1e-6)


def test_indexings_that_differ_in_anything_are_all_done(workspace):
    queue = Queue(workspace)
    plans = (PLAN, replace(PLAN, methods=("cnn",)), replace(PLAN, encoders=("other",)), replace(PLAN, engine="annoy"))
    assert all(queue.put_index(one, name) for one in plans for name in ("index", "gpu"))
    assert not queue.put_index(plans[1]) and queue.read_progress().queues == {"index": 4, "gpu": 4}
    queue.work(wait=False, silence=4.0)
    assert [task for task, _ in count_ends(workspace)].count("build") == 8
    check_index(workspace)


def test_a_build_waits_while_another_indexing_holds_the_workspace(workspace, monkeypatch):
    tried, held = [], ExitStack()
    held.enter_context(workspace.lock("index"))

    def build(bench: Bench, plan: IndexPlan) -> IndexReport:
        tried.append(plan.target)
        with held, bench.workspace.lock("index", seconds=0.1):
            return fake_work.build(bench, plan)

    monkeypatch.setattr("icbir_core.jobs.queue.build_indexes", build)
    queue = Queue(workspace)
    queue.put_index(PLAN)
    queue.work(wait=False, silence=4.0)
    assert len(tried) == 2 and queue.read_progress().failed == 0
    check_index(workspace)


def test_a_job_says_what_it_could_not_index(workspace, monkeypatch, capsys):
    def build(bench: Bench, plan: IndexPlan) -> IndexReport:
        films = tuple((f"case_{number:03d}", "The file is gone.") for number in range(7))
        return replace(fake_work.build(bench, plan), unreadable=films)

    monkeypatch.setattr("icbir_core.jobs.queue.build_indexes", build)
    queue = Queue(workspace)
    queue.put_index(PLAN)
    queue.work(wait=False, silence=4.0)
    assert queue.read_progress().failed == 1
    assert main(["jobs", str(workspace.path)]) == 0
    told = capsys.readouterr().out
    assert "Failed: Effusion is indexed without: Not indexed: case_000: The file is gone." in told
    assert "And 2 more." in told and "case_005" not in told


def test_a_build_waits_for_the_chunks_of_its_own_plan_alone(workspace, monkeypatch):
    queue = Queue(workspace)

    def fill_and_leave(*values) -> int:
        """What is left waits in a queue that nobody serves."""
        with find_engine(workspace.database_schema).begin() as connection:
            connection.execute(text("UPDATE procrastinate_jobs SET queue_name = 'nobody' WHERE status = 'todo'"))
        return fill_chunk(*values)

    with monkeypatch.context() as patch:
        patch.setattr("icbir_core.jobs.queue.fill_chunk", fill_and_leave)
        queue.put_index(PLAN, "first")
        queue.work(["first"], wait=False, silence=4.0)
    queue.put_index(replace(PLAN, methods=("cnn",)), "second")
    unending = Timer(100, Queue(workspace).cancel)
    unending.start()
    queue.work(["second"], wait=False, silence=4.0)
    unending.cancel()
    found = queue.read_progress()
    assert found.queues == {"nobody": 3} and found.cancelled == 0
    check_index(workspace)


def test_jobs_are_taken_back_shown_and_refused_by_name(workspace, tmp_path, capsys, monkeypatch):
    path = str(workspace.path)
    assert main(["index", path, "--target", "Effusion", "--jobs", "gpu"]) == 0
    assert main(["put-job", path, "train", path, "--target", "Effusion"]) == 0
    assert main(["jobs", path]) == 0
    assert "0 of 2 jobs done, 0 running, 2 waiting." in capsys.readouterr().out
    assert Queue(workspace).read_progress().queues == {"commands": 1, "gpu": 1}
    assert main(["jobs", path, "--cancel"]) == 0
    assert "0 waiting, 2 taken back." in capsys.readouterr().out
    assert main(["put-job", path, "remove", path, "case_001"]) == 1
    assert "A job can be one of ingest, index, train, evaluate" in capsys.readouterr().err
    assert main(["put-job", path, "--queue", "gpu", "train", path]) == 1
    assert "--queue stands before WORKSPACE" in capsys.readouterr().err
    assert main(["put-job", "--queue", "gpu", path, "train", path, "--device", "cuda"]) == 0
    assert Queue(workspace).read_progress().queues == {"gpu": 1}
    assert Queue(workspace).cancel() == 1
    ran: list[list[str]] = []
    queue = Queue(workspace)
    queue.put_command(["evaluate", path])
    queue.work(["commands"], wait=False, silence=4.0, run_command=lambda words: ran.append(words) or 0)
    assert ran == [["evaluate", path]] and queue.read_progress().done == 1
    monkeypatch.delenv("ICBIR_DATABASE_URL")
    with pytest.raises(WorkspaceError, match="Jobs need a workspace in a database server"):
        Queue(fakes.make_workspace(tmp_path / "alone", 1))


def work_as(workspace: Workspace, kind: str, off: float, chunk: int = 1) -> int:
    """Fill a chunk as another kind of device, whose values are off by so much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_work.FakeFilling, "kind", kind)
        patch.setattr(fake_work.FakeFilling, "off", off)
        return fill_chunk(Bench(workspace), PLAN, chunk)


def test_values_of_two_devices_are_mixed_within_a_tolerance_only(workspace):
    list_chunks(bench := Bench(workspace), PLAN)
    assert fill_chunk(bench, PLAN, 0) == 8 and bench.open(PLAN).store.read_devices() == {"cpu": 0.0}
    for _ in range(2):
        with pytest.raises(IndexMismatch, match="embeddings of this gpu differ from those that are stored by 0.0"):
            work_as(workspace, "gpu", 0.05)
    assert work_as(workspace, "gpu", 1e-6) == 8
    known = bench.open(PLAN).store.read_devices()
    assert known["cpu"] == 0.0 and 1e-7 < known["gpu"] < 1e-5


def test_of_two_devices_at_an_empty_store_one_waits_and_compares(workspace, monkeypatch):
    monkeypatch.setattr("icbir_core.retrieval.devices.PATIENCE", 0.1)
    filling = fake_work.FakeFilling(workspace)
    filling.store.note_device("another", 0.0)  # it was killed before it wrote
    with checking_device(workspace, "cpu", filling.parts):
        with pytest.raises(WorkspaceBusy):
            work_as(workspace, "gpu", 0.05)
        filling.store.write(np.arange(8), filling.compute(np.arange(8)))
    with pytest.raises(IndexMismatch, match="embeddings of this gpu differ"):
        work_as(workspace, "gpu", 0.05)
    assert filling.store.read_devices() == {"cpu": 0.0}
    with checking_device(workspace, "cpu", filling.parts):
        assert work_as(workspace, "gpu", 1e-6) == 8, "with values in the store nobody waits"


@pytest.mark.slow
def test_the_jobs_of_a_killed_worker_go_to_another_and_end_once(workspace):
    queue = Queue(workspace)
    queue.put_index(PLAN)

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.helpers.fake_work", str(workspace.path), *words]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, text=True)

    first = start("--pause", "60", "--silence", "2")
    deadline = time.monotonic() + 120
    while not fake_work.read_notes(workspace, "begun"):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)  # with a job in its hands
    first.wait()
    assert queue.read_progress().running == 1
    others = [start("--silence", "2", "--pause", "0.1") for _ in range(2)]
    assert [one.wait(180) for one in others] == [0, 0]
    assert count_ends(workspace) == [("plan", 1), ("chunk", 1), ("chunk", 1), ("chunk", 1), ("build", 1)]
    check_index(workspace)


def test_what_was_asked_for_is_listed_once_and_taken_back_alone(workspace):
    queue = Queue(workspace)
    queue.put_command(["evaluate", "WORKSPACE", "--seed", "1"])
    queue.put_index(PLAN)
    (first, second) = list_work(workspace)
    assert (first.kind, first.what, first.queue) == ("plan", "Effusion", "index") and first.is_open
    assert (second.kind, second.what, second.queue) == ("command", "evaluate WORKSPACE --seed 1", "commands")
    assert queue.cancel(second.key) == 1 and queue.cancel(second.key) == 0
    queue.work(wait=False, silence=4.0)
    built, planned, command = list_work(workspace)
    assert (built.kind, built.what, built.total, built.done) == ("build", "Effusion", 4, 4) and not built.is_open
    assert (planned.kind, planned.done, planned.total) == ("plan", 1, 1)
    assert (command.cancelled, command.done, command.is_open) == (1, 0, False)
    queue.put_command(["train", "WORKSPACE"])
    queue.work(wait=False, silence=4.0, run_command=lambda words: 3)
    assert "ended with status 3" in list_work(workspace)[0].reason and list_work(workspace)[0].failed == 1
