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
import tomllib
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


def test_the_image_of_the_replicas_has_the_extras_that_they_need():
    services = read_compose()["services"]
    ours = [one for one in services.values() if one["image"] == "icbir-replicas"]
    assert len(ours) == 4
    known = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    written = re.search(r'^RUN .*pip install --no-cache-dir ("\S+")$', (DEPLOY / "Containerfile").read_text(), re.M)
    for service in ours:
        build = service["build"]
        context = DEPLOY / "replicas" / build["context"]
        assert (context / "pyproject.toml").is_file() and (context / build["dockerfile"]).is_file()
        extras = build["args"]["EXTRAS"]
        assert {"postgresql", "objects"} <= set(extras.split(",")) <= set(known)
        assert expand(written[1], EXTRAS=extras) == f"/source[{extras}]"
    assert expand(written[1], EXTRAS="") == expand(written[1]) == "/source", "the image of one process has none"


def test_the_proxy_of_the_replicas_asks_each_of_them(tmp_path):
    services = read_compose()["services"]
    proxy = services["proxy"]
    shell, option, script = proxy["command"]
    mounted = dict(volume.split(":")[:2] for volume in proxy["volumes"])
    script = script.replace("${SITE}", "films.hospital.example").replace("exec nginx -g 'daemon off;'", "true")
    script = script.replace(mounted["./nginx.conf"], str(DEPLOY / "replicas" / "nginx.conf"))
    subprocess.run([shell, option, script.replace("/etc/nginx/conf.d", str(tmp_path))], check=True)
    made = (tmp_path / "default.conf").read_text()
    asked = re.findall(r"^ +server (\S+) max_fails", made, re.M)
    assert asked == ["first:8501", "second:8501"] and {one.split(":")[0] for one in asked} <= set(services)
    assert "server_name films.hospital.example;" in made and "127.0.0.1" not in made


def test_secrets_beside_the_replicas_enter_neither_image_nor_repository():
    ignored = (DEPLOY.parent / ".gitignore").read_text().splitlines()
    for name in ("database.password", "shared.env", "server.toml", "tls/"):
        assert f"/deploy/replicas/{name}" in ignored
        assert name.rstrip("/") in (DEPLOY / "replicas" / "README.md").read_text()
    assert "deploy/replicas" in (DEPLOY.parent / ".dockerignore").read_text().splitlines()


def read_compose() -> dict:
    return pytest.importorskip("yaml").safe_load((DEPLOY / "replicas" / "compose.yaml").read_text())


def expand(word: str, **variables: str) -> str:
    """A word of a shell script as the shell reads it."""
    found = subprocess.run(["sh", "-c", f"printf %s {word}"], env=variables, check=True, capture_output=True, text=True)
    return found.stdout
