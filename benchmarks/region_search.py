"""Does ranking by a drawn region find the lesion's side and kind better than ranking by the whole film?

    python benchmarks/region_search.py WORKSPACE [--top-k 5] [--limit 200] [--out benchmarks/region_search.md]

WORKSPACE is a demonstration workspace: its films are simulated, so kind, side and place of every lesion are known.
Each focal one-sided lesion of a catalogue film is a query, its bounding box (a tenth wider on each side) the region. A
hit is right if it carries a lesion of the same kind on the same side. Chance is the share of such films among the
others. Intervals are 95 % bootstrap intervals over the queries.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.evaluation.page import show_interval
from icbir_core.evaluation.statistics import bootstrap_mean
from icbir_core.files import write_text_atomically
from icbir_core.phantom.dataset import read_truth
from icbir_core.pipeline.demonstration import CATALOGUE_FOLDER, FOLDER
from icbir_core.retrieval.refinement import RefinementTrail, Region
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import SearchSettings
from icbir_core.types import Query

FOCAL = ("Effusion", "Pneumothorax", "Consolidation", "Pneumonia", "Nodule", "Mass", "Atelectasis")


def find_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """(left, top, width, height) around a mask, a tenth wider on each side."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return columns[0] - 0.1 * width, rows[0] - 0.1 * height, 1.2 * width, 1.2 * height


def read_options(text: str, **more: int | str) -> argparse.Namespace:
    """The workspace, how many hits, where to write, and more options by their defaults."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--out", type=Path, default=None)
    for name, default in {"top-k": 5, **more}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


def compute_interval(values: list[float] | np.ndarray) -> str:
    """Mean with its 95 % bootstrap interval over the queries."""
    return show_interval(asdict(bootstrap_mean(np.asarray(values), np.arange(len(values)))))


def main() -> None:
    options = read_options(__doc__, limit=200)
    retriever = Retriever.open(Workspace.open(options.workspace))
    truths = {f"sim_{t.seed}": t for t in read_truth(options.workspace / FOLDER / CATALOGUE_FOLDER)}
    cases = [case for case in retriever.workspace.catalogue.cases() if case.case_id in truths]
    carried = {name: {(f.name, f.side) for f in truth.findings} for name, truth in truths.items()}
    lesions = [
        (case, finding)
        for case in cases
        for finding in truths[case.case_id].findings
        if finding.name in FOCAL and finding.side in ("left", "right") and finding.mask.any()
    ][: options.limit]
    scores: dict[str, list[float]] = {}
    for case, finding in lesions:
        wanted = (finding.name, finding.side)
        query = Query(case.case_id, read_case_radiograph(retriever.workspace, case), case.patient, case.case_id)
        box = find_box(finding.mask)
        ways = {f"whole film, {method}": (method, RefinementTrail()) for method in retriever.methods()}
        ways["region, same place"] = ("cnn", RefinementTrail().add(Region(box)))
        ways["region, anywhere"] = ("cnn", RefinementTrail().add(Region(box, anywhere=True)))
        for way, (method, trail) in ways.items():
            ranking = retriever.search(query, SearchSettings(top_k=options.top_k, method=method), trail)
            right = [wanted in carried[hit.case.case_id] for hit in ranking.hits]
            scores.setdefault(way, []).append(float(np.mean(right)))
        others = [wanted in found for name, found in carried.items() if name != case.case_id]
        scores.setdefault("chance", []).append(float(np.mean(others)))
    region = np.array(scores["region, same place"])
    lines = [
        f"{len(lesions)} lesions on {len(cases)} simulated films; share of the first {options.top_k} hits with the "
        "same kind of lesion on the same side, with 95 % bootstrap intervals.",
        "",
        "| ranking | same kind and side | region (same place) minus it |",
        "|---|---|---|",
    ]
    for way, values in sorted(scores.items(), key=lambda item: -np.mean(item[1])):
        difference = "" if way == "region, same place" else compute_interval(region - np.array(values))
        lines.append(f"| {way} | {compute_interval(values)} | {difference} |")
    print("\n".join(lines))
    if options.out:
        head = "# Region search\n\n`python benchmarks/region_search.py WORKSPACE`, on the demonstration workspace.\n\n"
        write_text_atomically(options.out, head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
