"""Finding a film's file in the images folder, however the data set was unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike

ENDINGS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", "")


class FileFinder:
    """Finds files under one folder: by relative path first, then by bare name anywhere below it.

    The first bare name that is not directly in the folder lists every file, which is then held: about 300 bytes a file.
    """

    def __init__(self, root: PathLike, endings: tuple[str, ...] = ("",)):
        self.root = Path(root)
        self.endings = endings
        self._by_name: dict[str, list[str]] | None = None
        if not self.root.is_dir():
            raise CatalogueError(f"Expected a folder of films, got '{root}'; name one that is on this machine.")

    def find(self, name: str, strip: int = 0) -> Path | str:
        """The file's path, or a sentence (str) that says why there is none.

        name : a relative path as the table writes it. strip : how many leading folders may be missing on disk; one that
        is called like the images folder itself always may.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
            return "the table's path leads outside the images folder"
        strip = max(strip, int(parts[0] == self.root.absolute().name))
        for start in range(min(strip + 1, len(parts))):
            candidate = self.root.joinpath(*parts[start:])
            for ending in self.endings:
                file = candidate if not ending else candidate.with_name(candidate.name + ending)
                if file.is_file():
                    return file
        if len(parts) > 1:
            # A name such as view1_frontal.jpg repeats in every folder: the bare name would find another patient's film.
            return "the film is not in the images folder"
        found = [path for ending in self.endings for path in self._index().get(parts[-1] + ending, [])]
        if len(found) > 1:
            return f"{len(found)} files of the images folder have this name"
        return self.root / found[0] if found else "the film is not in the images folder"

    def walk(self) -> Iterator[Path]:
        """Every file below the folder, hidden ones left out: by name, the files of a folder before its subfolders."""
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith("."):
                    yield Path(folder) / name

    def _index(self) -> dict[str, list[str]]:
        if self._by_name is None:
            self._by_name = {}
            for file in self.walk():
                self._by_name.setdefault(file.name, []).append(str(file.relative_to(self.root)))
        return self._by_name
