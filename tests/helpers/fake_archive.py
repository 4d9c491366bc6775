"""A small server that answers like an archive, or as badly as a test wants."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
def run_fake_archive(answer: Callable[[str], Answer]) -> Iterator[FakeArchive]:
    """The server, on a free port of this machine, until the block ends."""
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
    fake = FakeArchive(f"http://127.0.0.1:{server.server_address[1]}/dicom-web", answer)
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
