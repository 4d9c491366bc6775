"""Downloading a public data set: an interrupted download continues, and a file that has changed is noticed.

The published addresses stand in `public_data_sets.json`. The sha256 of each file is recorded in `fetched.json` of the
target folder when it first arrives and compared whenever the same folder is asked for again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from icbir_core.errors import FetchError, UnknownNameError, WorkspaceError
from icbir_core.files import PARTIAL_MARK, PathLike, read_json, sha256_of_file, write_json_atomically
from icbir_core.types import Progress

Tell = Callable[[int], None]
ADDRESSES = Path(__file__).with_name("public_data_sets.json")
RECORD = "fetched.json"
_CHUNK = 1 << 18
_SECONDS = 60.0
_ATTEMPTS = 5
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class FetchedFile:
    """A file of the data set. state : "downloaded", "went on", "there before" or "unpacked before"."""

    name: str
    size: int
    sha256: str
    state: str


def parse_parts(text: str) -> tuple[int, ...] | None:
    """Part numbers from "1", "1-3" or "1,4"; None for "all". Raises `FetchError` on anything else."""
    if text.strip().casefold() == "all":
        return None
    parts: set[int] = set()
    for piece in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", piece)
        if found is None:
            raise FetchError(f"--parts cannot be '{text}'; write it like 1, 1-3 or all.")
        parts.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(sorted(parts))


def fetch_data_set(
    data_set: str,
    parts: Sequence[int] | None,
    to: PathLike,
    progress: Progress | None = None,
    manifest: PathLike | None = None,
    base_url: str | None = None,
    unpack: bool = True,
    pause: float = 1.0,
) -> list[FetchedFile]:
    """Download the label table and the named parts of a data set into the folder `to`.

    parts : numbers, None for all. manifest : another list of addresses, in the form of `public_data_sets.json`.
    base_url : take every file by its name from there. unpack : whether to unpack archives, each into a folder of its
    name. pause : seconds before a failed try is repeated, doubled each time.
    Raises `FetchError` if the server gives up or gives something else, and `UnknownNameError` for an unknown data set.
    """
    known = read_json(manifest or ADDRESSES)
    if data_set not in known:
        raise UnknownNameError("data set", data_set, known)
    files = _choose_files(known[data_set]["files"], parts)
    to = Path(to)
    to.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(to / ".fetch.lock", timeout=0):
            return _fetch_all(files, base_url, to, progress, pause, unpack)
    except Timeout:
        raise FetchError(f"Another fetch writes into '{to}'; wait for it, or name another folder.") from None


def _fetch_all(
    files: Sequence[Mapping[str, Any]],
    base_url: str | None,
    to: Path,
    progress: Progress | None,
    pause: float,
    unpack: bool,
) -> list[FetchedFile]:
    record = _read_record(to)
    total, before = sum(entry.get("bytes", 0) for entry in files), 0
    fetched = []
    for entry in files:
        name = entry["name"]
        url = f"{base_url.rstrip('/')}/{name}" if base_url else entry["url"]
        before_this = before

        def tell(done: int, before_this: int = before_this, name: str = name) -> None:
            if progress is not None:
                progress(before_this + done, total, name)

        fetched.append(_fetch_file(entry, url, to, record, tell, pause, unpack))
        before += entry.get("bytes", fetched[-1].size)
    return fetched


def _choose_files(files: Sequence[Mapping[str, Any]], parts: Sequence[int] | None) -> list[Mapping[str, Any]]:
    for entry in files:
        if not _NAME.fullmatch(entry["name"]):
            raise FetchError(f"The list of addresses holds '{entry['name']}', which is no plain file name; correct it.")
    known = {entry["part"] for entry in files if "part" in entry}
    unknown = sorted(set(parts or ()) - known)
    if unknown:
        raise FetchError(f"There is no part {unknown[0]}; choose from {min(known)} to {max(known)}.")
    return [entry for entry in files if "part" not in entry or parts is None or entry["part"] in parts]


def _fetch_file(
    entry: Mapping[str, Any], url: str, to: Path, record: dict[str, Any], tell: Tell, pause: float, unpack: bool
) -> FetchedFile:
    name, path = entry["name"], to / entry["name"]
    recorded = record.get(name)
    if recorded and not path.exists() and recorded.get("unpacked") and (to / recorded["unpacked"]).is_dir():
        return FetchedFile(name, recorded["bytes"], recorded["sha256"], "unpacked before")
    state = "there before" if path.exists() else _download(name, url, path, entry.get("bytes"), tell, pause)
    digest = sha256_of_file(path)
    if recorded and recorded["sha256"] != digest:
        raise FetchError(
            f"'{name}' has changed since it was downloaded (SHA-256 {digest[:12]}…, not {recorded['sha256'][:12]}…); "
            f"delete it and fetch again, or take it out of '{RECORD}' if the publisher changed it."
        )
    if recorded is None:
        _check_published(entry, path)
        record[name] = {"url": url, "sha256": digest, "bytes": path.stat().st_size}
        write_json_atomically(to / RECORD, record)
    if unpack and name.endswith((".tar.gz", ".tgz", ".tar")) and not record[name].get("unpacked"):
        record[name]["unpacked"] = _unpack(path).name
        write_json_atomically(to / RECORD, record)
    tell(path.stat().st_size)
    return FetchedFile(name, path.stat().st_size, digest, state)


def _download(name: str, url: str, path: Path, expected: int | None, tell: Tell, pause: float) -> str:
    """Bring the file, in as many connections as it takes. A try that brought bytes does not count as a failure."""
    partial = path.with_name(f".{name}{PARTIAL_MARK}")
    state = "went on" if partial.exists() and partial.stat().st_size else "downloaded"
    failures, reason = 0, ""
    while failures < _ATTEMPTS:
        if failures:
            time.sleep(pause * 2 ** (failures - 1))
        had = partial.stat().st_size if partial.exists() else 0
        try:
            total = _download_rest(name, url, partial, had, tell)
            size = partial.stat().st_size
            if total is None or size == total:
                if expected is not None and size < expected and total is None:
                    raise ConnectionError(f"{size:,} of {expected:,} bytes")
                with open(partial, "rb+") as handle:
                    os.fsync(handle.fileno())
                os.replace(partial, path)
                return state
            reason = f"the connection was cut at {size:,} of {total:,} bytes"
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        got_more = partial.exists() and partial.stat().st_size > had
        failures, state = (0 if got_more else failures + 1), "went on" if got_more else state
    raise FetchError(f"'{name}' could not be downloaded from {url}: {reason}; run the same command again to continue.")


def _download_rest(name: str, url: str, partial: Path, had: int, tell: Tell) -> int | None:
    """One connection: append what the server sends. Returns the whole file's size, None if the server does not say."""
    if not url.startswith(("http://", "https://")):
        raise FetchError(f"The address of '{name}' must start with http or https, not '{url}'; correct it.")
    request = urllib.request.Request(url, headers={"User-Agent": "icbir", "Accept-Encoding": "identity"})
    if had:
        request.add_header("Range", f"bytes={had}-")
    try:
        response = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing after our last byte: either all is there, or what is there belongs to another file.
        total = _read_total(error.headers.get("Content-Range"))
        if total != had:
            partial.unlink()
            raise ConnectionError("the partial file does not belong to this address and was dropped") from None
        return total
    with response:
        if response.headers.get_content_type() == "text/html":
            raise FetchError(
                f"{url} sends a web page instead of '{name}'; the address may have changed: name another with "
                "--base-url or --manifest."
            )
        going_on = response.status == 206 and _read_start(response.headers.get("Content-Range")) == had
        length = response.headers.get("Content-Length")
        total = (
            _read_total(response.headers.get("Content-Range"))
            if going_on
            else int(length)
            if length is not None
            else None
        )
        done = had if going_on else 0
        # A server that ignores the range sends the file from its start.
        with open(partial, "ab" if going_on else "wb") as handle:
            while chunk := response.read(_CHUNK):
                handle.write(chunk)
                done += len(chunk)
                tell(done)
    return total


