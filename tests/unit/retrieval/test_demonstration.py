"""The demonstration with small networks: assets made, taken, refused; a film that differs is computed; it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.errors import WorkspaceError
from icbir_core.files import sha256_of_file
from icbir_core.pipeline.demonstration import (
    DATA,
    MANIFEST,
    DemonstrationOptions,
    DemonstrationPlan,
    build_demonstration,
    decode_maps,
    encode_maps,
    make_demonstration_assets,
    take_shipped,
)
from icbir_core.retrieval.store import CaseStore

PLAN = DemonstrationPlan(500, 6, 900, 1, 96)


@pytest.fixture(scope="module")
def assets(tmp_path_factory, models) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    made = make_demonstration_assets(
        tmp_path_factory.mktemp("first") / "w", DemonstrationOptions("auto", PLAN, folder, models)
    )
    assert made == folder / DATA and made.is_file()
    return folder


def test_maps_survive_their_encoding():
    maps = np.random.default_rng(0).uniform(-1, 1, (2, 50, 50)).astype("f4") ** 5
    error = np.abs(decode_maps(encode_maps(maps)) - maps)
    assert (error <= 2 * np.sqrt(np.abs(maps)) / 254 + 1 / 64516 + 1e-7).all()


def test_shipped_values_are_taken_and_agree_with_computed_ones(tmp_path, assets, models):
    report = build_demonstration(tmp_path / "w", DemonstrationOptions("auto", PLAN, assets, models))
    assert (report.cases, report.queries, report.shipped, report.computed) == (6, 1, 6, 0)
    assert len(list((tmp_path / "w" / report.query_folder).glob("*.png"))) == 1
    plain = build_demonstration(tmp_path / "v", DemonstrationOptions("auto", PLAN, tmp_path / "none", models))
    assert (plain.shipped, plain.computed) == (0, 6)
    stores = [
        CaseStore.open(Path(Workspace.open(tmp_path / name).target_directory("Effusion")) / "store.zarr")
        for name in ("w", "v")
    ]
    rows = np.arange(6)
    for name in ("cnn", "ig_cbir", "spatial", "probabilities"):
        shipped, computed = (store.read(name, rows).astype("f8") for store in stores)
        np.testing.assert_allclose(shipped, computed, atol=2e-3 * np.abs(computed).max())
    sides = [CaseStore.open(tmp_path / name / "encoders" / "other.zarr") for name in ("w", "v")]
    shipped, computed = (side.read("encoders", rows).astype("f8") for side in sides)
    assert not np.array_equal(shipped, computed), "in half precision"
    np.testing.assert_allclose(shipped, computed, atol=2e-3 * np.abs(computed).max())
    again = build_demonstration(tmp_path / "w", DemonstrationOptions("auto", PLAN, assets, models))
    assert again == report


def test_a_film_that_is_not_the_same_is_computed(tmp_path, assets, models):
    other = tmp_path / "assets"
    other.mkdir()
    with np.load(assets / DATA) as stored:
        values = {name: stored[name] for name in stored.files}
    values["thumbnails"][3, 5, 5] += 40
    np.savez(other / DATA, **values)
    manifest = json.loads((assets / MANIFEST).read_text()) | {"sha256": sha256_of_file(other / DATA)}
    (other / MANIFEST).write_text(json.dumps(manifest))
    report = build_demonstration(tmp_path / "w", DemonstrationOptions("auto", PLAN, other, models))
    assert (report.shipped, report.computed) == (5, 1)

    workspace = Workspace.open(tmp_path / "w")
    (other / MANIFEST).write_text(json.dumps(manifest | {"sha256": "0" * 64}))
    with pytest.raises(WorkspaceError, match="manifest"):
        take_shipped(workspace, models, other, lambda *_: None)
    (other / MANIFEST).write_text(json.dumps(manifest | {"models": {"model": "x"}}))
    assert take_shipped(workspace, models, other, lambda *_: None) == 0
