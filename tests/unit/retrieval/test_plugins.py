"""What other packages add: the example package, installed beside the program, and what a broken one does."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import LAYOUTS, Workspace, read_case_radiograph
from icbir_core.cli import main
from icbir_core.cli.catalogue_commands import LAYOUT_NAMES
from icbir_core.errors import BrokenPlugin, RetrievalError, SaliencyError, UnknownNameError
from icbir_core.evaluation.methods import list_default_methods
from icbir_core.model.backbones import BACKBONES
from icbir_core.plugins import GROUPS, load_reference
from icbir_core.retrieval.methods import PARTS, SEARCH_METHODS, find_title
from icbir_core.saliency.methods import SALIENCY_METHODS

EXAMPLE = Path(__file__).resolve().parents[2] / "example_plugin"
REGISTRIES = (SEARCH_METHODS, SALIENCY_METHODS, LAYOUTS, BACKBONES)


def install(folder: Path, name: str, version: str, groups: dict[str, dict[str, str]]) -> None:
    """What an installer writes of a package beside its code."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [line for group, entries in groups.items()
             for line in (f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()))]  # fmt: skip
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages; `look()` looks for them."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    monkeypatch.undo()
    importlib.invalidate_caches()
    for registry in REGISTRIES:
        registry.reload()


def look() -> None:
    importlib.invalidate_caches()
    for registry in REGISTRIES:
        registry.reload()


