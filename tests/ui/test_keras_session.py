"""Streamlit clears Keras after each run of a page; the served networks must not notice."""

from __future__ import annotations

from streamlit.runtime.scriptrunner.script_runner import _clean_problem_modules

from icbir_ui.shared import keep_networks


def test_a_run_of_a_page_leaves_keras_as_it_was(monkeypatch):
    import keras

    # Put back afterwards; and before, because another test of this process may have opened the networks.
    monkeypatch.setattr(keras.backend, "clear_session", keras.utils.clear_session)
    keras.layers.Dense(1)
    before = keras.layers.Dense(1).name
    _clean_problem_modules()
    assert keras.layers.Dense(1).name == "dense", "what Streamlit does: Keras begins to count anew"
    assert before != "dense"
    keep_networks()
    keras.layers.Dense(1)
    number = int(keras.layers.Dense(1).name.rsplit("_", 1)[1])
    _clean_problem_modules()
    assert int(keras.layers.Dense(1).name.rsplit("_", 1)[1]) == number + 1
