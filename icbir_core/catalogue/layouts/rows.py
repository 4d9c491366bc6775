"""What a layout is asked for, and what it yields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from icbir_core.files import PathLike
from icbir_core.findings import FindingState
from icbir_core.types import UNKNOWN


@dataclass(frozen=True)
class IngestOptions:
    """Which data set to read, and which part of it.

    layout : name in `LAYOUTS`. images : folder of the films. labels : the table of labels, where the layout has one.
    view : keep only this view ("AP", "PA"). limit : at most so many cases of this data set, those already in included.
    include_laterals : keep views that are not frontal. split, part : table of patients and parts, and the part to keep.
    source : name recorded with each case (default: the layout). private : hash case identifiers and paths, and refuse
    films whose header says that text is burned into the picture. texts : of a private data set too keep reports and
    diagnoses, without the names, dates and numbers in them; else it has none. query : which films of an archive, where
    the layout is one; `images` is its address then. is_known : asked for a `case_id` before its film is fetched.
    leave_films : keep of each film its row alone, and fetch it from the archive of the settings whenever it is needed.
    """

    layout: str
    images: PathLike
    labels: PathLike | None = None
    view: str | None = None
    limit: int | None = None
    include_laterals: bool = False
    split: PathLike | None = None
    part: str | None = None
    source: str | None = None
    private: bool = False
    texts: bool = False
    query: str = field(default="", repr=False)
    is_known: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)
    leave_films: bool = False


@dataclass(frozen=True)
class RawCase:
    """One film as the data set describes it, before anything is decoded or hashed.

    case_id : the data set's own name for the film. patient : the data set's text, prefixed by the name of a public data
    set (two sets may both have a patient 1), or None. findings : unknown ones may be left out. usual_view : the view
    where neither the table nor a header says it. private : whether `case_id` must be hashed before it is stored. item :
    what a report calls the film, where `case_id` may not be shown.
    header_patient, instance : the patient and the SOP Instance UID that a DICOM header names; only to be hashed.
    data : the film's bytes, where it lies in no file; uids : of its study, series and instance in the archive, with
    "/" between them.
    """

    case_id: str
    file: PathLike
    patient: str | None = None
    findings: Mapping[str, FindingState] = field(default_factory=dict)
    view: str = UNKNOWN
    age: int | None = None
    sex: str = UNKNOWN
    report: str | None = None
    diagnosis: str | None = None
    usual_view: str = UNKNOWN
    private: bool = False
    item: str = ""
    header_patient: str | None = field(default=None, repr=False)
    instance: str | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    uids: str = field(default="", repr=False)

    @property
    def content(self) -> bytes | PathLike:
        """The film's bytes, or where they are."""
        return self.file if self.data is None else self.data

    @property
    def label(self) -> str:
        """What a report calls the film."""
        return self.item or self.case_id


@dataclass(frozen=True)
class SkippedRow:
    """A row of the data set that becomes no case, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class IgnoredLabel:
    """A label or column that the vocabulary does not know; it is counted and reported, never guessed."""

    name: str


@dataclass(frozen=True)
class OtherFile:
    """A file in the folder of films that is none by its ending; it is counted and left alone."""


@dataclass(frozen=True)
class KnownFilm:
    """A film that `IngestOptions.is_known` knows, so that it was not fetched again."""

    case_id: str = field(repr=False)
    label: str = ""


Remark = IgnoredLabel | OtherFile
"""What a layout tells beside its rows."""
LayoutRow = RawCase | SkippedRow | KnownFilm | Remark
