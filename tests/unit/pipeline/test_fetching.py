"""Downloads from a local server that cuts connections, ignores ranges, lies, or is not there."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from filelock import FileLock

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.errors import FetchError, UnknownNameError
from icbir_core.files import read_json, sha256_of_bytes
from icbir_core.pipeline.fetching import ADDRESSES, RECORD, fetch_data_set, parse_parts

TABLE = (
    b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    b"00000001_000.png,Effusion,0,1,57,M,PA\n"
)


def make_archive() -> bytes:
    """A part of the data set with one film, incompressible, so that it spans many packets."""
    pixels = np.random.default_rng(0).integers(0, 255, (500, 500), dtype=np.uint8)
    film = cv2.imencode(".png", pixels)[1].tobytes()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        info = tarfile.TarInfo("images/00000001_000.png")
        info.size = len(film)
        archive.addfile(info, io.BytesIO(film))
    return target.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `files`. cuts : bytes after which the next answers break off; ranges : whether ranges are understood."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"Data_Entry_2017_v2020.csv": TABLE, "images_001.tar.gz": make_archive()}
        self.cuts: list[int] = []
        self.ranges = True
        self.kind = "application/octet-stream"
        self.status: list[int] = []
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server: Server = self.server
        name = self.path.rsplit("/", 1)[-1]
        wanted = self.headers.get("Range")
        server.asked.append((name, wanted))
        if server.status:
            self.send_error(server.status.pop(0))
            return
        if name not in server.files:
            self.send_error(404)
            return
        data = server.files[name]
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts and name.endswith(".gz") else None
        self.wfile.write(data[start : None if cut is None else start + cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)

    def log_message(self, *arguments):
        """Silence."""


@pytest.fixture
def server(tmp_path):
    running = Server()
    md5 = hashlib.md5(running.files["images_001.tar.gz"], usedforsecurity=False).hexdigest()
    files = [
        {"name": "Data_Entry_2017_v2020.csv", "url": "unused", "starts_with": "Image Index,Finding Labels"},
        {"name": "images_001.tar.gz", "part": 1, "url": "unused", "md5": md5},
        {"name": "images_002.tar.gz", "part": 2, "url": "unused"},
    ]
    running.manifest = tmp_path / "addresses.json"
    running.manifest.write_text(json.dumps({"nih": {"files": files}}))
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def fetch(server: Server, to, parts=(1,), **more):
    return fetch_data_set("nih", parts, to, manifest=server.manifest, base_url=server.address, pause=0.0, **more)


def test_a_part_arrives_and_ingest_takes_it(server, tmp_path):
    seen = []
    table, part = fetch(server, tmp_path / "nih", progress=lambda done, total, text: seen.append((done, text)))
    assert (table.state, part.state) == ("downloaded", "downloaded")
    assert part.sha256 == sha256_of_bytes(server.files[part.name]) and part.size == len(server.files[part.name])
    assert seen[-1][1] == "images_001.tar.gz" and seen[-1][0] >= part.size
    workspace = Workspace.create(tmp_path / "workspace")
    report = ingest(workspace, IngestOptions("nih", tmp_path / "nih", tmp_path / "nih" / table.name))
    assert report.added == 1 and workspace.catalogue.get("00000001_000").present == ("Effusion",)


def test_cut_connections_are_taken_up_where_they_broke(server, tmp_path):
    size = len(server.files["images_001.tar.gz"])
    server.cuts = [50_000, 60_000, 70_000]
    _, part = fetch(server, tmp_path)
    assert part.state == "went on" and (tmp_path / part.name).read_bytes() == server.files[part.name]
    ranges = [wanted for name, wanted in server.asked if name == part.name]
    assert ranges == [None, "bytes=50000-", "bytes=110000-", "bytes=180000-"] and size > 180_000


def test_a_later_run_goes_on(server, tmp_path):
    server.cuts = [50_000] + [0] * 5
    with pytest.raises(FetchError, match="cut at 50,000 of .*run the same command again"):
        fetch(server, tmp_path)
    assert not (tmp_path / "images_001.tar.gz").exists()
    server.asked.clear()
    _, part = fetch(server, tmp_path)
    assert part.state == "went on" and server.asked == [("images_001.tar.gz", "bytes=50000-")]


def test_a_server_without_ranges_sends_it_whole(server, tmp_path):
    server.ranges, server.cuts = False, [50_000]
    _, part = fetch(server, tmp_path)
    assert (tmp_path / part.name).read_bytes() == server.files[part.name]


def test_a_complete_partial_file_needs_no_more_bytes(server, tmp_path):
    (tmp_path / ".images_001.tar.gz.partial").write_bytes(server.files["images_001.tar.gz"])
    assert fetch(server, tmp_path)[1].state == "went on"


def test_two_fetches_do_not_write_into_one_folder(server, tmp_path):
    with FileLock(tmp_path / ".fetch.lock"), pytest.raises(FetchError, match="Another fetch writes into"):
        fetch_data_set("nih", (1,), tmp_path, base_url=server.address)
    assert not server.asked


def test_a_second_run_downloads_nothing_and_checks_the_hash(server, tmp_path):
    fetch(server, tmp_path)
    server.asked.clear()
    assert [file.state for file in fetch(server, tmp_path)] == ["there before"] * 2 and not server.asked
    recorded = read_json(tmp_path / RECORD)["images_001.tar.gz"]["sha256"]
    assert recorded == sha256_of_bytes(server.files["images_001.tar.gz"])
    (tmp_path / "images_001.tar.gz").write_bytes(b"changed")
    with pytest.raises(FetchError, match="has changed since it was downloaded"):
        fetch(server, tmp_path)


def test_an_unpacked_archive_may_be_deleted(server, tmp_path):
    fetch(server, tmp_path)
    (tmp_path / "images_001.tar.gz").unlink()
    assert fetch(server, tmp_path)[1].state == "unpacked before"


def test_a_file_that_is_not_the_published_one_is_set_aside(server, tmp_path):
    server.files["images_001.tar.gz"] = server.files["images_001.tar.gz"][:-1] + b"x"
    with pytest.raises(FetchError, match="MD5"):
        fetch(server, tmp_path)
    assert not (tmp_path / "images_001").exists() and not (tmp_path / "images_001.tar.gz").exists()
    server.files["Data_Entry_2017_v2020.csv"] = b"another table"
    (tmp_path / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(FetchError, match="has changed since it was downloaded"):
        fetch(server, tmp_path)


def test_a_web_page_in_place_of_the_file_is_named(server, tmp_path):
    server.kind = "text/html"
    with pytest.raises(FetchError, match="sends a web page"):
        fetch(server, tmp_path)


def test_errors_of_the_server(server, tmp_path):
    server.status = [503, 503]
    assert fetch(server, tmp_path)[1].state == "downloaded", "a busy server is asked again"
    with pytest.raises(FetchError, match="404"):
        fetch(server, tmp_path, parts=(2,))
    with pytest.raises(FetchError, match="choose from 1 to 2"):
        fetch(server, tmp_path, parts=(13,))
    with pytest.raises(UnknownNameError):
        fetch_data_set("nothing", (1,), tmp_path)


def test_nobody_there(server, tmp_path):
    with pytest.raises(FetchError, match="run the same command again"):
        fetch_data_set("nih", (1,), tmp_path, manifest=server.manifest, base_url="http://127.0.0.1:9", pause=0.0)
    with pytest.raises(FetchError, match="http or https"):
        fetch_data_set("nih", (1,), tmp_path, manifest=server.manifest, base_url="file:///etc", pause=0.0)


def test_an_archive_cannot_write_outside(server, tmp_path):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped.png"))
    server.files["images_002.tar.gz"] = target.getvalue()
    with pytest.raises(FetchError, match="archive .* is damaged"):
        fetch(server, tmp_path / "deep" / "deeper", parts=(2,))
    assert not list(tmp_path.rglob("escaped.png"))


def test_parts():
    assert parse_parts("1") == (1,) and parse_parts("3, 1-2") == (1, 2, 3) and parse_parts("all") is None
    with pytest.raises(FetchError):
        parse_parts("first")


def test_the_published_list_is_whole():
    files = read_json(ADDRESSES)["nih"]["files"]
    assert [entry.get("part") for entry in files] == [None, *range(1, 13)]
    assert all(entry["url"].startswith("https://nihcc.") for entry in files)
    assert len({entry["url"] for entry in files}) == len(files)
    assert all(re.fullmatch("[0-9a-f]{32}", entry["md5"]) for entry in files if "part" in entry)
