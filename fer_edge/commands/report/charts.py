"""The charts of a report, as SVG. Readable in print and by colour-blind people: the palette of Okabe and Ito, and a
hatch or a name beside each colour."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fer_edge.commands.report.summary import Figures, ReportData, Segment, Visit, bars
from fer_edge.drawing.palette import PALETTE, css
from fer_edge.records import LABELS
from fer_edge.runtime.time_text import clock_text, local
from fer_edge.tracking.counters import HEAT_COLUMNS, HEAT_ROWS, NONE
from fer_edge.tracking.minutes import Minute

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache otherwise

WIDTH_IN = 7.2  # prints on A4 and Letter
ALIGN_SHARE = 0.05  # visits shorter than this share of the period are drawn from when they came
SHORT_SECONDS = 120.0  # films up to here have their times in seconds
PLAIN = "#0072b2"
NAMED_SHARE = 0.1  # of the width: a stretch without an expression that is longer says why
VISITS = 40  # of the time line; more would be thinner than a line
NO_EXPRESSION = "#ffffff"
HATCHES = dict(zip((*LABELS, NONE), ("", "//", "..", "\\\\", "xx", "++", "oo", "--", ""), strict=True))
STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable, read aloud
    "svg.hashsalt": "fer-edge",  # the same period gives the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def colour(label: str | None) -> str:
    """An expression's colour, as the previews draw it."""
    return NO_EXPRESSION if label is None or label == NONE else css(PALETTE[label])


def share_chart(columns: Sequence[tuple[str, Figures]]) -> str:
    """Share of the judged time per expression; one bar for each period."""

    def draw(axes: Axes) -> None:
        height = 0.8 / len(columns)
        for number, (name, figures) in enumerate(columns):
            places = np.arange(len(LABELS)) + (number - (len(columns) - 1) / 2) * height
            values = [100 * figures.shares[label] for label in LABELS]
            drawn = axes.barh(
                places, values, height * 0.92, label=name, edgecolor="black", linewidth=0.6, alpha=1 - 0.45 * number
            )
            for bar, label, value in zip(drawn, LABELS, values, strict=True):
                bar.set(facecolor=colour(label), hatch=HATCHES[label])
                axes.annotate(
                    f"{value:.0f} %" + (f" ({name})" if len(columns) > 1 else ""),
                    (value, bar.get_y() + bar.get_height() / 2),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                )
        axes.set_yticks(range(len(LABELS)), LABELS)
        axes.invert_yaxis()
        axes.set_xlabel("share of the judged time, %")
        most = max([10.0, *(100 * value for _, figures in columns for value in figures.shares.values())])
        axes.set_xlim(0, most * 1.15)
        axes.set_xticks([tick for tick in range(0, 101, 5 if most <= 30 else 20) if tick <= most])

    return _svg(draw, height_in=1.0 + 0.28 * len(LABELS) * max(1.0, 0.75 * len(columns)))


def visit_chart(story: ReportData) -> str:
    """A line for each of the longest visits, coloured by expression: where it was in the period, or, where all are
    short beside that, from when it came."""
    chosen = longest(story.visits)
    period_s, longest_s = story.end_s - story.begin_s, max(visit.dwell_s for visit in chosen)
    beside = longest_s < ALIGN_SHARE * period_s
    width_s = longest_s if beside else period_s

    def draw(axes: Axes) -> None:
        for row, visit in enumerate(chosen):
            shift_s = visit.begin_s if beside else 0.0
            for segment in visit.segments:
                begin, end = (_place(at - shift_s, story, beside) for at in (segment.begin_s, segment.end_s))
                _segment(axes, segment, (begin, end), row)
                if segment.reason and segment.end_s - segment.begin_s > NAMED_SHARE * width_s:
                    reason = segment.reason.replace("_", " ")
                    axes.text((begin + end) / 2, row, reason, ha="center", va="center", fontsize=6)
        names = [
            f"{visit.name}  {clock_text(visit.begin_s, wall=story.wall)}" if beside else visit.name for visit in chosen
        ]
        axes.set_yticks(range(len(chosen)), names, fontsize=7)
        axes.set_ylim(len(chosen) - 0.4, -0.6)
        if beside:
            axes.set_xlabel("seconds since it came")
            axes.set_xlim(left=0)
        else:
            _time_axis(axes, story)
        _legend(axes, {segment.expression or NONE for visit in chosen for segment in visit.segments})

    return _svg(draw, height_in=1.2 + 0.17 * max(3, len(chosen)))


def _segment(axes: Axes, segment: Segment, span: tuple[float, float], row: int) -> None:
    label = segment.expression or NONE
    axes.broken_barh(
        [(span[0], span[1] - span[0])],
        (row - 0.4, 0.8),
        facecolor=colour(label),
        hatch=HATCHES[label],
        edgecolor="black",
        linewidth=0.4,
    )


