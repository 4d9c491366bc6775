"""Commands in parts: an ingest from the archive study by study, each ended once, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import text

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.cli.dividing import divide
from icbir_core.database import find_engine
from icbir_core.jobs.listing import list_work
from icbir_core.jobs.queue import Queue
from icbir_core.pacs.parts import ingest_study, list_studies
from scripts.archive_films import make_archive_films
from tests.helpers.fake_archive import answer_from, run_fake_archive
from tests.helpers.fake_work import count_ends

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def films():
    return make_archive_films(patients=3, size=64)


@pytest.fixture
def fake(films):
    with run_fake_archive(answer_from(films)) as running:
        yield running


@pytest.fixture
def workspace(database_url, tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    return Workspace.create(tmp_path / "w")


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