@pytest.fixture
def example(site, monkeypatch):
    """The example package, installed from what its pyproject.toml says."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(site, project["name"], project["version"], project["entry-points"])
    monkeypatch.syspath_prepend(str(EXAMPLE))
    look()
    yield project["entry-points"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "icbir_example"]:
        del sys.modules[name]


def test_the_example_adds_one_of_each_behind_what_is_built_in(example):
    assert set(example) == set(GROUPS)
    for registry in REGISTRIES:
        (name,) = example[registry.group]
        assert list(registry) == [*registry.built_in, name] and registry[name].name == name
    assert find_title("grey_levels") == "Grey levels" and "grey_levels" in list_default_methods()


def test_its_backbone_is_built_trained_from_and_searched_with(example):
    import keras

    from icbir_core.errors import ModelError, UnsupportedLayer
    from icbir_core.model.network import build_network, load_matching_weights, named_weights
    from icbir_core.saliency.registry import attribute_output

    network = build_network("thin", 2, 64)
    assert network.get_layer("avg_pool").output.shape == (None, 24) and network.output_shape == (None, 2)
    assert not load_matching_weights(build_network("thin", 2, 64), named_weights(network), strict=True)
    films = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    assert attribute_output(network, films, 0, "grad_cam").shape == (1, 64, 64)
    with pytest.raises(UnsupportedLayer, match="'squash'"):
        attribute_output(network, films, 0)
    with pytest.raises(ModelError, match="There are no ImageNet weights for thin"):
        build_network("thin", 2, 64, "imagenet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icbir_example.thin.build_thin", lambda size, imagenet: 1 / 0)
        with pytest.raises(ModelError, match="'thin' failed .ZeroDivisionError"):
            build_network("thin", 2, 64)
    assert isinstance(network, keras.Model)


def test_its_layout_search_method_and_saliency_method_do_the_whole_job(
    example, tmp_path, models, films, monkeypatch, capsys
):
    from icbir_core.retrieval import model_choice, opened_target
    from icbir_core.retrieval.index_workspace import index_workspace
    from icbir_core.retrieval.retriever import Retriever
    from icbir_core.settings import SearchSettings
    from icbir_core.types import Query

    for module in (opened_target, model_choice):
        monkeypatch.setattr(module, "load_models", lambda *_: models)
    folder = tmp_path / "films"
    folder.mkdir()
    for number, film in enumerate(sorted((films / "images").glob("*.png"))[:12]):
        (folder / film.name).write_bytes(film.read_bytes())
        if number:
            (folder / film.name).with_suffix(".txt").write_text(f"{number // 2}\nEffusion\nHiccups\n")
    assert main(["ingest", str(tmp_path / "w"), "--layout", "text_files", "--images", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["added"] == 11 and len(told["skipped"]) == 1 and "Hiccups" in str(told)

    workspace = Workspace.open(tmp_path / "w")
    index_workspace(workspace, methods=["cnn", "ssim"], models=models)
    report = index_workspace(workspace, models=models)
    assert (report.embedded, report.already, report.failed) == (0, 11, ()), "nothing of ours is computed again"
    assert report.indexes["grey_levels"]["count"] == 11
    assert main(["verify", str(workspace.path)]) == 0
    assert "maps and embeddings/Effusion/grey_levels: 11 cases unchanged" in capsys.readouterr().out

    retriever = Retriever.open(workspace)
    assert retriever.methods()[-1] == "grey_levels"
    cases = workspace.catalogue.cases()
    query = Query("film", read_case_radiograph(workspace, cases[3]), case_id=cases[3].case_id)
    ranking = retriever.search(query, SearchSettings(method="grey_levels", top_k=8))
    vectors = [
        retriever.describe_query(Query("", read_case_radiograph(workspace, case)), "grey_levels") for case in cases
    ]
    slow = {case.case_id: np.linalg.norm(vector - vectors[3]) for case, vector in zip(cases, vectors, strict=True)
            if case.patient != cases[3].patient}  # fmt: skip
    assert [hit.case.case_id for hit in ranking.hits] == sorted(slow, key=slow.get)[:8]
    assert ranking.method == "grey_levels" and len(ranking.percentiles) == 8
    pair = retriever.explain_pair(query, ranking.hits[-1].case, "grey_levels")
    assert pair.total == pytest.approx(ranking.hits[-1].distance ** 2, rel=1e-3)
    assert abs(pair.residual) < 1e-3 * pair.total

    film, out = workspace.path / cases[3].path, tmp_path / "map.npy"
    words = ["explain", str(workspace.path), str(film), "--method", "plain_gradient", "--out", str(out), "--json"]
    assert main(words) == 0 and json.loads(capsys.readouterr().out)["state"] == "ok"
    assert np.load(out).min() >= 0 and np.load(out).max() > 0
    assert retriever.map_of(query, "plain_gradient").method == "plain_gradient"

    index_workspace(workspace, methods=["cnn"], models=models)
    monkeypatch.setattr("icbir_example.grey_levels.count_levels", lambda images, embeddings: 1 / 0)
    later = Retriever.open(workspace)
    with pytest.raises(RetrievalError, match="'grey_levels' failed .ZeroDivisionError"):
        later.search(query, SearchSettings(method="grey_levels"))
    assert later.search(query, SearchSettings(method="cnn")).hits
    monkeypatch.setattr("icbir_example.plain_gradient.compute_maps", lambda *_: np.zeros(3))
    with pytest.raises(SaliencyError):
        later.map_of(Query("other", read_case_radiograph(workspace, cases[5])), "plain_gradient")


@pytest.fixture
def broken(site, caplog):
    (site / "sad.py").write_text("RECORD = 3\n")
    (site / "liar.py").write_text(
        "from icbir_core.retrieval.methods import SEARCH_METHODS\nRECORD = SEARCH_METHODS['cnn']\n"
    )
    entries = {"missing": "nowhere_at_all:RECORD", "sad": "sad:RECORD", "liar": "liar:RECORD", "cnn": "sad:RECORD"}
    install(site, "icbir-broken", "0.1", dict.fromkeys(GROUPS, entries))
    with caplog.at_level(logging.WARNING, "icbir"):
        look()
        yield caplog


def test_a_broken_package_is_named_and_stops_nothing(broken, capsys):
    assert tuple(SEARCH_METHODS) == SEARCH_METHODS.built_in and SEARCH_METHODS["cnn"].title.startswith("Network")
    assert set(SEARCH_METHODS.broken) == {"missing", "sad", "liar", "cnn"}
    reasons = {"missing": "No module named 'nowhere_at_all'", "sad": "it is a int", "liar": "named 'cnn'"}
    for name, reason in reasons.items():
        with pytest.raises(BrokenPlugin, match=f"'{name}' of the package 'icbir-broken' cannot be used .*{reason}"):
            SEARCH_METHODS[name]
    assert "another one has this name" in str(SEARCH_METHODS.broken["cnn"])
    assert sum("icbir-broken" in record.getMessage() for record in broken.records) == 4, "once each"
    with pytest.raises(UnknownNameError, match="known: cnn, cnn_centred, encoders_centred, ig_cbir, ssim"):
        SEARCH_METHODS["magic"]
    assert find_title("missing") == "missing" and "missing" not in list_default_methods()
    assert main(["explain", "--list"]) == 0 and "deep_taylor" in capsys.readouterr().out


def test_everything_that_a_record_names_is_there():
    for method in SEARCH_METHODS.values():
        for reference in (method.index, method.measure, method.explain, method.describe):
            assert not reference or callable(load_reference(reference)), (method.name, reference)
    references = [method.compute for method in SALIENCY_METHODS.values()] + [layout.read for layout in LAYOUTS.values()]
    references += [name for one in BACKBONES.values() for name in (one.build, one.convert) if name]
    assert all(callable(load_reference(reference)) for reference in references)
    assert not set(PARTS) & set(SEARCH_METHODS)


def test_the_command_lists_the_layouts_that_there_are():
    assert LAYOUT_NAMES.split(", ") == list(LAYOUTS.built_in)
