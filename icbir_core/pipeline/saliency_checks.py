"""Films with marked findings for the saliency checks: simulated ones, and catalogue cases with readers' boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.layouts import SkippedRow
from icbir_core.catalogue.layouts.fields import read_table
from icbir_core.errors import CatalogueError, SaliencyError
from icbir_core.files import PathLike
from icbir_core.findings import find_canonical_name
from icbir_core.phantom import SIMULATED_FINDINGS, simulate_films
from icbir_core.radiograph.network_input import box_to_input, fit_to_network
from icbir_core.saliency.checks import MarkedFilms
from icbir_core.settings import InputSettings

FRAME = 1024
"""Side of the original films that the boxes of NIH ChestX-ray14 are given in."""
FIRST_SEED = 900_000_000
"""Far from the seeds that training draws, so that the networks have not seen these films."""


def simulate_marked(finding: str, count: int, settings: InputSettings) -> MarkedFilms | None:
    """`count` simulated films that show the finding, with its exact mask; None if it cannot be simulated. Films on
    which it is too faint to leave a mask are passed over."""
    if finding not in SIMULATED_FINDINGS or count < 1:
        return None
    images, masks, groups = [], [], []
    for film in simulate_films(range(FIRST_SEED, FIRST_SEED + 2 * count), workers=0, findings=(finding,)):
        marked = film.truth.finding(finding)
        if marked is None:
            continue
        mask = cv2.resize(marked.mask.astype(np.float32), (settings.size, settings.size), interpolation=cv2.INTER_AREA)
        if not (mask >= 0.5).any():
            continue
        images.append(fit_to_network(film.pixels.astype(np.float32) / 255.0, settings))
        masks.append(mask >= 0.5)
        groups.append(f"seed {film.truth.seed}")
        if len(images) == count:
            break
    source = "simulated films, exact masks"
    return MarkedFilms(source, finding, np.stack(images), np.stack(masks), tuple(groups))


def read_boxes(path: PathLike) -> dict[str, dict[str, list[tuple[float, ...]]]]:
    """Case name → finding → boxes (left, top, width, height), from a table as NIH's BBox_List_2017.csv. Raises
    SaliencyError on a table without those columns."""
    found: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    try:
        for row in read_table(path, ("Image Index", "Finding Label"), "of boxes"):
            if not isinstance(row, SkippedRow) and (name := find_canonical_name(row["Finding Label"])):
                # The name of the third column, "Bbox [x,y,w,h]", holds commas.
                box = tuple(float(value) for value in list(row.values())[2:6])
                found[Path(row["Image Index"]).stem][name].append(box)
    except (CatalogueError, ValueError) as error:
        raise SaliencyError(f"{path} is no table 'Image Index, Finding Label, Bbox [x,y,w,h]' ({error}).") from None
    return found


def mark_boxes(
    areas: Iterable[tuple[float, ...]], shape: tuple[int, int], settings: InputSettings, frame: int = FRAME
) -> np.ndarray:
    """Boxes (left, top, width, height) of a square film of `frame` pixels as a mask bool (S, S) of the network's input,
    for a film of `shape` (H, W)."""
    mask = np.zeros((settings.size, settings.size), bool)
    for area in areas:
        left, top, width, height = (value * max(shape) / frame for value in area)
        left, top, width, height = box_to_input((left, top, width, height), shape, settings)
        rows = slice(max(0, round(top)), max(0, round(top + height)))
        mask[rows, max(0, round(left)) : max(0, round(left + width))] = True
    return mask


def collect_boxed(
    workspace: Workspace, path: PathLike, findings: tuple[str, ...], settings: InputSettings, frame: int = FRAME
) -> list[MarkedFilms]:
    """The workspace's cases that have boxes of one of `findings`: one set a finding, most films first.

    frame : side in pixels of the original square films that the boxes refer to.
    """
    boxes = read_boxes(path)
    gathered: dict[str, list[tuple[np.ndarray, np.ndarray, str]]] = defaultdict(list)
    for case in workspace.catalogue.cases():
        for finding, areas in boxes.get(case.case_id, {}).items():
            if finding not in findings:
                continue
            film = read_case_radiograph(workspace, case).pixels
            mask = mark_boxes(areas, film.shape, settings, frame)
            if mask.any():
                gathered[finding].append((fit_to_network(film, settings), mask, case.patient or case.case_id))
    sets = []
    for finding, films in sorted(gathered.items(), key=lambda entry: -len(entry[1])):
        images, masks, groups = zip(*films, strict=True)
        sets.append(MarkedFilms("radiologists' boxes", finding, np.stack(images), np.stack(masks), groups))
    return sets
