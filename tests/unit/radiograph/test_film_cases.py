"""Films that other software reads rightly, each beside the picture that is right. They are not part of the project: the
tests read them beside the checkout, or in the folder that ICBIR_CASES_DIR names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.radiograph import read_radiograph

# Kinds that have a picture beside them; each is a test, so that the report names them.
KINDS = (
    "broken-voi-lut-beside-a-window",
    "colour-12-in-16",
    "decimal-comma",
    "frames-not-declared",
    "functional-group-window",
    "high-bit-not-stored-minus-one",
    "jpeg-12-bit",
    "jpeg-8-bit-in-16-allocated",
    "lut-8-bit-entries",
    "missing-type-1-with-one-meaning",
    "modality-lut-12-bit",
    "no-sequence-delimiter",
    "padding-signed-written-us",
    "palette-8-bit-in-words",
    "png-12-in-16",
    "png-exif-orientation",
    "presentation-lut-inverse",
    "rescale-empty",
    "voi-lut-depth-overstated",
    "voi-lut-signed-first-after-rescale",
)
# Of 65535; where decoders of lossy pictures differ among themselves, as much as they do.
TOLERANCES = {"jpeg-12-bit": 73}


def list_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(film, picture that is right) of a kind's folder."""
    pictures = {path.name.removesuffix(".right.png"): path for path in folder.glob("*.right.png")}
    films = [path for path in sorted(folder.iterdir()) if path.stem in pictures and path not in pictures.values()]
    return [(film, pictures[film.stem]) for film in films]


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_is_shown_as_it_is_right(kind, cases_directory):
    folder = cases_directory / "films" / kind
    pairs = list_pairs(folder)
    assert pairs, f"no films in {folder.name}"
    for film, picture in pairs:
        right = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
        pixels = read_radiograph(film).pixels
        assert pixels.shape == right.shape, film.name
        difference = np.abs(
            pixels.astype(np.float64) * 65535 - right * (1.0 if right.dtype == np.uint16 else 257.0)
        ).max()
        assert np.rint(difference) <= TOLERANCES.get(kind, 1), f"{film.name}: {difference:.0f} of 65535 off"


def test_no_kind_with_a_right_picture_is_left_out(cases_directory):
    assert {path.parent.name for path in (cases_directory / "films").glob("*/*.right.png")} <= set(KINDS)
