"""The content of a report: minutes and visits over a period, and the figures made of them."""

from __future__ import annotations

import bisect
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fer_edge.commands.report.rhythm import LEAST_WATCHED_S
from fer_edge.records import LABELS
from fer_edge.runtime.time_text import local
from fer_edge.tracking.minutes import MINUTE_SECONDS, EventRow, Minute, SignalMinute, added

STEPS_SECONDS = (1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400)
"""How long a bar of a chart may be; those below a minute are for films."""

STAYS_SECONDS = {"to 2 s": 2, "to 5 s": 5, "to 10 s": 10, "to 30 s": 30, "to 1 min": 60} | {
    "to 2 min": 120, "to 5 min": 300, "to 15 min": 900, "longer": math.inf
}  # fmt: skip

MOST_BARS = 90

LEAST_SHARE = 0.005
"""Of an expression: smaller ones are 0 %, and have neither a bar nor a line."""

NOTHING = "–"
"""Stands for a figure of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a visit with one expression, or with none."""

    begin_s: float
    end_s: float
    expression: str | None
    reason: str | None  # why there is none


@dataclass(frozen=True, slots=True)
class Visit:
    """One face from its start to its end."""

    name: str  # as in "#3"
    segments: tuple[Segment, ...]
    dwell_s: float  # since it came, which may be before the period
    ended: bool  # False: it was still there when the period was over

    @property
    def begin_s(self) -> float:
        """When it came."""
        return self.segments[0].begin_s

    @property
    def end_s(self) -> float:
        """When it left, or was heard of last."""
        return self.segments[-1].end_s


class PictureRow(NamedTuple):
    """A picture, and what its faces showed."""

    name: str
    faces: list[str]  # expressions, or why there is none


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """A period."""

    title: str
    name: str  # short: of its column
    begin_s: float
    end_s: float
    minutes: Sequence[Minute] = ()
    minute_s: int = MINUTE_SECONDS  # how long these are
    visits: Sequence[Visit] = ()
    wall: bool = True  # times are of the epoch; False: seconds of a film
    notes: Sequence[str] = field(default=())  # what a reader should know, as of damaged frames
    pictures: Sequence[PictureRow] | None = None  # each for itself; a second counts one

    @property
    def total(self) -> Minute:
        """All minutes as one."""
        return added(self.minutes, int(self.begin_s))


def visits(events: Iterable[EventRow], *, begin_s: float = 0.0, end_s: float | None = None) -> list[Visit]:
    """Events of a period in their order -> visits by when they began.

    A face whose start lies before the period, which begins at `begin_s`, begins with what is heard of it first. One of
    the last run that has not ended was there until `end_s` at least, where that is known.
    """
    open_: dict[tuple[str, int], list[EventRow]] = {}
    found, run = [], ""
    for event in events:
        if event.zone:
            continue
        run = event.run
        open_.setdefault((run, event.track_id), []).append(event)
        if event.kind == "end":
            found.append(_ended(open_.pop((run, event.track_id)), begin_s))
    found += [_open(own, end_s if own[0].run == run else None) for own in open_.values()]
    return sorted(found, key=lambda visit: visit.begin_s)


def _ended(events: Sequence[EventRow], begin_s: float) -> Visit:
    """A face that was last seen some time before its end event."""
    first, last = events[0], events[-1]
    if len(events) == 1:  # all the while it showed what its end has
        return _visit(events, [max(begin_s, last.at_s - last.dwell_s), last.at_s], last.dwell_s, ended=True)
    came_s = _came_s(first)
    gone_s = min(last.at_s, came_s + last.dwell_s) if first.kind == "start" else last.at_s
    return _visit(events[:-1], [came_s, *(event.at_s for event in events[1:-1]), gone_s], last.dwell_s, ended=True)


def _open(events: Sequence[EventRow], end_s: float | None) -> Visit:
    last = events[-1]
    until_s = last.at_s if end_s is None else max(last.at_s, end_s)
    times = [_came_s(events[0]), *(event.at_s for event in events[1:]), until_s]
    return _visit(events, times, last.dwell_s + until_s - last.at_s, ended=False)


def _came_s(first: EventRow) -> float:
    return first.at_s - (first.dwell_s if first.kind == "start" else 0.0)


