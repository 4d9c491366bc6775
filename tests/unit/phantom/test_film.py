"""Simulated films: the same seed gives the same film, and the truth says what is on it."""

import hashlib
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from icbir_core.errors import UnknownNameError
from icbir_core.phantom import SIMULATED_FINDINGS, SimulationError, draw_findings, simulate_film, simulate_films
from icbir_core.phantom.anatomy import NORMAL_RATIO

SIZE = 128


def digest(film) -> str:
    return hashlib.sha256(film.pixels.tobytes() + film.truth.to_json().encode()).hexdigest()


def test_same_seed_same_bytes_in_another_process():
    code = (
        "import hashlib; from icbir_core.phantom import simulate_film; film = simulate_film(7, 128);"
        "print(hashlib.sha256(film.pixels.tobytes() + film.truth.to_json().encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest(simulate_film(7, SIZE))
    assert digest(simulate_film(8, SIZE)) != other


def test_older_processor_is_within_one_grey_level(tmp_path):
    """Another machine is imitated by forbidding NumPy and OpenCV their wide instructions in a process of its own."""
    old = {
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-CLX,AVX512-ICL,AVX2,FMA3,AVX",
        "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL AVX512_CNL AVX512_CLX AVX512_SKX AVX512CD AVX512F FMA3 AVX2",
    }
    code = (
        "import sys, numpy; from icbir_core.phantom import simulate_film;"
        f"numpy.save(sys.argv[1], numpy.stack([simulate_film(seed, {SIZE}).pixels for seed in range(4)]))"
    )
    path = tmp_path / "films.npy"
    subprocess.run([sys.executable, "-c", code, path], env=os.environ | old, capture_output=True, check=True)
    here = np.stack([simulate_film(seed, SIZE).pixels for seed in range(4)])
    assert np.abs(here.astype(int) - np.load(path)).max() <= 1


def test_workers_give_the_films_of_one_process_in_order():
    alone = [digest(film) for film in simulate_films([3, 1, 2], SIZE, workers=1)]
    assert [digest(film) for film in simulate_films([3, 1, 2], SIZE, workers=2)] == alone


def test_films_have_shape_range_and_contrast():
    for film in simulate_films(range(4), SIZE, workers=1):
        assert film.pixels.shape == (SIZE, SIZE) and film.pixels.dtype == np.uint8
        assert film.pixels.std() > 10
        assert film.truth.view in ("AP", "PA") and film.truth.sex in ("M", "F") and 16 <= film.truth.age <= 92
        assert 0.5 < film.truth.spacing * SIZE / 400 < 1.6


@pytest.mark.parametrize("name", [name for name in SIMULATED_FINDINGS if name != "Cardiomegaly"])
def test_finding_changes_the_film_inside_its_mask(name):
    """The film with and without the finding differ inside the mask, and hardly (scatter, noise) outside it."""
    inside = outside = 0.0
    for seed in range(4):
        without, present = simulate_film(seed, SIZE, []), simulate_film(seed, SIZE, [name])
        (finding,) = present.truth.findings
        assert finding.name == name and 0 <= finding.severity <= 1 and finding.size > 0
        assert finding.mask.shape == (SIZE, SIZE) and finding.mask.any()
        change = np.abs(present.pixels.astype(float) - without.pixels)
        # oedema widens the vessels of the whole lung
        near = present.truth.lung_mask if name == "Edema" else finding.mask
        near = cv2.dilate(near.astype(np.uint8), np.ones((7, 7))).astype(bool)
        inside += change[finding.mask].mean()
        outside += change[~near].mean()
    assert inside > 5 * outside and inside / 4 > 2


def test_effusion_millilitres_grow_with_mask_and_brightness():
    """Over severities of one chest: more fluid, more pixels, whiter film."""
    from icbir_core.phantom import film as module

    drawn, volumes, areas, whiteness = module.open_stream, [], [], []

    class Fixed:
        def __init__(self, value):
            self.value = value

        def beta(self, *_):
            return self.value

    for severity in (0.05, 0.3, 0.6, 0.95):

        def stream(seed, name, severity=severity):
            return Fixed(severity) if name.startswith("severity") else drawn(seed, name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "open_stream", stream)
            shown = simulate_film(11, SIZE, ["Effusion"])
        (finding,) = shown.truth.findings
        volumes.append(finding.size)
        areas.append(int(finding.mask.sum()))
        whiteness.append(float(shown.pixels[shown.truth.lung_mask].mean()))
    assert volumes == sorted(volumes) and areas == sorted(areas) and whiteness == sorted(whiteness)
    assert 5 < volumes[0] < 400 and 500 < volumes[-1] < 6000


def test_cardiothoracic_ratio_is_that_of_the_heart_mask():
    for seed in range(6):
        for names in ([], ["Cardiomegaly"]):
            film = simulate_film(seed, 256, names)
            truth = film.truth
            limit = NORMAL_RATIO[truth.view]
            assert (truth.cardiothoracic_ratio > limit) == bool(names)
            if names:
                assert truth.findings[0].size == truth.cardiothoracic_ratio
                assert truth.findings[0].unit == "cardiothoracic ratio"
            columns = np.flatnonzero(truth.heart_mask.any(axis=0))
            lung = np.flatnonzero(truth.lung_mask.any(axis=0))
            measured = (columns[-1] - columns[0]) / (lung[-1] - lung[0])
            assert measured == pytest.approx(truth.cardiothoracic_ratio, abs=0.07)


def test_one_finding_leaves_the_others_as_they_were():
    alone = simulate_film(5, SIZE, ["Mass"]).truth.finding("Mass")
    together = simulate_film(5, SIZE, ["Mass", "Effusion"]).truth.finding("Mass")
    assert alone == together


def test_random_mix_has_every_finding_often_enough():
    mixes = [draw_findings(seed) for seed in range(2000)]
    empty = np.mean([not mix for mix in mixes])
    assert 0.25 < empty < 0.35
    for name in SIMULATED_FINDINGS:
        assert np.mean([name in mix for mix in mixes]) > 0.06, name
    assert max(map(len, mixes)) == 3


def test_bad_requests_are_named():
    with pytest.raises(SimulationError, match="64 to 2048"):
        simulate_film(1, 8)
    with pytest.raises(SimulationError, match="0 or more"):
        simulate_film(-1)
    with pytest.raises(SimulationError, match="cannot be simulated"):
        simulate_film(1, SIZE, ["Hernia"])
    with pytest.raises(UnknownNameError):
        simulate_film(1, SIZE, ["Broken heart"])
    assert simulate_film(1, SIZE, ["No Finding"]).truth.findings == ()
