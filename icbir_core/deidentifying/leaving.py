"""The one door for films in pictures that leave: text that is burned into a film is blacked out, or the film stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from icbir_core.annotation.records import Annotation
from icbir_core.catalogue.storing import read_case_radiograph
from icbir_core.catalogue.workspace import Workspace
from icbir_core.deidentifying.masking import black_out, find_masks
from icbir_core.errors import BurnedInText
from icbir_core.radiograph.quality import BURNED_IN
from icbir_core.types import Case, Radiograph

LEFT_OFF = "Text is burned into its film, and may name its patient."
FRAME = "Frame the text with rectangles, and it is blacked out here."


def is_burned_in_case(workspace: Workspace, case: Case) -> bool:
    """Whether the header of a case's film said that text is burned into the picture."""
    held = workspace.catalogue.find_identifiers([case.case_id]).get(case.case_id)
    return held is not None and BURNED_IN in (held.doubt or "")


def hide_text(radiograph: Radiograph, drawn: Sequence[Annotation] | None = ()) -> Radiograph:
    """The film as it may leave: where its facts say that text is burned in, with the rectangles that were drawn on it
    blacked out. drawn : None where nothing can be drawn.

    Raises `BurnedInText` where there is none.
    """
    if "burned_in" not in radiograph.facts:
        return radiograph
    masks = find_masks(drawn or ())
    if not masks:
        raise BurnedInText(LEFT_OFF if drawn is None else f"{LEFT_OFF} {FRAME}")
    pixels = radiograph.pixels
    return replace(radiograph, pixels=black_out(pixels, pixels, masks))


def read_leaving_case(workspace: Workspace, case: Case, drawn: Sequence[Annotation] | None = None) -> Radiograph:
    """The film of a case as it may leave; as `hide_text`. Raises `IcbirError` where it cannot be read."""
    return hide_text(read_with_text(workspace, case), drawn)


def read_with_text(workspace: Workspace, case: Case) -> Radiograph:
    """The film of a case, whose facts say "burned_in" where its header did: the stored picture has none."""
    radiograph = read_case_radiograph(workspace, case)
    if not is_burned_in_case(workspace, case):
        return radiograph
    return replace(radiograph, facts={**radiograph.facts, "burned_in": f"{BURNED_IN}, as the header says"})
