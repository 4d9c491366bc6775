"""What is drawn of a saliency map: is there a grid, how much of the film is covered, is the rest left as it is?

    python benchmarks/map_display.py [--films 16]

Simulated films, the starter classifier, maps of Effusion. Grid: the power of the map's mean spectrum at periods of two
and four pixels, along both axes, over the median of the frequencies around it; 1 is no grid. Covered: the part of the
film that changes colour. Median over the films; before is the map as the method gives it, drawn without a threshold.
"""

from __future__ import annotations

import argparse

import numpy as np

from icbir_core.model.starter import load_starter
from icbir_core.phantom import simulate_films
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.radiograph.overlay import OverlayStyle, render_overlay, shared_scale
from icbir_core.saliency.display import find_threshold, smooth_for_display
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.saliency.registry import explain

TARGET, SEED, AROUND = "Effusion", 95_000_000, 5
SLOW = ("occlusion", "smooth_grad", "integrated_gradients")


def measure_grid(values: np.ndarray, period: int) -> float:
    """Power at a period along both axes over the median of the frequencies around it; 1 where there is no grid."""
    found = []
    for one in (values, values.T):
        # The mean over the other axis' frequencies, so that a grid of any phase counts.
        power = (np.abs(np.fft.rfft(one, axis=1)) ** 2).mean(0)
        place = one.shape[1] // period
        around = [k for k in range(place - AROUND, min(place + AROUND + 1, len(power))) if abs(k - place) > 1]
        found.append(power[place] / np.median(power[around]))
    return float(np.mean(found))


def measure_covered(pixels: np.ndarray, values: np.ndarray, style: OverlayStyle) -> float:
    """The part of the film, 0 to 1, whose colour a map changes."""
    plain = render_overlay(pixels, values, OverlayStyle(opacity=0.0, signed=style.signed))
    return float((render_overlay(pixels, values, style) != plain).any(2).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=16)
    given = parser.parse_args()
    classifier, _ = load_starter()
    made = list(simulate_films(range(SEED, SEED + given.films), 288, workers=1))
    films = [one.pixels.astype(np.float32) / 255 for one in made]
    images = np.stack([fit_to_network(film, classifier.input_settings) for film in films])
    print("| map | period 2: before | drawn | period 4: before | drawn | covered: before | drawn |")
    print("|---|---|---|---|---|---|---|")
    for method in SALIENCY_METHODS:
        if method in SLOW:
            continue
        rows = []
        for film, found in zip(films, explain(classifier, images, TARGET, method), strict=True):
            drawn = smooth_for_display(found)
            threshold = find_threshold(drawn.values, shared_scale([drawn.values]), found.signed)
            row = [measure_grid(one.values, period) for period in (2, 4) for one in (found, drawn)]
            row.append(measure_covered(film, found.values, OverlayStyle(signed=found.signed)))
            row.append(measure_covered(film, drawn.values, OverlayStyle(signed=found.signed, threshold=threshold)))
            rows.append(row)
        cells = np.median(rows, 0)
        print(f"| {method} | {' | '.join(f'{value:.2f}' for value in cells)} |", flush=True)


if __name__ == "__main__":
    main()
