"""A report: one HTML file with everything in it. `fer-edge report` makes it of the daemon's history, `fer-edge analyze
--report` of a film. Needs the extra `report` (matplotlib and Jinja2)."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge import __version__
from fer_edge.commands.report.differences import Verdicts, differences
from fer_edge.commands.report.rhythm import in_words
from fer_edge.commands.report.summary import NOTHING, Figures, ReportData, Visit, bars, figures, stay_counts
from fer_edge.commands.report.wording import (
    busiest_text,
    came_words,
    heat_words,
    judged_text,
    ranges,
    rate_text,
    rhythms,
    share_text,
    share_words,
    stay_text,
    stays_text,
    why_text,
)
from fer_edge.config import Models
from fer_edge.errors import ReportError
from fer_edge.records import LABELS, Reason, reason_words
from fer_edge.runtime.atomic_file import FOR_ALL, replace_file
from fer_edge.runtime.time_text import clock_text, span_text
from fer_edge.tracking.counters import HEAT_COLUMNS, HEAT_ROWS, NONE
from fer_edge.tracking.minutes import Minute, SignalMinute, ZoneMinute
from fer_edge.tracking.signals import SIGNALS
from fer_edge.tracking.signals.signal import Signal
from fer_edge.vision.model_card import models_folder

LONGEST_STAYS = 10
THUMBNAIL_PX = 320  # wide
ROLES = ("detector", "landmarks", "expression")
QUALITY = {
    "detector": "AP at IoU 0.5 {ap:.2f}, {fp_per_image:.2f} false faces a photo of a crowd",
    "landmarks": "mean error {nme51:.1%} of the distance between the eyes",
    "expression": "accuracy {accuracy:.1%}, macro-F1 {macro_f1:.2f}, calibration error {ece:.3f}",
}
"""Of a card's int8 metrics; docs/model-cards.md explains them."""


def write_report(
    path: Path, stories: Sequence[ReportData], models: Models, pictures: Sequence[tuple[str, bytes]] = ()
) -> None:
    """Write the page of a period; a second story is what it is compared with.

    Of each of the `pictures`: what it is of, and its JPEG.

    Raises:
        ReportError: the extra is not installed, or the file cannot be written.

    """
    try:
        replace_file(path, page(stories, models, pictures).encode(), mode=0o640 if pictures else FOR_ALL)
    except OSError as error:
        raise ReportError(f"{path}: cannot write the report: {error.strerror}; choose another file") from None


def load_libraries() -> tuple[Any, Any]:
    """The charts, which need matplotlib, and Jinja2. Raises ReportError where the extra is not installed."""
    try:
        return import_module("fer_edge.commands.report.charts"), import_module("jinja2")
    except ImportError as error:
        raise ReportError(
            f"a report needs {error.name}: pip install 'fer-edge[report]', "
            "or where fer-edge is a Debian package: sudo apt install python3-matplotlib python3-jinja2"
        ) from None


