"""Start Streamlit over the pages: `python -m icbir_ui.serving PORT`, in the environment that names the workspace.

The libraries that the pages use are imported here, before the server answers: else the first reader would wait for
them. The networks are not: they load behind the pages, once somebody reads (see `icbir_ui.shared.SearchService`).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icbir_core.errors import IcbirError
from icbir_core.files import find_program_folder
from icbir_core.server_settings import ServerSettings, check_address, read_server_settings

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
LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names under which this machine's own browser asks for the server."""
_EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Place:
    """Where the pages are served.

    host : the address to listen on. allowed : further names under which readers may ask for the server ("*.name" for
    all below one); a browser that asks under another is refused, since a foreign page could point its own name here.
    base_path : the part of the address below which the pages lie, behind a proxy.
    """

    port: int
    host: str = LOCAL[0]
    allowed: tuple[str, ...] = ()
    base_path: str = ""

    def list_flags(self) -> dict[str, Any]:
        """The options of Streamlit."""
        own = () if self.host in (*_EVERYWHERE, *LOCAL) else (self.host,)
        return {
            "server.port": self.port,
            "server.address": self.host,
            "server.allowedHosts": [*LOCAL, *own, *self.allowed],
            "server.baseUrlPath": self.base_path.strip("/"),
        }


def serve(place: Place, settings: ServerSettings) -> None:
    """Serve the pages until the process is stopped."""
    folder = find_program_folder()
    os.chdir(folder)  # Streamlit reads .streamlit/config.toml from here
    sys.argv = [str(folder / "app.py")]
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # who connects is who connects: the gate asks whether that is the proxy
    from starlette.middleware import Middleware
    from streamlit.web import bootstrap
    from streamlit.web.server.starlette import App

    from icbir_core.radiograph.decoding_process import get_pool
    from icbir_ui import shared
    from icbir_ui.gate import Gate
    from icbir_ui.keeping import start_sweeping
    from icbir_ui.logs import log_event, write_json_lines
    from icbir_ui.stopping import end_gently
    from icbir_ui.watching import is_drawing, watch_server

    bootstrap.load_config_options(place.list_flags())
    if said := describe_ignored(os.environ):
        print(said, file=sys.stderr)
    ask_nobody_for_the_address()
    get_pool().prepare()  # it starts while the libraries are imported, and the first film finds it there
    for name in USED:
        importlib.import_module(name)
    if settings.monitoring.log == "json":
        write_json_lines()
    watch_server()
    start_sweeping()

    def begin() -> None:
        seconds = settings.queue.stop_seconds
        end_gently(lambda: shared.stop_services(seconds), is_drawing, seconds)
        log_event("started")

    gate = Middleware(
        Gate, settings=settings, describe_readiness=describe_readiness, base_path=place.base_path, on_start=begin
    )
    secrets: Any = {"auth": settings.oidc.make_secrets()} if settings.oidc else None
    App(folder / "app.py", secrets=secrets, middleware=[gate]).run(config=place.list_flags())


def describe_readiness() -> tuple[bool, str]:
    """Whether this server answers searches, and a word about it. The first question makes the networks load."""
    from icbir_ui import shared

    try:
        service = shared.open_service()
        service.begin()
        return service.ready, service.describe_state()
    except IcbirError:
        return False, "The workspace cannot be opened."


def ask_nobody_for_the_address() -> None:
    """Keep Streamlit from asking outside servers for the address of this machine. It does so to print it, and whenever
    a page of another origin connects, to let in one that is served under that address. Here it is not let in."""
    from streamlit import net_util

    net_util.get_external_ip = lambda: None
    net_util.get_internal_ip = lambda: None


def describe_ignored(environment: Mapping[str, str]) -> str:
    """One sentence about the variables STREAMLIT_… that stand for an option and are not read; "" without any. Streamlit
    itself reads those of its secrets only, such as STREAMLIT_SERVER_COOKIE_SECRET."""
    from streamlit import config

    options = config.get_config_options().values()
    ignored = sorted(one.env_var for one in options if not one.sensitive and one.env_var in environment)
    if not ignored:
        return ""
    return (
        f"Not read: {', '.join(ignored)}. What is served where must not depend on what else is set on a machine; use "
        "the options of `icbir app`, or change .streamlit/config.toml."
    )


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default=Place.host)
    parser.add_argument("--allowed-host", dest="allowed", action="append", default=[])
    parser.add_argument("--base-path", default="")
    parser.add_argument("--without-sign-in", action="store_true")
    given = parser.parse_args()
    try:
        settings = read_server_settings()
        check_address(given.host, settings, given.without_sign_in)
    except IcbirError as error:
        sys.exit(f"Error: {error}")
    serve(Place(given.port, given.host, tuple(given.allowed), given.base_path), settings)


if __name__ == "__main__":
    main()
