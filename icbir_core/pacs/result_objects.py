"""All objects of a result at once."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from icbir_core.errors import DicomExportError
from icbir_core.pacs.object_frame import DicomObject
from icbir_core.pacs.presentation_state import make_presentation_state
from icbir_core.pacs.result import SearchResult
from icbir_core.pacs.secondary_capture import make_secondary_capture
from icbir_core.pacs.structured_report import make_structured_report

BURNED_IN = "Text may be burned into your film; the Secondary Capture shows it too, so look at it before it is sent on."
MAKERS: tuple[Callable[[SearchResult], DicomObject], ...] = (
    make_secondary_capture,
    make_structured_report,
    make_presentation_state,
)


@dataclass(frozen=True)
class ResultObjects:
    """The finished objects, a sentence for each that this film cannot have, and others for whoever sends them."""

    objects: tuple[DicomObject, ...]
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def make_result_objects(result: SearchResult) -> ResultObjects:
    """Secondary capture, structured report and presentation state of a result, all of the query's patient and study,
    each in a series of its own. Those that the kind of film does not allow are left out with a sentence. Text that is
    burned into the film, or may be, is warned of, because the capture shows it."""
    objects, left_out = [], []
    for make in MAKERS:
        try:
            objects.append(make(result))
        except DicomExportError as error:
            left_out.append(str(error))
    warnings = (*result.told, *((BURNED_IN,) if result.source.may_show_text else ()))
    return ResultObjects(tuple(objects), tuple(left_out), warnings)


def pack_objects(made: ResultObjects) -> bytes:
    """A zip of the objects; what was left out or is doubtful is said in `READ_ME.txt`."""
    packed = io.BytesIO()
    files = {one.name: one.data for one in made.objects}
    if told := (*made.left_out, *made.warnings):
        files["READ_ME.txt"] = "".join(f"{sentence}\n" for sentence in told).encode()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():  # without the clock, so that equal objects give an equal zip
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
