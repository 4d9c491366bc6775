"""The lines of an audit log as a file that only grows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock

from icbir_core.files import PathLike

PATIENCE = 30.0
"""Seconds that a writer waits for others."""
_TAIL = 1 << 16

MakeLine = Callable[[bytes | None, int], bytes]
"""Of the last line (None for an empty log) and the bytes of an unfinished one after it, the line to be written."""
FindLine = Callable[[int], bytes | None]
"""The line so many places before the one that was written; None where there is none, or it is long ago."""


class LogFile:
    """Lines in a file; the head lies beside it with the ending `.head`. Safe for several processes at once."""

    def __init__(self, path: PathLike):
        self.path = Path(path)
        self.head_path = self.path.with_suffix(".head")
        self.title = f"audit log '{self.path.name}'"
        self.advice = "keep the file in another place with its head, and a new log begins"

    def is_begun(self) -> bool:
        """Whether there is a log."""
        return self.path.is_file()

    def read_lines(self) -> Iterator[bytes]:
        """Whole lines; one that a killed writer left without its end is no entry."""
        if self.is_begun():
            with open(self.path, "rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield line[:-1]

    def append(self, make: MakeLine, then: Callable[[FindLine], None]) -> None:
        """Write the line that `make` gives, wait for the disk, and call `then`, all before another process may write.
        Raises `Timeout`."""
        with self.lock():
            whole, torn = self._read_tail()
            line = make(whole[-1] if whole else None, torn)
            with open(self.path, "ab", opener=_open_private) as file:
                if torn:  # a writer was killed in the middle of a line, which no head has ever named
                    file.truncate(file.tell() - torn)
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
            recent = [*whole, line]
            then(lambda back: recent[-1 - back] if back < len(recent) else None)

    def lock(self) -> AbstractContextManager[object]:
        """Held by one process at a time; the operating system frees that of a killed one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{self.path.stem}.lock"), timeout=PATIENCE)

    def _read_tail(self) -> tuple[list[bytes], int]:
        """The last whole lines, and how many bytes of an unfinished one follow them."""
        if not self.is_begun():
            return [], 0
        with open(self.path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(start := max(0, size - _TAIL))
            whole, _, torn = file.read().rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        return (lines[1:] or lines if start else lines), len(torn)  # the first may be the end of one


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
