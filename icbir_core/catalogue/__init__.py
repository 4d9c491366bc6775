"""The catalogue: data-set layouts in, one workspace on disk out. Knows neither neural networks nor the internet."""

from icbir_core.catalogue.asking import read_query
from icbir_core.catalogue.ingesting import IngestReport, ingest, record_catalogue
from icbir_core.catalogue.layouts import LAYOUTS, IngestOptions, RawCase
from icbir_core.catalogue.selecting import iterate_layout
from icbir_core.catalogue.storing import read_case_radiograph
from icbir_core.catalogue.table import Catalogue
from icbir_core.catalogue.workspace import Workspace

__all__ = [
    "LAYOUTS",
    "Catalogue",
    "IngestOptions",
    "IngestReport",
    "RawCase",
    "Workspace",
    "ingest",
    "iterate_layout",
    "read_case_radiograph",
    "read_query",
    "record_catalogue",
]
