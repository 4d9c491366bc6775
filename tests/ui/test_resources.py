"""What the server opens."""

from __future__ import annotations

import pytest

from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import make_app_environment
from icbir_ui.shared import open_retriever


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_the_networks_are_opened_on_the_device_of_the_command(tmp_path, monkeypatch, device):
    monkeypatch.setattr(Retriever, "open", lambda workspace, device: (workspace, device))
    monkeypatch.setattr("icbir_ui.shared.keep_networks", lambda: None)
    monkeypatch.setenv("ICBIR_DEVICE", make_app_environment(tmp_path, device)["ICBIR_DEVICE"])
    assert open_retriever("workspace") == ("workspace", device)
    monkeypatch.delenv("ICBIR_DEVICE")
    assert open_retriever("workspace") == ("workspace", "auto")
