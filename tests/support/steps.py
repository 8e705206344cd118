"""Steps at a time."""

from __future__ import annotations

from fer_edge.records import EventType
from fer_edge.tracking.counters import View
from fer_edge.tracking.minutes import Step
from tests.support.face_events import face_event

SECOND = 1_000_000_000


def step(at_s: float, *shown: View, events: tuple[EventType, ...] = ()) -> Step:
    reported = tuple(face_event(event_type=kind, dwell_s=4.0) for kind in events)
    return Step(at_s, round(at_s * SECOND), shown, reported)
