"""What this package adds to ICBIR. Records alone: what they name is imported when it is needed."""

from icbir_core.catalogue.layouts import Layout
from icbir_core.model.backbones import Backbone
from icbir_core.retrieval.methods import SearchMethod
from icbir_core.saliency.methods import SaliencyMethod

GREY_LEVELS = SearchMethod(
    "grey_levels",
    "Grey levels",
    "how often each of 16 grey levels occurs in the film",
    ("grey_levels",),
    describe="icbir_example.grey_levels:count_levels",
    shape=(16,),
    explain="icbir_example.grey_levels:share_difference",
    version="1",
)
PLAIN_GRADIENT = SaliencyMethod(
    "plain_gradient",
    "Size of the gradient",
    signed=False,
    starts="logit",
    description="How strongly a small change of a pixel would move the score, whichever way.",
    compute="icbir_example.plain_gradient:compute_maps",
)
TEXT_FILES = Layout("text_files", "icbir_example.text_files:read_rows")
THIN = Backbone(
    "thin",
    "A thin network",
    24,
    "icbir_example.thin:build_thin",
    "the film as it is standardised",
    "made for this example",
)
