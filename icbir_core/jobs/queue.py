"""The queue of a workspace that lies in PostgreSQL: procrastinate over the tables in the workspace's own schema.

An indexing is one job that plans, then one for each chunk of eight cases, and one that builds the indexes once no
chunk is left. A worker claims a job in one statement that no other can make too. Whoever claimed one and then gives no
sign of life for `SILENCE` seconds is taken for dead, and the job goes to another.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import procrastinate
from procrastinate import exceptions, jobs
from sqlalchemy import text

from icbir_core.catalogue import Workspace
from icbir_core.database import find_engine, get_driver_address, reaching
from icbir_core.errors import IcbirError, WorkspaceBusy, WorkspaceError
from icbir_core.jobs.listing import KEY
from icbir_core.jobs.units import Bench, Divided, IndexPlan, build_indexes, fill_chunk, list_chunks

INDEX_QUEUE = "index"
COMMAND_QUEUE = "commands"
COMMANDS = ("ingest", "index", "train", "evaluate")
"""What a job may run whole: each goes on where it was interrupted, so that a second try does what is left."""
BEAT, SILENCE = 5.0, 30.0
"""Seconds between two signs of life of a worker, and without one after which it counts as dead."""
TRIES = 3
_SWEEP = """
    UPDATE procrastinate_jobs SET status = 'todo', attempts = attempts + 1, scheduled_at = now(), worker_id = NULL
    WHERE id = %(id)s AND status = 'doing' AND (worker_id IS NULL OR worker_id IN (
        SELECT id FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => %(silence)s)))"""
_NOTE = "UPDATE procrastinate_jobs SET args = args || jsonb_build_object('reason', %(reason)s::text) WHERE id = %(id)s"
_OPEN = ("todo", "doing")
_PLANNING, _CHUNK, _BUILDING, _COMMAND = "plan", "chunk", "build", "command"


class NotYet(Exception):
    """Chunks are left, so the indexes are built later."""


class JobFailed(WorkspaceError):
    """What a job ran did not end well."""


@dataclass(frozen=True)
class Progress:
    """How far the work stands. done, waiting, running, failed, cancelled : jobs; queues : waiting ones by queue;
    reasons : why jobs failed, ten at most."""

    done: int
    waiting: int
    running: int
    failed: int
    cancelled: int
    queues: dict[str, int]
    reasons: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.done + self.waiting + self.running + self.failed + self.cancelled


class Queue:
    """The jobs of one workspace. Raises `WorkspaceError` where it lies in its folder: jobs need the database server."""

    def __init__(self, workspace: Workspace):
        if not workspace.database_schema:
            raise WorkspaceError(
                "Jobs need a workspace in a database server; set ICBIR_DATABASE_URL and run `icbir move-to-database`."
            )
        self.workspace = workspace
        workspace.catalogue.count()  # opened once, its schema has every table
        address, arguments = get_driver_address(workspace.database_schema)
        connector = procrastinate.PsycopgConnector(conninfo=address, kwargs=arguments, min_size=1, max_size=4)
        self._app = procrastinate.App(connector=connector)
        self._bench = Bench(workspace)
        self._run_command: Callable[[list[str]], int] | None = None
        self._divide: Callable[[list[str]], Divided | None] = lambda words: None
        self._divided: dict[str, Divided] = {}
        self._register()

    # Putting

    def put_index(self, plan: IndexPlan, queue: str = INDEX_QUEUE) -> bool:
        """Let workers index; False where the same indexing waits in this queue already."""
        return self._put(_PLANNING, queue, f"index {_hash([plan.as_dict(), queue])}", plan=plan.as_dict(), queue=queue)

    def put_command(self, words: Sequence[str], queue: str = COMMAND_QUEUE) -> bool:
        """Let a worker run one of `COMMANDS`, which go on where they were interrupted; False where the same command
        waits already. words : of the command line, without the program. Raises `WorkspaceError` for another command."""
        if not words or words[0] not in COMMANDS:
            raise WorkspaceError(f"A job can be one of {', '.join(COMMANDS)}; give its words as on the command line.")
        return self._put(_COMMAND, queue, " ".join(words), words=list(words), queue=queue)

    def _put(self, task: str, task_queue: str, once: str, **values: Any) -> bool:
        with reaching("The jobs"), self._app.open():
            try:
                self._app.configure_task(task, queue=task_queue, queueing_lock=once[:500]).defer(**values)
            except exceptions.AlreadyEnqueued:
                return False
        return True

    # Looking and stopping

    def read_progress(self) -> Progress:
        """Of all jobs that the tables hold."""
        counts: Counter[str] = Counter()
        queues: Counter[str] = Counter()
        query = text("SELECT queue_name, status::text, count(*) FROM procrastinate_jobs GROUP BY 1, 2")
        with reaching("The jobs"), find_engine(self.workspace.database_schema).connect() as connection:
            for queue, status, number in connection.execute(query):
                counts[status] += number
                queues[queue] += number if status == "todo" else 0
            failed = "SELECT DISTINCT args->>'reason' FROM procrastinate_jobs WHERE status = 'failed' LIMIT 10"
            reasons = [one for one in connection.execute(text(failed)).scalars() if one]
        stopped = counts["cancelled"] + counts["aborted"]
        waiting = {name: number for name, number in sorted(queues.items()) if number}
        return Progress(
            counts["succeeded"],
            counts["todo"],
            counts["doing"],
            counts["failed"],
            stopped,
            waiting,
            tuple(sorted(reasons)),
        )

    def cancel(self, key: str = "") -> int:
        """Take back every job that waits; how many. What a worker has begun, eight films at most, it ends. key : of one
        `listing.Work`, for its jobs alone."""
        query = f"SELECT id FROM procrastinate_jobs WHERE status = 'todo' AND :key IN ('', {KEY})"
        with reaching("The jobs"), find_engine(self.workspace.database_schema).connect() as connection:
            waiting = list(connection.execute(text(query), {"key": key}).scalars())
        with reaching("The jobs"), self._app.open():
            return sum(self._app.job_manager.cancel_job_by_id(one) for one in waiting)

    def forget_ended(self) -> None:
        """Delete the records of jobs that ended, so that the next progress counts from nothing."""
        query = text("DELETE FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')")
        with reaching("The jobs"), find_engine(self.workspace.database_schema).begin() as connection:
            connection.execute(query)

    # Working

    def work(
        self,
        queues: Iterable[str] | None = None,
        device: str = "auto",
        wait: bool = True,
        silence: float = SILENCE,
        run_command: Callable[[list[str]], int] | None = None,
        divide: Callable[[list[str]], Divided | None] = lambda words: None,
    ) -> None:
        """Do jobs, one at a time, until the process is told to end; wait=False : until none is left.

        queues : names, None for all. silence : seconds without a sign of life after which another worker counts as
        dead. run_command(words) : runs a command line and gives its status. divide(words) : its parts, None for one
        that a single worker does.
        """
        self._bench.device, self._run_command, self._divide = device, run_command, divide
        with reaching("The jobs"):
            asyncio.run(self._work(list(queues) if queues else None, wait, silence))

    async def _work(self, queues: list[str] | None, wait: bool, silence: float) -> None:
        beat = min(BEAT, silence / 4)
        async with self._app.open_async():
            sweeping = asyncio.create_task(self._sweep(silence, beat))
            try:
                while True:
                    named: dict[str, Any] = {"queues": queues} if queues else {}
                    await self._app.run_worker_async(
                        **named, wait=wait, concurrency=1, update_heartbeat_interval=beat,
                        stalled_worker_timeout=silence, fetch_job_polling_interval=min(2.0, beat),
                    )  # fmt: skip
                    if wait or not await self._has_open(queues):
                        return
                    await asyncio.sleep(beat / 4)  # another works, or what waits is not due yet
            finally:
                sweeping.cancel()

    async def _sweep(self, silence: float, beat: float) -> None:
        """Give the jobs of workers that are dead to the others. Every worker sweeps: whether a job's worker is dead is
        looked at again in the statement that takes the job from it."""
        manager, connector = self._app.job_manager, self._app.connector
        while True:
            for job in await manager.get_stalled_jobs(seconds_since_heartbeat=silence):
                with suppress(exceptions.ConnectorException):  # the same job waits a second time: that one does it
                    await connector.execute_query_async(_SWEEP, id=job.id, silence=silence)
            await asyncio.sleep(beat)

    async def _has_open(self, queues: list[str] | None) -> bool:
        found = [job for status in _OPEN for job in await self._app.job_manager.list_jobs_async(status=status)]
        return any(queues is None or job.queue in queues for job in found)

    # What the jobs do

    def _register(self) -> None:
        later = procrastinate.RetryStrategy(wait=1, retry_exceptions={NotYet, WorkspaceBusy})
        again = procrastinate.RetryStrategy(max_attempts=TRIES, wait=2)
        for name, retry, work in (
            (_PLANNING, again, self._plan), (_CHUNK, again, self._fill), (_BUILDING, later, self._build),
            (_COMMAND, again, self._run),
        ):  # fmt: skip
            self._app.task(name=name, retry=retry, pass_context=True)(self._note_failure(work))

    def _note_failure(self, work: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        """The task that does the work of a job, and keeps with the job why it failed."""

        async def do(context: procrastinate.JobContext, reason: str = "", **values: Any) -> None:
            try:
                await (work(**values) if inspect.iscoroutinefunction(work) else asyncio.to_thread(work, **values))
            except IcbirError as error:
                await self._app.connector.execute_query_async(_NOTE, id=context.job.id, reason=str(error))
                raise

        return do

    async def _plan(self, plan: dict[str, Any], queue: str) -> None:
        settled = await asyncio.to_thread(self._bench.settle, IndexPlan.from_dict(plan))
        chunks = await asyncio.to_thread(list_chunks, self._bench, settled)
        plan = settled.as_dict()
        await self._put_chunks(queue, _hash([plan, queue]), {"plan": plan}, chunks)

    async def _put_chunks(self, queue: str, once: str, values: dict[str, Any], chunks: Sequence[int | str]) -> None:
        """One job for each chunk, and one that ends the work after them."""
        made = [self._make(_CHUNK, queue, f"chunk {once} {one}", {**values, "chunk": one}) for one in chunks]
        ending = {**values, "chunks": f"chunk {once} %"}
        made.append(self._make(_BUILDING, queue, f"build {once}", ending, priority=-1))
        for job in made:
            with suppress(exceptions.AlreadyEnqueued):  # of an earlier plan, which was killed in the middle
                await self._app.job_manager.defer_job_async(job)

    def _make(self, task: str, queue: str, once: str, values: dict[str, Any], priority: int = 0) -> jobs.Job:
        return jobs.Job(
            id=None, queue=queue, priority=priority, lock=None, queueing_lock=once, task_name=task, task_kwargs=values
        )

    def _fill(self, chunk: int | str, plan: dict[str, Any] | None = None, words: Sequence[str] = ()) -> None:
        """plan : of an indexing; else words : of a command that is divided."""
        if plan is not None:
            fill_chunk(self._bench, IndexPlan.from_dict(plan), int(chunk))
        elif (divided := self._find_divided(words)) is not None:
            divided.do_part(str(chunk))

    def _find_divided(self, words: Sequence[str]) -> Divided | None:
        """The parts of a command; what they share is held from one to the next."""
        key = json.dumps(list(words))
        if key not in self._divided:
            self._divided.clear()
            if (divided := self._divide(list(words))) is None:
                return None
            self._divided[key] = divided
        return self._divided[key]

    def _build(self, plan: dict[str, Any] | None = None, words: Sequence[str] = (), chunks: str = "chunk %") -> None:
        """chunks : what the names of the work's own chunk jobs are like; only these are waited for."""
        left = text(
            "SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock LIKE :chunks AND status IN ('todo', 'doing')"
        )
        with find_engine(self.workspace.database_schema).connect() as connection:
            if connection.execute(left, {"chunks": chunks}).scalar_one():
                raise NotYet
        if plan is None:
            self._run_whole(list(words))
            return
        report = build_indexes(self._bench, IndexPlan.from_dict(plan))
        if out := report.left_out:
            more = f" And {len(out) - 5} more." if len(out) > 5 else ""
            raise JobFailed(f"{report.target} is indexed without: {' '.join(out[:5])}{more}")

    async def _run(self, words: list[str], queue: str = COMMAND_QUEUE) -> None:
        self._divided.clear()  # networks and films may be others since the last time
        divided = await asyncio.to_thread(self._find_divided, words)
        if divided is None:
            await asyncio.to_thread(self._run_whole, words)
        else:
            parts = await asyncio.to_thread(divided.list_parts)
            await self._put_chunks(queue, _hash([words, queue]), {"words": words}, parts)

    def _run_whole(self, words: list[str]) -> None:
        if words[0] not in COMMANDS or self._run_command is None:
            raise JobFailed(f"'{words[0]}' is no command for a job.")
        if status := self._run_command(words):
            raise JobFailed(f"`icbir {words[0]}` ended with status {status}; its output stands in the worker's log.")


def _hash(asked: list[Any]) -> str:
    """Of all that was asked for, and of the queue: two that differ in anything are both done."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
