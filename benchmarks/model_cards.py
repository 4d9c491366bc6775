"""Writes the starter models' cards from their manifests: `python benchmarks/model_cards.py`."""

from __future__ import annotations

import json
from pathlib import Path

from icbir_core.files import write_json_atomically

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "models"
AIMS = {"Effusion": 0.83, "Cardiomegaly": 0.88}

DATA = """## Data

- **Simulated** chest radiographs of this project (`icbir_core/phantom`), 16,000 films of 288 pixels along each edge
  (`research/train_starter.py simulate`).
- **NIH ChestX-ray14**: 1,015 films of the patients that the split names `train`, and 831 more films without patient
  names, labelled Effusion or No Finding only. Of those 831, about one effusion in seven and one normal film in four
  show a patient who is also among the named films, so a few may show a `test` patient: the numbers for these two
  findings may be a little too good.
- Labels of the NIH set were mined from reports by text analysis and are about 90 % right. Wang et al., "ChestX-ray8:
  Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and Localization of Common
  Thorax Diseases", CVPR 2017; provided by the NIH Clinical Center (https://nihcc.app.box.com/v/ChestXray-NIHCC). No
  film is in this repository.

Every choice was made on `tune` patients. `test` patients were looked at once for this card, and once for the card of
the former starter models, which decided nothing here.
"""

CLASSIFIER = """DenseNet-121, input 224 × 224 grey, aspect kept, local contrast equalised (CLAHE); 11 findings, one
output each."""

SALIENCY = """DenseNet-121, input 224 × 224: the {target} map (Deep Taylor) of the starter classifier, divided by its
largest value; 11 findings, one output each. Its penultimate features are what IG-CBIR compares."""

SPECTRUM = """To tell a finding from health is easier than to tell it from other findings, and {test:.0f} % of the
`test` films ({tune:.0f} % of `tune`) carry none: the number among films with any finding is the one to expect where
most films show something. (`benchmarks/spectrum.py`; `test` was looked at again with the same networks for it, and no
choice followed.)"""

SIMULATED = """Simulated films: {count} of other seeds than those learnt from. The simulator draws no Infiltration;
where a class is missing there is no number."""

CALIBRATION = """## Calibration and operating points

probability = sigmoid(logit / temperature + offset), fitted on the `tune` patients; the operating point is Youden's
there. The probabilities hold for a mix of findings like that of the NIH subset and for no other. Where `tune` has few
films with a finding (see the wide intervals), its operating point means little; fewer than five allow no fit, and that
probability is not calibrated."""

USE = """## Intended use

To try the program out: to see a prediction, a heat map and a ranking on one's own film before training on one's own
catalogue; as a start for training (`--weights starter`).

## Must not be used for

Diagnosis, triage, or any decision about a patient. Not for children, lateral films, other body parts, or photographs
of films. Not as a baseline in a publication: train on a full set instead (`docs/train-your-own.md`). Findings with few
films below are close to guessing.
"""


def format_score(score: dict) -> str:
    """ "0.812 [0.74, 0.88]", or a dash where a class is missing."""
    if score["value"] is None:
        return "–"
    return f"{score['value']:.3f} [{score['low']:.2f}, {score['high']:.2f}]"


def write_first_line(name: str, manifest: dict) -> str:
    """The sentence a reader must see first: how weak it is, by the harder number, among films with any finding."""
    scores = {
        finding: score for finding, score in manifest["auroc_among_findings"].items() if score["value"] is not None
    }
    poor = sorted(finding for finding, score in scores.items() if score["low"] < 0.6)
    told = []
    for finding, aim in AIMS.items():
        among, whole = scores[finding]["value"], manifest["auroc"][finding]["value"]
        short = "" if among >= aim else f"below its aim of {aim:.2f}; "
        told.append(f"{finding} {among:.2f} ({short}{whole:.2f} among all films)")
    low = "the interval reaches down to 0.60 or less, hardly better than guessing"
    close = f" For {', '.join(poor)} {low}." if poor else ""
    return (
        f"Weak: {name} learnt from about two thousand real films. AUROC on real patients that it never saw, among "
        f"films with any finding: {', '.join(told)}.{close}"
    )


