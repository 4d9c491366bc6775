"""Many readers at once: wrong answers, refusals, memory, and how the server ends.

    icbir demo FOLDER
    python -m benchmarks.filled_workspace FOLDER --cases 100000
    python -m benchmarks.load FOLDER --readers 32 --searches 2000 --wait 20

Starts a server and speaks to it as browsers do, by web sockets in the protocol of the pages. Beside that, in this
process, the right answers are worked out by `icbir_core` over the same workspace, without any page. Each question is a
page opened anew with a case of the catalogue as its film and a filter of view or sex. No two are the same, and those of
one film lie as far apart as there are films, so that the server has forgotten the film and computes all of it again.
The readers take the questions in this order, each the next one. A reader whose question is refused asks it again after
a pause. At the end four more questions are asked, and the server is told to end while it computes one of them.

Memory is the proportional set size of the server and all its processes (what is shared counts in parts).
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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product, takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.radiograph import assess_quality
from icbir_core.retrieval.question import find_question
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import FIRST_COUNT, SearchFilter, SearchSettings
from icbir_core.types import Case, Query
from icbir_ui.search import gate
from scripts.chromium import find_port, wait_for_server

BUSY, STOPPED = "server is busy", "being stopped"
SETTINGS = '[monitoring]\nmetrics = ["127.0.0.1"]\nlog = "json"\n[queue]\nwait_seconds = {wait}\n'
FILTERS = (("", ""), ("PA", ""), ("AP", ""), ("", "F"), ("", "M"))
_PATIENCE = 600.0
_GATHERING = 120.0
_LAST = 4
_MEASURED = 5.0  # seconds between two looks at the memory
_TOLD = 60.0  # seconds between two lines of progress
_COMPUTED = 'icbir_questions_total{kind="search",outcome="answered"'


@dataclass(frozen=True)
class Plan:
    """readers : how many ask at once; searches : of all together; wait : seconds after which the server refuses a
    question; pause : seconds before a refused one is asked again; minutes : after which nobody asks another."""

    readers: int = 32
    searches: int = 2000
    wait: float = 20.0
    pause: float = 10.0
    minutes: float = float("inf")


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
    """What came of the questions of all readers. outcomes : "answered", "refused", "stopped", "none" or "cut", of each
    time a question was asked; answers : the cases of each that was answered; seconds : from asking to the answer;
    by_reader : how many each reader had answered; memory : (answers so far, MB in all, MB that no file backs)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    answers: dict[Question, list[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    by_reader: Counter[int] = field(default_factory=Counter)
    memory: list[tuple[int, float, float]] = field(default_factory=list)


class Reader:
    """One browser. port : of the server; name : the pseudonym under which the notice was accepted."""

    def __init__(self, port: int, name: str):
        self._address = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._headers = {"Origin": f"http://127.0.0.1:{port}", "Cookie": f"icbir_reader={name}"}

    async def ask(self, question: Question) -> tuple[list[str] | None, str]:
        """(the cases in their order, None without any; all that the page said). Raises `EOFError` and what websockets
        raise where the server hangs up."""
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
                        return cases, re.sub(r"\\(.)", r"\1", " ".join(said))
                elif got.WhichOneof("type") == "delta":
                    element = got.delta.new_element
                    kind = element.WhichOneof("type")
                    if kind in ("markdown", "alert"):
                        said.append(getattr(element, kind).body)
                    elif kind == "bidi_component" and (found := _read_panes(element.bidi_component.json)):
                        cases = found
        raise EOFError("The server hung up before the page was whole.")


def _read_panes(text: str) -> list[str]:
    """The cases that the viewer shows beside the film."""
    try:
        return [pane["key"] for pane in json.loads(text)["panes"] if not pane["lead"]]
    except (ValueError, KeyError, TypeError):
        return []


def list_questions(workspace: Workspace, count: int, seed: int = 1) -> list[Question]:
    """`count` different ones, in rounds over all films that the page does not hold back, each round in the same order.
    Raises ValueError where there are not so many."""
    draw, films = random.Random(seed), defaultdict(list)
    for case in workspace.catalogue.cases():
        films[case.pixel_sha256].append(case)
    order = [film for film, held in films.items() if not is_withheld(workspace, held[0])]
    draw.shuffle(order)
    rounds = -(-count // len(order))
    every = {film: [Question(case.case_id, *one) for case, one in product(films[film], FILTERS)] for film in order}
    if (most := min(map(len, every.values()))) < rounds:
        raise ValueError(f"{len(order)} films make {most * len(order)} different questions, not {count}; ask fewer.")
    drawn = {film: draw.sample(held, rounds) for film, held in every.items()}
    return [drawn[film][number] for number in range(rounds) for film in order][:count]


def is_withheld(workspace: Workspace, case: Case) -> bool:
    """Whether the page shows no answer for a film until the reader asks for it all the same."""
    return not gate.WITHHELD.isdisjoint(assess_quality(read_case_radiograph(workspace, case)).kinds)


def work_out(workspace: Workspace, retriever: Retriever, questions: Sequence[Question]) -> dict[Question, list[str]]:
    """The right answer to each question: the cases in their order, as the page asks for them at first. The questions of
    one film are answered together, so that the networks run once for each."""
    films = {case.case_id: case.pixel_sha256 for case in workspace.catalogue.cases()}
    found: dict[Question, list[str]] = {}
    told = time.monotonic()
    for question in sorted(questions, key=lambda one: (films[one.case_id], one.case_id)):
        case = workspace.catalogue.get(question.case_id)
        query = Query(case.case_id, read_case_radiograph(workspace, case), case.patient, case.case_id)
        target = find_question(retriever.predict(query)) or retriever.default_target
        chosen = SearchFilter(view=question.view or None, sex=question.sex or None)
        settings = SearchSettings(FIRST_COUNT, retriever.methods(target)[0], target, filter=chosen)
        found[question] = [hit.case.case_id for hit in retriever.search(query, settings).hits]
        if time.monotonic() - told > _TOLD:
            told = time.monotonic()
            tell(f"{len(found)} of {len(questions)} answers worked out")
    return found


def tell(text: str) -> None:
    """A line of progress."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


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
            # in a session of its own, as a service runs: with the client's it would share one part of the processors
            self.process = subprocess.Popen(
                command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=log
            )
        wait_for_server(self.process, f"http://127.0.0.1:{self.port}", _PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready() and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=30).status == 200)
        except OSError:
            return False

    def measure(self) -> dict[str, float]:
        """The figures of the server by their names."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60).read().decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def measure_memory(self) -> tuple[float, float]:
        """(proportional set size of all its processes, the part of it that no file backs), in MB."""
        sizes = Counter[str]()
        for process in _list_family(self.process.pid):
            with suppress(OSError):  # it has ended meanwhile
                lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
                sizes.update({name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)})
        return sizes["Pss"] * 1024 / 1e6, sizes["Pss_Anon"] * 1024 / 1e6

    def read_log(self) -> Iterator[dict[str, Any]]:
        """The events of the log."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def _list_family(first: int) -> list[int]:
    """A process and all that it and its own have started."""
    children = defaultdict[int, list[int]](list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            children[int(path.read_text().rsplit(")", 1)[1].split()[1])].append(int(path.parent.name))
    found = [first]
    for process in found:
        found += children[process]
    return found


async def ask_all(server: Server, questions: Sequence[Question], plan: Plan) -> Tally:
    """The readers ask at once, each the next question that nobody has asked; one that is refused she asks again."""
    tally, waiting, ends = Tally(), iter(questions), time.monotonic() + 60 * plan.minutes

    async def read(number: int) -> None:
        reader = Reader(server.port, f"reader-{number:02d}")
        for question in waiting:
            if time.monotonic() > ends:
                return
            while True:
                before = time.monotonic()
                came, cases = await judge(reader, question)
                tally.outcomes[came] += 1
                if came != "refused":
                    break
                await asyncio.sleep(plan.pause)
            tally.seconds.append(time.monotonic() - before)
            tally.by_reader[number] += 1
            if came == "answered":
                tally.answers[question] = cases

    async def watch() -> None:
        told = time.monotonic()
        while True:
            tally.memory.append((len(tally.seconds), *await asyncio.to_thread(server.measure_memory)))
            if time.monotonic() - told > _TOLD:
                told = time.monotonic()
                tell(f"{len(tally.seconds)} of {len(questions)}: {dict(tally.outcomes)}, {tally.memory[-1][1]:.0f} MB")
            await asyncio.sleep(_MEASURED)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(read(number) for number in range(plan.readers)))
    watching.cancel()
    tally.memory.append((len(tally.seconds), *server.measure_memory()))
    return tally


async def judge(reader: Reader, question: Question) -> tuple[str, list[str]]:
    """What came of one question, as `Tally` names it, and the cases."""
    try:
        cases, said = await reader.ask(question)
    except (ConnectionClosed, EOFError, OSError):
        return "cut", []
    if STOPPED in said:
        return "stopped", []
    if BUSY in said:
        return "refused", []
    if cases is None:
        tell(f"no cases for {question}, only {said[:400]!r}")
        return "none", []
    return "answered", cases


async def end_amid(server: Server, questions: Sequence[Question]) -> list[tuple[str, list[str]]]:
    """Tell the server to end while it computes one question and the others wait; what came of each."""
    readers = [Reader(server.port, f"last-{number:02d}") for number in range(len(questions))]
    asked = [asyncio.create_task(judge(*one)) for one in zip(readers, questions, strict=True)]
    # One is being computed and all others wait; where computing is quicker than that, as many as ever come together.
    deadline = time.monotonic() + _GATHERING
    while time.monotonic() < deadline and not any(one.done() for one in asked):
        if (await asyncio.to_thread(server.measure))["icbir_queue_length"] >= len(questions) - 1:
            break
        await asyncio.sleep(0.02)
    server.process.send_signal(signal.SIGTERM)
    return await asyncio.gather(*asked)


def compare(answers: dict[Question, list[str]], right: dict[Question, list[str]]) -> Counter[str]:
    """How many answers are right and how many wrong; each wrong one is told."""
    found = Counter[str]()
    for question, cases in answers.items():
        found["right" if cases == right[question] else "wrong"] += 1
        if cases != right[question]:
            tell(f"wrong: {question}, {cases}, expected {right[question]}")
    return found


async def run(
    workspace: Workspace, open_retriever: Callable[[], Retriever], words: Sequence[str], plan: Plan
) -> dict[str, Any]:
    """The whole of it: the figures that are printed."""
    every = list_questions(workspace, plan.searches + _LAST)
    questions, last = every[:-_LAST], every[-_LAST:]
    working = asyncio.create_task(asyncio.to_thread(lambda: work_out(workspace, open_retriever(), every)))
    with tempfile.TemporaryDirectory() as place:
        server = await asyncio.to_thread(Server, words, Path(place), plan.wait)
        try:
            tally = await ask_all(server, questions, plan)
            figures = await asyncio.to_thread(server.measure)
            ended = await end_amid(server, last)
            code = await asyncio.to_thread(server.process.wait, 120)
        finally:
            server.process.kill()
            server.process.wait()
        events = list(server.read_log())
    for event in events:
        if event["event"] in ("stopping", "stopped"):
            tell(json.dumps(event))
    serving = list(takewhile(lambda event: event["event"] != "stopping", events))
    right = await working
    finished = {one: cases for one, (came, cases) in zip(last, ended, strict=True) if came == "answered"}
    return {
        "cases": workspace.catalogue.count(),
        "readers": plan.readers,
        "searches": len(tally.seconds),
        "computed": sum(value for name, value in figures.items() if name.startswith(_COMPUTED)),
        "outcomes": dict(tally.outcomes),
        "answers": dict(compare(tally.answers, right)),
        "answers of one reader": {"fewest": min(tally.by_reader.values()), "most": max(tally.by_reader.values())},
        "seconds to the answer": describe(tally.seconds),
        "wait": describe_wait(plan.wait, figures, serving),
        "memory": describe_memory(tally.memory),
        "errors": figures["icbir_errors_total"],
        "audit failures": figures["icbir_audit_failures_total"],
        "told to end": {**Counter(came for came, _ in ended), **compare(finished, right)},
        "exit code": code,
        "events": dict(Counter(event["event"] for event in events)),
    }


def describe(values: Sequence[float]) -> dict[str, float]:
    """Median, the ninety-fifth of a hundred, and the largest."""
    names = {"median": 50, "95 %": 95, "most": 100}
    return {name: round(float(np.percentile(values, part)), 1) for name, part in names.items()} if values else {}


def describe_wait(wait: float, figures: dict[str, float], events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How long questions waited for their turn, beside the wait that is allowed. A page asks several: for the
    probabilities, the cases and the map."""
    buckets = {
        float(name.split('"')[1]): value for name, value in figures.items() if name.startswith("icbir_wait_seconds_b")
    }
    told = min(bound for bound in buckets if bound >= wait)
    refused = [event["seconds"] for event in events if event["event"] == "question" and event["outcome"] == "refused"]
    return {
        "allowed": wait,
        "answered": buckets[float("inf")],
        f"answered after more than {told:.0f} s of waiting": buckets[float("inf")] - buckets[told],
        "refused": len(refused),
        "longest that a refused one waited": max(refused, default=0.0),
    }


def describe_memory(measured: Sequence[tuple[int, float, float]]) -> dict[str, float]:
    """MB of the server; the slopes are straight lines through the second half of the answers."""
    answers, whole, own = np.array(measured).T
    late = answers >= answers[-1] / 2
    found = {"at first": whole[0], "half way": whole[late][0], "at the end": whole[-1], "most": whole.max()}
    found |= {"at the end without files": own[-1]}
    if len(set(answers[late])) > 2:
        for name, values in (("", whole), (" without files", own)):
            found[f"a thousand answers{name}"] = 1000 * np.polyfit(answers[late], values[late], 1)[0]
    return {name: round(float(value), 1) for name, value in found.items()}


def main() -> None:
    """The command; 1 if an answer was wrong or lacked."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--readers", type=int, default=Plan.readers)
    parser.add_argument("--searches", type=int, default=Plan.searches, help="of all readers together")
    parser.add_argument("--wait", type=float, default=Plan.wait, help="seconds after which a question is refused")
    parser.add_argument("--pause", type=float, default=Plan.pause, help="seconds before a refused one is asked again")
    parser.add_argument("--minutes", type=float, default=Plan.minutes, help="after which nobody asks another")
    given = parser.parse_args()
    words = [sys.executable, "-m", "icbir_core", "app", str(given.workspace), "--port", "PORT", "--device", "cpu"]
    opened = Workspace.open(given.workspace)
    plan = Plan(given.readers, given.searches, given.wait, given.pause, given.minutes)
    found = asyncio.run(run(opened, lambda: Retriever.open(opened, device="cpu"), words, plan))
    print(json.dumps(found, indent=2))
    sys.exit(bool(set(found["outcomes"]) - {"answered", "refused"} or set(found["answers"]) - {"right"}))


if __name__ == "__main__":
    main()
