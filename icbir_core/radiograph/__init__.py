"""Films: reading, writing, network input, quality gate and overlays."""

from icbir_core.radiograph.network_input import Letterbox, fit_to_network, standardise
from icbir_core.radiograph.reading import read_radiograph

__all__ = ["Letterbox", "fit_to_network", "read_radiograph", "standardise"]