def tabulate_scores(manifest: dict) -> list[str]:
    """The table of AUROCs, a line a finding; the harder number stands first."""
    count = max(score["present"] + score["absent"] for score in manifest["auroc_simulated"].values())
    lines = [
        "## AUROC [95 % interval over patients]",
        "",
        *SPECTRUM.format(
            test=100 * manifest["share_without_finding"], tune=100 * manifest["share_without_finding_tune"]
        ).splitlines(),
        "",
        "| finding | `test`, films with any finding | with / without | `test`, all films | with / without "
        "| `tune`, any finding | `tune`, all | simulated films |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for finding, score in manifest["auroc"].items():
        among = manifest["auroc_among_findings"][finding]
        others = (manifest["auroc_among_findings_tune"], manifest["auroc_tune"], manifest["auroc_simulated"])
        cells = [format_score(among), tell_counts(among), format_score(score), tell_counts(score)]
        cells += [format_score(other[finding]) for other in others]
        lines.append(f"| {finding} | {' | '.join(cells)} |")
    return [*lines, "", *SIMULATED.format(count=count).splitlines(), ""]


def tell_counts(score: dict) -> str:
    """ "35 / 150": films with and without the finding."""
    return f"{score['present']} / {score['absent']}"


def tabulate_calibration(manifest: dict) -> list[str]:
    """The table of calibrations and operating points, a line a finding."""
    lines = [
        "| finding | temperature | offset | operating point | calibration error on `tune` |",
        "|---|---|---|---|---|",
    ]
    for finding in manifest["findings"]:
        fit, error = manifest["calibration"][finding], manifest["calibration_error"][finding]
        fitted = (f"{fit['temperature']:.2f}", f"{fit['offset']:.2f}") if fit["fitted"] else ("not fitted", "–")
        point = f"{manifest['operating_points'][finding]:.3f}"
        lines.append(
            f"| {finding} | {fitted[0]} | {fitted[1]} | {point} | {'–' if error is None else f'{error:.3f}'} |"
        )
    return [*CALIBRATION.splitlines(), "", *lines, ""]


def write_card(path: Path) -> None:
    """Writes `<stem>.md` beside the weights, and its first line into the manifest, where the pages read it."""
    manifest = json.loads(path.with_suffix(".json").read_text())
    saliency = manifest["kind"] == "saliency_classifier"
    title = "The starter saliency classifier" if saliency else "The starter classifier"
    manifest["warning"] = write_first_line("t" + title[1:], manifest)
    write_json_atomically(path.with_suffix(".json"), manifest)
    lines = [f"# {title}", "", f"**{manifest['warning']}**", ""]
    lines += (SALIENCY if saliency else CLASSIFIER).format(**manifest).splitlines()
    size = path.stat().st_size / 1e6
    lines += ["", f"File: `{path.name}`, float16, {size:.1f} MB, SHA-256 `{manifest['sha256']}`.", ""]
    if saliency:
        lines += [f"Made from the classifier `{manifest['classifier']}`; it must be used with no other.", ""]
    lines += [*DATA.splitlines(), "", *tabulate_scores(manifest), *tabulate_calibration(manifest)]
    lines += ["## Recipe", "", "AdamW, cosine, moving average of the weights; the runs, in order:", ""]
    lines += [f"    {run}" for run in manifest["training"]["runs"]]
    lines += ["", "What was tried, and the log: `docs/starter-models.md`.", "", *USE.splitlines()]
    path.with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


PREDICTION = """The mean of the logits of {count} networks, each of which sees the film by itself, calibrated. **This is
what the program shows, prints and exports wherever the starter models are used.** Heat maps explain the first network
alone, and say so. A workspace with a classifier of its own predicts by that alone."""


def write_prediction_card(path: Path) -> None:
    """Writes the card of the networks that predict together, and its first line into the manifest."""
    card = json.loads(path.read_text(encoding="utf-8"))
    scored = "auroc" in card
    ending = "" if scored else "_tune"
    among, whole = card["auroc_among_findings" + ending], card["auroc" + ending]
    poor = sorted(name for name, score in among.items() if score["value"] is not None and score["low"] <= 0.5)
    told = ", ".join(f"{name} {among[name]['value']:.2f} ({whole[name]['value']:.2f} among all films)" for name in AIMS)
    share = 100 * card["share_without_finding" + ending]
    chance = f" Not shown to be better than chance there: {', '.join(poor)}." if poor else ""
    card["warning"] = (
        "Weak: both networks learnt from about two thousand real films. AUROC of their mean on real patients that they "
        f"never saw, among films with any finding: {told}; {share:.0f} % of all carry none.{chance}"
    )
    write_json_atomically(path, card)
    lines = ["# What the starter models predict", "", f"**{card['warning']}**", ""]
    lines += PREDICTION.format(count=len(card["networks"])).splitlines()
    lines += ["", *(f"- {name}: SHA-256 `{sha256}`" for name, sha256 in card["networks"].items()), ""]
    lines += [
        "## AUROC [95 % interval over patients]",
        "",
        "    python benchmarks/prediction.py --nih NIH --part test",
        "",
    ]
    parts = (("test", ""), ("tune", "_tune")) if scored else (("tune", "_tune"),)
    kinds = (("any finding", "auroc_among_findings"), ("all films", "auroc"))
    header = [f"`{part}`, {kind}" for part, _ in parts for kind, _ in kinds]
    lines += [f"| finding | {' | '.join(header)} | films with / without |", "|---|" + "---|" * (len(header) + 1)]
    for name in sorted(card["findings"]):
        cells = [format_score(card[key + end][name]) for _, end in parts for _, key in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} | {tell_counts(whole[name])} |")
    if "search_at_chance" in card:
        lines += [
            "",
            "A search was not shown to find more cases than chance (`benchmarks/encoders.py --part test`):",
            "",
        ]
        lines += [f"- `{name}`: {', '.join(found)}" for name, found in card["search_at_chance"].items()]
    lines += ["", *tabulate_calibration(card), *USE.splitlines()]
    path.with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    for weights in sorted(FOLDER.glob("*.npz")):
        write_card(weights)
        print(weights.with_suffix(".md").name)
