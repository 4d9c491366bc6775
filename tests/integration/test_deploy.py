"""What is shipped for a department: nginx in front of the server, a service unit, a container file."""

from __future__ import annotations

import configparser
import http.client
import http.server
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from icbir_core.cli import main
from scripts.chromium import find_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that reached it."""

    def do_GET(self):
        body = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def proxied(tmp_path):
    """The port of the shipped nginx configuration, without TLS, before a server that tells what reached it."""
    if NGINX is None:
        pytest.skip("no nginx here: apt-get install nginx")
    behind = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    port = find_port()
    text = re.sub(r"\n *ssl_\w+ [^;]*;", "", (DEPLOY / "nginx.conf").read_text())
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(":8501", f":{behind.server_port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in kinds)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{text}\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    try:
        for _ in range(100):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "error.log").read_text()
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        behind.shutdown()


def ask(port: int, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, "/", headers={"Host": "films.example", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}


def test_nginx_passes_web_sockets_and_the_host_and_takes_forged_names_away(proxied):
    forged = {"X-Remote-User": "operator", "X-Remote-Groups": "operators", "Upgrade": "websocket"}
    status, seen, headers = ask(proxied, headers=forged)
    assert status == 200 and "host: films.example" in seen
    assert "upgrade: websocket" in seen and "connection: upgrade" in seen
    assert "operator" not in seen and headers["strict-transport-security"].startswith("max-age=")
    assert "/" not in headers["server"], "no version"


def test_nginx_refuses_what_is_larger_than_an_upload_may_be(proxied):
    assert ask(proxied, "POST", {"Content-Length": str(201 << 20)})[0] == 413


def test_the_service_unit_starts_a_command_that_there_is_and_shuts_the_rest_of_the_disk(tmp_path, capsys):
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(DEPLOY / "icbir.service")
    service = unit["Service"]
    words = service["ExecStart"].split()
    assert words[0].endswith("/icbir") and main([words[1], "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in words if word.startswith("--"))
    assert service["User"] != "root" and service["ProtectSystem"] == "strict" and service["NoNewPrivileges"] == "yes"
    assert words[2].startswith(service["ReadWritePaths"])


def test_the_container_runs_as_nobody_special_and_needs_sign_in(capsys):
    text = (DEPLOY / "Containerfile").read_text()
    assert re.findall(r"^USER (\d+)$", text, re.M)[-1] != "0" and "--read-only" in text
    assert "--without-sign-in" not in text and "--settings" in text
    assert main(["app", "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in re.findall(r'"(--[a-z-]+)"', text))
