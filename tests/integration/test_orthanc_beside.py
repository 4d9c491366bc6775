"""The files of `deploy/orthanc` do what they are for, as far as this machine can show."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from icbir_core.pacs.destination import Destination
from icbir_core.pacs.outbox import Outbox
from icbir_core.pacs.result_objects import make_result_objects
from icbir_core.pacs.sending import Sent, send_waiting
from icbir_core.settings import PacsSettings
from icbir_ui.links import PARAMETER_STUDY_UIDS
from scripts.chromium import find_port
from scripts.orthanc import NO_ORTHANC, PLUGIN, PROGRAM, has_orthanc
from tests.helpers.search_results import make_result

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "orthanc"
PASSWORD = "a word of this test"
LINK = "/search?StudyInstanceUIDs="


def ask(address: str, password: str | None) -> int:
    request = urllib.request.Request(address)
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"icbir:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def shipped(tmp_path):
    """Orthanc, run with the shipped configuration; its web address."""
    if not has_orthanc():
        pytest.skip(NO_ORTHANC)
    port = find_port()
    (tmp_path / "store").mkdir()
    environment = {
        **os.environ,
        "ORTHANC_STORAGE": str(tmp_path / "store"),
        "ORTHANC_HTTP_PORT": str(port),
        "ORTHANC_DICOM_PORT": str(find_port()),
        "ORTHANC_ICBIR_PASSWORD": PASSWORD,
        "ORTHANC_PLUGINS": str(PLUGIN),
    }
    # The folder holds other files, which Orthanc passes over.
    with open(tmp_path / "orthanc.log", "wb") as log:
        server = subprocess.Popen([PROGRAM, str(FOLDER)], env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 20
        while True:
            try:
                ask(f"{address}/system", PASSWORD)
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, (tmp_path / "orthanc.log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        server.kill()
        server.wait()


def test_the_shipped_orthanc_lets_icbir_in_and_nobody_else_and_takes_its_results(shipped, tmp_path):
    assert ask(f"{shipped}/dicom-web/studies", PASSWORD) == 200
    assert ask(f"{shipped}/dicom-web/studies", None) == ask(f"{shipped}/dicom-web/studies", "another") == 401
    outbox = Outbox(tmp_path / "outbox")
    outbox.put(make_result_objects(make_result()).objects)
    settings = PacsSettings(f"{shipped}/dicom-web", user="icbir", password=PASSWORD)
    assert send_waiting(outbox, Destination("dicomweb", settings).get_opener()) == Sent(sent=3)


def test_the_buttons_lead_to_the_address_that_opens_a_study():
    assert f"/search?{PARAMETER_STUDY_UIDS}=" == LINK
    button = json.loads((FOLDER / "similar-cases.json").read_text())["OrthancExplorer2"]["UiOptions"]["CustomButtons"]
    (of_study,) = button["study"]
    assert of_study["Url"].endswith(f"{LINK}{{StudyInstanceUID}}") and of_study["HttpMethod"] == "GET"
    assert LINK in (FOLDER / "ohif-similar-cases.js").read_text()


def test_the_script_for_ohif_makes_a_link_of_the_study_on_the_screen():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here")
    program = (
        "global.window = {config: {routerBasename: '/'}, location: {search: '?StudyInstanceUIDs=1.2.3'},"
        " open: (address) => console.log(address)};"
        f"require({json.dumps(str(FOLDER / 'ohif-similar-cases.js'))});"
        "const made = window.config.whiteLabeling.createLogoComponentFn({createElement: (kind, given) => given});"
        "const calls = [];"
        "made.onClick({preventDefault: () => calls.push(1), stopPropagation: () => calls.push(2)});"
        "if (calls.length !== 2) throw 'OHIF itself would follow the click'; console.log(window.config.routerBasename);"
    )
    run = subprocess.run([node, "-e", program], capture_output=True, text=True, timeout=30)
    assert run.stdout.split() == [f"http://127.0.0.1:8501{LINK}1.2.3", "/"], run.stderr


def test_the_containers_are_given_what_the_programs_read():
    text = (FOLDER / "compose.yaml").read_text()
    settings = (FOLDER.parents[1] / "docs" / "settings.md").read_text()
    named = set(re.findall(r"^\s+(ICBIR_\w+):", text, re.M)) - {"ICBIR_HOST", "ICBIR_ADDRESS"}
    assert named and all(f"`{name}`" in settings for name in named)
    read = set(re.findall(r"\$\{((?:ORTHANC|ICBIR)_\w+)", (FOLDER / "orthanc.json").read_text()))
    assert {"ORTHANC_ICBIR_PASSWORD", "ORTHANC_REMOTE", "ICBIR_HOST"} <= read
    assert all(re.search(rf"^\s+{name}:", text, re.M) for name in ("ORTHANC_ICBIR_PASSWORD", "ORTHANC_REMOTE"))
