"""Results sent to a real archive: stored as they were made, each once, whatever is killed."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pydicom
import pytest

from icbir_core.pacs.destination import Destination
from icbir_core.pacs.outbox import Outbox, SendState
from icbir_core.pacs.result_objects import make_result_objects
from icbir_core.pacs.sending import Sent, send_waiting
from icbir_core.pacs.storing_web import WebCarrier
from icbir_core.settings import PacsSettings
from tests.helpers.search_results import make_result
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def objects():
    return make_result_objects(make_result()).objects


@pytest.fixture
def outbox(tmp_path, objects):
    box = Outbox(tmp_path / "out")
    box.put(objects)
    return box


def name_web(orthanc, **more) -> Destination:
    settings = {"user": orthanc.user, "password": orthanc.password, "seconds": 5.0} | more
    return Destination("dicomweb", PacsSettings(orthanc.dicomweb, **settings))


def name_dimse(orthanc) -> Destination:
    return Destination(f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom_port}")


def read_stored(orthanc) -> dict[str, bytes]:
    """SOP Instance UID → bytes of every instance in the archive."""
    files = [orthanc.read_file(name) for name in orthanc.ask("/instances")]
    return {
        str(pydicom.dcmread(io.BytesIO(data), specific_tags=["SOPInstanceUID"]).SOPInstanceUID): data for data in files
    }


def count_arrivals(orthanc) -> int:
    """How many instances the archive has ever taken as new."""
    return sum(one["ChangeType"] == "NewInstance" for one in orthanc.ask("/changes?limit=1000")["Changes"])


def test_the_archive_returns_each_object_byte_for_byte(empty_archive, outbox, objects):
    assert send_waiting(outbox, name_web(empty_archive).get_opener()) == Sent(sent=3)
    assert read_stored(empty_archive) == {one.sop_instance: one.data for one in objects}
    (study,) = empty_archive.ask("/studies")
    told = empty_archive.ask(f"/studies/{study}")
    assert told["PatientMainDicomTags"]["PatientID"] == "4711" and len(told["Series"]) == 3


def test_the_archive_holds_the_same_data_set_by_dimse(empty_archive, outbox, objects):
    opener = name_dimse(empty_archive).get_opener()
    assert send_waiting(outbox, opener) == Sent(sent=3)
    stored = read_stored(empty_archive)
    for one in objects:
        assert pydicom.dcmread(io.BytesIO(stored[one.sop_instance])) == pydicom.dcmread(io.BytesIO(one.data))
    carrier = opener()
    (held,) = (one for one in make_parcel(outbox, objects) if one.sop_instance == objects[0].sop_instance)
    assert carrier.holds(held)
    carrier.close()


def make_parcel(outbox, objects):
    other = Outbox(outbox.folder.with_name("other"))
    return other.find(other.put(objects)).objects


def test_an_archive_that_is_killed_in_the_middle_gets_everything_once_it_is_back(empty_archive, outbox, objects):
    empty_archive.pause()  # takes the connection and says nothing
    outcome = []
    opener = name_web(empty_archive, seconds=60.0).get_opener()
    sender = threading.Thread(target=lambda: outcome.append(send_waiting(outbox, opener)))
    sender.start()
    wait_until(lambda: SendState.BEGUN in [one.state for parcel in outbox.list_parcels() for one in parcel.objects])
    empty_archive.kill()
    sender.join(30)
    assert outcome[0].sent == 0 and outcome[0].waiting == 1 and "PACS" in outcome[0].word
    empty_archive.start()
    outbox.retry()
    assert send_waiting(outbox, opener).word == ""
    assert read_stored(empty_archive) == {one.sop_instance: one.data for one in objects}
    assert outbox.list_parcels() == []


def test_a_sender_that_is_killed_sends_nothing_twice(empty_archive, outbox, objects):
    program = (
        "import os, sys\n"
        "from icbir_core.pacs.destination import read_destination, open_outbox\n"
        "from icbir_core.pacs.sending import send_waiting\n"
        "send_waiting(open_outbox('work'), read_destination().get_opener())\n"
    )
    environment = os.environ | {
        "ICBIR_RESULTS": "dicomweb",
        "ICBIR_OUTBOX": str(outbox.folder),
        "ICBIR_DICOMWEB": empty_archive.dicomweb,
        "ICBIR_DICOMWEB_USER": empty_archive.user,
        "ICBIR_DICOMWEB_PASSWORD": empty_archive.password,
    }
    empty_archive.pause()
    child = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        wait_until(lambda: SendState.BEGUN in [one.state for parcel in outbox.list_parcels() for one in parcel.objects])
        time.sleep(0.5)  # the request is on its way
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    empty_archive.resume()
    time.sleep(1.0)  # whatever arrived of it is stored by now, or never
    before = len(empty_archive.ask("/instances"))
    outcome = send_waiting(outbox, name_web(empty_archive).get_opener())
    assert (outcome.found, outcome.sent) == (before, 3 - before)
    assert read_stored(empty_archive) == {one.sop_instance: one.data for one in objects}
    assert count_arrivals(empty_archive) == 3


def test_a_wrong_password_is_told_kept_and_never_written_down(empty_archive, outbox, objects, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    wrong = name_web(empty_archive, password="not the word").get_opener()
    outcome = send_waiting(outbox, wrong)
    assert "password" in outcome.word and outcome.waiting == 1 and outcome.sent == 0
    outbox.retry()
    assert send_waiting(outbox, name_web(empty_archive).get_opener()) == Sent(sent=3)
    printed = capfd.readouterr()
    told = caplog.text + printed.out + printed.err
    for path in outbox.folder.rglob("*.json"):
        told += path.read_text()
    for secret in ("not the word", empty_archive.password, "19500102", "Doe^Jane", objects[0].sop_instance):
        assert secret not in told


def test_an_object_that_the_archive_refuses_is_not_sent_for_ever(empty_archive, tmp_path):
    """One whose data set names another study than the address that it is stored under."""
    box = Outbox(tmp_path / "out")
    first, *others = make_result_objects(make_result()).objects
    name = box.put(
        [type(first)(first.name, first.kind, first.sop_class, first.sop_instance, "1.2.3.4", first.data), *others]
    )
    outcome = send_waiting(box, name_web(empty_archive).get_opener())
    assert outcome.sent == 2 and outcome.refused == 1 and "refuses" in outcome.word
    parcel = box.find(name)
    assert parcel is not None and parcel.refused
    assert len(empty_archive.ask("/instances")) == 2


def test_holding_is_asked_for_the_object_alone(archive, archive_films):
    carrier = WebCarrier(name_web(archive).web)
    from icbir_core.pacs.outbox import Consigned

    film = archive_films[0]
    assert carrier.holds(Consigned("x", "", film.instance, film.study, ""))
    assert not carrier.holds(Consigned("x", "", "1.2.3.4", film.study, ""))
    carrier.close()
