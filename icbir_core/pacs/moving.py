"""An archive without DICOMweb is asked by DIMSE: C-ECHO, C-FIND for studies, and C-MOVE to the receiver here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association

from icbir_core.errors import PacsError, PacsMismatch, PacsRefused, PacsUnreachable
from icbir_core.pacs.silence import DIMSE, silence
from icbir_core.pacs.studies import Study, StudyQuery

VERIFY = UID("1.2.840.10008.1.1")
FIND, MOVE = UID("1.2.840.10008.5.1.4.1.2.2.1"), UID("1.2.840.10008.5.1.4.1.2.2.2")
"""Verification, and the find and the move of the Study Root model (PS3.4 A and C)."""
UNKNOWN_DESTINATION, WARNING = 0xA801, 0xB000
PENDING = (0xFF00, 0xFF01)
MAX_STUDIES = 2000
_KEYWORDS = (
    *("PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyTime", "StudyInstanceUID"),
    *("ModalitiesInStudy", "StudyDescription", "NumberOfStudyRelatedInstances"),
)


@dataclass(frozen=True)
class Peer:
    """An archive that speaks DIMSE. own_title : the AE title as which this program asks. seconds : of silence after
    which it counts as unreachable."""

    ae_title: str
    host: str
    port: int
    own_title: str = "ICBIR"
    seconds: float = 30.0

    @classmethod
    def parse(cls, text: str, own_title: str = "ICBIR") -> Peer:
        """Read "PACS@10.0.0.5:104". Raises `PacsError`."""
        title, _, place = text.strip().partition("@")
        host, _, port = place.rpartition(":")
        if not 0 < len(title) <= 16 or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise PacsError("An archive is written as AE-TITLE@HOST:PORT, such as PACS@10.0.0.5:104.")
        return cls(title, host, int(port), own_title)


@dataclass(frozen=True)
class MoveReport:
    """What an archive says of a move: films that arrived, and films that did not."""

    arrived: int
    failed: int


def verify_peer(peer: Peer) -> None:
    """C-ECHO. Raises `PacsError` where the archive does not answer or does not know this program."""
    with _associate(peer, VERIFY) as line:
        status = line.send_c_echo()
        if "Status" not in status or status.Status != 0:
            raise PacsUnreachable("The archive (PACS) does not answer; try again later.")


def find_studies(peer: Peer, query: StudyQuery) -> list[Study]:
    """The studies that fit, newest first, at most 2,001. Raises `PacsError`."""
    found: dict[str, Study] = {}
    for modality in query.modalities:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        filters = query.list_filters(modality)
        for keyword in _KEYWORDS:
            setattr(identifier, keyword, filters.get(keyword, ""))
        with _associate(peer, FIND) as line:
            for status, record in line.send_c_find(identifier, FIND):
                _check_status(status)
                study = Study.read(record.to_json_dict(suppress_invalid_tags=True)) if record is not None else None
                if study is not None and query.fits(study) and len(found) <= MAX_STUDIES:
                    found[study.uid] = study
    return sorted(found.values(), key=lambda study: study.moment, reverse=True)


def move_study(peer: Peer, study: Study, destination: str) -> MoveReport:
    """Ask the archive to send a study to an AE title that it knows; returns when it has.

    Raises `PacsMismatch` where it says that films were lost, as archives do whose films are in a transfer syntax that
    the destination refuses, and `PacsError`.
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study.uid
    arrived = failed = 0
    lost = False
    with _associate(peer, MOVE) as line:
        for status, _ in line.send_c_move(identifier, destination, MOVE):
            # The counts of the last answer hold; some archives say success and lose films all the same.
            arrived = int(status.get("NumberOfCompletedSuboperations") or arrived)
            failed = int(status.get("NumberOfFailedSuboperations") or failed)
            if "Status" in status and status.Status == UNKNOWN_DESTINATION:
                raise PacsRefused("The archive (PACS) does not know where to send films; register this AE title there.")
            lost = "Status" in status and (status.Status == WARNING or 0xC000 <= status.Status <= 0xCFFF)
            if not lost:
                _check_status(status)
    if failed:
        raise PacsMismatch(f"The archive (PACS) could not send {failed} of {failed + arrived} films of a study.")
    if lost:
        raise PacsError("The archive (PACS) could not send the study; does it know this AE title and its address?")
    return MoveReport(arrived, failed)


@contextmanager
def _associate(peer: Peer, context: str) -> Iterator[Association]:
    silence(DIMSE)
    entity = AE(peer.own_title)
    entity.network_timeout = entity.dimse_timeout = entity.acse_timeout = entity.connection_timeout = peer.seconds
    entity.add_requested_context(context)
    line = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    if not line.is_established:
        if line.is_rejected:
            raise PacsRefused("The archive (PACS) does not let this AE title in; register it there.")
        raise PacsUnreachable("The archive (PACS) cannot be reached by DIMSE; check its address and that it runs.")
    try:
        yield line
    finally:
        line.release()


def _check_status(status: Dataset) -> None:
    if "Status" not in status:
        raise PacsUnreachable("The archive (PACS) broke off in the middle of its answer; try again.")
    if status.Status not in (0, *PENDING):
        raise PacsError(f"The archive (PACS) cannot answer (status {status.Status:04X}); see its log.")
