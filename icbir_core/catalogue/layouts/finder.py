"""Finding a film's file in the images folder, however the data set was unpacked and whoever wrote the table."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike
from icbir_core.radiograph.signatures import JPEG_SIGNATURE, PNG_SIGNATURE, looks_like_dicom

ENDINGS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".ima", ".dic", "")
_FORMATS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
OUTSIDE = "the table's path leads outside the images folder"
MISSING = "the film is not in the images folder"
_LINKED_OUTSIDE = "a link that leads outside the images folder"
# "C:\\", "\\\\server", "file:///": the start of a path that is whole on some machine.
_ABSOLUTE = re.compile(r"(?:file:/*(?=/|[A-Za-z]:))?(?:/|[A-Za-z]:(?:/|$))")
# The folders whose listings are kept at a time, to find a name in other capitals.
_LISTED_FOLDERS = 16


class FileFinder:
    """Finds files under one folder: by relative path first, then by bare name anywhere below it.

    A name in other capitals, or with its accents composed in another way, is found where only one file can be meant. A
    path that is whole on this or another machine is followed from where the images folder can be recognised in it. A
    film that was saved in another format ("a.png" where the table says "a.jpg") is found where it is the only one.
    The first bare name that is not directly in the folder lists every file, which is then held: about 300 bytes a file.
    """

    def __init__(self, root: PathLike, endings: tuple[str, ...] = ("",)):
        self.root = Path(root)
        self.endings = endings
        self._by_name: dict[str, list[str]] | None = None
        self._list_folder = lru_cache(_LISTED_FOLDERS)(_list_folder)
        if not self.root.is_dir():
            raise CatalogueError(f"There is no folder '{root}' on this machine; name the folder of the films.")

    def find(self, name: str, strip: int = 0) -> Path | str:
        """The file's path, or a sentence (str) that says why there is none.

        name : a path as the table writes it. strip : how many leading folders may be missing on disk; one that is
        called like the images folder itself always may.
        """
        plain = name.replace("\\", "/")
        if "\0" in name or not plain.strip("/. "):
            return OUTSIDE
        if _ABSOLUTE.match(plain):
            return self._find_absolute(plain)
        parts = PurePosixPath(os.path.normpath(plain)).parts
        if ".." in parts:
            return OUTSIDE
        strip = max(strip, int(_fold(parts[0]) == _fold(self._own_name)))
        starts = range(min(strip + 1, len(parts)))
        for start in starts:
            found = self._find_relative(parts[start:], exactly=len(parts) == 1)
            if found is not None:
                return found
        # A name such as view1_frontal.jpg repeats in every folder: the bare name would find another patient's film.
        if len(parts) == 1:
            return self._find_bare(parts[0])
        return self._find_in_other_format(parts, starts) or MISSING

    def is_relative(self, name: str) -> bool:
        """Whether the table's path is relative to the folder, not whole on some machine."""
        return _ABSOLUTE.match(name.replace("\\", "/")) is None

    def holds(self, path: PathLike) -> bool:
        """Whether a path lies below the folder, links followed."""
        try:
            return Path(path).resolve().is_relative_to(self._resolved)
        except (OSError, RuntimeError, ValueError):
            return False

    def check(self, file: PathLike) -> str | None:
        """Why a file below the folder is not to be opened (a sentence), or None: a link out of it, or no plain file."""
        try:
            file = Path(file)
            if not file.resolve().is_relative_to(self._resolved):
                return _LINKED_OUTSIDE
            return None if stat.S_ISREG(file.stat().st_mode) else "not a file that holds a film"
        except (OSError, RuntimeError, ValueError):
            return "the file cannot be opened"

    def walk(self) -> Iterator[Path]:
        """Every file below the folder, hidden ones left out: by name, the files of a folder before its subfolders."""
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith("."):
                    yield Path(folder) / name

    @cached_property
    def _own_name(self) -> str:
        return self.root.absolute().name

    @cached_property
    def _resolved(self) -> Path:
        return self.root.resolve()

    def _find_relative(self, parts: tuple[str, ...], exactly: bool = False) -> Path | str | None:
        """The file of exactly this path, else the only one whose path differs in capitals; None where there is none."""
        whole = f"{self.root}/{'/'.join(parts)}"  # a Path would be taken to pieces each time, slowly where it is long
        for ending in self.endings:
            if os.path.isfile(whole + ending):
                return self.check(whole + ending) or Path(whole + ending)
        for ending in () if exactly else self.endings:
            found = [place for place in self._descend((*parts[:-1], parts[-1] + ending)) if _is_file(place)]
            if found:
                return self._choose(found, "this name in other capitals")
        return None

    def _find_in_other_format(self, parts: tuple[str, ...], starts: Sequence[int]) -> Path | str | None:
        """As `_find_relative`, for the first of `starts` from which the path leads to films of the name with another
        ending."""
        names = _list_other_formats(parts[-1]) if starts else []
        for start in starts if names else ():
            listed = (
                place / one
                for place in self._descend(parts[start:-1])
                for name in names
                for one in self._list_folder(place).get(name, ())
            )
            if found := [file for file in listed if _is_file(file)]:
                return self._choose(found, "this name with another ending")
        return None

    def _choose(self, files: Sequence[Path], what: str) -> Path | str:
        """The only one of `files`; why there is none, or why it cannot be told which."""
        if len(files) > 1:
            return f"{len(files)} files of the images folder have {what}"
        return MISSING if not files else self.check(files[0]) or files[0]

    def _descend(self, parts: tuple[str, ...]) -> list[Path]:
        places = [self.root]
        for part in parts:
            if not places:
                break
            exact = [place / part for place in places if _exists(place / part)]
            places = exact or [
                place / name for place in places for name in self._list_folder(place).get(_fold(part), ())
            ]
        return places

    def _find_absolute(self, plain: str) -> Path | str:
        """A whole path: one of this machine below the folder, else what stands in it after the folder's own name, else
        its longest end, of a folder and a name at least, that is there."""
        if plain.startswith("file:"):
            plain = _decode_url(plain)
        own = Path(os.path.normpath(re.sub(r"^file:/*(?=/)", "", plain)))
        for root in (Path(os.path.abspath(self.root)), self._resolved):
            if own.is_relative_to(root) and own != root:
                return self._find_relative(own.relative_to(root).parts) or MISSING
        if _exists(own):
            return OUTSIDE
        parts = PurePosixPath(os.path.normpath(plain)).parts[1:]
        places = [place for place, part in enumerate(parts[:-1], start=1) if _fold(part) == _fold(self._own_name)]
        starts = [*reversed(places), *range(len(parts) - 1)]
        found = (self._find_relative(parts[start:]) for start in starts)
        exact = next((one for one in found if one is not None), None)
        return exact or self._find_in_other_format(parts, starts) or OUTSIDE

    def _find_bare(self, name: str) -> Path | str:
        wanted = {name + ending for ending in self.endings}
        listed = [self.root / path for one in wanted for path in self._index().get(_fold(one), [])]
        exact = [path for path in listed if path.name in wanted]
        other = [self.root / path for one in _list_other_formats(name) for path in self._index().get(one, [])]
        return self._choose(exact or listed or other, "this name")

    def _index(self) -> dict[str, list[str]]:
        if self._by_name is None:
            self._by_name = {}
            for file in self.walk():
                self._by_name.setdefault(_fold(file.name), []).append(str(file.relative_to(self.root)))
        return self._by_name


