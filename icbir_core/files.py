"""Files that are never half written: written aside, renamed into place; the hashes that manifests hold; and where the
program keeps the files that are not Python.

A temporary file is a hidden neighbour of its target (`.name.<random>.partial.ending`): same file system, so that the
rename is atomic, and same ending, because encoders choose the format by it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.errors import DatabaseAway, IcbirError, WorkspaceBusy, WorkspaceError

PathLike = str | os.PathLike[str]
"""What every public function takes for a path: a string, a `Path`, or anything else that names one."""

PARTIAL_MARK = ".partial"
_CHUNK = 1 << 20
_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_program"


def find_program_folder() -> Path:
    """The folder that holds `app.py`, `pages`, `assets` and `.streamlit`.

    In a checkout, also one installed with `pip install -e`, it is the top folder of the repository. A wheel carries the
    same files inside this package, because nothing else of it may lie at the top of `site-packages`.
    """
    return _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent


@contextmanager
def replace_atomically(path: PathLike, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path; when the block ends without error, flush it to disk and rename it to `path`.

    On an error the temporary file is removed and `path` stays as it was. mode : permission bits of the new file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{PARTIAL_MARK}{path.suffix}")
    try:
        yield aside
        with open(aside, "rb+") as handle:
            os.fsync(handle.fileno())
        if mode is not None:
            os.chmod(aside, mode)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_bytes_atomically(path: PathLike, data: bytes, mode: int | None = None) -> None:
    """Write `data` to `path`, whole or not at all. mode : permission bits, set before the name appears."""
    with replace_atomically(path, mode) as aside:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)


def write_text_atomically(path: PathLike, text: str, mode: int | None = None) -> None:
    """As `write_bytes_atomically`, for UTF-8 text."""
    write_bytes_atomically(path, text.encode("utf-8"), mode)


def write_json_atomically(path: PathLike, value: Any, mode: int | None = None) -> None:
    """Write `value` as indented JSON with sorted keys (so that equal values give equal bytes); NaN is refused."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text_atomically(path, text, mode)


def read_json(path: PathLike) -> Any:
    """The value in a JSON file. Raises `WorkspaceError` if it is missing or not JSON."""
    path = Path(path)
    with reading_own(f"'{path}'", advice="restore it or make it with the command it belongs to"):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WorkspaceError(f"The file '{path}' is missing; run the command that makes it.") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise WorkspaceError(
                f"The file '{path}' is not JSON ({error}); restore it, or run the command that makes it."
            ) from None


def read_arrays(path: PathLike, kind: type[IcbirError], advice: str) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name, none of them a pickle. Raises `kind`; advice : what to do, as in "run the
    index command again"."""
    path = Path(path)
    with reading_own(f"'{path.name}'", kind, advice), np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@contextmanager
def reading_own(
    what: str, kind: type[IcbirError] = WorkspaceError, advice: str = "restore it from a copy or make it again"
) -> Iterator[None]:
    """The door through which the project reads its own files: whatever a library raises in the block becomes one named
    error. what : the file, as in "'catalogue.db'".

    Raises `WorkspaceBusy` where another process holds the file, `DatabaseAway` where a database server does not answer,
    and `kind` for all else: a file that is missing, cannot be reached (rights, disk, memory) or is damaged. Only the
    last is told as damage.
    """
    try:
        yield
    except IcbirError:
        raise
    except Exception as error:
        raise _name_error(error, what, kind, advice) from error


# Primary result codes of SQLite (https://www.sqlite.org/rescode.html), and words of their messages.
_SQLITE = {
    5: ("locked", "busy"),
    6: ("locked", "busy"),
    3: ("permission", "no right"),
    7: ("out of memory", "memory"),
    8: ("readonly", "read-only"),
    10: ("disk i/o", "input or output failed"),
    13: ("is full", "full"),
    14: ("unable to open", "no access"),
}


def _name_error(error: Exception, what: str, kind: type[IcbirError], advice: str) -> IcbirError:
    origin = getattr(error, "orig", None) or error
    if _is_of_server(origin) or (origin is not error and not isinstance(origin, sqlite3.Error)):
        return _name_server_error(origin, what, kind, advice)
    trouble = _find_trouble(origin)
    if trouble == "busy":
        return WorkspaceBusy(f"{what} is in use by another process; try again when that has ended.")
    if trouble == "full":
        return kind(f"There is no space left for {what}; make room and try again.")
    if trouble == "memory":
        return kind(f"There is not enough memory to read {what}; free some and try again.")
    if trouble:
        return kind(f"{what} cannot be reached ({trouble}); check its rights and the disk.")
    if isinstance(error, FileNotFoundError):
        return kind(f"{what} is missing; {advice}.")
    return kind(f"{what} is damaged ({type(origin).__name__}); {advice}.")


# First two digits of PostgreSQL's error codes (its manual, appendix A), and words for them; 08 and 57 are its absence.
_SERVER = {"42": "no right", "53": "no room", "25": "read-only"}
_ABSENT = ("OperationalError", "InterfaceError", "ConnectionTimeout", "ConnectionRefusedError")


def _is_of_server(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "psycopg"


def _name_server_error(error: BaseException, what: str, kind: type[IcbirError], advice: str) -> IcbirError:
    """An error of a database server in one sentence, which never holds the driver's own text: it may name a host."""
    code = str(getattr(error, "sqlstate", None) or "")
    if code == "42501" or (code[:2] in _SERVER and code[:2] != "42"):
        return kind(f"{what} cannot be reached ({_SERVER[code[:2]]}); ask whoever looks after the database.")
    if type(error).__name__ in _ABSENT or code[:2] in ("08", "57"):
        return DatabaseAway(
            "The database does not answer; check that it runs and what ICBIR_DATABASE_URL says, then try again."
        )
    return kind(f"{what} cannot be used as it is in the database ({type(error).__name__}); {advice}.")


def _find_trouble(error: BaseException) -> str:
    """Why a file that may be whole cannot be reached, in a few words; "" where the file itself is missing or wrong."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None:
            return _SQLITE.get(code & 0xFF, ("", ""))[1]
        return next((name for words, name in _SQLITE.values() if words in str(error).lower()), "")
    if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
        return error.strerror or type(error).__name__
    return ""


def sha256_of_bytes(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: PathLike) -> str:
    """SHA-256 of a file's bytes, read in pieces, as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_tree(path: PathLike) -> str:
    """SHA-256 of a folder: of its files' relative names and contents in sorted order; temporary files do not count."""
    path = Path(path)
    digest = hashlib.sha256()
    for name in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()):
        if PARTIAL_MARK in name:
            continue
        digest.update(f"{name}\0{sha256_of_file(path / name)}\n".encode())
    return digest.hexdigest()


def remove_partial_files(folder: PathLike) -> int:
    """Remove the temporary files that a killed writer left directly in `folder`; returns how many."""
    left = [entry for entry in Path(folder).glob(f".*{PARTIAL_MARK}*") if entry.is_file()]
    for entry in left:
        entry.unlink(missing_ok=True)
    return len(left)
