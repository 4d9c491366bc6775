"""What waits to be sent, on disk: a queue that survives the end of the program at any moment.

Each parcel is a folder that appears whole, by a rename, and goes when all of its objects have arrived. Before an object
is sent that is written down, so that after a kill the archive is asked whether it has the object instead of being sent
it again. The files name a patient: the folder is for its owner alone, lies outside the workspace, and nothing of a
parcel but a hash stays once it has been sent.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from icbir_core.errors import IcbirError, PacsError, PacsMismatch, WorkspaceBusy
from icbir_core.files import (
    PathLike,
    read_json,
    reading_own,
    sha256_of_bytes,
    write_bytes_atomically,
    write_json_atomically,
)
from icbir_core.pacs.object_frame import DicomObject

FORMAT = 1
_RECORD = "parcel.json"
_ASIDE = ".partial-"
_STALE = 3600.0
_OWNER = 0o700
_FILE = 0o600


class SendState(StrEnum):
    """Of one object. `BEGUN`: it may have arrived or not. `REFUSED`: the archive will not take it."""

    WAITING = "waiting"
    BEGUN = "begun"
    SENT = "sent"
    REFUSED = "refused"


@dataclass(frozen=True)
class Consigned:
    """One object of a parcel. file : its name in the parcel's folder."""

    file: str
    sop_class: str
    sop_instance: str
    study: str
    sha256: str
    state: SendState = SendState.WAITING


@dataclass(frozen=True)
class Parcel:
    """The objects of one result. made, due : seconds since 1970; tries : that failed; word : why the last one did."""

    name: str
    objects: tuple[Consigned, ...]
    made: float
    due: float = 0.0
    tries: int = 0
    word: str = ""

    @property
    def refused(self) -> bool:
        """True where nothing is left but what the archive will not take."""
        return all(one.state in (SendState.SENT, SendState.REFUSED) for one in self.objects) and not self.arrived

    @property
    def arrived(self) -> bool:
        return all(one.state is SendState.SENT for one in self.objects)

    def change(self, file: str, state: SendState) -> Parcel:
        """The parcel with another state of one object."""
        changed = (replace(one, state=state) if one.file == file else one for one in self.objects)
        return replace(self, objects=tuple(changed))