def longest(visits: Sequence[Visit]) -> list[Visit]:
    """The visits that the time line shows, in the order in which they began."""
    return sorted(sorted(visits, key=lambda visit: -visit.dwell_s)[:VISITS], key=lambda visit: visit.begin_s)


def came_chart(story: ReportData) -> str:
    """Faces that came in each step of time; steps that nobody watched are hatched."""
    step_s, steps = bars(story)

    def draw(axes: Axes) -> None:
        for step in steps:
            begin, width = _step_place(step, step_s, story)
            axes.bar(begin, step.visitors, 0.9 * width, align="edge", color=PLAIN)
        axes.set_ylabel(f"faces per {_step_text(step_s)}")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        _steps_axes(axes, steps, step_s, story)

    return _svg(draw, height_in=2.0)


def view_chart(story: ReportData) -> str:
    """The mean number of faces in view in each step of time, by what they showed."""
    step_s, steps = bars(story)
    shown = [label for label in (*LABELS, NONE) if story.total.shown_s.get(label)]

    def draw(axes: Axes) -> None:
        for step in steps:
            begin, width = _step_place(step, step_s, story)
            below = 0.0
            for label in shown:
                height = step.shown_s.get(label, 0.0) / step.watched_s if step.watched_s else 0.0
                style = {"facecolor": colour(label), "hatch": HATCHES[label], "edgecolor": "black", "linewidth": 0.4}
                if height:
                    axes.bar(begin, height, 0.9 * width, below, align="edge", **style)
                below += height
        axes.set_ylabel("faces in view, mean")
        _steps_axes(axes, steps, step_s, story)
        _legend(axes, set(shown))

    return _svg(draw, height_in=2.4)


def _step_place(step: Minute, step_s: int, story: ReportData) -> tuple[float, float]:
    """Where a step begins on the time axis, and how wide it is: at the end of a period it may be cut."""
    begin, end = (
        _place(min(at, max(story.end_s, step.begin_s + 0.1)), story) for at in (step.begin_s, step.begin_s + step_s)
    )
    return begin, end - begin


def _steps_axes(axes: Axes, steps: Sequence[Minute], step_s: int, story: ReportData) -> None:
    for step in steps:
        if not step.watched_s:
            begin, width = _step_place(step, step_s, story)
            axes.axvspan(begin, begin + width, facecolor="#eeeeee", hatch="////", edgecolor="#bbbbbb", linewidth=0)
    axes.set_ylim(bottom=0, top=None if any(step.visitors or step.faces_s for step in steps) else 1)
    _time_axis(axes, story)


def heat_chart(total: Minute) -> str:
    """Where faces were, seen by the camera: face-seconds per cell."""
    grid = np.zeros((HEAT_ROWS, HEAT_COLUMNS))
    for cell, seconds in total.heat_s.items():
        grid[cell // HEAT_COLUMNS, cell % HEAT_COLUMNS] = seconds

    def draw(axes: Axes) -> None:
        shown = axes.imshow(
            np.ma.masked_equal(grid, 0.0),
            cmap="Blues",
            vmin=0,
            extent=(0, 100, 100, 0),
            aspect=HEAT_ROWS / HEAT_COLUMNS,
        )
        axes.spines[:].set_visible(True)  # of the picture: white is nobody, so that print takes little ink
        axes.set_xlabel("% of the picture's width")
        axes.set_ylabel("% of its height")
        axes.figure.colorbar(shown, ax=axes, label="face-seconds", shrink=0.8)

    return _svg(draw, height_in=3.4)


def _place(at_s: float, story: ReportData, beside: bool = False) -> float:
    """Where a moment is on a time axis: days by the local clock, or seconds."""
    return float(date2num(local(at_s).replace(tzinfo=None))) if story.wall and not beside else at_s


def _time_axis(axes: Axes, story: ReportData) -> None:
    """Time of day and date, or time in the film."""
    axes.set_xlim(_place(story.begin_s, story), _place(max(story.end_s, story.begin_s + 1), story))
    if story.wall:
        locator = AutoDateLocator(maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        short = story.end_s < SHORT_SECONDS
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10] if short else [1, 2, 3, 6, 10]))
        if not short:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: clock_text(max(0.0, at_s), wall=False)))
        axes.set_xlabel("time in the film, s" if short else "time in the film, h:mm:ss")


def _legend(axes: Axes, shown: set[str]) -> None:
    handles = [
        Patch(facecolor=colour(label), hatch=HATCHES[label], edgecolor="black", linewidth=0.4, label=label)
        for label in (*LABELS, NONE)
        if label in shown
    ]
    axes.legend(handles=handles, ncols=5, fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def _step_text(step_s: int) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if step_s % size == 0:
            return name if step_s == size else f"{step_s // size} {name}s"
    return "second" if step_s == 1 else f"{step_s} seconds"


def _svg(draw: Callable[[Axes], None], *, height_in: float) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        draw(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=False)
    return file.getvalue()
