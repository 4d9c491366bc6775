"""What the commands print, and how the web page is started."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.cli.rankings import describe_ranking, format_ranking
from icbir_core.findings import FindingState
from icbir_core.retrieval.retriever import Retriever
from icbir_core.types import NOT_SHOWN, Case, Hit, Prediction, Ranking

STATES = {"Effusion": FindingState.PRESENT, "Mass": FindingState.ABSENT, "Nodule": FindingState.UNCERTAIN}


def make_ranking(source: str) -> Ranking:
    case = Case(3, "case_3", "images/case_3.png", "a", "b", STATES, view="AP", age=None, sex="F", source=source)
    return Ranking(
        "film.png", "ig_cbir", "Effusion", "euclidean", "annoy", 9, 10, (Hit(1, 0.25, case),),
        Prediction({"Effusion": 0.75}), base_rate=0.3, percentiles=(0.05,), timings_ms={"search": 1.23456},
    )  # fmt: skip


def test_json_of_a_ranking_can_be_written_and_holds_the_contract():
    described = json.loads(json.dumps(describe_ranking(make_ranking("nih"), {"search": 1.23456}), allow_nan=False))
    wanted = {
        "query",
        "prediction",
        "method",
        "target",
        "metric",
        "route",
        "eligible",
        "hits",
        "timings_ms",
        "versions",
    }
    assert wanted <= set(described)
    (hit,) = described["hits"]
    assert {"rank", "case_id", "distance", "findings", "view", "age", "sex"} <= set(hit)
    assert hit["findings"] == ["Effusion"] and hit["unknown_findings"] == ["Nodule"] and hit["age"] is None


def test_a_catalogue_without_pairs_has_no_percentile():
    ranking = replace(make_ranking("nih"), percentiles=(float("nan"),))
    (hit,) = json.loads(json.dumps(describe_ranking(ranking, {}), allow_nan=False))["hits"]
    assert hit["percentile"] is None and "no pairs to compare with" in format_ranking(ranking)


def test_table_of_a_ranking_speaks_plainly():
    text = format_ranking(make_ranking("nih"))
    assert "9 of 10 cases eligible" in text and "very close" in text
    assert "30% of the eligible cases" in text and "simulated" not in text
    assert "simulated films, not patients" in format_ranking(make_ranking("simulated"))


def test_what_is_not_shown_is_said_and_not_that_it_is_no_better():
    made = make_ranking("nih")
    unproven = replace(made, at_chance=True, prediction=Prediction({"Effusion": 0.75}, at_chance=("Mass", "Nodule")))
    text = format_ranking(unproven)
    assert f"\n  {NOT_SHOWN} for Mass, Nodule\n" in text and f"this search was {NOT_SHOWN} for Effusion." in text
    assert "chance" not in format_ranking(made) and text.count("chance") == 2


def test_one_copy_and_several_are_named_in_right_english():
    one, two = (replace(make_ranking("nih"), copies=names) for names in (("a",), ("a", "b")))
    assert "because it shows this very film: a." in format_ranking(one)
    assert "because they show this very film: a, b." in format_ranking(two)


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_query_tells_what_the_quality_gate_doubts(tmp_path, monkeypatch, capsys, extra):
    cv2.imwrite(str(tmp_path / "film.png"), np.zeros((64, 64), np.uint8))
    workspace = Workspace.create(tmp_path / "w")
    opened = SimpleNamespace(workspace=workspace, search=lambda *_: make_ranking("nih"))
    monkeypatch.setattr(Retriever, "open", lambda *_: opened)
    assert main(["query", str(workspace.path), str(tmp_path / "film.png"), "--device", "cpu", *extra]) == 0
    out = capsys.readouterr().out
    text = "The picture has a single grey level: export the film again."
    if extra:
        assert json.loads(out)["warnings"] == [text]
    else:
        assert f"\n  Warning: {text}\n" in out


def test_query_refuses_a_film_too_small_for_a_chest(tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((1, 2000), np.uint8))
    opened = SimpleNamespace(workspace=Workspace.create(tmp_path / "w"))
    monkeypatch.setattr(Retriever, "open", lambda *_: opened)
    assert main(["query", str(tmp_path / "w"), str(tmp_path / "1.png"), "--device", "cpu"]) == 1
    assert "The film has 2000 × 1 pixels; it needs at least 32 a side" in capsys.readouterr().err


def test_app_becomes_the_server_of_the_workspace(tmp_path, monkeypatch):
    Workspace.create(tmp_path / "w")
    started = {}

    def remember(program, command, environment):
        started.update(program=program, command=command, environment=environment, folder=os.getcwd())

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", remember)
    assert main(["app", "w", "--port", "8777", "--device", "cpu"]) == 0
    assert started["program"] == started["command"][0] == sys.executable
    assert started["command"][1:] == ["-m", "icbir_ui.serving", "8777", "--host=127.0.0.1", "--base-path="]
    assert started["environment"]["ICBIR_WORKSPACE"] == str(tmp_path / "w"), "found from any folder"
    assert started["environment"]["ICBIR_DEVICE"] == "cpu"
    assert (Path(started["folder"]) / "app.py").is_file()


def test_app_passes_on_where_it_is_served(tmp_path, monkeypatch, capsys):
    Workspace.create(tmp_path / "w")
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", lambda program, command, environment: started.extend(command))
    words = ["--host", "0.0.0.0", "--allowed-host", "films.example", "--allowed-host", "*.ward.example"]
    assert main(["app", "w", *words, "--base-path", "icbir"]) == 1 and not started
    assert "set up sign-in with --settings, or say --without-sign-in" in capsys.readouterr().err
    assert main(["app", "w", *words, "--base-path", "icbir", "--without-sign-in"]) == 0
    for word in (
        "--host=0.0.0.0",
        "--base-path=icbir",
        "--allowed-host=films.example",
        "--allowed-host=*.ward.example",
        "--without-sign-in",
    ):
        assert word in started


@pytest.mark.parametrize("name", ["https://films.example", "films.example:8501", "films.example/icbir", "", "a b"])
def test_a_host_with_more_than_a_name_is_one_line(tmp_path, capsys, name):
    Workspace.create(tmp_path / "w")
    assert main(["app", str(tmp_path / "w"), "--allowed-host", name]) == 1
    assert "is no name of a host" in capsys.readouterr().err
