"""A place at a URL that can be made to fail."""

from __future__ import annotations

from typing import ClassVar

from fsspec.implementations.local import LocalFileSystem


class FaultyFiles(LocalFileSystem):
    """A disk at a URL; what it raises before the call that `fault` names. As fsspec says, `exists` is False then."""

    protocol = "faulty"
    fault: ClassVar[tuple[str, Exception] | None] = None

    def _try(self, call: str) -> None:
        if self.fault is not None and self.fault[0] in (call, "all"):
            raise self.fault[1]

    def exists(self, path, **more):
        return self.fault is None and super().exists(path, **more)

    def pipe_file(self, path, value, **more):
        super().pipe_file(path, value[: len(value) // 2])
        self._try("pipe_file")
        super().pipe_file(path, value, **more)

    def cat_file(self, path, **more):
        self._try("cat_file")
        return super().cat_file(path, **more)

    def rm_file(self, path):
        self._try("rm_file")
        super().rm_file(path)

    def ls(self, path, **more):
        self._try("ls")
        return super().ls(path, **more)
