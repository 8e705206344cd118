"""The charts of a report. Readable in print and by colour-blind people: the palette of Okabe and Ito, and a hatch or a
name beside each colour."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fer_edge.commands.report.rhythm import Slot
from fer_edge.commands.report.summary import LEAST_SHARE, Figures, ReportData, Segment, Visit, bars, stay_counts
from fer_edge.commands.report.svg import BAR, GAP, INK, LINE, PAPER, Size, chart
from fer_edge.drawing.palette import PALETTE, css
from fer_edge.records import LABELS, reason_words
from fer_edge.runtime.time_text import clock_text, local
from fer_edge.tracking.counters import HEAT_COLUMNS, HEAT_ROWS, NONE
from fer_edge.tracking.minutes import Minute

logging.getLogger(mpl.__name__).setLevel(logging.WARNING)  # it logs its font cache otherwise

DARK = "#16181d"
ALIGN_SHARE = 0.05  # visits that are all shorter than this share of the period are no lines in it
SHORT_SECONDS = 120.0  # films up to here have their times in seconds
NAMED_SHARE = 0.1  # of the width: a stretch without an expression that is longer shows the reason
VISITS = 20  # of the time line
HATCHES = dict(zip((*LABELS, NONE), ("", "//", "..", "\\\\", "xx", "++", "oo", "--", ""), strict=True))


def colour(label: str | None) -> str:
    """An expression's colour, as the previews draw it."""
    return PAPER if label is None or label == NONE else css(PALETTE[label])


def edge(label: str | None) -> str:
    """The colour of its edge and hatch: dark on colours in dark pages, too."""
    return INK if colour(label) == PAPER else DARK


def share_labels(columns: Sequence[tuple[str, Figures]]) -> list[str]:
    """The expressions that are worth a bar."""
    return [label for label in LABELS if any(one.shares[label] >= LEAST_SHARE for _, one in columns)]


