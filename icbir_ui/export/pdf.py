"""A report as PDF, A4, with the notice at the foot of every page.

Where a sign stands as its code point, because the fonts lack it, the report says so.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from icbir_ui.export.content import Picture, Report
from icbir_ui.export.letters import BOLD, PLAIN, is_spelt, register_letters, spell
from icbir_ui.export.teaching import TeachingFile
from icbir_ui.state import NOTICE

WIDTH = A4[0] - 36 * mm - 12  # a frame keeps six points free on either side
GAP = 4 * mm
SPELT = "Signs that this file's letters lack stand as code points; the report as HTML holds them as they were written."
_STYLES = getSampleStyleSheet()
_TITLE = ParagraphStyle("title", parent=_STYLES["Heading1"], fontName=BOLD, fontSize=16)
_HEADING = ParagraphStyle("heading", parent=_STYLES["Heading2"], fontName=BOLD, fontSize=12)
_TEXT = ParagraphStyle("text", parent=_STYLES["BodyText"], fontName=PLAIN, fontSize=8.5, leading=12)
_QUIET = ParagraphStyle("quiet", parent=_TEXT, textColor=colors.HexColor("#555555"))
_NOTICE = ParagraphStyle(
    "notice", parent=_TEXT, borderColor=colors.HexColor("#b08a3c"), borderWidth=0.7, borderPadding=4,
    spaceBefore=11, spaceAfter=8,
)  # fmt: skip


def fit_pictures(picture: Picture, height: float) -> list[Image]:
    """Film and map at one scale: as large as both fit beside each other; a film alone takes half of the width."""
    pictures = [data for data in (picture.film, picture.overlay) if data]
    sizes = [ImageReader(io.BytesIO(data)).getSize() for data in pictures]
    across = sum(columns for columns, _ in sizes) * 2 / len(sizes)
    scale = min((WIDTH - GAP) / across, height / max(rows for _, rows in sizes))
    return [
        Image(io.BytesIO(data), columns * scale, rows * scale)
        for data, (columns, rows) in zip(pictures, sizes, strict=True)
    ]


def _lay_out(picture: Picture, height: float) -> KeepTogether:
    parts: list[Flowable] = [Paragraph(f"<b>{_safe(picture.title)}</b>", _TEXT)]
    parts.append(Paragraph("<br/>".join(_safe(line) for line in picture.lines), _QUIET))
    if picture.text:
        parts.append(Paragraph(_safe(picture.text).replace("\n", "<br/>"), _TEXT))
    if picture.film:
        style = [("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), GAP / 2)]
        images = fit_pictures(picture, height)
        widths = [image.drawWidth + GAP / 2 for image in images]  # said, or a film of one column has less than none
        parts += [Spacer(1, 1.5 * mm), Table([images], widths, hAlign="LEFT", style=style)]
    return KeepTogether([*parts, Spacer(1, 4 * mm)])


def _safe(text: str) -> str:
    return escape(spell(text))


def _has_spelt(report: Report) -> bool:
    """True where the report holds a sign that the fonts lack."""
    texts = _list_texts((report.query, *report.hits))
    texts += [part for row in (*report.settings, *report.versions) for part in row]
    texts += [name for name, _, _ in report.probabilities] + [report.share, *report.warnings, *report.cautions]
    return any(is_spelt(text) for text in texts)


def _list_texts(pictures: Iterable[Picture]) -> list[str]:
    return [text for one in pictures for text in (one.title, *one.lines, one.text or "")]


def _tabulate(rows: list[tuple[str, str]]) -> Table:
    cells = [[Paragraph(_safe(name), _QUIET), Paragraph(_safe(value), _TEXT)] for name, value in rows]
    style = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return Table(cells, colWidths=[48 * mm, WIDTH - 48 * mm], style=style, hAlign="LEFT")


def write_pdf(report: Report) -> bytes:
    """The report as the bytes of a PDF; signs that its fonts lack are spelt by `letters.spell`."""
    register_letters()  # here, not at the import, which the first page waits for
    story: list[Flowable] = [
        Paragraph("Search of similar chest radiographs", _TITLE),
        Paragraph(_safe(f"{report.made} · {report.small}"), _QUIET),
        Paragraph(_safe(report.notice), _NOTICE),
    ]
    if _has_spelt(report):
        story.append(Paragraph(SPELT, _QUIET))
    story += [Paragraph(_safe(warning), _NOTICE) for warning in report.warnings]
    story += [Paragraph("Query", _HEADING), _lay_out(report.query, 90 * mm)]
    if report.probabilities:
        rows = [
            (name, f"{value:.2f} (operating point {'unknown' if point is None else format(point, '.2f')})")
            for name, value, point in report.probabilities
        ]
        story += [Paragraph("Probabilities", _HEADING), _tabulate(rows)]
    story += [Paragraph("Most similar cases", _HEADING), Paragraph(_safe(report.share), _TEXT), Spacer(1, 2 * mm)]
    story += [Paragraph(_safe(caution), _NOTICE) for caution in report.cautions]
    story += [_lay_out(hit, 57 * mm) for hit in report.hits]  # three to a page
    for title, facts in (("Settings", report.settings), ("Versions", report.versions)):
        story.append(KeepTogether([Paragraph(title, _HEADING), _tabulate(list(facts))]))
    return _build(story)


def write_teaching_pdf(file: TeachingFile) -> bytes:
    """The teaching file as the bytes of a PDF."""
    register_letters()
    story: list[Flowable] = [
        Paragraph(_safe(file.title), _TITLE),
        Paragraph(_safe(f"{file.made} · ICBIR {file.version} · {file.small}"), _QUIET),
        Paragraph(_safe(file.notice), _NOTICE),
    ]
    if any(is_spelt(text) for text in [file.title, *_list_texts(file.pictures)]):
        story.append(Paragraph(SPELT, _QUIET))
    story += [_lay_out(one, 90 * mm) for one in file.pictures]
    return _build(story, file.title)


def write_sentence(text: str) -> bytes:
    """A PDF that says one sentence."""
    register_letters()
    return _build([Paragraph(_safe(text), _TEXT)])


def _build(story: list[Flowable], title: str = "ICBIR search") -> bytes:
    """The PDF of these parts in order, with the notice at the foot of every page."""

    def foot(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(PLAIN, 7.5)
        canvas.drawString(18 * mm, 10 * mm, f"ICBIR · {NOTICE}")
        canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, str(document.page))
        canvas.restoreState()

    buffer = io.BytesIO()
    margin = {"leftMargin": 18 * mm, "rightMargin": 18 * mm, "topMargin": 16 * mm, "bottomMargin": 18 * mm}
    rl_config.useA85 = 0  # bytes as they are: as text a report would be a quarter larger, and slower to write
    document = SimpleDocTemplate(buffer, pagesize=A4, title=title, author="ICBIR", **margin)
    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()
