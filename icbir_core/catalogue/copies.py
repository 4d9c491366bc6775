"""Files that hold a film which the catalogue has already, and the other patients under whose name a film is known.

Neither enters the catalogue's hash: a copy changes no case, and an index that was made before it is found stays right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from icbir_core.catalogue.schema import COPIES, OTHER_PATIENTS
from icbir_core.database import is_server

_CHUNK = 500


COPY_OF = "a copy of the case"


@dataclass(frozen=True)
class Copy:
    """A file that is a copy of a case. case_id : the name that it would have; kept : the case's name; source_bytes :
    its size; other_patient : whether it names another patient than the case."""

    case_id: str
    kept: str
    source: str
    source_bytes: int | None
    other_patient: bool

    @property
    def reason(self) -> str:
        """Why the file becomes no case, as one sentence."""
        told = ", under another patient; a search with a film of either leaves that case out"
        return f"{COPY_OF} '{self.kept}'" + (told if self.other_patient else "")


class Held(NamedTuple):
    """What ingest asks of a case that is there: its source, the bytes of its original file, and what was doubted of it
    (None if nothing was, or if it is removed)."""

    source: str
    size: int | None
    doubt: str | None


class Kept(NamedTuple):
    """A case that holds a film: its name, its patient (hashed), and whether its grey levels or stored values are the
    same."""

    case_id: str
    patient: str | None
    same_pixels: bool


class Copies:
    """The two tables of one catalogue. connect : opens a connection to it."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection]]):
        self._connect = connect

    def find(self, case_ids: Sequence[str]) -> dict[str, Copy]:
        """Of `case_ids`, those that are known as copies."""
        found = {}
        with self._connect() as connection:
            for start in range(0, len(case_ids), _CHUNK):
                query = select(COPIES).where(COPIES.c.case_id.in_(case_ids[start : start + _CHUNK]))
                for record in connection.execute(query):
                    found[record.case_id] = Copy(**{**record._asdict(), "other_patient": bool(record.other_patient)})
        return found

    def write(self, connection: Connection, copies: Sequence[Copy], patients: Iterable[tuple[str, str]]) -> None:
        """Remember copies, each in place of one of the same name, and pairs of a case and another patient of it."""
        records = [{**asdict(copy), "other_patient": int(copy.other_patient)} for copy in copies]
        pairs = [{"case_id": case_id, "patient": patient} for case_id, patient in patients]
        dialect = postgresql if is_server(connection) else sqlite
        if records:
            new = dialect.insert(COPIES)
            columns = {column.name: new.excluded[column.name] for column in COPIES.columns}
            connection.execute(new.on_conflict_do_update(index_elements=["case_id"], set_=columns), records)
        if pairs:
            connection.execute(dialect.insert(OTHER_PATIENTS).on_conflict_do_nothing(), pairs)

    def find_other_patients(self, case_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Case → the other patients' hashes, ascending, of those of `case_ids` that have any."""
        found: dict[str, tuple[str, ...]] = {}
        with self._connect() as connection:
            for start in range(0, len(case_ids), _CHUNK):
                chunk = case_ids[start : start + _CHUNK]
                query = select(OTHER_PATIENTS).where(OTHER_PATIENTS.c.case_id.in_(chunk))
                for case_id, patient in connection.execute(query.order_by(OTHER_PATIENTS.c.patient)):
                    found[case_id] = (*found.get(case_id, ()), patient)
        return found