def share_chart(columns: Sequence[tuple[str, Figures]], of: str) -> str:
    """Share of the judged time, or of `of`, per expression; one bar for each period."""
    labels, height = share_labels(columns), 0.8 / len(columns)

    def draw(axes: Axes, size: Size) -> None:
        for number, (name, one) in enumerate(columns):
            places = np.arange(len(labels)) + (number - (len(columns) - 1) / 2) * height
            values = [100 * one.shares[label] for label in labels]
            drawn = axes.barh(places, values, height * 0.92, edgecolor=DARK, linewidth=0.6, alpha=1 - 0.45 * number)
            for bar, label, value in zip(drawn, labels, values, strict=True):
                bar.set(facecolor=colour(label), hatch=HATCHES[label])
                text = f"{value:.0f} %" + (f" ({name})" if len(columns) > 1 else "")
                middle = bar.get_y() + bar.get_height() / 2
                axes.annotate(text, (value, middle), (3, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xlabel(f"share of {of}, %")
        most = max([10.0, *(100 * value for _, one in columns for value in one.shares.values())])
        axes.set_xlim(0, most * (1.15 if len(columns) == 1 else 1.8 if size.narrow else 1.3))
        axes.set_xticks([tick for tick in range(0, 101, 5 if most <= 30 else 20) if tick <= most])

    return chart("share", 0.7 + 0.32 * max(1, len(labels)) * max(1.0, 0.75 * len(columns)), draw)


def shows_lines(story: ReportData) -> bool:
    """Whether visits are long enough to be lines in their period."""
    longest_s = max((visit.dwell_s for visit in story.visits), default=0.0)
    return bool(story.visits) and longest_s >= ALIGN_SHARE * (story.end_s - story.begin_s)


def visit_chart(story: ReportData) -> str:
    """A line for each of the longest visits, coloured by expression: where it was in the period."""
    chosen, width_s = longest(story.visits), story.end_s - story.begin_s

    def draw(axes: Axes, size: Size) -> None:
        for row, visit in enumerate(chosen):
            for segment in visit.segments:
                begin, end = (_place(at, story) for at in (segment.begin_s, segment.end_s))
                _segment(axes, segment, (begin, end), row)
                if segment.reason and segment.end_s - segment.begin_s > NAMED_SHARE * width_s and not size.narrow:
                    words = reason_words(segment.reason)
                    axes.text((begin + end) / 2, row, words, ha="center", va="center", fontsize=8)
        axes.set_yticks(range(len(chosen)), [visit.name for visit in chosen])
        axes.set_ylim(len(chosen) - 0.4, -0.6)
        _time_axis(axes, story, size)
        _legend(axes, {segment.expression or NONE for visit in chosen for segment in visit.segments}, size)

    return chart("visits", 1.4 + 0.19 * max(3, len(chosen)), draw)


def _segment(axes: Axes, segment: Segment, span: tuple[float, float], row: int) -> None:
    label = segment.expression or NONE
    axes.broken_barh(
        [(span[0], span[1] - span[0])],
        (row - 0.4, 0.8),
        facecolor=colour(label),
        hatch=HATCHES[label],
        edgecolor=edge(label),
        linewidth=0.4,
    )


def longest(visits: Sequence[Visit]) -> list[Visit]:
    """The visits that the time line shows, in the order in which they began."""
    return sorted(sorted(visits, key=lambda visit: -visit.dwell_s)[:VISITS], key=lambda visit: visit.begin_s)


def stay_chart(visits: Sequence[Visit]) -> str:
    """How many faces stayed how long."""
    counts = stay_counts(visits)

    def draw(axes: Axes, size: Size) -> None:
        axes.bar(range(len(counts)), [count for _, count in counts], 0.85, color=BAR)
        axes.set_xticks(range(len(counts)), [name for name, _ in counts], rotation=45 if size.narrow else 0)
        _count_axis(axes, "faces")

    return chart("stays", 2.0, draw)


def rhythm_chart(name: str, slots: Sequence[Slot], unit: str) -> str:
    """Arrivals per watched hour, by hour of the day or by weekday; what nobody watched is hatched."""

    def draw(axes: Axes, size: Size) -> None:
        axes.bar(range(len(slots)), [slot.rate or 0.0 for slot in slots], 0.85, color=BAR)
        for number, slot in enumerate(slots):
            if slot.rate is None:
                _gap(axes, number - 0.5, 1.0)
        step = 1 if len(slots) < 10 else 6 if size.narrow else 3
        axes.set_xticks(range(0, len(slots), step), [slot.name for slot in slots[::step]])
        axes.set_xlim(-0.5, len(slots) - 0.5)
        axes.set_xlabel(unit)
        axes.set_ylim(bottom=0, top=None if any(slot.visitors for slot in slots) else 1)
        _count_axis(axes, "arrivals per hour", whole=False)

    return chart(name, 2.0, draw)


def came_chart(story: ReportData) -> str:
    """Faces that came in each step of time; steps that nobody watched are hatched."""
    step_s, steps = bars(story)

    def draw(axes: Axes, size: Size) -> None:
        for step in steps:
            begin, width = _step_place(step, step_s, story)
            axes.bar(begin, step.visitors, 0.9 * width, align="edge", color=BAR)
        _count_axis(axes, f"arrivals per {_step_text(step_s)}")
        _steps_axes(axes, steps, step_s, story, size)

    return chart("came", 2.0, draw)


def view_chart(story: ReportData) -> str:
    """The mean number of faces in view in each step of time, by what they showed."""
    step_s, steps = bars(story)
    shown = [label for label in (*LABELS, NONE) if story.total.shown_s.get(label)]

    def draw(axes: Axes, size: Size) -> None:
        for step in steps:
            begin, width = _step_place(step, step_s, story)
            below = 0.0
            for label in shown:
                height = step.shown_s.get(label, 0.0) / step.watched_s if step.watched_s else 0.0
                style = {
                    "facecolor": colour(label),
                    "hatch": HATCHES[label],
                    "edgecolor": edge(label),
                }
                if height:
                    axes.bar(begin, height, 0.9 * width, below, align="edge", linewidth=0.4, **style)
                below += height
        axes.set_ylabel("faces in view, mean")
        _steps_axes(axes, steps, step_s, story, size)
        _legend(axes, set(shown), size)

    return chart("view", 2.6, draw)


def _count_axis(axes: Axes, label: str, *, whole: bool = True) -> None:
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole, min_n_ticks=1))
    axes.grid(axis="y")


