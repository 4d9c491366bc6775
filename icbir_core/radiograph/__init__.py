"""Films: reading, writing, network input, quality gate and overlays."""

from icbir_core.radiograph.facts import describe_facts
from icbir_core.radiograph.network_input import Letterbox, fit_to_network, standardise
from icbir_core.radiograph.overlay import OverlayStyle, render_overlay, shared_scale
from icbir_core.radiograph.quality import QualityReport, QualityWarning, assess_quality
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.radiograph.writing import encode_lossless, write_lossless

__all__ = [
    "Letterbox",
    "OverlayStyle",
    "QualityReport",
    "QualityWarning",
    "assess_quality",
    "describe_facts",
    "encode_lossless",
    "fit_to_network",
    "read_radiograph",
    "render_overlay",
    "shared_scale",
    "standardise",
    "write_lossless",
]
