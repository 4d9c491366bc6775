"""Faults while a workspace is written: is anything lost that was said to be stored, and does the same call go on?

    python -m benchmarks.faults FOLDER --faults 500 --seed 1 [--jobs train add]

A tiny workspace is made for each fault, without networks but for `train`: the index is of drawn features. A child does
one job (rate, import, ingest, add, remove, index, train, backup, migrate, audit) and tells of each thing once it is
stored. Without `--jobs` every job but `train`, which takes a hundred times as long, is drawn alike. At a moment that is
drawn it is killed, or the workspace becomes read-only, or its folder is gone (a network drive that is lost; it comes
back later); or it may write no file beyond a size that is drawn (a full disk), or two children do the same at once and
are both killed, or its clock is set by days, forward and back, until it is killed. Then all that was told must be
there, `verify` may find nothing but what the same call mends, and the same call must go through and leave a workspace
in which `verify` finds nothing. FOLDER gets `faults.json`; a later run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from icbir_core.audit import Action, Subject, open_audit
from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.catalogue.adding import ProvenFilm, add_film
from icbir_core.catalogue.asking import read_query
from icbir_core.catalogue.verifying import guard, verify_workspace
from icbir_core.errors import IcbirError
from icbir_core.files import sha256_of_file, write_json_atomically
from icbir_core.findings import FindingState
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.keeping.migrating import migrate_workspace
from icbir_core.model.recipes import find_recipe
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.store import CaseStore
from icbir_core.settings import InputSettings
from icbir_core.study.creating import open_store
from icbir_core.study.exchange import export_study, import_study
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore
from icbir_core.study.verifying import verify_ratings

CASES, FIELDS, IDENTITY = 12, {"cnn": ((16,), "float32")}, {"model": "drawn"}
Tell = Callable[[str], None]
STUDY = {
    "name": "s", "target": "Effusion", "methods": ["cnn"], "k": 1, "tasks": ["similarity"], "stages": 1, "seed": 1,
    "queries": [
        {"case_id": "0", "candidates": [{"case_id": "1", "ranks": {"cnn": 1}, "negative": False}], "pairs": []}
    ],
    "repeats": [["0", "1"]], "salt": "ab", "created_at": "2026-01-01T00:00:00+00:00", "versions": {},
}  # fmt: skip


def make_template(folder: Path) -> None:
    """A workspace of films that are noise, with ratings, an audit log and a study to import beside it."""
    draw = np.random.default_rng(1)
    for number in range(2 * CASES):
        film = draw.integers(0, 255, (48, 48), dtype=np.uint8)
        (folder / ("old" if number < CASES else "new")).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / ("old" if number < CASES else "new") / f"{number}.png"), film)
    workspace = Workspace.create(folder / "w")
    rows = [f"{number}.png,patient {number},PA,{number % 2}" for number in range(CASES)]
    (folder / "labels.csv").write_text("\n".join(["image,patient,view,Effusion", *rows]))
    ingest(workspace, IngestOptions("folder", folder / "old", folder / "labels.csv"))
    store = RatingsStore.open(folder / "w" / "ratings.db")
    store.add_all([make_rating(number) for number in range(5)])
    store.close()
    store_study(folder / "other.db", folder / "study.zip")
    open_audit(workspace).record("reader", Action.SEARCHED)
    workspace.catalogue.close()


def store_study(database: Path, exported: Path) -> None:
    """A small study with twenty ratings, in a database of its own and written out."""
    from icbir_core.study.design import Study

    store = RatingsStore.open(database)
    study = Study.from_dict(STUDY)
    store.add_study("s", study.as_dict(), study.sha256)
    store.add_all([Rating("s", "0", "r", "0", "1", score=1 + number % 5) for number in range(20)])
    export_study(store, "s", exported)
    store.close()


def make_rating(number: int) -> Rating:
    """One of a reader, about one pair; `number` stands where it is found again."""
    return Rating("search", "1", "reader", "query", f"case {number}", score=1 + number % 5)


def rate(place: Path, tell: Tell) -> None:
    """Thirty ratings, one by one."""
    store = open_store(Workspace.open(place / "w"))
    for number in range(100, 130):
        store.add_all([make_rating(number)])
        tell(f"case {number}")


def import_ratings(place: Path, tell: Tell) -> None:
    """A study with its ratings, as one whole."""
    store = open_store(Workspace.open(place / "w"))
    if "s" not in store.study_names():
        import_study(store, place / "study.zip")
    tell("s")


def add_films(place: Path, tell: Tell) -> None:
    """An ingest of twelve more films."""
    workspace = Workspace.open(place / "w")
    ingest(workspace, IngestOptions("folder", place / "new"))
    for case in workspace.catalogue.cases():
        tell(case.case_id)


def add_readers_films(place: Path, tell: Tell) -> None:
    """Twelve films of a reader, one by one."""
    workspace = Workspace.open(place / "w")
    for path in sorted((place / "new").iterdir()):
        query = read_query(workspace, path.name, path.read_bytes())
        if workspace.catalogue.find_film(query.radiograph.pixel_sha256, query.radiograph.stored_sha256, None) is None:
            tell(add_film(workspace, query, ProvenFilm({"Mass": FindingState.PRESENT}, "", "PA")))


def train(place: Path, tell: Tell) -> None:
    """Three epochs of a small classifier."""
    from icbir_core.training.both_stages import TrainingOptions, train_workspace

    recipe = replace(find_recipe("default"), epochs=3, batch_size=4)
    small = TrainingOptions(
        "Effusion", recipe, weights="none", stage="classifier", network="densenet_small", input=InputSettings(size=32),
        device="cpu",
    )  # fmt: skip
    train_workspace(Workspace.open(place / "w"), small)
    tell("trained")


def remove_cases(place: Path, tell: Tell) -> None:
    """Half of the cases, one by one."""
    catalogue = Workspace.open(place / "w").catalogue
    for number in range(CASES // 2):
        catalogue.remove(str(number))
        tell(str(number))


def index(place: Path, tell: Tell) -> None:
    """Features of each case, then an index of them, as `index` writes both."""
    workspace = Workspace.open(place / "w")
    vectors = np.random.default_rng(2).normal(size=(CASES, 16)).astype(np.float32)
    folder = workspace.target_directory("Effusion")
    store, _ = CaseStore.open_or_create(folder / "store.zarr", IDENTITY, FIELDS)
    lacking = np.setdiff1d(np.arange(CASES), store.get_completed())
    for row in lacking:
        store.write(np.array([row]), {"cnn": vectors[[row]]})
        tell(str(row))
    workspace.record_artefact("store/Effusion", {"path": store.seal()})
    Index.build(folder / "index" / "cnn", vectors, np.arange(CASES), {"model": "drawn", "catalogue": "c"})
    workspace.record_artefact("index/Effusion/cnn", {"path": folder / "index" / "cnn"})


def copy(place: Path, tell: Tell) -> None:
    """A copy of the workspace."""
    if not (place / "copy").exists():
        back_up(Workspace.open(place / "w"), place / "copy")
    tell("copy")


def migrate(place: Path, tell: Tell) -> None:
    """Both databases from the first version to this one."""
    migrate_workspace(Workspace.open(place / "w"))
    tell("migrated")


def write_audit(place: Path, tell: Tell) -> None:
    """Thirty entries of the audit log."""
    log = open_audit(Workspace.open(place / "w"))
    for number in range(30):
        tell(log.record("reader", Action.SAW, Subject("case", str(number))).digest)


JOBS: dict[str, Callable[[Path, Tell], None]] = {
    "rate": rate, "import": import_ratings, "ingest": add_films, "add": add_readers_films, "remove": remove_cases,
    "index": index, "train": train, "backup": copy, "migrate": migrate, "audit": write_audit,
}  # fmt: skip
FAULTS = ("kill", "full disk", "two killed", "read-only", "lost mount", "clock steps")


def list_stored(job: str, place: Path) -> set[str]:
    """What the workspace holds of what a job tells."""
    workspace = Workspace.open(place / "w")
    if job in ("rate", "import"):
        store = RatingsStore.open(place / "w" / "ratings.db")
        held = {one.case_id for one in store.latest()} | set(store.study_names())
        store.close()
        return held
    if job == "train":
        from icbir_core.model.classifier import Classifier

        # Its hash is compared and no network built: this process forks again, which TensorFlow would not survive.
        held = Classifier.load(place / "w" / "models" / "classifier.keras", when_needed=True)
        return {"trained"} if held.findings else set()
    if job in ("ingest", "add"):
        films = ((case, place / "w" / case.path) for case in workspace.catalogue.cases())
        return {case.case_id for case, film in films if film.is_file() and sha256_of_file(film) == case.sha256}
    if job == "remove":
        return {workspace.catalogue.get_row(int(row)).case_id for row in workspace.catalogue.removed_rows()}
    if job == "index":
        return {str(row) for row in CaseStore.open(place / "w" / "targets" / "effusion" / "store.zarr").get_completed()}
    if job == "audit":
        return {entry.digest for entry in open_audit(workspace).entries()}
    if job == "backup":
        return {"copy"} if restore_backup(place / "copy", place / "restored").cases == CASES else set()
    return {"migrated"} if workspace.catalogue.read_version() > 0 else set()


def find_wrong(place: Path) -> list[str]:
    """The checks of `verify` that fail."""
    workspace = Workspace.open(place / "w")
    checks = [*verify_workspace(workspace), *verify_ratings(workspace)]
    checks += guard("audit", lambda: open_audit(workspace).verify())
    return [f"{check.name}: {check.text}" for check in checks if not check.passed]


def begin(job: str, place: Path, most: int | None = None, clock: random.Random | None = None) -> tuple[int, int]:
    """(process, the end of a pipe through which it tells). most : bytes that a file may have. clock : draws the steps
    of the clock."""
    reading, writing = os.pipe()
    if (process := os.fork()) == 0:
        os.close(reading)
        code = 0
        try:
            if most is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            if clock is not None:
                step_clock(clock)
            obey_file_modes()
            JOBS[job](place, lambda word: _write(writing, f"{word}\n".encode()))
        except (IcbirError, OSError):
            code = 1
        except BaseException as error:
            _write(writing, f"!{type(error).__name__}\n".encode())
            code = 2
        os._exit(code)
    os.close(writing)
    return process, reading


def _write(pipe: int, data: bytes) -> None:
    os.write(pipe, data)


def collect(reading: int) -> list[str]:
    """The whole lines that a child wrote."""
    with os.fdopen(reading, "rb") as pipe:
        return [line.decode() for line in pipe.read().split(b"\n")[:-1]]


def obey_file_modes() -> None:
    """An administrator's process passes by what a file's mode forbids; this one no longer does."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # linux/capability.h, version 3
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset")


