"""The chest networks that the field uses, and what becomes of one here: weights, manifest and model card.

What each network finds, its operating points and where its file lies stand in `published_networks.json`, as
TorchXRayVision 1.5.7 publishes them. It publishes no hash of a file: the hash of the file that was read goes into the
manifest, is shown, and is compared when the same network is fetched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from icbir_core.errors import ManifestMismatch, ModelError, UnknownNameError, WorkspaceError
from icbir_core.files import PathLike, read_json, sha256_of_file, write_text_atomically
from icbir_core.findings import require_canonical_name
from icbir_core.model.classifier import Classifier, manifest_path, save_classifier
from icbir_core.model.torch_files import read_torch_weights
from icbir_core.model.xrayvision import SIZE, build_from_weights

TABLE = Path(__file__).with_name("published_networks.json")
LICENCE = "Apache-2.0 (code and weights of TorchXRayVision; each data set it was trained on has terms of its own)"
CITATIONS = (
    "Cohen, Viviano, Bertin, Morrison, Torabian, Guarrera, Lungren, Chaudhari, Brooks, Hashir, Bertrand: "
    "TorchXRayVision: A library of chest X-ray datasets and models. MIDL 2022, arXiv 2111.00595.",
    "Cohen, Hashir, Brooks, Bertrand: On the limits of cross-domain generalization in automated X-ray prediction. "
    "MIDL 2020, arXiv 2002.02497.",
)
_PREFIX = "densenet121-res224-"


@dataclass(frozen=True)
class PublishedNetwork:
    """A network that others trained. file_name, url : of its weights; sha256 : as published, or None.

    outputs : the finding of each output here (this project's names) → its row in their last layer; operating_points :
    per finding the probability, before any calibration, from which they call it present. trained_on : data sets.
    """

    name: str
    file_name: str
    url: str
    sha256: str | None
    trained_on: tuple[str, ...]
    outputs: Mapping[str, int]
    operating_points: Mapping[str, float]

    @property
    def title(self) -> str:
        """Its name as TorchXRayVision writes it."""
        return f"TorchXRayVision {_PREFIX}{self.name}"

    @property
    def warning(self) -> str:
        """What a reader must know of its numbers and probabilities, in one sentence or two."""
        seen = ", ".join(self.trained_on)
        return (
            f"{self.title} was trained elsewhere, on {seen}: on films of these data sets its numbers are too good. Its "
            "probabilities are not calibrated; compare them with its operating points only."
        )


@lru_cache(maxsize=1)
def list_published() -> Mapping[str, PublishedNetwork]:
    """Every published network by its short name ("all", "nih", "pc", "chex", "mimic_ch", "mimic_nb")."""
    found = {}
    for name, entry in read_json(TABLE).items():
        (file,) = entry["files"]
        named = [(require_canonical_name(label), row) for row, label in enumerate(entry["outputs"]) if label]
        points = {finding: float(entry["operating_points"][row]) for finding, row in named}
        found[name] = PublishedNetwork(
            name, file["name"], file["url"], entry["sha256"], tuple(entry["trained_on"]), dict(named), points
        )
    return found


def find_published(name: str) -> PublishedNetwork:
    """The network of a short or a full name ("densenet121-res224-all"). `UnknownNameError` lists the known ones."""
    known, short = list_published(), name.removeprefix(_PREFIX)
    if short not in known:
        raise UnknownNameError("published network", name, known)
    return known[short]


def convert_published(network: PublishedNetwork, source: PathLike, target: PathLike) -> Classifier:
    """Reads `source`, the file of a published network, and writes `target` (.keras), its manifest and its card (.md).

    Nothing that the file says is run. Raises `ManifestMismatch` if the file is not the published one, or not the one
    that the manifest beside `target` was made from; `ModelError` if it is damaged or of another network.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise ModelError(f"There is no file {source}; name the file of the weights.")
    found = sha256_of_file(source)
    recorded = _read_recorded(target)
    expected = network.sha256 or recorded
    if expected not in (None, found):
        raise ManifestMismatch(
            f"{source.name} has SHA-256 {found[:12]}…, not {expected[:12]}… as {network.title} had; if the publisher "
            f"changed the file, delete {manifest_path(target).name}, else fetch it again."
        )
    if found == recorded and target.is_file():
        # converted before: it keeps its hash, and what was made from it stays valid
        return Classifier.load(target, when_needed=True)
    model = build_from_weights(read_torch_weights(source), list(network.outputs.values()))
    manifest = {
        "kind": "classifier",
        "network": "densenet121",
        "findings": list(network.outputs),
        "input": {"size": SIZE, "equalise": False, "crop": True},
        "operating_points": dict(network.operating_points),
        "calibration": {},
        "warning": network.warning,
        "published": {
            "name": network.name,
            "title": network.title,
            "url": network.url,
            "file": source.name,
            "sha256": found,
            "sha256_published": network.sha256 is not None,
            "trained_on": list(network.trained_on),
            "licence": LICENCE,
            "citations": list(CITATIONS),
        },
    }
    write_text_atomically(target.with_suffix(".md"), write_card(manifest))
    return save_classifier(model, target, manifest)


def _read_recorded(target: Path) -> str | None:
    """The hash of the file that an earlier `target` was made from, or None."""
    path = manifest_path(target)
    if not path.is_file():
        return None
    try:
        recorded: str | None = read_json(path).get("published", {}).get("sha256")
        return recorded
    except WorkspaceError as error:
        raise ModelError(f"{path.name} cannot be read ({error}); delete it and fetch again.") from error


def write_card(manifest: Mapping[str, Any]) -> str:
    """The model card of a converted network, in Markdown."""
    facts = manifest["published"]
    known = "as published" if facts["sha256_published"] else "of the file that was read; none is published"
    lines = [
        f"# {facts['title']}",
        "",
        f"**{manifest['warning']}**",
        "",
        f"DenseNet-121, {len(manifest['findings'])} findings, input 224 × 224 grey: the middle square of the film, "
        "without equalisation. Converted layer by layer; the same film gives the same numbers.",
        "",
        f"- Source: <{facts['url']}>, file `{facts['file']}`",
        f"- SHA-256 `{facts['sha256']}` ({known})",
        f"- Trained on: {', '.join(facts['trained_on'])}",
        f"- Licence: {facts['licence']}",
        *(f"- Citation: {text}" for text in facts["citations"]),
        "",
        "| finding | operating point (probability, not calibrated) |",
        "|---|---|",
        *(f"| {name} | {manifest['operating_points'][name]:.6g} |" for name in manifest["findings"]),
        "",
        "How well it does on films of your own: `icbir evaluate` and `checks` say. For research and "
        "education; not a medical device.",
    ]
    return "\n".join(lines) + "\n"
