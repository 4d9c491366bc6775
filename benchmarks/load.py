"""Many readers at once: wrong answers, refusals, memory, and how the server ends.

    python -m benchmarks.load WORKSPACE --readers 32 --searches 10

Starts a server over WORKSPACE and speaks to it as browsers do, by web sockets in the protocol of the pages. One reader
asks every question alone; then, of a second server that remembers nothing of it, all readers ask at once, each her own
share of the questions, and every answer is compared with the first. The second server is told to end amid the last
questions. Each question is a page opened anew with a case of the catalogue as its film and a filter of view or sex,
and no two are the same, so that every answer is computed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from icbir_core.catalogue import Workspace
from scripts.chromium import find_port, wait_for_server

BUSY, STOPPED = "server is busy", "being stopped"
SETTINGS = '[monitoring]\nmetrics = ["127.0.0.1"]\nlog = "json"\n[queue]\nwait_seconds = {wait}\n'
_PATIENCE = 600.0
_GATHERING = 20.0
_LAST = 4
_COMPUTED = 'icbir_questions_total{kind="search",outcome="answered"'


@dataclass(frozen=True)
class Question:
    """A page of the search: a case as its film, and which views and sexes are returned, "" for all."""

    case_id: str
    view: str
    sex: str

    @property
    def address(self) -> str:
        """What follows the question mark."""
        filters = {"filter_view": self.view, "filter_sex": self.sex}
        held = {name: value for name, value in filters.items() if value}
        return urlencode({"film": self.case_id, "search": json.dumps(held)})


@dataclass
class Tally:
    """What came of the questions of all readers. outcomes : "right", "wrong", "refused", "stopped", "none" or "cut"."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


class Reader:
    """One browser. port : of the server; name : the pseudonym under which the notice was accepted."""

    def __init__(self, port: int, name: str):
        self._address = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._headers = {"Origin": f"http://127.0.0.1:{port}", "Cookie": f"icbir_reader={name}"}

    async def ask(self, question: Question) -> tuple[list[str] | None, str]:
        """(the cases in their order, None without any; all that the page said)."""
        said: list[str] = []
        cases: list[str] | None = None
        message = BackMsg()
        message.rerun_script.query_string = question.address
        # A busy machine answers late; that is measured, and no reason to hang up.
        options: dict[str, Any] = {"max_size": None, "open_timeout": _PATIENCE, "ping_interval": None}
        options |= {"additional_headers": self._headers, "subprotocols": ["streamlit"]}
        async with connect(self._address, **options) as socket:
            await socket.send(message.SerializeToString())
            async for data in socket:
                got = ForwardMsg.FromString(data)
                if got.WhichOneof("type") == "script_finished":
                    if got.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                        break
                elif got.WhichOneof("type") == "delta":
                    element = got.delta.new_element
                    kind = element.WhichOneof("type")
                    if kind in ("markdown", "alert"):
                        said.append(getattr(element, kind).body)
                    elif kind == "bidi_component" and (found := _read_panes(element.bidi_component.json)):
                        cases = found
        return cases, re.sub(r"\\(.)", r"\1", " ".join(said))


def _read_panes(text: str) -> list[str]:
    """The cases that the viewer shows beside the film."""
    try:
        return [pane["key"] for pane in json.loads(text)["panes"] if not pane["lead"]]
    except (ValueError, KeyError, TypeError):
        return []


def list_questions(workspace: Workspace, count: int, seed: int = 1) -> list[Question]:
    """`count` different ones."""
    draw, cases = random.Random(seed), [case.case_id for case in workspace.catalogue.cases()]
    filters = (("", ""), ("PA", ""), ("AP", ""), ("", "F"), ("", "M"))
    every = [Question(case, view, sex) for case, (view, sex) in product(cases, filters)]
    if count > len(every):
        raise ValueError(f"{len(cases)} cases make {len(every)} different questions, not {count}; ask fewer.")
    return draw.sample(every, count)