def step_clock(draw: random.Random) -> None:
    """From here on, each look at the clock of this process gives a time up to ten days from the true one."""

    class Stepping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=draw.uniform(-10, 10))  # type: ignore[arg-type]

    true = time.time
    time.time = lambda: true() + 86400 * draw.uniform(-10, 10)
    for name, module in list(sys.modules.items()):
        if name.startswith("icbir_core") and getattr(module, "datetime", None) is datetime:
            module.datetime = Stepping  # type: ignore[attr-defined]


def set_writable(folder: Path, writable: bool) -> None:
    """Let the owner write below a folder, or nobody."""
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):  # a file aside that has got its name meanwhile
            path.chmod(path.stat().st_mode | 0o200 if writable else path.stat().st_mode & ~0o222)


def strike(job: str, fault: str, place: Path, draw: random.Random, seconds: float) -> list[str]:
    """One fault; what was told before it took effect."""
    size = draw.choice((0, 512, 4096, 9000, 20_000, 60_000)) if fault == "full disk" else None
    clock = draw if fault == "clock steps" else None
    children = [begin(job, place, size, clock) for _ in range(2 if fault == "two killed" else 1)]
    if fault in ("kill", "two killed", "clock steps"):
        for process, _ in children:
            time.sleep(seconds * draw.random() / len(children))
            os.kill(process, signal.SIGKILL)
    elif fault == "read-only":
        time.sleep(seconds * draw.random())
        set_writable(place / "w", False)
    elif fault == "lost mount":
        time.sleep(seconds * draw.random())
        (place / "w").rename(place / "away")
        (place / "w").mkdir(exist_ok=True)  # the empty folder in which the drive was mounted
    told = [word for _, reading in children for word in collect(reading)]
    for process, _ in children:
        os.waitpid(process, 0)
    if fault == "read-only":
        set_writable(place / "w", True)
    elif fault == "lost mount":
        shutil.rmtree(place / "w", ignore_errors=True)  # what was written where the drive was is hidden by it again
        (place / "away").rename(place / "w")
    return told


