"""The result as DICOM objects on the page Search: off by default, then a zip, then sent once."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from icbir_core.audit import open_audit
from icbir_core.errors import PacsUnreachable
from icbir_core.pacs import destination
from icbir_core.pacs.destination import open_outbox
from icbir_ui import state
from icbir_ui.export import dicom
from icbir_ui.pacs import sender
from tests.helpers import fakes
from tests.helpers.search_results import make_film
from tests.helpers.waiting import wait_until
from tests.unit.pacs.test_outbox import FakeCarrier, make_objects

PACS = "dicom://PACS@127.0.0.1:104"


@pytest.fixture
def carrier(monkeypatch):
    held = FakeCarrier()
    monkeypatch.setattr(destination.Destination, "get_opener", lambda self: held.open)
    return held


@pytest.fixture
def search_with(make_page, monkeypatch):
    def open_page(results: str | None, data: bytes):
        monkeypatch.delenv("ICBIR_RESULTS", raising=False)
        if results:
            monkeypatch.setenv("ICBIR_RESULTS", results)
        page = make_page("search").run()
        page.app.file_uploader[0].set_value(("IM1", data, "application/octet-stream"))
        return page.run()

    return open_page


def list_labels(page) -> list[str]:
    buttons = [one.proto.label for one in page.app.get("download_button")]
    return buttons + [button.label for button in page.app.button]


def test_nothing_of_it_is_there_until_the_operator_says_so(search_with):
    page = search_with(None, make_film())
    assert not {"DICOM objects (ZIP)", "Send to PACS"} & set(list_labels(page))
    film = next(iter(page.app.session_state[state.Key.FILMS.value].values()))
    assert film.source is None and film.no_source == ""


def test_a_download_alone_offers_no_sending(search_with):
    page = search_with("download", make_film(SOPClassUID=SecondaryCaptureImageStorage))
    labels = list_labels(page)
    assert "DICOM objects (ZIP)" in labels and "Send to PACS" not in labels
    assert "Text may be burned into your film" in page.text()


def test_a_film_without_a_patient_says_why(search_with, make_page):
    radiograph = fakes.make_radiograph(3)
    page = search_with("download", cv2.imencode(".png", np.rint(radiograph.pixels * 255).astype(np.uint8))[1].tobytes())
    assert "no DICOM file" in page.text() and "DICOM objects (ZIP)" not in list_labels(page)
    page = make_page("search", film="effusion_1").run()
    assert "has no patient to send a result of" in page.text()


def test_wrong_settings_are_one_sentence(search_with):
    page = search_with("dicom://nowhere", make_film())
    assert "dicom://TITLE@host:port" in page.text() and "Send to PACS" not in list_labels(page)


def test_a_result_is_sent_once_and_the_page_says_so(search_with, carrier, workspace):
    page = search_with(PACS, make_film())
    page.press("Send to PACS")
    wait_until(lambda: len(carrier.stored) == 3)
    outbox = open_outbox(workspace.path)
    wait_until(lambda: not outbox.list_parcels())
    page.run()
    assert "Sent to the PACS." in page.text()
    assert next(one for one in page.app.button if one.label == "Send to PACS").disabled
    made = [pydicom.dcmread(io.BytesIO(data)) for data in carrier.stored.values()]
    assert {one.Modality for one in made} == {"OT", "SR", "PR"} and {one.PatientID for one in made} == {"4711"}
    assert len(carrier.calls) == 3
    assert [entry.action for entry in open_audit(workspace).entries()].count("sent") == 1


def test_an_archive_that_is_away_is_told_and_its_turn_comes(search_with, carrier, workspace):
    carrier.fault = lambda instance: (_ for _ in ()).throw(PacsUnreachable("The archive is away."))
    page = search_with(PACS, make_film())
    page.press("Send to PACS")
    outbox = open_outbox(workspace.path)
    wait_until(lambda: outbox.list_parcels() and outbox.list_parcels()[0].tries == 1)
    page.run()
    assert "The archive is away. It goes on by itself" in page.text()
    carrier.fault = lambda instance: None
    outbox.retry()
    sender.get_sender().wake()
    wait_until(lambda: not outbox.list_parcels())
    assert len(carrier.stored) == 3


def test_what_the_archive_refuses_is_told(search_with, carrier, workspace):
    from icbir_core.errors import PacsMismatch

    carrier.fault = lambda instance: (_ for _ in ()).throw(PacsMismatch("The archive refuses the object."))
    page = search_with(PACS, make_film())
    page.press("Send to PACS")
    outbox = open_outbox(workspace.path)
    wait_until(lambda: outbox.list_parcels() and outbox.list_parcels()[0].refused)
    page.run()
    assert "refuses the object. The operator can have it tried again." in page.text()


def test_what_waited_goes_on_when_a_server_starts(make_page, carrier, workspace, monkeypatch):
    monkeypatch.setenv("ICBIR_RESULTS", PACS)
    outbox = open_outbox(workspace.path)
    outbox.put(make_objects())
    make_page("about").run()
    wait_until(lambda: not outbox.list_parcels())
    assert len(carrier.calls) == 3


def test_the_zip_holds_what_the_reader_saw(search_with, workspace, monkeypatch):
    """The same cases; made twice, byte for byte the same."""
    made = []
    real = dicom.st.download_button

    def listen(label, data, *more, **named):
        made.extend([data] if "DICOM" in label else [])
        return real(label, data, *more, **named)

    monkeypatch.setattr(dicom.st, "download_button", listen)
    page = search_with("download", make_film())
    page.run()
    first, again = made[0](), made[-1]()
    assert [one.details for one in open_audit(workspace).entries() if one.action == "exported"] == [
        {"format": "dicom"}
    ] * 2
    assert first == again
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        objects = {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    assert len(objects) == 3
    shown = page.case_ids
    report = next(one for name, one in objects.items() if "report" in name)
    told = {element.value for element in report.iterall() if element.keyword == "TextValue"}
    assert set(shown) <= told


def test_a_held_header_is_in_no_representation_of_a_film(search_with):
    page = search_with("download", make_film())
    film = next(iter(page.app.session_state[state.Key.FILMS.value].values()))
    assert film.source is not None and "Doe" not in repr(film) and "4711" not in repr(film)
