"""The lines of an audit log as rows of a table beside the catalogue's, where a workspace lies in a database server.

One chain over all machines that write: whoever adds a row holds an advisory lock from reading the last until the
commit. The database forbids changes; an account that may only read and insert cannot allow them either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property

import sqlalchemy as sa

from icbir_core.audit.log_file import PATIENCE, FindLine, LogFile, MakeLine
from icbir_core.catalogue.workspace import MOVED
from icbir_core.database import find_engine, make_schema, reaching
from icbir_core.errors import AuditError

TABLE = sa.Table(
    "audit_log",
    sa.MetaData(),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("line", sa.Text, nullable=False),
)
"""line : an entry as it stands in a file, so that its keyed hash is over the same bytes."""
_LOCK = 0x1CB12
_CHUNK = 500
_NO_LOCK = "55P03"


class LogTable:
    """Lines in a schema of the named server; the head lies in the folder, for it must lie elsewhere than what it knows
    the end of. file : where the log of a workspace in a folder lies."""

    title = "audit log in the database"
    advice = "copy its table to another place and empty it, take its head away, and a new log begins"

    def __init__(self, schema: str, file: LogFile):
        self.schema, self.file = schema, file
        self.head_path = file.head_path
        with reaching("The audit log", AuditError):
            make_schema(self._engine, schema)

    @cached_property
    def _engine(self) -> sa.Engine:
        return find_engine(self.schema)

    def is_begun(self) -> bool:
        """Whether there is an entry."""
        with reaching("The audit log", AuditError), self._engine.connect() as connection:
            return connection.execute(sa.select(TABLE.c.number).limit(1)).first() is not None

    def read_lines(self) -> Iterator[bytes]:
        """The lines in their order."""
        query = sa.select(TABLE.c.line).order_by(TABLE.c.number)
        with reaching("The audit log", AuditError), self._engine.connect() as connection:
            for line in connection.execution_options(yield_per=_CHUNK).execute(query).scalars():
                yield line.encode()

    def append(self, make: MakeLine, then: Callable[[FindLine], None]) -> None:
        """As `LogFile.append`, but for `then`, which is called after another machine may write."""
        with reaching("The audit log", AuditError), self._engine.begin() as connection:
            take_turn(connection)
            last = connection.execute(sa.select(TABLE).order_by(TABLE.c.number.desc()).limit(1)).first()
            number = last.number + 1 if last else 1
            line = make(last.line.encode() if last else None, 0)
            connection.execute(sa.insert(TABLE), [{"number": number, "line": line.decode()}])
        with self.lock():
            then(lambda back: self._find(number - back))

    def lock(self) -> AbstractContextManager[object]:
        """Held while the head is written, and while a log of the folder moves."""
        return self.file.lock()

    def take_in(self, lines: Sequence[bytes]) -> None:
        """Put the lines of the file into the empty table; the file stays with the ending `.moved`. Nothing where
        another process has done so. Called while `lock` is held. Raises `AuditError` where the table holds others."""
        rows = [{"number": number, "line": line.decode()} for number, line in enumerate(lines, start=1)]
        with reaching("The audit log", AuditError), self._engine.begin() as connection:
            take_turn(connection)
            if not self.file.is_begun():
                return
            held = connection.execute(sa.select(TABLE.c.line).order_by(TABLE.c.number).limit(len(rows))).scalars().all()
            if held and list(held) != [row["line"] for row in rows]:
                raise AuditError(
                    f"Both the database and the folder hold an audit log; keep '{self.file.path.name}' in another "
                    "place."
                )
            if rows and not held:
                connection.execute(sa.insert(TABLE), rows)
        self.file.path.rename(self.file.path.with_name(f"{self.file.path.name}{MOVED}"))

    def _find(self, number: int) -> bytes | None:
        with reaching("The audit log", AuditError), self._engine.connect() as connection:
            found = connection.execute(sa.select(TABLE.c.line).where(TABLE.c.number == number)).scalar_one_or_none()
        return None if found is None else str(found).encode()


def take_turn(connection: sa.Connection) -> None:
    """Let no other machine add a row until the commit, which waits for the disk whatever the server is told otherwise.
    Of a machine that dies meanwhile the server frees the lock after ten seconds."""
    connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '10s'")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE:g}s'")
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK}, hashtext(current_schema()))")
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", "") == _NO_LOCK:
            raise AuditError("Another process holds the audit log; try again.") from None
        raise