def _visit(events: Sequence[EventRow], times: Sequence[float], dwell_s: float, *, ended: bool) -> Visit:
    """Each event's expression held until the next of `times`, which has one more."""
    segments = [
        Segment(start, max(start, end), event.expression, event.reason)
        for event, start, end in zip(events, times, times[1:], strict=False)
    ]
    return Visit(f"#{events[0].track_id}", tuple(_joined(segments)), dwell_s, ended)


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbours that show the same as one."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and joined[-1].expression == segment.expression and joined[-1].reason == segment.reason:
            segment = Segment(joined.pop().begin_s, segment.end_s, segment.expression, segment.reason)
        joined.append(segment)
    return joined


def stay_counts(visits: Sequence[Visit]) -> list[tuple[str, int]]:
    """How many of the visits that ended lasted how long; empty classes at both ends are left out."""
    found = [bisect.bisect_left(list(STAYS_SECONDS.values()), visit.dwell_s) for visit in visits if visit.ended]
    names = list(STAYS_SECONDS)
    return [(names[number], found.count(number)) for number in range(min(found), max(found) + 1)] if found else []


@dataclass(frozen=True, slots=True)
class Figures:
    """A period in numbers. None: nothing to say it of."""

    watched_s: float
    faces_s: float
    visitors: int
    mean_dwell_s: float | None
    median_dwell_s: float | None  # of the visits that ended in the period
    most_faces: int
    mean_faces: float | None
    judged_share: float | None  # of the face time
    shares: dict[str, float]  # label -> share of the judged time
    abstained: dict[str, float]  # reason -> share of the face time
    signals: dict[str, SignalMinute]  # name -> sums over the period

    @property
    def per_hour(self) -> float | None:
        """Faces that came per watched hour; None: hardly anything was watched."""
        return self.visitors / self.watched_s * 3600 if self.watched_s >= LEAST_WATCHED_S else None


def figures(story: ReportData) -> Figures:
    """The figures of a period."""
    total = story.total
    judged_s = sum(total.shown_s.get(label, 0.0) for label in LABELS)
    dwells = [visit.dwell_s for visit in story.visits if visit.ended]
    return Figures(
        watched_s=total.watched_s,
        faces_s=total.faces_s,
        visitors=total.visitors,
        mean_dwell_s=total.dwell_s / total.left if total.left else None,
        median_dwell_s=statistics.median(dwells) if dwells else None,
        most_faces=total.most_faces,
        mean_faces=total.faces_s / total.watched_s if total.watched_s else None,
        judged_share=judged_s / total.faces_s if total.faces_s else None,
        shares={label: total.shown_s.get(label, 0.0) / judged_s if judged_s else 0.0 for label in LABELS},
        abstained={
            reason: seconds / total.faces_s
            for reason, seconds in sorted(total.abstained_s.items(), key=lambda item: -item[1])
        },
        signals=total.signals,
    )


def bars(story: ReportData) -> tuple[int, list[Minute]]:
    """The period in equal steps, at most MOST_BARS: how many seconds a step has, and each as one minute; steps that
    nobody watched have `watched_s` 0."""
    length_s = story.end_s - story.begin_s
    steps = [step for step in STEPS_SECONDS if step >= story.minute_s]
    whole = steps[-1] * math.ceil(length_s / steps[-1] / MOST_BARS)  # some weeks
    step_s = next((step for step in steps if length_s / step <= MOST_BARS), whole)
    zone_s = _utc_offset_s(story.begin_s) if story.wall else 0  # days begin at midnight here

    def step_of(at_s: float) -> int:
        return int((at_s + zone_s) // step_s * step_s - zone_s)

    groups: defaultdict[int, list[Minute]] = defaultdict(list)
    for minute in story.minutes:
        groups[step_of(minute.begin_s)].append(minute)
    first = step_of(story.begin_s)
    return step_s, [
        added(groups.get(at, ()), at) for at in range(first, max(first + 1, math.ceil(story.end_s)), step_s)
    ]


def _utc_offset_s(at_s: float) -> int:
    offset = local(at_s).utcoffset()
    return round(offset.total_seconds()) if offset else 0
