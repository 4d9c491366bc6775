"""The queue on disk and the sender, with a carrier that does what the test says."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from icbir_core.errors import PacsError, PacsMismatch, PacsRefused, PacsUnreachable, WorkspaceBusy
from icbir_core.pacs import outbox as module
from icbir_core.pacs.destination import Destination, open_outbox, read_destination
from icbir_core.pacs.object_frame import DicomObject
from icbir_core.pacs.outbox import Outbox
from icbir_core.pacs.sending import FIRST_WAIT, LONGEST_WAIT, Sent, send_waiting
from icbir_core.pacs.storing_dimse import StoreAddress, parse_store_address

ROOT = "1.2.840.99999.77"  # long enough that no time or hash holds it by chance


def make_objects(number: int = 1, count: int = 3) -> list[DicomObject]:
    return [
        DicomObject(
            f"{kind}.dcm",
            f"k{kind}",
            f"{ROOT}.3",
            f"{ROOT}.{number}.{kind}",
            f"{ROOT}.9",
            f"bytes {number} {kind}".encode(),
        )
        for kind in range(count)
    ]


class FakeCarrier:
    """Keeps what arrives. fault : called before an object is stored; raises what shall go wrong."""

    def __init__(self, fault: Callable[[str], None] = lambda instance: None):
        self.stored: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.fault, self.closed = fault, 0

    def open(self) -> FakeCarrier:
        return self

    def holds(self, one) -> bool:
        return one.sop_instance in self.stored

    def send(self, one, data) -> None:
        self.calls.append(one.sop_instance)
        self.fault(one.sop_instance)
        self.stored[one.sop_instance] = data

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "out")


def raise_for(wanted: str, error: Exception) -> Callable[[str], None]:
    def fault(instance: str) -> None:
        if instance == wanted:
            raise error

    return fault


def test_everything_arrives_once_and_leaves_no_identifier(outbox):
    names = [outbox.put(make_objects(number)) for number in (1, 2)]
    assert outbox.put(make_objects(1)) == names[0] and len(outbox.list_parcels()) == 2
    carrier, told = FakeCarrier(), []
    assert send_waiting(outbox, carrier.open, lambda done, total: told.append((done, total))) == Sent(sent=6)
    assert carrier.stored == {one.sop_instance: one.data for number in (1, 2) for one in make_objects(number)}
    assert told == [(done, 6) for done in range(1, 7)] and carrier.closed == 1
    assert all(outbox.is_sent(name) and outbox.find(name) is None for name in names)
    left = [path for path in outbox.folder.rglob("*") if path.is_file()]
    assert not [path for path in left if ROOT.encode() in path.read_bytes()]
    assert outbox.put(make_objects(1)) == names[0] and outbox.list_parcels() == []
    assert send_waiting(outbox, carrier.open) == Sent() and len(carrier.calls) == 6


def test_files_are_for_their_owner_alone(outbox):
    name = outbox.put(make_objects())
    assert stat.S_IMODE(outbox.folder.stat().st_mode) == stat.S_IMODE((outbox.folder / name).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (outbox.folder / name).iterdir()} == {0o600}


def test_what_was_begun_is_asked_for_before_it_is_sent_again(outbox):
    outbox.put(make_objects())

    class Killed(BaseException):
        pass

    carrier = FakeCarrier()

    def store_then_die(instance: str) -> None:
        carrier.stored[instance] = b"arrived"
        raise Killed

    carrier.fault = store_then_die
    with pytest.raises(Killed):
        send_waiting(outbox, carrier.open)
    carrier.fault = lambda instance: None
    assert send_waiting(outbox, carrier.open) == Sent(sent=2, found=1)
    assert len(carrier.calls) == 3 and len(set(carrier.calls)) == 3


def test_an_archive_that_is_away_lets_all_wait_longer_and_longer(outbox):
    outbox.put(make_objects(1))
    outbox.put(make_objects(2))
    now, carrier = [1e9], FakeCarrier(raise_for(f"{ROOT}.1.1", PacsUnreachable("away")))
    waits = []
    for _ in range(12):
        outcome = send_waiting(outbox, carrier.open, clock=lambda: now[0])
        assert outcome.word == "away" and outcome.waiting == 2
        (first,) = (parcel for parcel in outbox.list_parcels() if parcel.tries)
        waits.append(first.due - now[0])
        now[0] = first.due
    assert waits[:4] == [FIRST_WAIT * 2**number for number in range(4)] and waits[-1] == LONGEST_WAIT
    assert carrier.calls.count(f"{ROOT}.1.0") == 1
    carrier.fault = lambda instance: None
    send_waiting(outbox, carrier.open, clock=lambda: now[0])
    assert len(carrier.stored) == 6 and outbox.list_parcels() == []


def test_an_archive_that_cannot_be_opened_is_one_try(outbox):
    outbox.put(make_objects())

    def refuse():
        raise PacsRefused("wrong password")

    assert send_waiting(outbox, refuse) == Sent(waiting=1, word="wrong password")
    assert outbox.list_parcels()[0].tries == 1
    assert send_waiting(outbox, refuse) == Sent(waiting=1)  # not due
    assert outbox.retry() == 1
    carrier = FakeCarrier()
    assert send_waiting(outbox, carrier.open) == Sent(sent=3)


def test_an_object_that_is_refused_does_not_keep_the_others(outbox):
    outbox.put(make_objects(1))
    outbox.put(make_objects(2))
    carrier = FakeCarrier(raise_for(f"{ROOT}.1.1", PacsMismatch("no")))
    assert send_waiting(outbox, carrier.open) == Sent(sent=5, refused=1, waiting=1, word="no")
    assert outbox.list_parcels()[0].refused and send_waiting(outbox, carrier.open) == Sent(waiting=1)
    carrier.fault = lambda instance: None
    outbox.retry()
    assert send_waiting(outbox, carrier.open) == Sent(sent=1) and len(carrier.stored) == 6


def test_one_sender_at_a_time(outbox):
    outbox.put(make_objects())
    inside, go = threading.Event(), threading.Event()

    def wait(instance: str) -> None:
        inside.set()
        assert go.wait(20)

    carrier = FakeCarrier(wait)
    sender = threading.Thread(target=send_waiting, args=(outbox, carrier.open))
    sender.start()
    assert inside.wait(20)
    with pytest.raises(WorkspaceBusy, match="another process"):
        send_waiting(Outbox(outbox.folder), carrier.open)
    go.set()
    sender.join(20)
    assert outbox.list_parcels() == [] and len(carrier.calls) == 3


def test_a_stop_leaves_the_rest_in_place(outbox):
    outbox.put(make_objects())
    carrier = FakeCarrier()
    outcome = send_waiting(outbox, carrier.open, stopped=lambda: len(carrier.calls) == 2)
    assert outcome.sent == 2 and outcome.waiting == 1 and "stopped" in outcome.word
    assert outbox.list_parcels()[0].tries == 0
    assert send_waiting(outbox, carrier.open).sent == 1


def test_a_damaged_parcel_is_named_and_keeps_nobody(outbox):
    broken, cut, whole = (outbox.put(make_objects(number)) for number in (1, 2, 3))
    (outbox.folder / broken / "parcel.json").write_text("{")
    (outbox.folder / cut / "1.dcm").write_bytes(b"by")
    carrier = FakeCarrier()
    outcome = send_waiting(outbox, carrier.open)
    assert outcome.sent == 5 and outcome.refused == 1 and "damaged" in outcome.word
    assert outbox.list_damaged() == [broken] and outbox.is_sent(whole)
    assert outbox.discard(lambda place: Path(place).name == broken) == 1
    assert outbox.list_damaged() == []


@pytest.mark.parametrize("step", range(6))
def test_a_parcel_is_there_whole_or_not_at_all(outbox, step, monkeypatch):
    """The program ends at each step of putting a parcel in."""

    class Killed(BaseException):
        pass

    left = [step]

    def die(real):
        def call(*given, **named):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*given, **named)

        return call

    for name in ("write_bytes_atomically", "write_json_atomically"):
        monkeypatch.setattr(module, name, die(getattr(module, name)))
    monkeypatch.setattr(os, "rename", die(os.rename))
    try:
        outbox.put(make_objects())
    except Killed:
        assert outbox.list_parcels() == [] and outbox.list_damaged() == [] and step < 5
    else:
        assert len(outbox.list_parcels()) == 1 and step == 5
    monkeypatch.undo()
    outbox.put(make_objects())
    carrier = FakeCarrier()
    assert send_waiting(outbox, carrier.open) == Sent(sent=3)


def test_nothing_leaves_until_the_operator_says_so(monkeypatch, tmp_path):
    for name in ("RESULTS", "DICOMWEB", "OUTBOX"):
        monkeypatch.delenv(f"ICBIR_{name}", raising=False)
    assert read_destination() == Destination() and not Destination().makes_objects
    with pytest.raises(PacsError, match="'off'"):
        Destination().get_opener()
    monkeypatch.setenv("ICBIR_RESULTS", "download")
    assert read_destination().makes_objects and not read_destination().sends
    monkeypatch.setenv("ICBIR_RESULTS", "dicomweb")
    with pytest.raises(PacsError, match="names no archive"):
        read_destination()
    monkeypatch.setenv("ICBIR_DICOMWEB", "http://127.0.0.1:1/dicom-web")
    monkeypatch.setenv("ICBIR_DICOMWEB_USER", "someone")
    monkeypatch.setenv("ICBIR_DICOMWEB_PASSWORD", "a secret")
    found = read_destination()
    assert found.sends and "a secret" not in repr(found)
    monkeypatch.setenv("ICBIR_RESULTS", "dicom://PACS@127.0.0.1:104")
    assert read_destination().sends
    for wrong in ("yes", "dicom://PACS", "dicom://TOO_LONG_A_TITLE_1@host:104", "dicom://A@b:99999"):
        monkeypatch.setenv("ICBIR_RESULTS", wrong)
        with pytest.raises(PacsError):
            read_destination()
    assert parse_store_address("dicom://A_B@[::1]:11112") == StoreAddress("A_B", "::1", 11112)
    assert open_outbox(tmp_path / "work").folder == tmp_path / "work.outbox"
    monkeypatch.setenv("ICBIR_OUTBOX", str(tmp_path / "elsewhere"))
    assert open_outbox(tmp_path / "work").folder == tmp_path / "elsewhere"


def test_the_record_holds_what_is_needed_and_nothing_of_a_person(outbox):
    name = outbox.put(make_objects())
    record = json.loads((outbox.folder / name / "parcel.json").read_text())
    assert set(record) == {"format", "objects", "made", "due", "tries", "word"}
    assert {state["state"] for state in record["objects"]} == {"waiting"}
