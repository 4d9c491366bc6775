"""How hard the films are on which the starter models are judged: AUROC on all of them, and among films with a finding.

    python benchmarks/spectrum.py --nih DIR [--write]

DIR holds the subset of NIH ChestX-ray14 with its split. The films go through the product's own path, the saliency
classifier's through the product's own Deep Taylor maps. --write puts the numbers into the manifests of
`assets/models`; `model_cards.py` then writes the cards. `test` is looked at again with the same networks: no choice
follows from it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from icbir_core.files import write_json_atomically
from icbir_core.model.classifier import Classifier, manifest_path
from icbir_core.model.evaluation_card import describe_spectrum
from icbir_core.model.starter import load_starter, starter_path
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.saliency.encoding import encode_map
from icbir_core.saliency.registry import attribute

PARTS = {"test": "", "tune": "_tune"}
KEYS = ("auroc_among_findings", "share_without_finding")
PIECE = 16


def read_part(folder: Path, part: str) -> list[dict[str, str]]:
    """The rows of the label table whose patients belong to a part of the split."""
    with (folder / "split.csv").open(newline="") as handle:
        parts = {row["Patient ID"]: row["part"] for row in csv.DictReader(handle)}
    with (folder / "Data_Entry_2017_v2020.csv").open(newline="") as handle:
        return [row for row in csv.DictReader(handle) if parts[row["Patient ID"]] == part]


def label(rows: list[dict[str, str]], findings: tuple[str, ...]) -> np.ndarray:
    """Labels float64 (N, F) of 0 and 1."""
    return np.array([[float(name in row["Finding Labels"].split("|")) for name in findings] for row in rows])


def compute_logits(folder: Path, rows: list[dict[str, str]], pair: tuple[Classifier, Classifier]) -> list[np.ndarray]:
    """Logits float32 (N, F) of both networks."""
    classifier, saliency = pair
    target = saliency.manifest["target"]
    found: tuple[list, list] = ([], [])
    for start in range(0, len(rows), PIECE):
        paths = [folder / "images" / row["Image Index"] for row in rows[start : start + PIECE]]
        films = [fit_to_network(read_radiograph(path).pixels, classifier.input_settings) for path in paths]
        # 256 levels, as every film is that a network learns from.
        images = np.rint(np.stack(films) * 255).astype(np.float32) / 255
        found[0].append(classifier.compute(images)[0])
        found[1].append(saliency.compute(encode_map(attribute(classifier, images, target)))[0])
        print(f"{min(start + PIECE, len(rows))} of {len(rows)}", file=sys.stderr, flush=True)
    return [np.concatenate(one) for one in found]


def tell(score: dict) -> str:
    """ "0.812 [0.74, 0.88] (35/268)", or a dash where a class is missing."""
    if score["value"] is None:
        return "–"
    return f"{score['value']:.3f} [{score['low']:.2f}, {score['high']:.2f}] ({score['present']}/{score['absent']})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="put the numbers into the manifests")
    given = parser.parse_args()
    pair = load_starter()
    found: list[dict] = [{}, {}]
    for part, ending in PARTS.items():
        rows = read_part(given.nih, part)
        patients = [row["Patient ID"] for row in rows]
        for entry, network, logits in zip(found, pair, compute_logits(given.nih, rows, pair), strict=True):
            entry[ending] = describe_spectrum(logits, label(rows, network.findings), network.findings, patients)
    for number, name in enumerate(("classifier", "saliency classifier")):
        print(
            f"\n**The starter {name}**\n\n| finding | `test`, any finding | `test`, all | `tune`, any | `tune`, all |"
        )
        print("|---|---|---|---|---|")
        test, tune = found[number][""], found[number]["_tune"]
        for finding in sorted(test["auroc"]):
            cells = (one[key][finding] for one in (test, tune) for key in ("auroc_among_findings", "auroc"))
            print(f"| {finding} | {' | '.join(map(tell, cells))} |")
        shares = (
            f"{100 * one['share_without_finding']:.0f} % of `{part}`"
            for part, one in zip(PARTS, (test, tune), strict=True)
        )
        print(f"\nNo Finding: {', '.join(shares)}.")
        if given.write:
            path = manifest_path(starter_path(saliency=bool(number)))
            manifest = json.loads(path.read_text(encoding="utf-8"))
            for ending, entries in found[number].items():
                manifest |= {f"{key}{ending}": entries[key] for key in KEYS}
            write_json_atomically(path, manifest)


if __name__ == "__main__":
    main()
