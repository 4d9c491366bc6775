"""Two replicas behind nginx, one PostgreSQL, one S3 server, two workers, many readers; a worker and a replica end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from icbir_core.audit import open_audit
from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.jobs.queue import Queue
from icbir_core.jobs.units import IndexPlan
from icbir_core.keeping.moving import move_films
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.target_files import TargetFiles
from icbir_core.study.creating import open_store
from icbir_core.study.verifying import verify_ratings
from scripts.chromium import find_port
from tests.helpers import fake_work, fakes
from tests.integration.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
READERS = 16
CASES, ROUNDS = 40, 3
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def write_proxy(folder: Path, port: int, replicas: list[int]) -> Path:
    """The shipped configuration without TLS, over these ports."""
    text = re.sub(r"\n *ssl_\w+ [^;]*;", "", (ROOT / "deploy" / "replicas" / "nginx.conf").read_text())
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace("rate=30r/s", "rate=1000r/s")
    for shipped, own in zip(("8501", "8502"), replicas, strict=True):
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{own}")
    places = "".join(f"{name}_temp_path {folder}/{name};\n" for name in TEMPORARY)
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{text}\n}}\n"
    )
    return path


class Browser:
    """A reader's browser: asks for a film's cases, rates the first of them, and loads the page again where it must."""

    def __init__(self, port: int, name: str):
        self.port, self.name, self.reloads = port, name, 0
        self.replica = ""

    def visit(self) -> None:
        """The first request of a page, which brings the cookie of a replica."""
        answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=120)
        found = re.search(r"icbir_replica=([0-9a-f]{32})", answer.headers["Set-Cookie"])
        assert found is not None
        self.replica = found[1]

    async def read(self, film: str, score: int) -> list[str]:
        """The cases of a film, the first of which she rated; tried again where the connection is lost."""
        for _ in range(20):
            try:
                return await self._read(film, score)
            except (ConnectionClosed, OSError, InvalidStatus, TimeoutError):
                self.reloads += 1
                await asyncio.sleep(0.5)
        raise AssertionError(f"{self.name} gets no answer")

    async def _read(self, film: str, score: int) -> list[str]:
        address = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        cookie = f"icbir_reader={self.name}; icbir_replica={self.replica}"
        headers = {"Origin": f"http://127.0.0.1:{self.port}", "Cookie": cookie}
        async with connect(
            address, additional_headers=headers, subprotocols=["streamlit"], max_size=None, ping_interval=None,
            open_timeout=120,
        ) as socket:  # fmt: skip
            message = BackMsg()
            message.rerun_script.query_string = f"film={film}"
            viewer = await asyncio.wait_for(self._run(socket, message), 240)
            data = json.loads(viewer.json)
            cases = [pane["key"] for pane in data["panes"] if not pane["lead"]]
            number = int(time.time() * 1000)
            made = {"number": number, "name": "rated", "pane": cases[0], "rating": score, "mapped": False}
            held = json.dumps({"decisions": [made | {"about": data["about"]}]})
            message = BackMsg()
            message.rerun_script.query_string = f"film={film}"
            message.rerun_script.widget_states.widgets.append(WidgetState(id=viewer.id, json_value=held))
            await asyncio.wait_for(self._run(socket, message), 240)
            return cases

    async def _run(self, socket, message: BackMsg):
        """Run the page once; its viewer, once that shows cases."""
        await socket.send(message.SerializeToString())
        viewer, said = None, []
        async for data in socket:
            got = ForwardMsg.FromString(data)
            if got.WhichOneof("type") == "script_finished":
                if got.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN and viewer is not None:
                    return viewer
                if got.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    await asyncio.sleep(0.5)  # the stand-in for the networks loads
                    await socket.send(message.SerializeToString())
            elif got.WhichOneof("type") == "delta":
                element = got.delta.new_element
                if element.WhichOneof("type") == "alert":
                    said.append(element.alert.body)
                if element.WhichOneof("type") == "bidi_component":
                    panes = json.loads(element.bidi_component.json).get("panes", [])
                    viewer = element.bidi_component if any(not one["lead"] for one in panes) else viewer
        raise OSError(f"no answer: {said}")


def expect(workspace: Workspace, films: list[str]) -> dict[str, list[str]]:
    """What each film must find, by the same stand-in in this process, over the films in the S3 server."""
    from icbir_core.catalogue import read_case_radiograph
    from icbir_core.settings import SearchSettings
    from icbir_core.types import Query
    from icbir_ui.search.controls import FIRST_COUNT

    retriever, found = fakes.FakeRetriever(workspace), {}
    for film in films:
        case = workspace.catalogue.get(film)
        query = Query(film, read_case_radiograph(workspace, case), case.patient, film)
        found[film] = [hit.case.case_id for hit in retriever.search(query, SearchSettings(top_k=FIRST_COUNT)).hits]
    return found


async def read_all(browsers: list[Browser], films: list[str], kill) -> tuple[list[tuple[str, str, list[str]]], Counter]:
    """Every reader reads ROUNDS films at once with the others; amid it one replica is killed."""
    answers: list[tuple[str, str, list[str]]] = []

    async def read(number: int, browser: Browser) -> None:
        for turn in range(ROUNDS):
            film = films[(number * ROUNDS + turn) % len(films)]
            answers.append((browser.name, film, await browser.read(film, 1 + (number + turn) % 5)))
            if len(answers) == len(browsers):
                kill()

    await asyncio.gather(*(read(number, browser) for number, browser in enumerate(browsers)))
    return answers, Counter({browser.name: browser.reloads for browser in browsers})


@pytest.mark.slow
def test_a_replica_and_a_worker_that_are_killed_cost_a_reload_and_nothing_else(
    postgres, database_url, store, processes, tmp_path, monkeypatch
):
    if NGINX is None:
        pytest.skip("no nginx here: apt-get install nginx")
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    monkeypatch.setenv("STREAMLIT_SERVER_COOKIE_SECRET", "of these tests alone")
    workspace = fakes.make_workspace(tmp_path / "w", CASES)
    record_catalogue(workspace)
    assert move_films(workspace, store).films == CASES
    workspace = Workspace.open(workspace.path)

    Queue(workspace).put_index(IndexPlan("Effusion"))
    work = (sys.executable, "-m", "tests.helpers.fake_work", str(workspace.path), "--silence", "4")
    doomed = processes("worker-1", *work, "--wait", "--pause", "600")
    deadline = time.monotonic() + 240
    while not fake_work.read_notes(workspace, "begun"):
        assert time.monotonic() < deadline and doomed.poll() is None, (tmp_path / "worker-1.log").read_text()
        time.sleep(0.1)
    other = processes("worker-2", *work, "--pause", "0.2")
    doomed.send_signal(signal.SIGKILL)

    ports = [find_port(), find_port()]
    replicas = [
        processes(
            f"replica-{port}", sys.executable, "-m", "tests.browser.serve", str(workspace.path), str(port), "--fake"
        )
        for port in ports
    ]
    front = find_port()
    processes("nginx", str(NGINX), "-p", str(tmp_path), "-c", str(write_proxy(tmp_path, front, ports)))
    for port in (*ports, front):
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
    assert other.wait(300) == 0, (tmp_path / "worker-2.log").read_text()
    assert Queue(workspace).read_progress().failed == 0

    films = [case.case_id for case in workspace.catalogue.cases()]
    expected = expect(workspace, films)
    browsers = [Browser(front, f"reader-{number:02d}") for number in range(READERS)]
    for browser in browsers:
        browser.visit()
    assert len({browser.replica for browser in browsers}) == READERS
    answers, reloads = asyncio.run(read_all(browsers, films, replicas[0].kill))

    wrong = [(who, film, cases, expected[film]) for who, film, cases in answers if cases != expected[film]]
    assert not wrong, wrong[0]
    assert len(answers) == READERS * ROUNDS
    assert replicas[1].poll() is None and sum(reloads.values()) > 0, "some browsers lost their replica"
    given = {(one.reader, one.query, one.case_id, one.score) for one in open_store(workspace).history()}
    for number, browser in enumerate(browsers):
        for turn in range(ROUNDS):
            film = films[(number * ROUNDS + turn) % len(films)]
            assert (browser.name, film, expected[film][0], 1 + (number + turn) % 5) in given, "no rating is lost"
    rows = sorted(fake_work.read_notes(workspace, "written"))
    assert rows == list(range(CASES)), "nothing is indexed twice"
    assert len(Index.open(TargetFiles(workspace, "Effusion").get_index("cnn"))) == CASES
    checks = (*verify_workspace(workspace), *verify_ratings(workspace), *open_audit(workspace).verify())
    faults = [one.text for one in checks if not one.passed]
    assert len(list(open_audit(workspace).entries())) >= READERS * ROUNDS, "one chain, written by both replicas"
    assert not faults
