"""Counts what faces do over a span of time, without data of any single face.

`summary.py` turns it into figures for MQTT, `sinks/history.py` and the reports keep one per minute. Time is counted
from step to step, for what was shown after the first of the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fer_edge.records import EventType, FaceEvent, FaceState
from fer_edge.tracking.signals import LASTED

NONE = "none"  # the key for faces without an expression
LOST_NS = 2_000_000_000  # steps further apart: the camera was lost in between
HEAT_ROWS, HEAT_COLUMNS = 9, 16  # of the map of where faces were, over the frame


class View(NamedTuple):
    """How one face is shown between two steps."""

    label: str  # or NONE
    reason: str | None  # why NONE
    cell: int | None  # of the heat map, row by row: where the middle of its box is
    zones: tuple[str, ...] = ()  # that contain it
    signals: tuple[tuple[str, bool | None, float | None], ...] = ()  # name, on, value; of those that are known
    reached: tuple[str, ...] = ()  # see FaceState.reached


def view(face: FaceState, size: tuple[int, int] | None = None) -> View:
    """How a face is shown in a frame of `size` (width, height) px; without a size it is nowhere on the map."""
    cell = None
    if size:
        box = face.track.box.normalised(*size)
        row = min(HEAT_ROWS - 1, int((box.y0 + box.y1) / 2 * HEAT_ROWS))
        column = min(HEAT_COLUMNS - 1, int((box.x0 + box.x1) / 2 * HEAT_COLUMNS))
        cell = row * HEAT_COLUMNS + column
    each = face.track.signals.items()
    signals = tuple((name, state.on, state.value) for name, state in each if state.known)
    return View(face.expression or NONE, face.reason and face.reason.value, cell, face.zones, signals, face.reached)


@dataclass(slots=True)
class ZoneCounter:
    """The counters of a zone."""

    entered: set[int] = field(default_factory=set)  # track ids, so that a face that comes and goes is one visitor
    visits: int = 0
    left: int = 0  # visits that ended
    dwell_s: float = 0.0  # theirs, together
    most_faces: int = 0
    shown_ns: Counter[str] = field(default_factory=Counter)  # label or NONE -> face-nanoseconds within it

    def add_event(self, event: FaceEvent) -> None:
        """Count a visit that begins or ends."""
        if event.event_type is EventType.ENTER:
            self.entered.add(event.track_id)
            self.visits += 1
        else:
            self.left += 1
            self.dwell_s += event.zone_dwell_s or 0.0


@dataclass(slots=True)
class SignalCounter:
    """The counters of a signal (tracking/signals)."""

    faces: int = 0  # with which it was on for the first time
    lasting: int = 0  # that it lasted with
    on_ns: int = 0  # face-nanoseconds
    known_ns: int = 0
    sum_ns: float = 0.0  # values of a level, each times its face-nanoseconds


@dataclass(slots=True)
class FaceTimeCounter:
    """The counters. Times are ns of whatever clock the steps have."""

    start_ns: int
    end_ns: int = 0  # observed until
    visitors: int = 0
    left: int = 0  # faces that ended
    dwell_s: float = 0.0  # theirs, together
    most_faces: int = 0
    watched_ns: int = 0
    shown_ns: Counter[str] = field(default_factory=Counter)  # label or NONE -> face-nanoseconds
    abstained_ns: Counter[str] = field(default_factory=Counter)  # reason -> those of NONE
    heat_ns: Counter[int] = field(default_factory=Counter)  # cell -> face-nanoseconds
    zones: dict[str, ZoneCounter] = field(default_factory=dict)  # by name, those in which there was something to count
    signals: dict[str, SignalCounter] = field(default_factory=dict)  # by name, those that were known of a face

    def zone(self, name: str) -> ZoneCounter:
        """A zone's counters."""
        return self.zones.setdefault(name, ZoneCounter())

    def signal(self, name: str) -> SignalCounter:
        """A signal's counters."""
        return self.signals.setdefault(name, SignalCounter())

    def add_time(self, shown: Sequence[View], from_ns: int, to_ns: int) -> None:
        """Count the time between two steps; `shown`: every face after the first of them."""
        elapsed_ns = to_ns - from_ns
        if not 0 < elapsed_ns <= LOST_NS:
            return
        self.watched_ns += elapsed_ns
        self.end_ns = to_ns
        for each in shown:
            self.shown_ns[each.label] += elapsed_ns
            if each.cell is not None:
                self.heat_ns[each.cell] += elapsed_ns
            if each.reason:
                self.abstained_ns[each.reason] += elapsed_ns
            for name in each.zones:
                self.zone(name).shown_ns[each.label] += elapsed_ns
            self._add_signals(each, elapsed_ns)

    def _add_signals(self, shown: View, elapsed_ns: int) -> None:
        for name, on, value in shown.signals:
            counter = self.signal(name)
            counter.known_ns += elapsed_ns
            counter.on_ns += elapsed_ns if on else 0
            counter.sum_ns += (value or 0.0) * elapsed_ns

    def add_step(self, events: Sequence[FaceEvent], shown: Sequence[View]) -> None:
        """Count who came, who left and who is there."""
        ends = [event.dwell_s for event in events if event.event_type is EventType.END]
        self.visitors += sum(event.event_type is EventType.START for event in events)
        self.left += len(ends)
        self.dwell_s += sum(ends)
        self.most_faces = max(self.most_faces, len(shown))
        for event in events:
            if event.zone is not None:
                self.zone(event.zone).add_event(event)
        for name, faces in Counter(name for each in shown for name in each.zones).items():
            self.zone(name).most_faces = max(self.zone(name).most_faces, faces)
        for name in (name for each in shown for name in each.reached):
            counter = self.signal(name.rstrip(LASTED))
            counter.lasting += name.endswith(LASTED)
            counter.faces += not name.endswith(LASTED)
