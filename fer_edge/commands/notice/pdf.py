"""The notice as PDF: an A4 page a language, set in DejaVu Sans, which has the letters of all of them."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any

from fer_edge.commands.notice.code import code
from fer_edge.commands.notice.content import Notice
from fer_edge.errors import ReportError

WIDTH, HEIGHT, MARGIN, INDENT = 210.0, 297.0, 18.0, 5.0  # mm
CODE, CAPTION = 32.0, 60.0  # side of the QR code with its quiet zone, width of what stands below it, mm
FOOT, LAW = 46.0, 16.0  # height of the foot with a QR code, and of the lines about the law, mm
FONT = "dejavu"
SIZES = (12.5, 12.0, 11.5, 11.0, 10.5, 10.0, 9.5, 9.0, 8.5, 8.0)  # of text, points: the largest that fits


def pdf_pages(pages: Sequence[Notice]) -> bytes:
    """All pages in one file.

    Raises:
        ReportError: the extra is not installed, or a page does not fit.

    """
    document, trial = _document(), _document()
    for page in pages:
        size = next((size for size in SIZES if _draw(trial, page, size) <= HEIGHT - MARGIN), None)
        if size is None:
            what = f"the page in {page.language} does not fit A4"
            raise ReportError(f"{what}; shorten controller, contact or notice_url in section privacy")
        _draw(document, page, size)
    data = bytes(document.output())
    for font in (*document.fonts.values(), *trial.fonts.values()):
        font.ttfont.close()  # its file
    return data


def _document() -> Any:
    """An empty one with its fonts. Raises ReportError where the extra is not installed."""
    try:
        from fpdf import FPDF
        from matplotlib import get_data_path
    except ImportError as error:
        what = f"a PDF takes the package {error.name}, which is not installed"
        raise ReportError(f"{what}; run: pip install 'fer-edge[notice]', or write .html and print that") from None
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs each table of a font
    document = FPDF(format="A4")
    document.set_auto_page_break(False)
    document.set_margins(MARGIN, MARGIN, MARGIN)
    for style, name in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
        document.add_font(FONT, style, f"{get_data_path()}/fonts/ttf/{name}")
    document.set_creator("fer-edge")
    return document


def _draw(document: Any, page: Notice, size: float) -> float:
    """Add a page; returns where it would end, in mm from its top, if its foot came right below its text."""
    document.add_page()
    _write(document, page.title, size * 2, bold=True)
    document.set_line_width(1.2)
    document.line(MARGIN, document.get_y() + 2, WIDTH - MARGIN, document.get_y() + 2)
    document.ln(6)
    _write(document, page.intro, size * 1.2)
    for section in page.sections:
        document.ln(size * 0.35)
        _write(document, section.heading, size * 1.1, bold=True)
        for line in section.lines:
            document.set_font(FONT, "", size)
            document.cell(INDENT, size * 0.5, "•")
            _write(document, line, size)
    return float(document.get_y()) + _foot(document, page)


def _write(document: Any, text: str, size: float, *, bold: bool = False) -> None:
    """A paragraph."""
    document.set_font(FONT, "B" if bold else "", size)
    document.multi_cell(0, size * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")


def _foot(document: Any, page: Notice) -> float:
    """The law at the left and the QR code at the right, at the bottom; returns the height that they take, in mm."""
    height = FOOT if page.url else LAW
    top = HEIGHT - MARGIN - height
    if page.url:
        image = io.BytesIO()
        code(page.url).save(image, kind="png", scale=10, border=4)
        left = WIDTH - MARGIN - CAPTION
        document.image(image, x=left + (CAPTION - CODE) / 2, y=top, w=CODE)
        document.set_font(FONT, "", 8.0)
        document.set_xy(left, top + CODE)
        document.multi_cell(CAPTION, 3.6, f"{page.more}\n{page.url}", align="C")
    document.set_font(FONT, "", 8.5)
    document.set_xy(MARGIN, HEIGHT - MARGIN - LAW)
    document.multi_cell(WIDTH - 2 * MARGIN - (CAPTION + 6 if page.url else 0), 4.0, page.law, align="L")
    return height + 4
