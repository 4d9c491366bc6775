"""The classifier and the encoders that come with the program, each alone and side by side, on films nobody learnt from.

    python benchmarks/encoders.py --nih DIR --part tune [--kept DIR] [--json FILE] [--write]

DIR holds the subset of NIH ChestX-ray14 with its split; the catalogue is `train`, the queries are the films of a part.
Films, features, centring and scores go the ways of the program (`evaluate --encoders` does the same for a workspace);
only the index is left out, whose exact search gives the same order. --kept holds features from run to run. Choices are
made on `tune`; `test` is looked at once. --write notes in the card of the prediction for which findings a search was
not shown to be better than chance, so that the page can say so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.evaluation.encoder_comparison import (
    CLASSIFIER,
    TOGETHER,
    EncoderComparison,
    compare_encoders,
    comparison_to_json,
    comparison_to_text,
)
from icbir_core.evaluation.films import FilmSet, collect_layout
from icbir_core.files import read_json, write_json_atomically
from icbir_core.model.encoders import Encoder, get_shipped_folder, list_encoders, load_encoder
from icbir_core.model.prediction import CARD
from icbir_core.model.starter import STARTER_DIRECTORY, load_starter
from icbir_core.retrieval.methods import FEATURES
from icbir_core.retrieval.side_by_side import name_field
from icbir_core.settings import InputSettings

PIECE = 32
METHODS = {TOGETHER: "encoders_centred", CLASSIFIER: "cnn_centred"}
"""Search methods by what this comparison calls them."""


class Features:
    """Features of film sets by the starter classifier and the shipped encoders, kept in `folder`."""

    def __init__(self, folder: Path, encoders: tuple[Encoder, ...]):
        self.folder, self.encoders = folder, encoders
        starter = load_starter()[0]
        self._networks: dict[str, tuple[InputSettings, Callable[[np.ndarray], np.ndarray], str]] = {
            FEATURES: (starter.input_settings, starter.features, starter.sha256)
        }
        for one in encoders:
            self._networks[name_field(one.name)] = one.input_settings, one.features, one.sha256
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, films: FilmSet, kind: str) -> np.ndarray:
        """float32 (N, D)."""
        settings, compute, sha256 = self._networks[kind]
        path = self.folder / f"{sha256[:12]}-{len(films)}-{films.films[0][:12]}.npy"
        if not path.is_file():
            found = []
            for start in range(0, len(films), PIECE):
                numbers = range(start, min(start + PIECE, len(films)))
                found.append(compute(films.load_images(list(numbers), settings)))
                print(f"{kind}: {numbers.stop} of {len(films)}", file=sys.stderr, flush=True)
            np.save(path, np.concatenate(found))
        return np.load(path)


def list_at_chance(found: EncoderComparison) -> dict[str, list[str]]:
    """By search method the findings whose precision at 10 has an interval that reaches down to the base rate."""
    return {
        METHODS[name]: [one for one in found.queries if each[10][one].low <= found.base_rate[one]]
        for name, each in found.precision.items()
        if name in METHODS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--part", choices=("tune", "test"), default="tune")
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="note findings at chance in the card of the prediction")
    given = parser.parse_args()
    encoders = tuple(load_encoder(path) for path in list_encoders(get_shipped_folder()).values())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "w")
        sets = [
            collect_layout(
                workspace,
                IngestOptions(
                    "nih", given.nih / "images", given.nih / "Data_Entry_2017_v2020.csv",
                    split=given.nih / "split.csv", part=part,
                ),
            )
            for part in (given.part, "train")
        ]  # fmt: skip
        source = Features(given.kept or Path(folder) / "kept", encoders)
        names = (CLASSIFIER, *(one.name for one in encoders))
        found = compare_encoders(sets[0], sets[1], source, names)
    print(comparison_to_text(found))
    if given.write:
        path = STARTER_DIRECTORY / CARD
        write_json_atomically(path, read_json(path) | {"search_at_chance": list_at_chance(found)})
    if given.json:
        write_json_atomically(given.json, comparison_to_json(found))


if __name__ == "__main__":
    main()
