"""What the networks of a workspace say of themselves: the manifests beside their weights; nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import ModelError
from icbir_core.files import find_program_folder
from icbir_core.model.prediction import read_card
from icbir_core.retrieval.model_choice import find_encoders
from icbir_core.retrieval.target_files import get_classifier_path, list_saliency_cards
from icbir_ui.errors import escape_markdown
from icbir_ui.language import mark, say, translate_told

STARTER = find_program_folder() / "assets" / "models"


@dataclass(frozen=True, eq=False)
class Card:
    """A network's manifest with a title; starter : it came with the program, and was not trained on this catalogue."""

    title: str
    manifest: Mapping[str, Any]
    starter: bool

    @property
    def weakness(self) -> str | None:
        """The weakest point of the network, if its card names one."""
        return self.manifest.get("warning") or self.manifest.get("weakness")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return manifest
    except (OSError, ValueError):
        return None


def find_cards(workspace: Workspace) -> list[Card]:
    """What predicts, where several networks do it together; the classifier's card, then those of the saliency
    classifiers, the starter's where the workspace has none; then those of the encoders that a target was indexed with.
    """
    classifiers = _find_classifiers(workspace)
    return [*_find_prediction(classifiers), *classifiers, *_find_encoders(workspace)]


def _find_prediction(classifiers: list[Card]) -> list[Card]:
    """The card of the networks that predict together with the first of these; none where it predicts alone."""
    if not classifiers or not classifiers[0].starter:
        return []
    try:
        card = read_card(str(classifiers[0].manifest.get("sha256")))
    except ModelError:  # the page of the search says so
        return []
    return (
        []
        if card is None
        else [Card(mark(f"Prediction, {card.get('title', 'several networks')} (starter)"), card, True)]
    )


def _find_encoders(workspace: Workspace) -> list[Card]:
    known, entries = find_encoders(workspace), workspace.read_manifest()["artefacts"].values()
    names = sorted({name for entry in entries for name in entry.get("encoders", {}) if name in known})
    read = ((name, _read(known[name])) for name in names)
    return [
        Card(mark(f"Encoder, {manifest.get('title', name)}"), manifest, STARTER in known[name].parents)
        for name, manifest in read
        if manifest
    ]


def _find_classifiers(workspace: Workspace) -> list[Card]:
    own = _read(get_classifier_path(workspace).with_suffix(".json"))
    if own is None:
        names = (
            (mark("Classifier"), "starter_classifier"),
            (mark("Saliency classifier"), "starter_saliency_classifier"),
        )
        found = [(title, _read(STARTER / f"{name}.json")) for title, name in names]
        return [Card(mark(f"{title} (starter)"), manifest, True) for title, manifest in found if manifest]
    cards = [Card(mark("Classifier"), own, False)]
    for path in list_saliency_cards(workspace):
        manifest = _read(path)
        if manifest:
            target = manifest.get("target") or (manifest.get("findings") or ["unknown"])[0]
            cards.append(Card(mark(f"Saliency classifier, {target}"), manifest, False))
    return cards


def tabulate_performance(card: Card) -> list[dict[str, Any]]:
    """One row a finding: area under the ROC curve with its interval on held-back films, the harder number, among films
    with any finding, first; operating point, calibration error."""
    rows = []
    for name in card.manifest.get("findings", ()):
        among, score = ((card.manifest.get(key) or {}).get(name) or {} for key in ("auroc_among_findings", "auroc"))
        rows.append(
            {
                mark("Finding"): name,
                mark("AUROC, films with any finding"): _tell(among),
                mark("AUROC, all films"): _tell(score),
                mark("Films with / without"): f"{score.get('present', '?')} / {score.get('absent', '?')}",
                mark("Operating point"): _number((card.manifest.get("operating_points") or {}).get(name)),
                mark("Calibration error"): _number((card.manifest.get("calibration_error") or {}).get(name)),
            }
        )
    return rows


def _tell(score: Mapping[str, Any]) -> str:
    """ "0.82 [0.73 – 0.90]"."""
    value, low, high = (score.get(part) for part in ("value", "low", "high"))
    if value is None:
        return "unknown"
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} [{low:.2f} – {high:.2f}]"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def describe_training(workspace: Workspace, target: str) -> list[str]:
    """Sentences in Markdown on what the probabilities rest on, weakest point first."""
    cards = find_cards(workspace)
    if not cards:
        return [say("No model card was found beside the networks.")]
    card = cards[0]
    lines = [f"**{escape_markdown(translate_told(card.weakness))}**"] if card.weakness else []
    films = card.manifest.get("films") or {}
    if card.starter:
        who = escape_markdown(translate_told(str(card.manifest.get("title", mark("the starter classifier")))))
        lines.append(say("Predicted by {who}, which came with the program and never saw this catalogue.", who=who))
    if films.get("trained") is not None:
        lines.append(
            say(
                "Trained on {trained} films, judged on {judged} held back.",
                trained=f"{films['trained']:,}",
                judged=f"{films.get('held_back', 0):,}",
            )
        )
    for row in tabulate_performance(card):
        if row["Finding"] == target:
            among, whole = row["AUROC, films with any finding"], row["AUROC, all films"]
            told = say(
                "{target}, on films held back: AUROC {among} among those with any finding, {whole} among all.",
                target=translate_told(target),
                among=among,
                whole=whole,
            )
            lines.append(escape_markdown(told))
            share = card.manifest.get("share_without_finding")
            if share is not None:
                lines.append(say("{share} % of them carry no finding, and are easier.", share=f"{100 * share:.0f}"))
    lines.append(say("A bar is the calibrated probability; the white tick is its operating point (Youden)."))
    return lines
