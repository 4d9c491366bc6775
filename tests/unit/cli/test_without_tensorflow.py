"""Index, search and server with the starter models load no TensorFlow, whose import is most of a first answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.model import device
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import TargetFiles
from tests.helpers.small_workspace import ingest_films, write_films

PROGRAM = """
import sys
from icbir_core.cli import main
for words in {commands!r}:
    sys.argv = ["icbir", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
from icbir_ui.shared import keep_networks
keep_networks()
print(sorted({{"tensorflow", "keras", "torch"}} & set(sys.modules)))
"""


@pytest.mark.skipif(device._has_card(), reason="TensorFlow computes on the card of this machine")
def test_an_index_a_search_and_its_maps_load_no_tensorflow(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    ingest_films(workspace, write_films(tmp_path / "films", range(4)))
    film, pictures = tmp_path / "films" / "images" / "sim_0.png", tmp_path / "pictures"
    commands = [
        ["index", str(tmp_path / "w"), "--json"],
        ["query", str(tmp_path / "w"), str(film), "--json", "--save-overlays", str(pictures)],
    ]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(commands=commands)],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"KERAS_HOME": str(tmp_path)},
    )
    indexed, answer, loaded = ended.stdout.splitlines()
    assert loaded == "[]"
    report, ranking = json.loads(indexed), json.loads(answer)
    assert report["embedded"] == 4 and {"encoders_centred", "cnn_centred", "ig_cbir"} <= set(report["indexes"])
    assert len(ranking["hits"]) == 3 and len(ranking["prediction"]) == 11
    assert len(list(pictures.glob("*.png"))) == 4
    store = CaseStore.open(TargetFiles(workspace, "Effusion").store, None)
    assert store.read_devices() == {"cpu, ONNX Runtime": 0.0}