def _step_place(step: Minute, step_s: int, story: ReportData) -> tuple[float, float]:
    """Where a step begins on the time axis, and how wide it is: at the end of a period it may be cut."""
    begin, end = (
        _place(min(at, max(story.end_s, step.begin_s + 0.1)), story) for at in (step.begin_s, step.begin_s + step_s)
    )
    return begin, end - begin


def _steps_axes(axes: Axes, steps: Sequence[Minute], step_s: int, story: ReportData, size: Size) -> None:
    for step in steps:
        if not step.watched_s:
            _gap(axes, *_step_place(step, step_s, story))
    axes.set_ylim(bottom=0, top=None if any(step.visitors or step.faces_s for step in steps) else 1)
    _time_axis(axes, story, size)


def _gap(axes: Axes, begin: float, width: float) -> None:
    """Time that nobody watched."""
    axes.axvspan(begin, begin + width, facecolor="none", hatch="////", edgecolor=GAP, linewidth=0)


def heat_chart(total: Minute) -> str:
    """Where faces were, seen by the camera: the stronger a cell's colour, the longer."""
    most = max(total.heat_s.values(), default=0.0) or 1.0

    def draw(axes: Axes, _: Size) -> None:
        width, height = 100 / HEAT_COLUMNS, 100 / HEAT_ROWS
        for cell, seconds in total.heat_s.items():
            at = (cell % HEAT_COLUMNS * width, cell // HEAT_COLUMNS * height)
            axes.add_patch(
                Rectangle(at, width, height, facecolor=BAR, alpha=min(1.0, 0.1 + 0.9 * seconds / most), linewidth=0)
            )
        axes.spines[:].set(visible=True, edgecolor=LINE)
        axes.set(xlim=(0, 100), ylim=(100, 0), aspect=HEAT_ROWS / HEAT_COLUMNS)
        axes.set_xlabel("% of the picture's width")
        axes.set_ylabel("% of its height")

    return chart("heat", 2.6, draw)


def _place(at_s: float, story: ReportData) -> float:
    """Where a moment is on a time axis: days by the local clock, or seconds."""
    return float(date2num(local(at_s).replace(tzinfo=None))) if story.wall else at_s


def _time_axis(axes: Axes, story: ReportData, size: Size) -> None:
    """Time of day and date, or time in the film."""
    axes.set_xlim(_place(story.begin_s, story), _place(max(story.end_s, story.begin_s + 1), story))
    if story.wall:
        locator = AutoDateLocator(minticks=2, maxticks=size.ticks)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        short = story.end_s < SHORT_SECONDS
        axes.xaxis.set_major_locator(MaxNLocator(size.ticks - 1, steps=[1, 2, 5, 10] if short else [1, 2, 3, 6, 10]))
        if not short:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: clock_text(max(0.0, at_s), wall=False)))
        axes.set_xlabel("time in the film, s" if short else "time in the film, h:mm:ss")


def _legend(axes: Axes, shown: set[str], size: Size) -> None:
    handles = [
        Patch(facecolor=colour(label), hatch=HATCHES[label], edgecolor=edge(label), linewidth=0.4, label=label)
        for label in (*LABELS, NONE)
        if label in shown
    ]
    columns = size.legend_columns
    axes.legend(handles=handles, ncols=columns, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def _step_text(step_s: int) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if step_s % size == 0:
            return name if step_s == size else f"{step_s // size} {name}s"
    return "second" if step_s == 1 else f"{step_s} seconds"
