"""Films by DIMSE: a real Orthanc sends every transfer syntax to the receiver, and strangers are turned away."""

from __future__ import annotations

import io
import signal
import stat
import subprocess
import sys

import pydicom
import pytest
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_context
from pynetdicom.sop_class import DigitalXRayImageStorageForPresentation

from icbir_core.audit import AuditLog, Subject, open_audit
from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.errors import AuditError, PacsError, PacsUnreachable
from icbir_core.pacs import receiving
from icbir_core.pacs.auto_search import AutoSearch, search_received
from icbir_core.pacs.inbox import Inbox
from icbir_core.pacs.moving import Peer, find_studies, move_study, verify_peer
from icbir_core.pacs.receiving import (
    FILM_CLASSES,
    FULL,
    MISMATCH,
    NOT_ALLOWED,
    UNREADABLE,
    Receiver,
    ReceiverSettings,
    Sender,
)
from icbir_core.pacs.searched import name_study, read_searched
from icbir_core.pacs.studies import Study, StudyQuery
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.types import Case, Hit, Prediction, Ranking
from scripts.chromium import find_port
from scripts.orthanc import AE_TITLE, CLIENT_AE_TITLE
from tests.helpers.waiting import wait_until


@pytest.fixture
def inbox(tmp_path):
    return Inbox(Workspace.create(tmp_path / "workspace"))


def listen(inbox: Inbox, port: int, *senders: str, **more) -> Receiver:
    receiver = Receiver(
        ReceiverSettings(CLIENT_AE_TITLE, port, senders=tuple(map(Sender.parse, senders))), inbox, **more
    )
    receiver.start()
    return receiver


def list_pixels(inbox: Inbox) -> set[str]:
    return {read_radiograph(inbox.read(film.name)).pixel_sha256 for film in inbox.list_films()}


def test_an_archive_moves_every_transfer_syntax_here(archive, archive_films, inbox):
    names: list[str] = []
    receiver = listen(inbox, archive.client_port, f"{AE_TITLE}@127.0.0.1", received=names.append)
    try:
        peer = Peer(AE_TITLE, "127.0.0.1", archive.dicom_port, CLIENT_AE_TITLE)
        verify_peer(peer)
        wanted = [film for film in archive_films if film.patient in {one.patient for one in archive_films[:6]}]
        assert len({film.syntax for film in wanted}) == 6
        moved = 0
        for patient in sorted({film.patient for film in wanted}):
            found = find_studies(peer, StudyQuery(patient=patient))
            assert {study.uid for study in found} == {film.study for film in wanted if film.patient == patient}
            moved += sum(move_study(peer, study, CLIENT_AE_TITLE).arrived for study in found)
        at, where = f"{AE_TITLE}@127.0.0.1:{archive.dicom_port}", str(inbox.workspace.path)
        asked = ["--query", f"patient={wanted[0].patient}", "--to", CLIENT_AE_TITLE]
        assert main(["pull", where, at, *asked]) == 0
    finally:
        receiver.stop()
    assert moved == len(wanted) == len(names) - 3
    log = open_audit(inbox.workspace)
    told = [(entry.action, entry.details.get("by"), entry.subjects) for entry in log.entries()]
    patient, study = log.name(Subject("patient", wanted[0].patient)), log.name(Subject("examination", wanted[0].study))
    assert ("received", "orthanc", (study, patient)) in told and ("opened", "pull", (study, patient)) in told
    assert ("asked_archive", "patient", (log.name(Subject("patient", wanted[0].patient.casefold())),)) in told
    assert [action for action, _, _ in told].count("received") == len(names)
    assert list_pixels(inbox) == {read_radiograph(film.data).pixel_sha256 for film in wanted}
    for film in inbox.list_films():
        assert stat.S_IMODE(film.path.stat().st_mode) == 0o600
        assert all(one.instance not in film.path.name for one in wanted)
    assert stat.S_IMODE(inbox.folder.stat().st_mode) == 0o700


