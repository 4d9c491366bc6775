"""The starter files that come with the program: size, contract and card."""

from __future__ import annotations

import pytest

from icbir_core.model.classifier import read_manifest
from icbir_core.model.starter import starter_path

NEEDED = {"Effusion", "Cardiomegaly", "Pneumothorax", "Consolidation", "No Finding"}


@pytest.mark.parametrize("saliency", [False, True])
def test_starter_file_keeps_its_contract(saliency):
    path = starter_path(saliency)
    manifest = read_manifest(path)
    assert path.stat().st_size <= 16e6
    assert set(manifest["findings"]) >= NEEDED and manifest["input"] == {"size": 224, "equalise": True}
    assert manifest["network"] == "densenet121" and ("target" in manifest) == saliency
    for entry in ("calibration", "operating_points", "auroc", "auroc_among_findings", "auroc_simulated"):
        assert set(manifest[entry]) == set(manifest["findings"])
    for name in ("Effusion", "Cardiomegaly"):
        score = manifest["auroc"][name]
        assert score["low"] <= score["value"] <= score["high"] and score["present"] > 5


@pytest.mark.parametrize("saliency", [False, True])
def test_card_repeats_the_manifest(saliency):
    path = starter_path(saliency)
    manifest, card = read_manifest(path), path.with_suffix(".md").read_text(encoding="utf-8")
    assert manifest["sha256"] in card
    for name, score in manifest["auroc"].items():
        among = manifest["auroc_among_findings"][name]
        first = "–" if among["value"] is None else f"{among['value']:.3f} ["
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {name} | {first}")][:1]
        assert f" | {score['value']:.3f} [" in row
        assert among["present"] == score["present"] or name == "No Finding"
    first = card.splitlines()[2]
    assert first.startswith("**") and "AUROC" in first
    # The harder number, among films with any finding, stands before the other.
    scores = manifest["auroc_among_findings"]["Effusion"], manifest["auroc"]["Effusion"]
    among, whole = (first.index(f"{score['value']:.2f}", first.index("Effusion")) for score in scores)
    assert among < whole and manifest["share_without_finding"] == pytest.approx(118 / 303, abs=1e-3)
    assert "Must not be used for" in card
