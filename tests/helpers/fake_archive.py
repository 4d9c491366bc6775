"""A small server that answers like an archive, or as badly as a test wants."""

from __future__ import annotations

import contextlib
import fnmatch
import io
import itertools
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pydicom

from scripts.archive_films import ArchiveFilm

BOUNDARY = "a-line-between"


@dataclass
class Answer:
    """What the server says. announced : a Content-Length of its own; pieces, pause : how slowly the body comes."""

    body: bytes = b"[]"
    kind: str = "application/dicom+json"
    status: int = 200
    announced: int | None = None
    pieces: int = 1
    pause: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeArchive:
    """answer(path) is what the server says. asked : the paths that were asked for, with their headers."""

    address: str
    answer: Callable[[str], Answer]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextlib.contextmanager
def run_fake_archive(answer: Callable[[str], Answer], tls: ssl.SSLContext | None = None) -> Iterator[FakeArchive]:
    """The server, on a free port of this machine, until the block ends. tls : how it speaks https, None for http."""
    leaving = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append((self.path, dict(self.headers)))
            said = fake.answer(self.path)
            self.send_response(said.status)
            self.send_header("Content-Type", said.kind)
            length = len(said.body) if said.announced is None else said.announced
            for name, value in {"Content-Length": str(length), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            step = max(1, -(-len(said.body) // said.pieces))
            with contextlib.suppress(OSError):
                for start in range(0, len(said.body), step):
                    if leaving.wait(said.pause):
                        return
                    self.wfile.write(said.body[start : start + step])
                    self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    fake = FakeArchive(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/dicom-web", answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield fake
    finally:
        leaving.set()
        server.shutdown()
        server.server_close()
        thread.join()


def list_studies(*studies: dict[str, str]) -> bytes:
    """Studies in DICOM's JSON from {"0020000D": "1.2", …}."""
    return json.dumps([{tag: {"vr": "LO", "Value": [value]} for tag, value in one.items()} for one in studies]).encode()


def wrap_film(*films: bytes, length: int | None = None, closed: bool = True) -> Answer:
    """Films as WADO-RS gives them. length : a Content-Length of each part; closed : whether the last line is there."""
    said = b"" if length is None else f"\r\nContent-Length: {length}".encode()
    mark = f"--{BOUNDARY}".encode()
    parts = b"".join(
        b"\r\n" + mark + b"\r\nContent-Type: application/dicom" + said + b"\r\n\r\n" + one for one in films
    )
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    return Answer(parts[2:] + (b"\r\n" + mark + b"--\r\n" if closed else b""), kind)


def answer_from(films: list[ArchiveFilm]) -> Callable[[str], Answer]:
    """What an archive that holds these films answers to QIDO-RS and WADO-RS."""

    def describe(film: ArchiveFilm) -> dict[str, str]:
        header = pydicom.dcmread(io.BytesIO(film.data), stop_before_pixels=True)
        tags = ("00080018", "00080020", "00080030", "00080050", "00080060", "00100010", "00100020", "0020000D")
        tags += ("0020000E", "00180015", "00185101")
        return {tag: str(header[tag].value) for tag in tags} | {"00080061": header.Modality}

    listed = [describe(film) for film in films]

    def answer(path: str) -> Answer:
        place, _, question = path.removeprefix("/dicom-web/").partition("?")
        asked = {key: values[0] for key, values in parse_qs(question).items()}
        named = dict(itertools.pairwise(place.split("/"))) if "/" in place else {}
        if "instances" in named:
            return next(
                (wrap_film(one.data) for one in films if one.instance == named["instances"]), Answer(status=404)
            )
        level = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[place.split("/")[-1]]
        found = {
            record[level]: record
            for record in listed
            if record["0020000D"] == named.get("studies", record["0020000D"])
            and record["0020000E"] == named.get("series", record["0020000E"])
            and all(_fits(record, keyword, value) for keyword, value in asked.items())
        }
        start = int(asked.get("offset", 0))
        return Answer(list_studies(*list(found.values())[start : start + int(asked.get("limit", 10_000))]))

    return answer


_TAGS = {"PatientID": "00100020", "AccessionNumber": "00080050", "StudyInstanceUID": "0020000D"}
_TAGS |= {"ModalitiesInStudy": "00080061", "PatientName": "00100010", "StudyDate": "00080020"}


def _fits(record: dict[str, str], keyword: str, value: str) -> bool:
    tag = _TAGS.get(keyword, keyword)
    if tag not in record:
        return True
    held = record[tag]
    if tag == _TAGS["StudyDate"] and "-" in value:
        first, last = value.split("-")
        return (first or "0") <= held <= (last or "9")
    return fnmatch.fnmatch(held.lower(), value.lower())