class Server:
    """A server in a process of its own. words : the program and its words; "PORT" among them stands for the port."""

    def __init__(self, words: Sequence[str], folder: Path, wait: float):
        self.port = find_port()
        settings = folder / "server.toml"
        settings.write_text(SETTINGS.format(wait=wait))
        settings.chmod(0o600)
        self.log = folder / "server.log"
        environment = os.environ | {"ICBIR_SERVER": str(settings), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [str(self.port) if word == "PORT" else word for word in words]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        wait_for_server(self.process, f"http://127.0.0.1:{self.port}", _PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready() and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=30).status == 200
        except OSError:
            return False

    def measure(self) -> dict[str, float]:
        """The figures of the server by their names."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60).read().decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def read_log(self) -> Iterator[dict[str, Any]]:
        """The events of the log."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


async def ask_all(server: Server, questions: Sequence[Question], expected: Sequence[list[str]], readers: int) -> Tally:
    """The readers ask at once, each her own share of the questions."""
    tally, known = Tally(), dict(zip(questions, expected, strict=True))

    async def read(number: int) -> None:
        reader = Reader(server.port, f"reader-{number:02d}")
        for question in questions[number::readers]:
            before = time.monotonic()
            tally.outcomes[await judge(reader, question, known[question])] += 1
            tally.seconds.append(time.monotonic() - before)

    async def watch() -> None:
        while True:
            tally.memory.append((await asyncio.to_thread(server.measure))["process_resident_memory_bytes"] / 1e6)
            await asyncio.sleep(2)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(read(number) for number in range(readers)))
    watching.cancel()
    return tally


async def judge(reader: Reader, question: Question, expected: list[str]) -> str:
    """What came of one question, as `Tally` names it."""
    try:
        cases, said = await reader.ask(question)
    except (ConnectionClosed, OSError):
        return "cut"
    if STOPPED in said:
        return "stopped"
    if BUSY in said:
        return "refused"
    return "none" if cases is None else "right" if cases == expected else "wrong"


async def end_amid(server: Server, questions: Sequence[Question], expected: Sequence[list[str]]) -> Counter[str]:
    """Tell the server to end while it computes one question and the others wait; what came of each."""
    readers = [Reader(server.port, f"last-{number:02d}") for number in range(len(questions))]
    asked = [asyncio.create_task(judge(*one)) for one in zip(readers, questions, expected, strict=True)]
    # One is being computed and all others wait; where computing is quicker than that, as many as ever come together.
    deadline = time.monotonic() + _GATHERING
    while time.monotonic() < deadline and not any(one.done() for one in asked):
        if (await asyncio.to_thread(server.measure))["icbir_queue_length"] >= len(questions) - 1:
            break
        await asyncio.sleep(0.02)
    server.process.send_signal(signal.SIGTERM)
    return Counter(await asyncio.gather(*asked))


async def run(workspace: Workspace, words: Sequence[str], readers: int, searches: int, wait: float) -> dict[str, Any]:
    """The whole of it: the figures that are printed."""
    every = list_questions(workspace, readers * searches + _LAST)
    questions, last = every[:-_LAST], every[-_LAST:]
    with tempfile.TemporaryDirectory() as place:
        server = Server(words, Path(place), wait)
        try:
            alone = Reader(server.port, "alone")
            expected = [(await alone.ask(one))[0] or [] for one in questions]
        finally:
            server.process.kill()
            server.process.wait()
        server = Server(words, Path(place), wait)
        try:
            tally = await ask_all(server, questions, expected, readers)
            figures = await asyncio.to_thread(server.measure)
            ended = await end_amid(server, last, [[]] * len(last))
            code = await asyncio.to_thread(server.process.wait, 120)
        finally:
            server.process.kill()
            server.process.wait()
        events = Counter(event["event"] for event in server.read_log())
    ordered = sorted(tally.seconds)
    return {
        "cases": workspace.catalogue.count(),
        "readers": readers,
        "searches": len(ordered),
        "computed": sum(value for name, value in figures.items() if name.startswith(_COMPUTED)),
        "answered alone": sum(map(bool, expected)),
        "outcomes": dict(tally.outcomes),
        "seconds": {"median": ordered[len(ordered) // 2], "most": ordered[-1]} if ordered else {},
        "memory in MB": {"first": tally.memory[0], "last": tally.memory[-1], "most": max(tally.memory)},
        "errors": figures["icbir_errors_total"],
        "told to end": {"answered": ended["right"] + ended["wrong"], **_pick(ended, "stopped", "refused", "cut")},
        "exit code": code,
        "audit failures": figures["icbir_audit_failures_total"],
        "events": dict(events),
    }


def _pick(counts: Counter[str], *names: str) -> dict[str, int]:
    return {name: counts[name] for name in names if counts[name]}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--readers", type=int, default=32)
    parser.add_argument("--searches", type=int, default=10, help="of each reader")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds after which a question is refused")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    words = [
        sys.executable,
        "-m",
        "icbir_core",
        "app",
        str(given.workspace),
        "--port",
        "PORT",
        "--device",
        given.device,
    ]
    opened = Workspace.open(given.workspace)
    print(json.dumps(asyncio.run(run(opened, words, given.readers, given.searches, given.wait)), indent=2))


if __name__ == "__main__":
    main()