def send(port: int, data: bytes, title: str, called: str = CLIENT_AE_TITLE, instance: str = "") -> int | None:
    """The status that the receiver answers to a film; None where the sender is not let in."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    if instance:
        dataset.file_meta.MediaStorageSOPInstanceUID = instance
    entity = AE(title)
    entity.add_requested_context(DigitalXRayImageStorageForPresentation, dataset.file_meta.TransferSyntaxUID)
    line = entity.associate("127.0.0.1", port, ae_title=called)
    if not line.is_established:
        return None
    try:
        return line.send_c_store(dataset).Status
    finally:
        line.release()


def list_refused(inbox) -> list[tuple]:
    """(title, address, reason) of each sender that the audit log holds as refused."""
    entries = [entry.details for entry in open_audit(inbox.workspace).entries() if entry.action == "refused"]
    return sorted((one["by"], one["address"], one["reason"]) for one in entries)


def test_only_allowed_senders_from_their_own_address_get_in(inbox, archive_films, monkeypatch):
    monkeypatch.setattr(receiving, "_AGAIN", 3600.0)  # on a slow machine too the same is told once
    port, film = find_port(), archive_films[0]
    receiver = listen(inbox, port, "PACS@127.0.0.1", "OTHER@127.0.0.9")
    try:
        assert send(port, film.data, "STRANGER") is None
        assert send(port, film.data, "PACS", called="ELSE") is None
        assert send(port, film.data, "OTHER") == NOT_ALLOWED
        verify_peer(Peer(CLIENT_AE_TITLE, "127.0.0.1", port, own_title="PACS"))
        for stranger in ("OTHER", "STRANGER"):
            with pytest.raises(PacsError):
                verify_peer(Peer(CLIENT_AE_TITLE, "127.0.0.1", port, own_title=stranger))
        assert inbox.list_films() == []
        assert send(port, film.data, "PACS") == 0
        assert send(port, film.data, "PACS") == 0  # again: still one film
    finally:
        receiver.stop()
    assert len(inbox.list_films()) == 1
    wait_until(lambda: len(list_refused(inbox)) >= 3)  # an association ends before it is written
    assert list_refused(inbox) == [
        ("other", "127_0_0_1", "address"), ("pacs", "127_0_0_1", "called_title"), ("stranger", "127_0_0_1", "title"),
    ], "each once"  # fmt: skip


def test_a_stranger_cannot_fill_the_log_nor_get_in_where_it_cannot_be_written(inbox, archive_films, monkeypatch):
    monkeypatch.setattr(receiving, "_MOST_TOLD", 2)
    monkeypatch.setattr(receiving, "_AGAIN", 3600.0)
    port, film = find_port(), archive_films[0]
    receiver = listen(inbox, port, "PACS@127.0.0.1")
    try:
        for number in range(4):
            assert send(port, film.data, f"STRANGER_{number}") is None
            wait_until(lambda number=number: len(list_refused(inbox)) == min(number + 1, 2))
        assert send(port, film.data, "PACS") == 0
    finally:
        receiver.stop()
    assert len(list_refused(inbox)) == 2
    monkeypatch.undo()
    monkeypatch.setattr(AuditLog, "record", lambda *_more, **_details: (_ for _ in ()).throw(AuditError("Full.")))
    receiver = listen(inbox, port, "PACS@127.0.0.1")
    try:
        assert send(port, film.data, "STRANGER") is None and send(port, film.data, "PACS") == FULL
    finally:
        receiver.stop()


def test_every_transfer_syntax_is_accepted_for_every_kind_of_film(inbox):
    port = find_port()
    receiver = listen(inbox, port, "PACS@127.0.0.1")
    entity, wanted = AE("PACS"), [(kind, one) for kind in FILM_CLASSES for one in ALL_TRANSFER_SYNTAXES]
    try:
        for first in range(0, len(wanted), 128):  # as many as one association may propose
            asked = [build_context(*one) for one in wanted[first : first + 128]]
            line = entity.associate("127.0.0.1", port, asked, ae_title=CLIENT_AE_TITLE)
            assert len(line.accepted_contexts) == len(asked)
            line.release()
    finally:
        receiver.stop()
    assert len(wanted) > 100


def test_what_is_no_film_or_another_one_is_refused(inbox, archive_films):
    port, film = find_port(), archive_films[0]
    bare = pydicom.dcmread(io.BytesIO(film.data))
    del bare.Rows
    computed = pydicom.dcmread(io.BytesIO(film.data))
    computed.Modality = "CT"
    receiver = listen(inbox, port, "PACS@127.0.0.1")
    try:
        for dataset in (bare, computed):
            stream = io.BytesIO()
            dataset.save_as(stream)
            assert send(port, stream.getvalue(), "PACS") == UNREADABLE
        lying = pydicom.dcmread(io.BytesIO(film.data))
        lying.SOPInstanceUID = "1.2.3"
        stream = io.BytesIO()
        lying.save_as(stream, enforce_file_format=False)
        status = send(port, stream.getvalue(), "PACS")
        assert status in (0, MISMATCH)  # a client that takes the dataset's own UID tells the truth again
    finally:
        receiver.stop()
    assert all(read_radiograph(inbox.read(one.name)) for one in inbox.list_films())


def test_faults_of_the_line_have_names(archive, archive_films):
    with pytest.raises(PacsUnreachable):
        verify_peer(Peer("NOBODY", "127.0.0.1", find_port(), seconds=2))
    peer = Peer(AE_TITLE, "127.0.0.1", archive.dicom_port, CLIENT_AE_TITLE)
    with pytest.raises(PacsError, match="AE title"):
        move_study(peer, Study(archive_films[0].study), "UNKNOWN")


@pytest.mark.parametrize("text", ["", "PACS", "PACS@", "@1.2.3.4", "A" * 17 + "@1.2.3.4"])
def test_who_may_send_is_written_in_one_way(text):
    with pytest.raises(PacsError):
        Sender.parse(text)
    with pytest.raises(PacsError):
        Peer.parse(text)


def test_nobody_is_allowed_by_default_and_a_port_in_use_is_told(inbox):
    with pytest.raises(PacsError, match="Nobody may send"):
        Receiver(ReceiverSettings(), inbox)
    port = find_port()
    receiver = listen(inbox, port, "PACS@127.0.0.1")
    try:
        with pytest.raises(PacsError, match="cannot be had"):
            listen(inbox, port, "PACS@127.0.0.1")
    finally:
        receiver.stop()


def test_the_inbox_forgets_and_knows_its_limit(tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path / "w")
    inbox = Inbox(workspace)
    name = inbox.put(b"film", "1.2.3")
    inbox.put_result(name, {"finding": "Effusion"})
    assert inbox.list_films()[0].result == {"finding": "Effusion"}
    assert inbox.put(b"film", "1.2.3") == name and inbox.list_films()[0].result is None
    monkeypatch.setattr("icbir_core.pacs.inbox.MAX_HELD", 1)
    with pytest.raises(PacsError, match="holds 1 films"):
        inbox.put(b"film", "1.2.4")
    old = Inbox(workspace, keep_hours=-1)
    assert old.list_films() == [] and not list(inbox.folder.iterdir())
    old.put_result(name, {})
    with pytest.raises(PacsError, match="not in the inbox"):
        inbox.read(name)


class Ranks:
    """A stand-in for the retriever that refuses one film."""

    def __init__(self, refused: str = ""):
        self.refused, self.asked = refused, []

    default_target = "Effusion"

    def methods(self, target=None):
        return ("cnn",)

    def predict(self, query):
        return Prediction({"Effusion": 0.75})

    def search(self, query, settings):
        self.asked.append(query.radiograph.pixel_sha256)
        if query.radiograph.pixel_sha256 == self.refused:
            raise PacsError("Not this one.")
        case = Case(0, "case-1", "", "", "", {})
        prediction = Prediction({"Effusion": 0.75})
        return Ranking(query.name, "cnn", "Effusion", "euclidean", "exact", 1, 1, (Hit(1, 0.5, case),), prediction)


def test_a_pushed_film_is_searched_and_waits_with_its_result(inbox, archive_films):
    port, films = find_port(), [archive_films[0], archive_films[3]]
    before = inbox.put(archive_films[6].data, archive_films[6].instance)
    ranks = Ranks(refused=read_radiograph(films[1].data).pixel_sha256)
    searching = AutoSearch(inbox, lambda: ranks, lambda word: None)
    receiver = listen(inbox, port, "PACS@127.0.0.1", received=searching.add)
    try:
        assert [send(port, film.data, "PACS") for film in films] == [0, 0]
    finally:
        receiver.stop()
        searching.stop()
    results = {film.name: film.result for film in inbox.list_films()}
    assert len(ranks.asked) == len(results) == 3
    assert results[before]["probabilities"] == {"Effusion": 0.75}
    assert results[before]["ranking"]["hits"][0]["case_id"] == "case-1"
    assert sorted("error" in result for result in results.values()) == [False, False, True]
    ready = {name_study(inbox.workspace, film.study) for film in (archive_films[0], archive_films[6])}
    assert inbox.list_ready() == read_searched(inbox.workspace) == ready
    log = open_audit(inbox.workspace)
    searched = [entry.subjects for entry in log.entries() if entry.action == "searched"]
    assert len(searched) == 2 and all(log.name(Subject("case", "case-1")) in one for one in searched)


def test_a_film_that_cannot_be_recorded_is_refused(inbox, archive_films, monkeypatch):
    def fail(*_more, **_details):
        raise AuditError("The disk is full.")

    monkeypatch.setattr(AuditLog, "record", fail)
    port = find_port()
    receiver = listen(inbox, port, "PACS@127.0.0.1")
    try:
        assert send(port, archive_films[0].data, "PACS") == FULL
    finally:
        receiver.stop()
    assert inbox.list_films() == []
    search_received(Ranks(), inbox, inbox.put(archive_films[0].data, archive_films[0].instance))
    assert inbox.list_films()[0].result == {"error": "The disk is full."}


def test_the_command_receives_until_it_is_stopped(tmp_path, archive_films):
    workspace, port = Workspace.create(tmp_path / "w"), find_port()
    words = [sys.executable, "-m", "icbir_core", "receive", str(workspace.path), "--port", str(port), "--no-search"]
    process = subprocess.Popen([*words, "--allow", "PACS@127.0.0.1"], stderr=subprocess.PIPE, text=True)
    assert "Films are received" in process.stderr.readline()
    assert send(port, archive_films[0].data, "PACS", called="ICBIR") == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0 and len(Inbox(workspace).list_films()) == 1