def page(stories: Sequence[ReportData], models: Models, pictures: Sequence[tuple[str, bytes]] = ()) -> str:
    """The HTML of a report. Raises ReportError where the extra is not installed."""
    charts, jinja = load_libraries()
    story = stories[0]
    columns = [(each.name, figures(each)) for each in stories]
    text = files("fer_edge.commands.report").joinpath("page.html").read_text(encoding="utf-8")
    template = jinja.Environment(autoescape=True, undefined=jinja.StrictUndefined).from_string(text)
    folder = models_folder(models.folder)
    cards = {role: _card(folder / f"{getattr(models, role)}.json") for role in ROLES}
    verdicts = Verdicts(*stories) if len(stories) == 2 else None
    return str(
        template.render(
            version=__version__,
            title=story.title,
            spans=[_span(each, alone=len(stories) == 1) for each in stories],
            notes=story.notes,
            columns=columns,
            figures=figure_rows(stories),
            differences=differences(stories, verdicts) if verdicts else [],
            how=verdicts.how if verdicts else "",
            faces=story.total.faces_s > 0,
            charts=_charts(charts, import_module("markupsafe").Markup, stories, columns),
            shares=_share_rows(columns, charts.share_labels(columns)),
            colours={label: charts.colour(label) for label in LABELS},
            rest=[label for label in LABELS if label not in charts.share_labels(columns)],
            pictures=[(what, _thumbnail(jpeg)) for what, jpeg in pictures],
            gaps=_has_gaps(story),
            busiest=busiest_text(story),
            visits=[_visit_row(visit, story) for visit in _table_visits(story)],
            stays_text=stays_text(story),
            stills=story.pictures,
            zones=_zone_rows(stories),
            heat_cells=f"{HEAT_COLUMNS} by {HEAT_ROWS}",
            heat_most=heat_words(story),
            sure=ranges(story),
            judged_text=judged_text(columns[0][1], still=story.pictures is not None),
            abstained=[(reason_words(reason), share) for reason, share in columns[0][1].abstained.items()],
            limits=_limits(cards["expression"]),
            models=[_model_row(card, role) for role, card in cards.items()],
        )
    )


SIGNAL_FIELDS = SignalMinute.__struct_fields__


def _charts(
    charts: Any, markup: Any, stories: Sequence[ReportData], columns: Sequence[tuple[str, Figures]]
) -> dict[str, Any]:
    """By name, the HTML of each chart that there is something to show in, which is safe, and the same in words."""
    found, story = {}, stories[0]
    if charts.share_labels(columns):
        of = "the judged time" if story.pictures is None else "the judged faces"
        found["share"] = (charts.share_chart(columns, of), share_words(columns, of))
    if any(story.total.heat_s.values()):
        found["heat"] = (charts.heat_chart(story.total), "Heat map: where in the picture faces were.")
    if story.pictures is None and (story.total.visitors or _has_gaps(story)):
        found["came"] = (charts.came_chart(story), came_words(story))
    if story.pictures is None and story.total.faces_s:
        what = "Bars: mean number of faces in view in each step of time, by what they showed."
        found["view"] = (charts.view_chart(story), what)
    if len(stay_counts(story.visits)) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in stay_counts(story.visits))
        found["stays"] = (charts.stay_chart(story.visits), f"Bars: how many faces stayed how long. {counts}.")
    if charts.shows_lines(story):
        what = "A line for each face from when it came to when it left, coloured by its expression."
        found["visits"] = (charts.visit_chart(story), what)
    for name, unit, slots in rhythms(story):
        what = f"Bars: arrivals per watched hour, by {unit}. {in_words(slots)}."
        found[name] = (charts.rhythm_chart(name, slots, unit), what)
    return {name: {"html": markup(html), "alt": alt} for name, (html, alt) in found.items()}


def _has_gaps(story: ReportData) -> bool:
    """Whether there is a step of the charts that nobody watched."""
    return any(not step.watched_s for step in bars(story)[1])


def minutes_csv(minutes: Sequence[Minute], *, wall: bool = True) -> str:
    """The minutes as CSV, one a row; times in seconds, to a thousandth, and of faces together."""
    reasons = [reason.value for reason in Reason]
    names = [name for name in SIGNALS if any(name in minute.signals for minute in minutes)]
    zones = sorted({name for minute in minutes for name in minute.zones})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["begin", "watched_s", "visitors", "left", "dwell_s", "most_faces", "clock_synced"]
        + [f"{label}_s" for label in (*LABELS, NONE)]
        + [f"{reason}_s" for reason in reasons]
        + [f"{name}_{field}" for name in names for field in SIGNAL_FIELDS]
        + [f"zone_{name}_{what}" for name in zones for what in ("visits", "left", "dwell_s", "most_faces", "faces_s")]
    )
    for minute in minutes:
        writer.writerow(
            [clock_text(minute.begin_s, wall=wall), round(minute.watched_s, 3), minute.visitors, minute.left]
            + [round(minute.dwell_s, 3), minute.most_faces, int(minute.synced)]
            + [round(minute.shown_s.get(label, 0.0), 3) for label in (*LABELS, NONE)]
            + [round(minute.abstained_s.get(reason, 0.0), 3) for reason in reasons]
            + [round(getattr(minute.signals.get(n, SignalMinute()), f), 3) for n in names for f in SIGNAL_FIELDS]
            + [cell for name in zones for cell in _zone_cells(minute.zones.get(name, ZoneMinute()))]
        )
    return file.getvalue()


