"""Start Streamlit over the pages: `python -m icbir_ui.serving PORT`, in the environment that names the workspace.

The libraries that the pages use are imported here, before the server answers: else the first reader would wait for
them. The networks are not: they load behind the pages, once somebody reads (see `icbir_ui.shared.Engine`).
"""

from __future__ import annotations

import importlib
import os
import sys

from icbir_core.files import find_program_folder

USED = (
    "icbir_core.catalogue",
    "icbir_core.radiograph.facts",
    "icbir_core.radiograph.overlay",
    "icbir_core.radiograph.quality",
    "icbir_core.retrieval.refinement",
    "icbir_core.study.store",
    "jinja2",
    "pandas",
    "reportlab.platypus",
)


def serve(port: int) -> None:
    """Serve the pages on this machine until the process is stopped."""
    folder = find_program_folder()
    os.chdir(folder)  # Streamlit reads .streamlit/config.toml from here
    from streamlit.web import bootstrap

    flags = {"server_port": port}
    bootstrap.load_config_options(flags)
    for name in USED:
        importlib.import_module(name)
    bootstrap.run(str(folder / "app.py"), False, [], flags)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