class Outbox:
    """The queue in a folder, which is made when the first parcel is put in."""

    def __init__(self, folder: PathLike):
        self.folder = Path(folder)

    def put(self, objects: Sequence[DicomObject]) -> str:
        """Put a parcel in, whole or not at all; its name. One that is there or was sent already is not put in again.
        Raises `PacsError` for no objects, `WorkspaceError` where the folder cannot be written."""
        if not objects:
            raise PacsError("There is no object to send.")
        name = sha256_of_bytes("\0".join(sorted(one.sop_instance for one in objects)).encode())[:32]
        with self._reaching():
            self.folder.mkdir(parents=True, exist_ok=True, mode=_OWNER)
            if self.is_sent(name) or (self.folder / name).is_dir():
                return name
            aside = self.folder / f"{_ASIDE}{secrets.token_hex(8)}"
            aside.mkdir(mode=_OWNER)
            try:
                consigned = []
                for one in objects:
                    write_bytes_atomically(aside / one.name, one.data, _FILE)
                    consigned.append(
                        Consigned(one.name, one.sop_class, one.sop_instance, one.study, sha256_of_bytes(one.data))
                    )
                self._write(aside, Parcel(name, tuple(consigned), time.time()))
                _sync(aside)
                os.rename(aside, self.folder / name)
                _sync(self.folder)
            except FileExistsError:  # another window put the same in at this moment
                shutil.rmtree(aside, ignore_errors=True)
            except OSError:
                shutil.rmtree(aside, ignore_errors=True)
                if not (self.folder / name).is_dir():
                    raise
        return name

    def is_sent(self, name: str) -> bool:
        """Whether everything of that parcel has arrived."""
        return (self.folder / "sent" / f"{name}.json").is_file()

    def find(self, name: str) -> Parcel | None:
        """The parcel of that name; None once it was sent, or where there never was one."""
        with suppress(FileNotFoundError):
            return self._read(self.folder / name)
        return None

    def list_parcels(self) -> list[Parcel]:
        """What has not arrived, oldest first, but for parcels whose record is damaged."""
        found = []
        for place in self._list_places():
            with suppress(FileNotFoundError, IcbirError):  # sent in the meantime, or damaged
                found.append(self._read(place))
        return sorted(found, key=lambda parcel: (parcel.made, parcel.name))

    def list_damaged(self) -> list[str]:
        """The names of parcels whose record cannot be read; they stay and are not sent."""
        damaged = []
        for place in self._list_places():
            try:
                self._read(place)
            except FileNotFoundError:
                damaged += [place.name] if place.is_dir() else []
            except IcbirError:
                damaged.append(place.name)
        return sorted(damaged)

    def _list_places(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        with self._reaching():
            places = [place for place in self.folder.iterdir() if place.is_dir()]
        return [place for place in places if not place.name.startswith(".") and place.name != "sent"]

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Be the one that sends. Raises `WorkspaceBusy` where another process or thread does."""
        with self._reaching():
            self.folder.mkdir(parents=True, exist_ok=True, mode=_OWNER)
        lock = FileLock(self.folder / ".sending.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise WorkspaceBusy("Results are being sent by another process; they all go out in turn.") from None
        try:
            self._clear()
            yield
        finally:
            lock.release()

    def read_object(self, parcel: Parcel, one: Consigned) -> bytes:
        """The bytes of an object. Raises `PacsMismatch` where they are not those that were put in."""
        with self._reaching():
            try:
                data = (self.folder / parcel.name / one.file).read_bytes()
            except FileNotFoundError:
                data = b""
        if sha256_of_bytes(data) != one.sha256:
            raise PacsMismatch("An object in the outbox is damaged; it is not sent.")
        return data

    def write(self, parcel: Parcel) -> None:
        """Write down how far a parcel is; one of which everything has arrived leaves a record without a name."""
        with self._reaching():
            place = self.folder / parcel.name
            self._write(place, parcel)
            if parcel.arrived:
                (self.folder / "sent").mkdir(exist_ok=True, mode=_OWNER)
                done = {"format": FORMAT, "sent": time.time()}
                write_json_atomically(self.folder / "sent" / f"{parcel.name}.json", done, _FILE)
                shutil.rmtree(place)

    def retry(self) -> int:
        """Let everything that was refused or waits for its turn be tried at once; how many parcels there are."""
        parcels = self.list_parcels()
        for parcel in parcels:
            states = (
                replace(one, state=SendState.WAITING) if one.state is SendState.REFUSED else one
                for one in parcel.objects
            )
            self.write(replace(parcel, objects=tuple(states), due=0.0))
        return len(parcels)

    def discard(self, unwanted: Callable[[PathLike], bool]) -> int:
        """Throw away the parcels whose folder is unwanted, damaged ones too; how many. Raises `WorkspaceBusy` while
        results are sent."""
        if not self.folder.is_dir():
            return 0
        with self.sending(), self._reaching():
            places = [place for place in self.folder.iterdir() if place.is_dir() and unwanted(place)]
            for place in places:
                shutil.rmtree(place)
        return len(places)

    def _clear(self) -> None:
        """Remove what a killed writer left, and parcels that had arrived when their sender was killed."""
        with self._reaching():
            for place in self.folder.glob(f"{_ASIDE}*"):
                if time.time() - place.stat().st_mtime > _STALE:
                    shutil.rmtree(place, ignore_errors=True)
            for parcel in self.list_parcels():
                if parcel.arrived or self.is_sent(parcel.name):
                    shutil.rmtree(self.folder / parcel.name, ignore_errors=True)

    def _reaching(self) -> Any:
        return reading_own(f"the outbox '{self.folder}'", advice="look into the folder, or throw the parcel away")

    @staticmethod
    def _write(place: Path, parcel: Parcel) -> None:
        objects = [vars(one) | {"state": one.state.value} for one in parcel.objects]
        record = {"format": FORMAT, "objects": objects, "made": parcel.made, "due": parcel.due}
        write_json_atomically(place / _RECORD, record | {"tries": parcel.tries, "word": parcel.word}, _FILE)

    @staticmethod
    def _read(place: Path) -> Parcel:
        if not (place / _RECORD).is_file():
            raise FileNotFoundError(place.name)
        try:
            record = read_json(place / _RECORD)
            objects = tuple(
                Consigned(**{**one, "file": Path(one["file"]).name, "state": SendState(one["state"])})
                for one in record["objects"]
            )
            times = (float(record["made"]), float(record["due"]), int(record["tries"]))
            return Parcel(place.name, objects, *times, word=str(record["word"]))
        except IcbirError:
            raise
        except (KeyError, TypeError, ValueError):
            raise PacsError(f"The record of the parcel '{place.name}' in the outbox is damaged.") from None


def _sync(folder: Path) -> None:
    """Make a folder's entries last through a loss of power, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
