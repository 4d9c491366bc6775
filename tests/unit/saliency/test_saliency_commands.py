"""The commands explain and checks on a small workspace of their own."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.saliency.methods import FIRST_MAP
from tests.helpers.search_results import make_film


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    import keras

    from icbir_core.model.classifier import save_classifier
    from icbir_core.model.network import build_network
    from tests.helpers.tiny_network import tiny_networks

    opened = Workspace.create(tmp_path_factory.mktemp("explaining") / "workspace")
    keras.utils.set_random_seed(1)
    with tiny_networks():
        model = build_network("densenet_small", 2, 64)
    manifest = {
        "network": "densenet_small",
        "findings": ["Effusion", "Edema"],
        "input": {"size": 64, "equalise": True},
    }
    save_classifier(model, opened.models / "classifier.keras", manifest)
    return opened.path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    from icbir_core.phantom import simulate_film

    path = tmp_path_factory.mktemp("film") / "film.png"
    cv2.imwrite(str(path), simulate_film(3, 128, ("Effusion",)).pixels[:, :100])
    return path


def test_no_picture_of_a_film_with_text_is_written_but_numbers_are(workspace, tmp_path, capsys):
    film, out = tmp_path / "film.dcm", tmp_path / "map.png"
    film.write_bytes(make_film(BurnedInAnnotation="YES"))
    assert main(["explain", str(workspace), str(film), "--out", str(out)]) == 1
    assert "Text is burned into its film" in capsys.readouterr().err and not out.exists()
    assert main(["explain", str(workspace), str(film), "--out", str(out.with_suffix(".npy"))]) == 0
    assert out.with_suffix(".npy").is_file()


def test_explain_writes_numbers_on_the_films_own_pixels(workspace, film, tmp_path, capsys):
    out = tmp_path / "map.npy"
    assert main(["explain", str(workspace), str(film), "--target", "Edema", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    values = np.load(out)
    assert values.shape == (128, 100) and values.dtype == np.float32
    assert (result["finding"], result["method"], result["state"]) == ("Edema", FIRST_MAP, "ok")
    assert result["high"] == pytest.approx(float(values.max()))


def test_explain_draws_a_picture(workspace, film, tmp_path):
    out = tmp_path / "map.png"
    assert main(["explain", str(workspace), str(film), "--method", "gradients_inputs", "--out", str(out)]) == 0
    picture = cv2.imread(str(out))
    assert picture.shape[0] > 128 and picture.shape[1] > 110, "the film, its legend beside it and its title above"
    title, picture = picture[:-128], picture[-128:]
    assert (picture[:, :100, 0] != picture[:, :100, 2]).any() and picture[:, 100:].any() and title.any()


def test_explain_says_what_is_wrong_in_one_line(workspace, film, tmp_path, capsys):
    out = str(tmp_path / "map.npy")
    assert main(["explain", str(workspace), str(film), "--method", "guesswork", "--out", out]) == 1
    assert "known: deep_taylor" in capsys.readouterr().err
    assert main(["explain", str(workspace), str(film), "--target", "Hernia", "--out", out]) == 1
    assert "Hernia" in capsys.readouterr().err
    assert main(["explain", str(workspace), str(film), "--out", str(tmp_path / "map.gif")]) == 1
    assert not (tmp_path / "map.npy").exists()


@pytest.mark.slow
def test_checks_print_the_table(workspace, tmp_path, capsys):
    out = tmp_path / "checks.md"
    arguments = ["checks", str(workspace), "--target", "Effusion", "--simulated", "3", "--out", str(out), "--json"]
    assert main([*arguments, "--methods", "deep_taylor,grad_cam"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"PointingGame", "PixelFlipping", "MPRT", "leak"} <= {row["check"] for row in rows}
    assert "| MPRT | lower |" in out.read_text()
