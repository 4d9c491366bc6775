"""One self-contained HTML page from sections of text, tables, plotly figures and pictures; it fetches nothing."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from icbir_core.evaluation.figure_words import describe_figure

NOTICE = "Research and education only, not for diagnosis."


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; a caption says what it shows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """PNG bytes with a caption, which is its alternative text too."""

    caption: str
    png: bytes

    @property
    def address(self) -> str:
        """The picture as a data address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Section:
    """A part of a report; figures are plotly figures."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Any] = ()
    pictures: Sequence[Picture] = ()


_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c2126;
       background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #cfd6dc; }
.warning { border-left: 4px solid #b45309; background: #fff7ed; padding: .5rem 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e1e6ea; text-align: left; vertical-align: top; }
.scroll { overflow-x: auto; } figure { display: inline-block; margin: .5rem; } figcaption { font-size: .85rem; }
footer { margin-top: 3rem; font-size: .85rem; color: #4b5560; border-top: 1px solid #cfd6dc; }
</style>
{% if script %}<script>{{ script }}</script>{% endif %}
</head><body>
<h1>{{ title }}</h1>
{% for warning in warnings %}<p class="warning">{{ warning }}</p>{% endfor %}
{% for section in sections %}<section><h2>{{ section.title }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph }}</p>{% endfor %}
{% for table in section.tables %}<div class="scroll"><table><caption>{{ table.caption }}</caption>
<thead><tr>{% for cell in table.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody>
</table></div>{% endfor %}
{% for figure in section.figures %}{{ draw(figure, section.title) }}{% endfor %}
{% for picture in section.pictures %}<figure><img src="{{ picture.address }}" alt="{{ picture.caption }}">
<figcaption>{{ picture.caption }}</figcaption></figure>{% endfor %}
</section>{% endfor %}
<footer>{{ notice }}</footer>
</body></html>
"""


def render_page(title: str, sections: Sequence[Section], warnings: Sequence[str] = ()) -> str:
    """The page as text; every text is escaped, plotly's script is inlined once if there is a figure."""
    script = Markup("")
    if any(section.figures for section in sections):
        from plotly.offline import get_plotlyjs

        script = Markup(get_plotlyjs())

    def draw(figure: Any, title: str) -> Any:
        drawn = figure.to_html(include_plotlyjs=False, full_html=False, config={"displaylogo": False})
        frame = Markup('<div role="img" aria-label="{}">{}</div>')
        return frame.format(describe_figure(figure, title), Markup(drawn))

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE).render(
        title=title, sections=sections, warnings=warnings, script=script, draw=draw, notice=NOTICE
    )


def show_number(value: float | None, digits: int = 3) -> str:
    """A number for a table, with a true minus; "–" where nothing can be said."""
    return "–" if value is None or not math.isfinite(value) else f"{value:z.{digits}f}".replace("-", "−")


def show_interval(interval: Mapping[str, Any] | None, digits: int = 3) -> str:
    """ "0.412 [0.330, 0.495]", or "–"."""
    if interval is None or interval["value"] is None or not math.isfinite(interval["value"]):
        return "–"
    low, high = (show_number(interval[name], digits) for name in ("low", "high"))
    return f"{show_number(interval['value'], digits)} [{low}, {high}]"


def make_plain(value: Any) -> Any:
    """Values fit for strict JSON: dataclasses and arrays become dictionaries and lists, NaN and infinity None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): make_plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return make_plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [make_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
