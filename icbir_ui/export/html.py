"""A report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from icbir_ui.export.content import Report
from icbir_ui.export.teaching import TeachingFile


@cache
def _open_template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template(name)


def write_html(report: Report) -> bytes:
    """The report in UTF-8, pictures inside; no script, no address."""
    return _open_template("report.html.j2").render(report=report).encode()


def write_teaching_html(file: TeachingFile) -> bytes:
    """The teaching file in UTF-8, pictures inside; no script, no address."""
    return _open_template("teaching.html.j2").render(file=file).encode()
