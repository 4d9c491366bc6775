"""Put two runs of `train_starter.py` into a workspace as its own networks, so that the program's commands use them.

    python benchmarks/install_run.py FOLDER CLASSIFIER_RUN SALIENCY_RUN WORKSPACE [--target Effusion]

FOLDER is that of `train_starter.py`; the saliency run learnt from the maps of the classifier run. Both are calibrated
and scored on the patients of `tune`, as `train` does with the films that it holds back; `index`, `query` and
`evaluate` then go on as after `train`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from train_starter import FINDINGS, SIZE, evaluate  # noqa: E402

from icbir_core.catalogue import Workspace  # noqa: E402
from icbir_core.model.classifier import Classifier, save_classifier  # noqa: E402
from icbir_core.model.evaluation_card import describe_logits  # noqa: E402
from icbir_core.model.network import build_network  # noqa: E402
from icbir_core.retrieval.model_choice import CLASSIFIER, SALIENCY_CLASSIFIER  # noqa: E402


def install(run: Path, images: np.ndarray, labels: np.ndarray, patients: list[str], path: Path, **more) -> Classifier:
    """The run's last weights as a classifier file with its manifest; images uint8 (N, 224, 224) judge it."""
    network = build_network("densenet121", len(FINDINGS), SIZE, run / "weights.npz")
    manifest = {"network": "densenet121", "findings": list(FINDINGS), "input": {"size": SIZE, "equalise": True}}
    manifest |= describe_logits(evaluate(network, images, SIZE), labels, FINDINGS, patients) | more
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = save_classifier(network, path, manifest)
    print(run.name, {name: entry["value"] for name, entry in manifest["auroc"].items()}, flush=True)
    return saved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("classifier")
    parser.add_argument("saliency")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--target", default="Effusion")
    given = parser.parse_args()
    with np.load(given.folder / "real.npz") as stored:
        judging = stored["part"] == "tune"
        images, labels = stored["images"][judging], stored["labels"][judging]
        patients = stored["patients"][judging].tolist()
    workspace = Workspace.open(given.workspace)
    path = workspace.models / CLASSIFIER
    classifier = install(given.folder / given.classifier, images, labels, patients, path)
    workspace.record_artefact("classifier", {"path": path, "findings": list(FINDINGS)})
    maps = np.load(given.folder / given.classifier / "maps_real.npy", mmap_mode="r")[judging]
    path = Path(workspace.target_directory(given.target)) / SALIENCY_CLASSIFIER
    more = {"target": given.target, "classifier": classifier.sha256, "map_method": "deep_taylor"}
    install(given.folder / given.saliency, maps, labels, patients, path, **more)
    made_from = {"classifier": classifier.sha256}
    workspace.record_artefact(f"saliency_classifier/{given.target}", {"path": path, "made_from": made_from, "order": 0})


if __name__ == "__main__":
    main()
