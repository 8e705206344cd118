"""A chart as SVG that stands in the page itself: it takes the page's colours, light or dark, and comes in two widths,
so that its text is read on a phone as on paper."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010101"
LINE = "#020202"
GAP = "#030303"
PAPER = "#040404"
BAR = "#050505"
CSS_COLOURS = {INK: "currentColor", LINE: "var(--line)", GAP: "var(--gap)", PAPER: "var(--paper)", BAR: "var(--bar)"}
"""What the page decides: these stand for it while matplotlib draws."""

STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable
    "font.family": "sans-serif",
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}


@dataclass(frozen=True, slots=True)
class Size:
    """One of the two widths, in inches."""

    css: str  # class in the page
    width_in: float
    legend_columns: int
    ticks: int  # of a time axis, at most

    @property
    def narrow(self) -> bool:
        """Whether it is the one for phones."""
        return self.ticks < 8


SIZES = (Size("on-wide", 7.2, 5, 9), Size("on-narrow", 3.6, 2, 5))
"""The first also prints on A4 and Letter."""


def chart(name: str, height_in: float, draw: Callable[[Axes, Size], None]) -> str:
    """HTML of a chart in both widths, `height_in` inches high. `name`: unique in the page."""
    return "".join(
        f'<div class="{size.css}">{_inline(f"{name}-{size.css}", _drawn(size, height_in, draw))}</div>'
        for size in SIZES
    )


def _drawn(size: Size, height_in: float, draw: Callable[[Axes, Size], None]) -> str:
    with mpl.rc_context(STYLE | {"svg.hashsalt": "fer-edge"}):  # the same period gives the same page
        figure = Figure(figsize=(size.width_in, height_in), layout="constrained")
        draw(figure.add_subplot(), size)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return file.getvalue()


def _inline(name: str, svg: str) -> str:
    """Without a file's head, in the page's colours, with names that no other chart has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|xmlns:xlink=\"[^\"]*\"", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1))
    svg = svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).replace("xlink:href", "href")
    svg = re.sub(r'="[^"]*"', _rounded, svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    for stand_in, css in CSS_COLOURS.items():
        svg = svg.replace(stand_in, css)
    return svg


def _rounded(attribute: re.Match[str]) -> str:
    """An attribute with numbers of two decimals, a hundredth of a point: half the bytes."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", attribute[0])
