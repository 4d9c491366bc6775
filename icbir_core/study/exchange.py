"""Carry a study and its ratings to another place: one zip of plain text, every part with its hash."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from icbir_core.errors import StudyError
from icbir_core.files import PathLike, reading_own, write_bytes_atomically
from icbir_core.study.design import Study
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore

FORMAT = "icbir study 1"
NOTICE = "Research and education only, not for diagnosis. Readers are pseudonyms; no film is in this file."
_LIMIT = 500_000_000


@dataclass(frozen=True)
class ImportReport:
    """What an import did: the study's name, ratings added, ratings that were there already."""

    study: str
    added: int
    already: int


def export_study(store: RatingsStore, name: str, path: PathLike) -> int:
    """Write the study and EVERY rating ever stored for it (not only the newest) to a zip; the number of ratings. Parts:
    study.json, ratings.jsonl, manifest.json (format, counts, sha256 of each part). Raises `StudyError`."""
    study = load_study(store, name)
    ratings = store.history(study=name)
    parts = {
        "study.json": json.dumps(study.as_dict(), indent=1, sort_keys=True).encode(),
        "ratings.jsonl": b"".join(json.dumps(r.as_dict(), sort_keys=True).encode() + b"\n" for r in ratings),
    }
    manifest = {
        "format": FORMAT,
        "notice": NOTICE,
        "study": name,
        "study_sha256": study.sha256,
        "ratings": len(ratings),
        "sha256": {part: hashlib.sha256(data).hexdigest() for part, data in parts.items()},
    }
    parts["manifest.json"] = json.dumps(manifest, indent=1, sort_keys=True).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, data in parts.items():  # a fixed date: equal content gives equal bytes
            archive.writestr(zipfile.ZipInfo(part, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    write_bytes_atomically(Path(path), buffer.getvalue())
    return len(ratings)


def import_study(store: RatingsStore, path: PathLike | BinaryIO) -> ImportReport:
    """Add a study and its ratings; what is there already is not doubled. Raises `StudyError`, adding nothing."""
    name = Path(path).name if isinstance(path, str | os.PathLike) else "the upload"
    with _door(f"'{name}'"):
        parts = _read_archive(path, name)
    with _door("the study in it"):
        study = Study.from_dict(json.loads(parts["study.json"]))
        ratings = [Rating.from_dict(json.loads(line)) for line in parts["ratings.jsonl"].splitlines() if line.strip()]
        study.sha256, study.steps("reader")
    if any(rating.study != study.name for rating in ratings):
        raise StudyError(f"The file holds ratings of another study than '{study.name}'; export it again.")
    store.add_study(study.name, study.as_dict(), study.sha256)
    added = store.add_all(ratings)
    return ImportReport(study.name, added, len(ratings) - added)


def load_study(store: RatingsStore, name: str) -> Study:
    """The study of this name. Raises `StudyError` naming the known ones, or if it was changed since it was stored."""
    found = store.find_study(name)
    if found is None:
        known = ", ".join(store.study_names()) or "none yet"
        raise StudyError(f"The workspace has no study '{name}'; there are: {known}.")
    study = Study.from_dict(found[0])
    if study.sha256 != found[1]:
        raise StudyError(f"The study '{name}' is not as it was stored; import it from its export.")
    return study


def save_study(store: RatingsStore, study: Study) -> None:
    """Store a new study. Raises `StudyError` if the name is taken."""
    store.add_study(study.name, study.as_dict(), study.sha256)


def _door(what: str) -> AbstractContextManager[None]:
    """Whatever is raised in the block about a study's file becomes a `StudyError`."""
    return reading_own(what[0].upper() + what[1:], StudyError, "export the study again")


def _read_archive(path: PathLike | BinaryIO, name: str) -> Mapping[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LIMIT:
                raise StudyError(f"'{name}' is above {_LIMIT // 10**6} MB, too large for an exported study; check it.")
            parts = {name: archive.read(name) for name in ("manifest.json", "study.json", "ratings.jsonl")}
        manifest = json.loads(parts["manifest.json"])
        expected = manifest["sha256"]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise StudyError(f"'{name}' is no exported study ({type(error).__name__}); export it again.") from None
    if manifest.get("format") != FORMAT:
        raise StudyError(f"The file has the format '{manifest.get('format')}', not '{FORMAT}'; use its version.")
    for part, digest in expected.items():
        if hashlib.sha256(parts[part]).hexdigest() != digest:
            raise StudyError(f"{part} is not as it was exported; export the study again.")
    return parts
