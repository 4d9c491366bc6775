"""What a reader drops on a page: files and zips taken apart, read, and held as films of her session."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from streamlit.runtime.uploaded_file_manager import UploadedFile

from icbir_core.catalogue.asking import read_query
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError, RadiographError
from icbir_core.settings import ReadLimits
from icbir_ui import films, state
from icbir_ui.errors import explain
from icbir_ui.language import mark, say
from icbir_ui.state import Key

LIMITS = ReadLimits()
MAX_MEMBERS = 60
UPLOAD = "uploaded film"
"""The name of every uploaded query, whatever its file is called."""
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""Of a zip, and of one without any member."""
UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
"""What the standard library raises for what it cannot unpack; encrypted and unknown members are RuntimeErrors."""


def expand_upload(name: str, data: bytes, limits: ReadLimits = LIMITS) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file in an upload: itself, or the members of a zip.

    Raises `RadiographError` for a zip that is damaged, without films, or larger than the limits once unpacked; for
    members that cannot be unpacked (damaged, encrypted, packed in an unknown way) after all the others have been given.
    """
    if data[:4] not in ZIP_SIGNATURES:
        yield name, data
        return
    failed = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [one for one in archive.infolist() if not one.is_dir() and _is_film_name(one.filename)]
            if not members:
                raise RadiographError(f"There is no film in '{name}'.")
            _check_size(name, members, limits)
            for one in members:
                try:
                    film = archive.read(one)
                except UNPACKING_ERRORS:
                    failed.append(Path(one.filename).name)
                else:
                    yield Path(one.filename).name, film
    except UNPACKING_ERRORS as error:
        raise RadiographError(f"'{name}' cannot be unpacked ({error}); upload the films themselves.") from None
    if failed:
        others = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise RadiographError(
            f"'{failed[0]}'{others} in '{name}' cannot be unpacked, being damaged or encrypted; "
            "pack them anew or upload the films."
        )


def _check_size(name: str, members: list[zipfile.ZipInfo], limits: ReadLimits) -> None:
    """Raises `RadiographError` for too many or too large members, before any is unpacked."""
    if len(members) > MAX_MEMBERS:
        raise RadiographError(f"'{name}' holds {len(members)} films; upload at most {MAX_MEMBERS} at once.")
    sizes = [one.file_size for one in members]
    if sum(sizes) > 4 * limits.max_bytes or max(sizes, default=0) > limits.max_bytes:
        raise RadiographError(
            f"'{name}' holds more than can be unpacked at once, or a film of more than "
            f"{limits.max_bytes >> 20} MB; split it."
        )


def _is_film_name(name: str) -> bool:
    path = Path(name)
    return not path.name.startswith(".") and "__MACOSX" not in path.parts and path.name.upper() != "DICOMDIR"


def are_new(files: list[UploadedFile]) -> bool:
    """Whether any of these files was not read before."""
    return not {file.file_id for file in files} <= set(state.get(Key.TAKEN, ()))


def take_uploads(workspace: Workspace, files: list[UploadedFile]) -> list[str]:
    """Read what was dropped; the sentences about what could not be read or is not held. The first new film becomes the
    current one."""
    taken = state.get(Key.FILMS, {})
    known = set(state.get(Key.TAKEN, ()))
    faults, left_out, first = [], [], None
    for file in files:
        if file.file_id in known:
            continue
        known.add(file.file_id)
        try:
            for name, data in expand_upload(file.name, file.getvalue()):
                try:
                    film = films.make_film(read_query(workspace, UPLOAD, data), "upload", data, file_name=name)
                except IcbirError as error:
                    faults.append(f"{name}: {explain(error)}")
                    continue
                held = taken.get(film.key, film)
                if held.entry != film.entry:
                    same = mark("'{name}' is the same film as '{entry}' and stands in its place.")
                    faults.append(say(same, name=name, entry=held.entry))
                taken[film.key] = film
                first = first or film.key
                # At once, so that the films of one drop are not all in memory before the first is left out.
                left_out += films.drop_oldest(taken, first)
        except IcbirError as error:
            faults.append(f"{file.name}: {explain(error)}")
    state.put(Key.TAKEN, known)
    if word := films.hold_newest(taken, first or state.get(Key.CURRENT), left_out):
        faults.append(word)
    if first:
        films.choose(taken[first])
    return faults
