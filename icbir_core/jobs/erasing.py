"""Names of erased cases out of the records of jobs: why one failed, and the words of a command, may name a case."""

from __future__ import annotations

from icbir_core.database import find_engine, reaching, write_anew


def erase_from_jobs(schema: str) -> None:
    """Delete the records of jobs that ended, and why those that wait failed before, also in free pages. schema : of a
    workspace in the named server. Raises what reaching the database raises, and as `write_anew`."""
    engine = find_engine(schema)
    with reaching("The jobs"):
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')")
            connection.exec_driver_sql("UPDATE procrastinate_jobs SET args = args - 'reason'")
        write_anew(engine, ("procrastinate_jobs", "procrastinate_events"))
