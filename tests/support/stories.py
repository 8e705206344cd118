"""Minutes and events that reports are made of."""

from __future__ import annotations

from typing import Any

from fer_edge.commands.report.summary import (
    ReportData,
    visits,
)
from fer_edge.tracking.minutes import EventRow, Minute

DAY = 86_400


def event_row(
    at_s: float, kind: str, expression: str | None = "neutral", *, track: int = 1, dwell_s: float = 0.0
) -> EventRow:
    return EventRow(at_s, "run", track, kind, expression, None if expression else "turned", dwell_s)


def story(minutes: list[Minute] | None = None, events: list[EventRow] | None = None, **more: Any) -> ReportData:
    fields: dict[str, Any] = {"title": "A hall", "name": "this period", "begin_s": 0.0, "end_s": 600.0, "wall": False}
    return ReportData(minutes=minutes or [], visits=visits(events or []), **(fields | more))


MINUTES = [
    Minute(
        begin_s=60,
        watched_s=60.0,
        visitors=2,
        left=2,
        dwell_s=40.0,
        most_faces=2,
        shown_s={"neutral": 30.0, "happiness": 10.0, "none": 10.0},
        abstained_s={"turned": 8.0, "uncertain": 2.0},
        heat_s={20: 50.0},
    ),
    Minute(begin_s=120, watched_s=40.0, visitors=1, most_faces=1, shown_s={"neutral": 20.0}, heat_s={21: 20.0}),
]


EVENTS = [
    event_row(62.0, "start", dwell_s=0.5),
    event_row(70.0, "update", "happiness", dwell_s=8.5),
    event_row(75.0, "update", "happiness", dwell_s=13.5),  # a heartbeat
    event_row(80.0, "start", None, track=2),
    event_row(83.0, "end", "happiness", dwell_s=20.0),
    event_row(130.0, "update", None, track=2, dwell_s=50.0),
]
