"""Commands in parts: an ingest from the archive study by study, each ended once, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from sqlalchemy import text

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.cli.dividing import divide
from icbir_core.database import find_engine
from icbir_core.evaluation.parts import EvaluationInParts
from icbir_core.evaluation.running import VECTORS, EvaluationOptions
from icbir_core.jobs.listing import list_work
from icbir_core.jobs.queue import Queue
from icbir_core.pacs.parts import ingest_study, list_studies
from scripts.archive_films import make_archive_films
from tests.helpers import fake_work, fakes
from tests.helpers.fake_work import count_ends

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def films():
    return make_archive_films(patients=3, size=64)


@pytest.fixture
def workspace(database_url, tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    return Workspace.create(tmp_path / "w")


CASES = 20


@pytest.fixture
def filled(workspace, tmp_path, monkeypatch) -> Workspace:
    """Twenty cases, and networks that are stand-ins."""
    fake_work.use(monkeypatch.setattr)
    return fakes.make_workspace(tmp_path / "filled", CASES)


def put_evaluation(workspace: Workspace) -> Queue:
    queue = Queue(workspace)
    queue.put_command(["evaluate", str(workspace.path), "--protocol", "silva2020", "--methods", "cnn"])
    return queue


def read_computed(workspace: Workspace) -> list[str]:
    """The films of which vectors are kept, each as often as it is."""
    files = (workspace.path / VECTORS).rglob("*.npz")
    return [name for file in files for name in np.load(file)["films"].tolist()]


def list_films(workspace: Workspace) -> list[str]:
    return [case.pixel_sha256 for case in workspace.catalogue.cases()]


def put(fake, workspace: Workspace) -> Queue:
    queue = Queue(workspace)
    words = ["ingest", str(workspace.path), "--layout", "dicomweb", "--images", fake.address, "--include-laterals"]
    assert queue.put_command(words) and not queue.put_command(words)
    return queue


def check(workspace: Workspace, films) -> None:
    """Every film is a case once, and can be read."""
    cases = Workspace.open(workspace.path).catalogue.cases()
    assert len({case.pixel_sha256 for case in cases}) == len(cases) == len(films)
    assert all(read_case_radiograph(workspace, case).pixel_sha256 == case.pixel_sha256 for case in cases)
    assert len(list(workspace.images.iterdir())) == len(films)
    assert [one.text for one in verify_workspace(Workspace.open(workspace.path)) if not one.passed] == []


def count_fetched(fake) -> int:
    return sum("/instances/" in path for path, _ in fake.asked)


def test_an_ingest_from_the_archive_is_one_job_a_study(fake, films, workspace):
    queue, studies = put(fake, workspace), len({film.study for film in films})
    queue.work(wait=False, silence=4.0, run_command=main, divide=divide)
    assert count_ends(workspace) == [("command", 1), *[("chunk", 1)] * studies, ("build", 1)]
    check(workspace, films)
    assert count_fetched(fake) == len(films), "each film was fetched by one part"
    (parts, command) = list_work(workspace)
    assert (parts.kind, parts.total, parts.done) == ("command", studies + 1, studies + 1)
    assert parts.what == command.what and parts.what.startswith("ingest ")
    with find_engine(workspace.database_schema).connect() as connection:
        held = str(connection.execute(text("SELECT args, queueing_lock FROM procrastinate_jobs")).all())
    assert not [film for film in films if film.study in held or film.instance in held]
    queue.put_command(["ingest", str(workspace.path), "--layout", "nowhere"])
    queue.work(wait=False, silence=4.0, run_command=lambda words: 7, divide=divide)
    assert "ended with status 7" in list_work(workspace)[0].reason, "what is not divided is done whole"


def test_a_film_that_another_process_took_in_meanwhile_stays_its(fake, films, workspace, monkeypatch):
    options, lock, others = IngestOptions("dicomweb", fake.address, include_laterals=True), workspace.lock, []

    def wait(name, *seconds):
        """Once the films of the first part are stored, another process takes in all of them."""
        if not others:
            others.append(ingest(Workspace.open(workspace.path), options).added)
        return lock(name, *seconds)

    parts = list_studies(workspace, options)
    monkeypatch.setattr(workspace, "lock", wait)
    assert [ingest_study(workspace, options, one) for one in parts] == [0] * len(parts) and others == [len(films)]
    check(workspace, films)


@pytest.mark.slow
def test_the_study_of_a_killed_worker_goes_to_another_and_ends_once(fake, films, workspace):
    answer, asked, may_go_on = fake.answer, Event(), Event()

    def hold(path):
        if "/instances/" in path and count_fetched(fake) == 2:
            asked.set()
            may_go_on.wait(120)
        return answer(path)

    fake.answer = hold
    put(fake, workspace)

    def start() -> subprocess.Popen[str]:
        words = ["worker", str(workspace.path), "--until-empty", "--silence", "2"]
        return subprocess.Popen([sys.executable, "-m", "icbir_core", *words], cwd=ROOT, stdout=subprocess.DEVNULL)

    first = start()
    assert asked.wait(120)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert Queue(workspace).read_progress().running == 1
    may_go_on.set()
    others = [start() for _ in range(2)]
    assert [one.wait(180) for one in others] == [0, 0]
    assert {ended for _, ended in count_ends(workspace)} == {1}
    assert len(count_ends(workspace)) == len({film.study for film in films}) + 2
    check(workspace, films)


def test_an_evaluation_is_one_job_for_eight_films(filled):
    queue = put_evaluation(filled)
    queue.work(wait=False, silence=4.0, run_command=fake_work.evaluate, divide=divide)
    assert queue.read_progress().reasons == ()
    assert count_ends(filled) == [("command", 1), ("chunk", 1), ("chunk", 1), ("chunk", 1), ("build", 1)]
    assert sorted(read_computed(filled)) == sorted(list_films(filled)), "each once, and nothing was left to the end"
    assert len(fake_work.read_notes(filled, "begun")) == CASES and len(fake_work.read_notes(filled, "evaluated")) == 1


def test_query_films_are_parts_too_and_one_that_cannot_be_read_is_left_out(filled):
    films = filled.images
    for path in sorted(films.iterdir())[:9]:
        path.write_bytes(b"no film")
    asked = EvaluationOptions(films=IngestOptions("folder", films), methods=("cnn",))
    parts = EvaluationInParts(filled, asked)
    assert parts.list_parts() == ["cases 0", "cases 8", "cases 16", "queries 0", "queries 8", "queries 16"]
    for part in ("queries 0", "queries 8", "queries 8"):
        parts.do_part(part)
    assert sorted(read_computed(filled)) == sorted(list_films(filled)[9:16])


@pytest.mark.slow
def test_the_part_of_a_killed_evaluation_goes_to_another_worker_and_ends_once(filled):
    queue = put_evaluation(filled)

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.helpers.fake_work", str(filled.path), "--silence", "2", *words]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)

    first, deadline = start("--pause", "60"), time.monotonic() + 120
    while not fake_work.read_notes(filled, "begun"):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert queue.read_progress().running == 1
    others = [start("--pause", "0.1") for _ in range(2)]
    assert [one.wait(180) for one in others] == [0, 0]
    assert count_ends(filled) == [("command", 1), ("chunk", 1), ("chunk", 1), ("chunk", 1), ("build", 1)]
    assert sorted(read_computed(filled)) == sorted(list_films(filled))
    assert len(fake_work.read_notes(filled, "evaluated")) == 1
