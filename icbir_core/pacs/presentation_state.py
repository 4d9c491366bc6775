"""The map's regions, the searched region and the reader's measurements as lines over the query film, which an archive's
viewer can show and hide: a Grayscale Softcopy Presentation State (PS3.3 A.33.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.sr.coding import Code

from icbir_core.annotation.drawing import draw_head
from icbir_core.annotation.turning import Turn
from icbir_core.errors import DicomExportError
from icbir_core.pacs.object_frame import DicomObject, describe_frame, finish_object
from icbir_core.pacs.result import RESEARCH, SearchResult, find_map_regions
from icbir_core.pacs.structured_report import close_outline, outline_box

TITLE = f"ICBIR regions. {RESEARCH}"
_FAULT = "Lines over the film cannot be written: {}; the other objects can."


def make_presentation_state(result: SearchResult) -> DicomObject:
    """The lines, with the notice in words in the film's upper left corner. Raises `DicomExportError` for a film in
    colour and for one of several pictures, which such an object cannot have under it."""
    source = result.source
    if not source.is_grey:
        raise DicomExportError(_FAULT.format("the film is stored in colour"))
    if source.frames > 1 or source.is_enhanced:
        raise DicomExportError(_FAULT.format("the film's file is made for several pictures"))
    import highdicom
    from highdicom import pr

    shape = result.query.pixels.shape
    layer = pr.GraphicLayer("ICBIR", 1, description=RESEARCH)
    graphics, texts = [], [_write_words(pr, RESEARCH, (1.0, 1.0), shape)]
    for number, region in enumerate(find_map_regions(result.query, result.style, result.scale), start=1):
        graphics.append(_draw_line(pr, close_outline(region.outline, shape)))
        word = f"{result.ranking.target}, map {number}" + (" (against)" if region.sign < 0 else "")
        texts.append(_write_words(pr, word, tuple(region.outline.min(axis=0)), shape))
    if result.region is not None:
        outline = close_outline(outline_box(result.region), shape)
        graphics.append(_draw_line(pr, outline))
        texts.append(_write_words(pr, "searched region", tuple(outline[0]), shape))
    for one in result.measurements:
        for line in one.lines:
            points = np.clip(np.array(line, float), 0.0, shape[::-1])
            points = close_outline(points, shape) if one.kind == "rectangle" else points
            graphics.append(_draw_line(pr, points, round_=one.kind == "ellipse"))
        words = f"{one.label} {one.value:.4g} {'' if one.unit == '1' else one.unit}".strip()
        texts.append(_write_words(pr, words, one.points[-1], shape))
    for note in result.notes:
        if len(note.points) == 2:
            head = draw_head(note.points[0], note.points[1], max(shape) / 50)
            for part in (list(note.points), head):
                graphics.append(_draw_line(pr, np.clip(np.array(part, float), 0.0, shape[::-1])))
        if note.text:
            texts.append(_write_words(pr, note.text, note.points[-1], shape))
    annotation = pr.GraphicAnnotation([source.dataset], layer, graphic_objects=graphics or None, text_objects=texts)
    shown = "INVERSE" if source.dataset.PhotometricInterpretation == "MONOCHROME1" else "IDENTITY"
    made = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source.dataset],
        content_label="ICBIR_RESEARCH",
        content_description=TITLE,
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        concept_name=Code("113000", "DCM", "Of Interest"),
        presentation_lut_transformation=highdicom.PresentationLUTTransformation(presentation_lut_shape=shown),
        **describe_frame(result, "presentation", TITLE),
    )
    made.Laterality = None
    if result.turn != Turn():  # Spatial Transformation Module, PS3.3 C.10.6: first turned, then flipped
        quarters = 4 - result.turn.quarters if result.turn.mirrored else result.turn.quarters
        made.ImageRotation = 90 * (quarters % 4)
        made.ImageHorizontalFlip = "Y" if result.turn.mirrored else "N"
        area = made.DisplayedAreaSelectionSequence[
            0
        ]  # names the pixels that are seen in the upper left and lower right
        area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = find_corners(result.turn, shape)
    return finish_object(made, result, "presentation")


def find_corners(turn: Turn, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The pixels [column, row], counted from 1, of a film (H, W) that are seen in the upper left and lower right."""
    rows, columns = shape
    corners = [[column, row] for column in (1, columns) for row in (1, rows)]
    seen = sorted((sum(turn.turn_point((x - 0.5, y - 0.5), shape)), [x, y]) for x, y in corners)
    return seen[0][1], seen[-1][1]


def _draw_line(pr: Any, points: np.ndarray, round_: bool = False) -> Any:
    kind = pr.GraphicTypeValues.ELLIPSE if round_ else pr.GraphicTypeValues.POLYLINE
    return pr.GraphicObject(kind, points, pr.AnnotationUnitsValues.PIXEL)


def _write_words(pr: Any, words: str, place: tuple[float, ...], shape: tuple[int, ...]) -> Any:
    """Words whose box begins at a place of the film, moved so that it lies within the film."""
    width, height = max(2.0, shape[1] / 3), max(2.0, shape[0] / 25)
    left = float(np.clip(place[0], 1.0, max(1.0, shape[1] - width)))
    top = float(np.clip(place[1] - height, 1.0, max(1.0, shape[0] - height)))
    return pr.TextObject(
        words,
        pr.AnnotationUnitsValues.PIXEL,
        bounding_box=(left, top, min(left + width, float(shape[1])), min(top + height, float(shape[0]))),
        text_justification=pr.TextJustificationValues.LEFT,
    )
