"""The viewer in a page of its own, without Streamlit: a small server for its script, its films and its data."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from icbir_ui.viewer import assets

PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>Viewer</title><link rel="icon" href="data:,">
<style>body{margin:0;padding:8px;background:#0b0d10}</style></head><body><div id="host"></div>
<script type="module">
import start from "./viewer.js";
const host = document.getElementById("host"), shadow = host.attachShadow({mode: "open"});
shadow.innerHTML = HTML_TEXT;
const style = document.createElement("style"); style.textContent = await (await fetch("./viewer.css")).text();
shadow.append(style);
window.states = {};
window.start = (data) => start({ data, key: "harness", parentElement: shadow,
  setStateValue: (name, value) => { window.states[name] = value; } });
window.root = shadow.querySelector(".viewer");
window.start(await (await fetch("./data.json")).json());
</script></body></html>"""


class Harness:
    """Serves one viewer on 127.0.0.1. `files` maps paths to bytes; `requests` counts what the browser asked for."""

    def __init__(self, data: dict, films: dict[str, bytes]):
        self.files = {
            "/": PAGE.replace("HTML_TEXT", json.dumps(assets.HTML)).encode(),
            "/viewer.js": assets.read_script().encode(),
            "/viewer.css": assets.read_style().encode(),
            "/data.json": json.dumps(data).encode(),
            **films,
        }
        self.requests: Counter[str] = Counter()
        harness = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.split("?")[0]
                harness.requests[path] += 1
                body = harness.files.get(path)
                self.send_response(200 if body is not None else 404)
                kinds = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
                self.send_header("Content-Type", kinds.get(path.rsplit(".", 1)[-1], "text/html"))
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __enter__(self) -> Harness:
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()


def address(data: bytes) -> tuple[str, str]:
    """A film's hash and the address under which the harness serves it."""
    name = hashlib.sha256(data).hexdigest()[:24]
    return name, f"/media/{name}.bin"
