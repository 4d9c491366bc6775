"""Streamlit clears Keras after each run of a page; the served networks must not notice."""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec

from streamlit.runtime.scriptrunner import script_runner

from icbir_ui.shared import keep_networks

NAME = "_clean_problem_modules"


def test_a_run_of_a_page_leaves_keras_as_it_was(monkeypatch):
    import keras

    spec = find_spec(script_runner.__name__)
    fresh = module_from_spec(spec)  # as it is installed: another test of this process may have opened the networks
    spec.loader.exec_module(fresh)
    monkeypatch.setattr(script_runner, NAME, getattr(fresh, NAME))
    monkeypatch.setattr(keras.backend, "clear_session", keras.utils.clear_session)
    keras.layers.Dense(1)
    before = keras.layers.Dense(1).name
    script_runner._clean_problem_modules()
    assert keras.layers.Dense(1).name == "dense", "what Streamlit does: Keras begins to count anew"
    assert before != "dense"
    keep_networks()
    keras.layers.Dense(1)
    number = int(keras.layers.Dense(1).name.rsplit("_", 1)[1])
    script_runner._clean_problem_modules()
    assert int(keras.layers.Dense(1).name.rsplit("_", 1)[1]) == number + 1
    assert NAME in script_runner.ScriptRunner._run_script.__code__.co_names, "Streamlit calls it by this name"
