"""Which map should be drawn first? Every method's maps against exact masks and readers' boxes, as they are drawn.

    python benchmarks/default_map.py --nih NIH [--films 20] [--part tune]

Simulated films of five findings whose seeds no network has seen, and the readers' boxes of films of `--part` (patients
that no network has learnt from; `tune` for the choice, `test` to look at once). Each map is taken twice: smoothed as
the page draws it, and smoothed to the size of a cell of the network's last feature map (7 × 7). Pointing game, part of
the map's positive values inside, and IoU of its strongest tenth. Beside them what knows no film: noise, two fixed
blobs at the lungs' bases, and the mean mask of the *other* films of the same finding, which knows where it usually
lies. Intervals: 95 %, bootstrapped over patients; differences are paired on the same films.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from icbir_core.model.starter import load_starter
from icbir_core.pipeline.saliency_checks import mark_boxes, read_boxes, simulate_marked
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.saliency.checks import MarkedFilms, bootstrap
from icbir_core.saliency.display import BLUR, SHOWN
from icbir_core.saliency.localisation import make_control_maps, measure_mass, point_into
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.saliency.registry import attribute
from icbir_core.settings import InputSettings

FINDINGS = ("Effusion", "Cardiomegaly", "Pneumothorax", "Consolidation", "Nodule")
METHODS = ("deep_taylor", "lrp_composite", "grad_cam", "gradients_inputs", "integrated_gradients", "smooth_grad")
CELL = 1 / 14
"""Half a cell of the last feature map, as a part of the side: the width of the second smoothing."""


def read_boxed(folder: Path, part: str, known: tuple[str, ...], settings: InputSettings) -> list[MarkedFilms]:
    """The films of a part of the split that have boxes, one set a finding that the classifier knows."""
    with open(folder / "split.csv", newline="", encoding="utf-8") as handle:
        wanted = {row["Patient ID"] for row in csv.DictReader(handle) if row["part"] == part}
    gathered: dict[str, list[tuple[np.ndarray, np.ndarray, str]]] = {}
    for name, boxes in sorted(read_boxes(folder / "BBox_List_2017.csv").items()):
        patient = str(int(name.split("_")[0]))
        path = folder / "images" / f"{name}.png"
        if patient not in wanted or not path.is_file():
            continue
        film = read_radiograph(path).pixels
        for finding, areas in boxes.items():
            mask = mark_boxes(areas, film.shape, settings)
            if finding in known and mask.any():
                gathered.setdefault(finding, []).append((fit_to_network(film, settings), mask, patient))
    sets = []
    for finding, films in sorted(gathered.items()):
        images, masks, patients = zip(*films, strict=True)
        sets.append(MarkedFilms(f"boxes of {part}", finding, np.stack(images), np.stack(masks), patients))
    return sets


def smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Maps (N, S, S) blurred by a part of their side; positive values only, as a reader is shown what speaks for."""
    pixels = width * values.shape[1]
    blurred = [cv2.GaussianBlur(one, (0, 0), pixels, borderType=cv2.BORDER_REFLECT) for one in values]
    return np.maximum(np.stack(blurred), 0)


def overlap_strongest(values: np.ndarray, mask: np.ndarray) -> float:
    """IoU of the mask and the strongest tenth of the map, which is what the page shows of it."""
    hot = (values > 0) & (values >= np.quantile(values, 1 - SHOWN))
    return float((hot & mask).sum() / max((hot | mask).sum(), 1))


def take_mean_of_others(masks: np.ndarray) -> np.ndarray:
    """For each film the mean mask of the other films: where the finding usually lies."""
    total = masks.sum(0, dtype=np.float32)
    return (total - masks) / max(len(masks) - 1, 1)


MEASURES = {"pointing game": point_into, "part inside": measure_mass, "IoU of the strongest tenth": overlap_strongest}


def list_maps(classifier, marked: MarkedFilms, methods: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Every candidate and control by its name, as positive maps (N, S, S)."""
    found = {}
    for method in methods:
        raw = attribute(classifier, marked.images, marked.finding, method).astype(np.float32)
        drawn = np.maximum(raw, 0) if SALIENCY_METHODS[method].coarse else smooth(raw, BLUR)
        found[f"{method}, as drawn"] = drawn
        if not SALIENCY_METHODS[method].coarse:
            found[f"{method}, by cells"] = smooth(raw, CELL)
    for control in ("random", "lung_bases"):
        found[control] = make_control_maps(control, marked.images)
    if len(marked.masks) > 1:
        found["mean of other masks"] = smooth(take_mean_of_others(marked.masks), BLUR)
    return found


def print_table(title: str, sets: list[MarkedFilms], scored: list[dict[str, dict[str, np.ndarray]]]) -> None:
    """One table of several sets taken together; every film counts once."""
    groups = [patient for one in sets for patient in one.groups]
    names = [name for name in scored[0] if all(name in one for one in scored)]
    print(f"\n### {title}: {len(groups)} films\n")
    print("| map | " + " | ".join(MEASURES) + " | pointing game less lung_bases |")
    print("|---|" + "---|" * (len(MEASURES) + 1))
    base = np.concatenate([one["lung_bases"]["pointing game"] for one in scored])
    for name in names:
        cells = []
        for measure in MEASURES:
            value, low, high = bootstrap(np.concatenate([one[name][measure] for one in scored]), groups)
            cells.append(f"{value:.2f} [{low:.2f}, {high:.2f}]")
        pointing = np.concatenate([one[name]["pointing game"] for one in scored])
        value, low, high = bootstrap(pointing - base, groups)
        print(f"| {name} | " + " | ".join(cells) + f" | {value:+.2f} [{low:+.2f}, {high:+.2f}] |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--films", type=int, default=20, help="simulated films of each finding")
    parser.add_argument("--part", default="tune", help="whose boxes are read: tune or test")
    parser.add_argument("--methods", default=",".join(METHODS), help="separated by commas")
    given = parser.parse_args()
    classifier, _ = load_starter()
    settings = classifier.input_settings
    simulated = [one for finding in FINDINGS if (one := simulate_marked(finding, given.films, settings)) is not None]
    boxed = read_boxed(given.nih, given.part, classifier.findings, settings)
    for title, sets in (("Simulated films, exact masks", simulated), (f"Readers' boxes of {given.part}", boxed)):
        scored = []
        for marked in sets:
            maps = list_maps(classifier, marked, tuple(given.methods.split(",")))
            scored.append(
                {
                    name: {
                        measure: np.array([ask(one, mask) for one, mask in zip(values, marked.masks, strict=True)])
                        for measure, ask in MEASURES.items()
                    }
                    for name, values in maps.items()
                }
            )
            print_table(f"{title}, {marked.finding}", [marked], scored[-1:])
        if sets:
            print_table(f"{title}, all findings", sets, scored)


if __name__ == "__main__":
    main()