def has_film_ending(name: str) -> bool:
    """Whether a file is a film by its name: a film's ending, none, or the last number of a UID."""
    ending = Path(name).suffix.lower()
    return ending in ENDINGS or ending[1:].isdigit()


def _list_other_formats(name: str) -> list[str]:
    """The folded names that a film may have where it was saved in another format; [] where `name` is no film's."""
    stem, ending = os.path.splitext(name)
    return [_fold(stem + other) for other in _FORMATS if other != ending.lower()] if ending.lower() in _FORMATS else []


def begins_like_film(file: PathLike) -> bool:
    """Whether a file is a film by its first bytes; False where it cannot be opened."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(133)
    except OSError:
        return False
    return head.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)) or looks_like_dicom(head)


def _decode_url(text: str) -> str:
    """A URL with its "%20" and the like as the bytes that they stand for."""
    encoded = os.fsencode(text)
    return os.fsdecode(re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), encoded))


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _list_folder(folder: Path) -> dict[str, list[str]]:
    """Names in a folder by what is the same for all capitals; empty where it is none."""
    names: dict[str, list[str]] = {}
    try:
        for name in sorted(os.listdir(folder)):
            names.setdefault(_fold(name), []).append(name)
    except OSError:
        return {}
    return names


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name longer than the file system allows
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
