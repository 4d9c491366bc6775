"""Serve the application in this process; with --fake, over the test's stand-in retriever."""

from __future__ import annotations

import argparse
import os

from icbir_core.server_settings import read_server_settings
from icbir_ui.serving import Place, serve


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace")
    parser.add_argument("port", type=int)
    parser.add_argument("--fake", action="store_true")
    parser.add_argument("--gate", action="store_true", help="with --fake: hold back what is no chest film")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that a search of the stand-in takes")
    parser.add_argument("--map-pause", type=float, default=0.0, help="seconds that a map of the stand-in takes")
    given = parser.parse_args()
    os.environ["ICBIR_WORKSPACE"] = given.workspace
    if given.fake:
        from icbir_ui import shared
        from icbir_ui.search import gate
        from tests.helpers import fakes

        fakes.FakeRetriever.pause, fakes.FakeRetriever.map_pause = given.pause, given.map_pause
        shared.open_retriever = lambda workspace: fakes.FakeRetriever(workspace)
        shared.list_map_methods = lambda: fakes.MAPS
        gate.WITHHELD = gate.WITHHELD if given.gate else frozenset()  # the drawn films are no chest films
    serve(Place(given.port), read_server_settings())


if __name__ == "__main__":
    main()