def _zone_cells(zone: ZoneMinute) -> list[float]:
    return [zone.visits, zone.left, round(zone.dwell_s, 3), zone.most_faces, round(zone.faces_s, 3)]


def _zone_rows(stories: Sequence[ReportData]) -> list[list[str]]:
    """Zone, period where there are several, and its figures."""
    totals = [(story.name, story.total) for story in stories]
    names = sorted({name for _, total in totals for name in total.zones})
    return [
        [f"{name}, {period}" if len(totals) > 1 else name, *_zone_figures(total.zones.get(name, ZoneMinute()), total)]
        for name in names
        for period, total in totals
    ]


def _zone_figures(zone: ZoneMinute, total: Minute) -> list[str]:
    judged_s = {label: zone.shown_s.get(label, 0.0) for label in LABELS}
    most, all_s = max(judged_s, key=judged_s.__getitem__), sum(judged_s.values())
    return [
        f"{zone.visits:,}",
        stay_text(zone.dwell_s / zone.left if zone.left else None),
        str(zone.most_faces),
        f"{zone.faces_s / total.watched_s:.2f}" if total.watched_s else NOTHING,
        span_text(zone.faces_s),
        f"{most}, {judged_s[most] / all_s:.0%}" if all_s else NOTHING,
    ]


def _thumbnail(jpeg: bytes) -> str:
    """A picture, smaller, as the address of an image."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is not None and (scale := THUMBNAIL_PX / image.shape[1]) < 1:
        _, small = cv2.imencode(".jpg", cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        jpeg = small.tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _span(story: ReportData, *, alone: bool) -> str:
    if story.pictures is not None:
        return "Independent pictures: faces are not tracked from one to the next."
    if not story.wall:
        return f"{span_text(story.end_s)} of film"
    watched = span_text(story.total.watched_s)
    if alone:  # the title has the times
        return f"Watched for {watched} of {span_text(story.end_s - story.begin_s)}."
    begin, end = (clock_text(at, wall=story.wall, seconds=False) for at in (story.begin_s, story.end_s))
    return f"{story.name}: {begin} to {end}, of which {watched} were watched"


def figure_rows(stories: Sequence[ReportData]) -> list[list[str]]:
    """Name and, for each period, value."""
    each = [figures(story) for story in stories]
    if stories[0].pictures is not None:
        return _picture_rows(stories[0], each[0])
    rows: list[tuple[str, list[str]]] = [
        ("faces that came", [f"{one.visitors:,}" for one in each]),
        ("came per watched hour", [rate_text(one) for one in each]),
        ("median stay", [stay_text(one.median_dwell_s) for one in each]),
        ("mean stay", [stay_text(one.mean_dwell_s) for one in each]),
        ("most faces at once", [str(one.most_faces) for one in each]),
        ("faces in view, mean", [NOTHING if one.mean_faces is None else f"{one.mean_faces:.2f}" for one in each]),
        ("face time", [span_text(one.faces_s) for one in each]),
        ("face time that was judged", [share_text(one.judged_share) for one in each]),
        ("most shown expression", [_dominant(one) for one in each]),
    ]
    rows += [row for signal in SIGNALS.values() for row in _signal_rows(signal, each)]
    if len(each) > 1:  # else the heading has it
        rows.append(("watched", [span_text(one.watched_s) for one in each]))
    return _known([name, *values] for name, values in rows if stories[0].wall or name != "came per watched hour")


def _known(rows: Iterable[list[str]]) -> list[list[str]]:
    """Without those of which no period has anything to say."""
    return [row for row in rows if any(value != NOTHING for value in row[1:])]


def _signal_rows(signal: Signal, each: Sequence[Figures]) -> Iterator[tuple[str, list[str]]]:
    """Of a signal that was known in any of the periods."""
    known = [one.signals.get(signal.name, SignalMinute()) for one in each]
    if not any(one.known_s for one in known):
        return
    if signal.has_value:
        means = [f"{one.sum_s / one.known_s:{signal.form}}" if one.known_s else NOTHING for one in known]
        yield f"{signal.words}, mean", means
    if signal.switch is None:
        return
    came = [one.visitors for one in each]
    yield f"{signal.words}: faces", [_of(one.faces, count) for one, count in zip(known, came, strict=True)]
    lasting = [_of(one.lasting, count) for one, count in zip(known, came, strict=True)]
    yield f"{signal.words}: for long, added up", lasting
    yield f"{signal.words}: face time", [f"{span_text(one.on_s)}{_percent(one.on_s, one.known_s)}" for one in known]


def _of(number: int, all_of_them: int) -> str:
    return f"{number:,}{_percent(number, all_of_them)}"


def _percent(part: float, whole: float) -> str:
    return f", {part / whole:.0%}" if whole else ""


def _picture_rows(story: ReportData, one: Figures) -> list[list[str]]:
    pictures = story.pictures or ()
    return _known(
        [
            ["pictures", f"{len(pictures):,}"],
            ["with a face", f"{sum(bool(picture.faces) for picture in pictures):,}"],
            ["faces", f"{one.faces_s:,.0f}"],
            ["most in one picture", f"{one.most_faces:,}"],
            ["faces that were judged", share_text(one.judged_share)],
            ["most shown expression", _dominant(one)],
        ]
    )


def _dominant(one: Figures) -> str:
    label = max(LABELS, key=lambda each: one.shares[each])
    return f"{label}, {one.shares[label]:.0%}" if one.shares[label] else NOTHING


def _visit_row(visit: Visit, story: ReportData) -> tuple[str, str, str, str]:
    words = ((each.expression or why_text(each.reason), each.end_s - each.begin_s) for each in visit.segments)
    shown = [f"{what} {span_text(seconds)}" for what, seconds in words]
    more = f", and {len(shown) - 12} more" if len(shown) > 12 else ""
    stayed = span_text(visit.dwell_s) + ("" if visit.ended else " so far")
    return visit.name, clock_text(visit.begin_s, wall=story.wall), stayed, ", ".join(shown[:12]) + more


def _share_rows(columns: Sequence[tuple[str, Figures]], labels: Sequence[str]) -> list[tuple[str, list[str]]]:
    return [(label, [f"{100 * one.shares[label]:.1f} %" for _, one in columns]) for label in labels]


def _table_visits(story: ReportData) -> list[Visit]:
    return sorted(story.visits, key=lambda visit: -visit.dwell_s)[:LONGEST_STAYS]


def _card(path: Path) -> dict[str, Any]:
    """A model's card, with what is for people; empty where it cannot be read."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def _model_row(card: Mapping[str, Any], role: str) -> tuple[str, str, str]:
    """A model's card in a line; figures that a foreign card does not have are left out."""
    try:
        quality = QUALITY[role].format(**card["metrics"]["int8"])
    except (KeyError, TypeError, ValueError):
        quality = "–"
    return role, f"{card.get('name')}-{str(card.get('sha256'))[:12]}, {card.get('date', 'no date')}", quality


def _limits(card: Mapping[str, Any]) -> str:
    """What the expression model must not be used for, and its limits."""
    return " ".join(str(card[key]) for key in ("misuse", "limits") if key in card)