def judge(job: str, fault: str, place: Path, draw: random.Random, seconds: float) -> str:
    """ "nothing lost", or what was."""
    told = strike(job, fault, place, draw, seconds)
    if foreign := [word for word in told if word.startswith("!")]:
        return f"FOREIGN {foreign[0][1:]}"
    try:
        if told and (missing := set(told) - list_stored(job, place)):
            return f"LOST {len(missing)} of {len(told)}"
    except IcbirError as error:
        return f"UNREADABLE {type(error).__name__}"
    wrong = [one for one in find_wrong(place) if "again" not in one and "without a row" not in one]
    if wrong and not (job == "index" and all(one.startswith(("store/", "index/")) for one in wrong)):
        return f"WRONG after the fault: {wrong[0][:80]}"
    process, reading = begin(job, place)
    again = collect(reading)
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        return "STUCK: the same call fails"
    if set(again) - list_stored_again(job, place):
        return "LOST by the second call"
    return "nothing lost" if not (wrong := find_wrong(place)) else f"WRONG in the end: {wrong[0][:80]}"


def list_stored_again(job: str, place: Path) -> set[str]:
    """As `list_stored`; a copy is taken back into another folder."""
    shutil.rmtree(place / "restored", ignore_errors=True)
    return list_stored(job, place)


