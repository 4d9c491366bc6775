"""Simulated chest radiographs with exact ground truth, for the demonstration, the starter models and the tests."""

from .dataset import write_simulated
from .film import SIMULATED_FINDINGS, SimulatedFilm, draw_findings, simulate_film, simulate_films
from .truth import HIGHEST_GRADE, SimulatedFinding, SimulatedTruth, SimulationError, similarity_grade

__all__ = [
    "HIGHEST_GRADE",
    "SIMULATED_FINDINGS",
    "SimulatedFilm",
    "SimulatedFinding",
    "SimulatedTruth",
    "SimulationError",
    "draw_findings",
    "similarity_grade",
    "simulate_film",
    "simulate_films",
    "write_simulated",
]
