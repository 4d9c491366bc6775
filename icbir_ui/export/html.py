"""A report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from icbir_ui.export.content import Report


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template("report.html.j2")


def write_html(report: Report) -> bytes:
    """The report in UTF-8, pictures inside; no script, no address."""
    return _template().render(report=report).encode()
