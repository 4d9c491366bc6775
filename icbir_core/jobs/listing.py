"""What the queue of a workspace holds, told for people: one line for each thing that was asked for, not for each chunk.

Needs the tables alone, so that a page can look without the packages of a worker.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, text

from icbir_core.catalogue import Workspace
from icbir_core.database import find_engine, reaching

MOST = 50
"""Things that are listed, the newest first."""
KEY = "CASE WHEN task_name IN ('chunk', 'build') THEN split_part(queueing_lock, ' ', 2) ELSE id::text END"
"""What jobs of one thing have in common: chunks and build of an indexing the hash of its plan."""
_WORK = f"""
    SELECT {KEY} AS key, queue_name,
        min(CASE task_name WHEN 'chunk' THEN 'build' ELSE task_name END) AS kind,
        coalesce(max(args->'plan'->>'target'), '') AS target, max(args->>'words') AS words,
        count(*) AS total, count(*) FILTER (WHERE status = 'succeeded') AS done,
        count(*) FILTER (WHERE status = 'todo') AS waiting, count(*) FILTER (WHERE status = 'doing') AS running,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        max(args->>'reason') FILTER (WHERE status = 'failed') AS reason
    FROM procrastinate_jobs GROUP BY 1, 2 ORDER BY max(id) DESC LIMIT {MOST}"""


@dataclass(frozen=True)
class Work:
    """One thing that was asked for. key : names it for `Queue.cancel`; kind : "plan" (an indexing that is not divided
    yet), "build" (its chunks and indexes) or "command" (its parts are one thing); what : the finding, or the words of
    the command; total, done, waiting, running, failed : jobs, of which the rest were cancelled; reason : why
    one failed."""

    key: str
    queue: str
    kind: str
    what: str
    total: int
    done: int
    waiting: int
    running: int
    failed: int
    reason: str

    @property
    def is_open(self) -> bool:
        """Whether something of it waits or runs."""
        return self.waiting + self.running > 0

    @property
    def cancelled(self) -> int:
        """Jobs that were taken back."""
        return self.total - self.done - self.waiting - self.running - self.failed


def list_work(workspace: Workspace) -> list[Work]:
    """The newest things first, `MOST` at most. Raises what reaching the database raises."""
    workspace.catalogue.count()  # opened once, its schema has every table
    with reaching("The jobs"), find_engine(workspace.database_schema).connect() as connection:
        return _read(connection)


def _read(connection: Connection) -> list[Work]:
    found = []
    for row in connection.execute(text(_WORK)):
        what = " ".join(json.loads(row.words)) if row.words else str(row.target)
        counts = (row.total, row.done, row.waiting, row.running, row.failed)
        kind = "command" if row.words else row.kind
        found.append(Work(row.key, row.queue_name, kind, what, *counts, row.reason or ""))
    return found