def _read_start(content_range: str | None) -> int | None:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else None


def _read_total(content_range: str | None) -> int | None:
    found = re.search(r"/(\d+)$", content_range or "")
    return int(found[1]) if found else None


def _check_published(entry: Mapping[str, Any], path: Path) -> None:
    """Compare with what the publisher says of the file; a file that differs is set aside, so that it is not used."""
    fault = None
    if "md5" in entry:
        with open(path, "rb") as handle:
            found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        fault = f"has the MD5 {found} instead of {entry['md5']}" if found != entry["md5"] else None
    if "starts_with" in entry and fault is None:
        with open(path, "rb") as handle:
            head = handle.read(len(entry["starts_with"]) + 3)
        if entry["starts_with"].encode() not in head:
            fault = f"does not start with '{entry['starts_with']}'"
    if fault:
        path.rename(path.with_name(f"{path.name}.wrong"))
        raise FetchError(f"'{path.name}' {fault}; it is kept as '{path.name}.wrong': fetch again.")


def _unpack(path: Path) -> Path:
    """Unpack an archive into a folder of its name; the folder appears when all of it is there."""
    folder = path.with_name(path.name.split(".")[0])
    aside = path.with_name(f".{folder.name}{PARTIAL_MARK}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with tarfile.open(path) as archive:
            archive.extractall(aside, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise FetchError(f"The archive '{path.name}' is damaged ({error}); delete it and fetch again.") from None
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(aside, folder)
    return folder


def _read_record(to: Path) -> dict[str, Any]:
    try:
        return read_json(to / RECORD) if (to / RECORD).exists() else {}
    except WorkspaceError as error:
        raise FetchError(str(error)) from None