def prepare(job: str, template: Path, place: Path) -> None:
    """A fresh place for one fault."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)
    if job == "migrate":
        import sqlite3

        with sqlite3.connect(place / "w" / "catalogue.db") as database:
            database.execute("PRAGMA user_version=0")
        database.close()


def measure(job: str, template: Path, place: Path) -> float:
    """Seconds that a job takes undisturbed."""
    prepare(job, template, place)
    start = time.monotonic()
    process, reading = begin(job, place)
    collect(reading)
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise RuntimeError(f"the job '{job}' fails undisturbed")
    return time.monotonic() - start


def run(folder: Path, faults: int, seed: int, jobs: Sequence[str]) -> dict[str, object]:
    """Go on, with faults of these jobs, until `faults` faults are done; returns what came of them."""
    folder.mkdir(parents=True, exist_ok=True)
    file, template, place = folder / "faults.json", folder / "template", folder / "place"
    shutil.rmtree(template, ignore_errors=True)
    child = os.fork()
    if child == 0:  # so that this process itself never opens a database or starts a decoder
        make_template(template)
        os._exit(0)
    os.waitpid(child, 0)
    state = json.loads(file.read_text()) if file.is_file() else {"seed": seed, "next": 0, "counts": {}}
    counts = Counter(state["counts"])
    seconds = {job: measure(job, template, place) for job in jobs}
    while state["next"] < faults:
        draw = random.Random(f"{state['seed']}-{state['next']}")
        job, fault = draw.choice(jobs), draw.choice(FAULTS)
        prepare(job, template, place)
        came = _judge_apart(job, fault, place, draw, seconds[job])
        counts[f"{job} | {fault} | {came}"] += 1
        if came != "nothing lost":
            print(f"{state['seed']}-{state['next']} {job} {fault}: {came}", file=sys.stderr, flush=True)
        state |= {"next": state["next"] + 1, "counts": dict(sorted(counts.items()))}
        write_json_atomically(file, state)
    return state


def _judge_apart(job: str, fault: str, place: Path, draw: random.Random, seconds: float) -> str:
    """`judge` in a process of its own, which opens the workspace as a fresh program does."""
    reading, writing = os.pipe()
    if (process := os.fork()) == 0:
        os.close(reading)
        try:
            came = judge(job, fault, place, draw, seconds)
        except BaseException as error:
            came = f"FOREIGN {type(error).__name__} in the check"
        _write(writing, f"{came}\n".encode())
        os._exit(0)
    os.close(writing)
    came = collect(reading)
    os.waitpid(process, 0)
    return came[0] if came else "FOREIGN death of the check"


def main() -> None:
    """The command; 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=[name for name in JOBS if name != "train"])
    given = parser.parse_args()
    state = run(given.folder, given.faults, given.seed, given.jobs)
    print(json.dumps(state, indent=2))
    sys.exit(any("nothing lost" not in name for name in state["counts"]))


if __name__ == "__main__":
    main()
