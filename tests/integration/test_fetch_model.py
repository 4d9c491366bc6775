"""A published network with random weights: fetched from a server, indexed, searched with, explained."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.model.classifier import Classifier
from icbir_core.model.published import find_published
from icbir_core.phantom import write_simulated
from icbir_core.pipeline import fetch_model
from icbir_core.retrieval.retriever import Retriever
from tests.helpers.torch_writer import draw_xrayvision, write_torch_file

FILMS, SIDE = 6, 192


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a server that has the file of the network "nih"."""
    folder = tmp_path_factory.mktemp("served")
    write_torch_file(folder / find_published("nih").file_name, draw_xrayvision())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Simulated films, one of them wider than high: the network sees its middle only."""
    folder = write_simulated(tmp_path_factory.mktemp("films") / "f", FILMS, 7, size=SIDE)
    wide = sorted((folder / "images").iterdir())[0]
    pixels = cv2.imread(str(wide), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(wide), np.pad(pixels, [(0, 0), (SIDE // 2, SIDE // 2)]))
    return folder


def run(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def fetch(tmp_path_factory, served) -> list[str]:
    """The command that brings the network; the workspace stands beside the folder that it is brought to."""
    folder = tmp_path_factory.mktemp("published")
    words = ["fetch", "model", "nih", "--to", str(folder / "model"), "--base-url", served]
    return [*words, "--workspace", str(folder / "w")]


@pytest.fixture(scope="module")
def workspace(films, fetch) -> Path:
    """Films, the fetched network, and an index made with it."""
    path, labels = fetch[-1], str(films / "labels.csv")
    assert main(["ingest", path, "--layout", "folder", "--images", str(films / "images"), "--labels", labels]) == 0
    assert main(fetch) == 0
    assert main(["index", path, "--target", "Effusion"]) == 0
    return Path(path)


# A whole DenseNet-121; the conversion, the search and the place of a film that was cut have quick tests of their own.
@pytest.mark.slow
def test_fetch_index_query_explain(films, fetch, workspace, tmp_path, capsys):
    images = films / "images"
    fetched = run(capsys, *fetch)  # again: nothing changes
    assert len(fetched["findings"]) == 14 and len(fetched["published"]["sha256"]) == 64
    wide = str(sorted(images.iterdir())[0])
    found = run(capsys, "query", str(workspace), wide, "--top-k", "3")
    assert len(found["hits"]) == 3 and set(found["prediction"]) == set(fetched["findings"])

    out = tmp_path / "map.npy"
    for method in ("deep_taylor", "gradients_inputs"):
        run(capsys, "explain", str(workspace), wide, "--method", method, "--target", "Nodule", "--out", str(out))
        values = np.load(out)
        assert values.shape == (SIDE, 2 * SIDE) and np.isfinite(values).all() and values.any()
        # What the network did not see has no value; a column at the border is interpolated.
        assert not values[:, : SIDE // 2 - 2].any() and not values[:, -SIDE // 2 + 2 :].any()


@pytest.mark.slow
def test_the_map_of_a_case_that_was_cut_lies_on_its_whole_film(workspace):
    retriever = Retriever.open(workspace)
    cases = {case.case_id: case for case in retriever.workspace.catalogue.cases()}
    names = sorted(cases)
    stored = retriever.map_of(cases[names[0]], retriever.get_target().map_method)
    assert stored.values.shape == (448, 448) and not stored.values[:112].any() and not stored.values[:, :112].any()
    assert retriever.map_of(cases[names[1]], retriever.get_target().map_method).values.shape == (224, 224)


def test_another_file_than_before_is_refused(tmp_path, capsys):
    file = write_torch_file(tmp_path / "x.pt", draw_xrayvision())
    assert main(["fetch", "model", "nih", "--to", str(tmp_path), "--file", str(file)]) == 0
    data = file.read_bytes()
    file.write_bytes(data[:-40] + bytes(40))
    assert main(["fetch", "model", "nih", "--to", str(tmp_path), "--file", str(file)]) != 0
    assert "SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["trained here", "published"])
def test_a_workspace_with_a_network_of_its_own_keeps_it(tmp_path, capsys, monkeypatch, kind):
    """A trained one is seen before anything is read, another published one once the file is converted."""
    workspace, file = tmp_path / "w", tmp_path / "x.pt"
    file.write_bytes(b"of no network")
    own = Workspace.create(workspace).models / "classifier.keras"
    own.write_bytes(b"its own")
    card = {"findings": ["Mass"], "input": {"size": 64}, "sha256": "0" * 64, "network": "densenet_small", "format": 1}
    own.with_suffix(".json").write_text(json.dumps(card | ({"published": {}} if kind == "published" else {})))
    other = Classifier(lambda: None, card | {"sha256": "1" * 64})
    if kind == "published":
        monkeypatch.setattr(fetch_model, "convert_published", lambda *_: other)
    words = ["fetch", "model", "all", "--to", str(tmp_path), "--file", str(file), "--workspace", str(workspace)]
    assert main(words) != 0
    assert "of its own" in capsys.readouterr().err and own.read_bytes() == b"its own"


def test_what_belongs_to_models_only_is_said(tmp_path, capsys):
    assert main(["fetch", "nih", "all", "--to", str(tmp_path)]) != 0
    assert "fetch model" in capsys.readouterr().err
    assert main(["fetch", "model", "--to", str(tmp_path)]) != 0
    assert "mimic_nb" in capsys.readouterr().err
