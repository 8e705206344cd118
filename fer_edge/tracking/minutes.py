"""What was seen, per minute: the content of the history and of reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec

from fer_edge.records import FaceEvent, Update
from fer_edge.tracking.counters import FaceTimeCounter, SignalCounter, View, ZoneCounter, view

MINUTE_SECONDS = 60

K = TypeVar("K")
Part = TypeVar("Part")


class SignalMinute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The same of a signal (tracking/signals)."""

    faces: int = 0  # with which it was on for the first time
    lasting: int = 0  # that it lasted with
    on_s: float = 0.0  # face-seconds
    known_s: float = 0.0
    sum_s: float = 0.0  # values of a level, each times its face-seconds


class ZoneMinute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The same of a zone."""

    visits: int = 0  # that began in it; a face that comes and goes has several
    left: int = 0  # visits that ended in it
    dwell_s: float = 0.0  # of those that ended, together
    most_faces: int = 0
    shown_s: dict[str, float] = {}  # label or "none" -> face-seconds within the zone

    @property
    def faces_s(self) -> float:
        """Face-seconds in all."""
        return sum(self.shown_s.values())


class Minute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sums over a minute, or over its observed part, without data of any single face."""

    begin_s: int  # a multiple of 60 since the epoch; in films of the maker's unit
    watched_s: float = 0.0
    visitors: int = 0  # faces that started in it
    left: int = 0  # faces that ended in it
    dwell_s: float = 0.0  # of those that ended, together
    most_faces: int = 0
    shown_s: dict[str, float] = {}  # label or "none" -> face-seconds; msgspec copies it
    abstained_s: dict[str, float] = {}  # reason -> those of "none"
    heat_s: dict[int, float] = {}  # cell of the heat map -> face-seconds
    zones: dict[str, ZoneMinute] = {}  # by name, those in which something happened
    signals: dict[str, SignalMinute] = {}  # by name, those that were known of a face
    synced: bool = True  # whether the clock was

    @property
    def faces_s(self) -> float:
        """Face-seconds in all."""
        return sum(self.shown_s.values())


class EventRow(NamedTuple):
    """An event, as far as reports need it."""

    at_s: float  # on the same clock as the minutes
    run: str  # track ids are unique within a run of the daemon only
    track_id: int
    kind: str  # as in EventType
    expression: str | None
    reason: str | None  # why it is None
    dwell_s: float  # of an enter or leave: in the zone
    zone: str = ""  # that was entered or left


@dataclass(frozen=True, slots=True)
class Step:
    """An update's faces, without its pictures."""

    at_s: float  # by the clock that minutes are counted by
    mono_ns: int  # by the one that durations are
    shown: tuple[View, ...]
    events: tuple[FaceEvent, ...]


def step_of(update: Update, *, at_s: float, mono_ns: int) -> Step:
    """An update's step; without a frame the camera is lost and nobody is in view."""
    size = (update.frame.width, update.frame.height) if update.frame else None
    return Step(at_s, mono_ns, tuple(view(face, size) for face in update.faces if face.in_view), update.events)


def moments(step: Step, run: str) -> list[EventRow]:
    """The events of a step."""
    return [
        EventRow(
            at_s=step.at_s,
            run=run,
            track_id=event.track_id,
            kind=event.event_type.value,
            expression=event.expression,
            reason=event.reason and event.reason.value,
            dwell_s=event.dwell_s if event.zone is None else event.zone_dwell_s or 0.0,
            zone=event.zone or "",
        )
        for event in step.events
    ]


@dataclass(slots=True)
class MinuteMaker:
    """Steps -> minutes. The time between two steps goes to the minute of the earlier one. Its fields are what a process
    that continues in its place needs."""

    seconds: int = MINUTE_SECONDS  # films use shorter steps
    tally: FaceTimeCounter | None = None  # of the current minute
    begin_s: int = 0
    last: Step | None = None

    def add(self, step: Step) -> Minute | None:
        """Process a step; returns the minute that it completes, or None."""
        begin_s = int(step.at_s // self.seconds) * self.seconds
        if self.tally and self.last:
            self.tally.add_time(self.last.shown, self.last.mono_ns, step.mono_ns)
        over = self.finish() if begin_s != self.begin_s else None
        if self.tally is None:
            self.tally, self.begin_s = FaceTimeCounter(step.mono_ns), begin_s
        self.tally.add_step(step.events, step.shown)
        self.last = step
        return over

    def finish(self) -> Minute | None:
        """The current minute so far."""
        tally, self.tally = self.tally, None
        return _minute(tally, self.begin_s) if tally else None


def added(minutes: Iterable[Minute], begin_s: int) -> Minute:
    """Several minutes, or parts of one, as one."""
    each = list(minutes)
    return Minute(
        begin_s=begin_s,
        watched_s=sum(minute.watched_s for minute in each),
        visitors=sum(minute.visitors for minute in each),
        left=sum(minute.left for minute in each),
        dwell_s=sum(minute.dwell_s for minute in each),
        most_faces=max((minute.most_faces for minute in each), default=0),
        shown_s=_sums([minute.shown_s for minute in each]),
        abstained_s=_sums([minute.abstained_s for minute in each]),
        heat_s=_sums([minute.heat_s for minute in each]),
        zones=_zones([minute.zones for minute in each]),
        signals=_signals([minute.signals for minute in each]),
        synced=all(minute.synced for minute in each),
    )


def _by_name(each: Sequence[Mapping[str, Part]]) -> dict[str, list[Part]]:
    """What the same name has in several minutes."""
    found: defaultdict[str, list[Part]] = defaultdict(list)
    for parts in each:
        for name, part in parts.items():
            found[name].append(part)
    return found


def _signals(each: Sequence[Mapping[str, SignalMinute]]) -> dict[str, SignalMinute]:
    return {
        name: SignalMinute(
            faces=sum(part.faces for part in parts),
            lasting=sum(part.lasting for part in parts),
            on_s=sum(part.on_s for part in parts),
            known_s=sum(part.known_s for part in parts),
            sum_s=sum(part.sum_s for part in parts),
        )
        for name, parts in _by_name(each).items()
    }


def _zones(each: Sequence[Mapping[str, ZoneMinute]]) -> dict[str, ZoneMinute]:
    return {
        name: ZoneMinute(
            visits=sum(part.visits for part in parts),
            left=sum(part.left for part in parts),
            dwell_s=sum(part.dwell_s for part in parts),
            most_faces=max(part.most_faces for part in parts),
            shown_s=_sums([part.shown_s for part in parts]),
        )
        for name, parts in _by_name(each).items()
    }


def _sums(each: Sequence[Mapping[K, float]]) -> dict[K, float]:
    sums: defaultdict[K, float] = defaultdict(float)
    for mapping in each:
        for key, seconds in mapping.items():
            sums[key] += seconds
    return dict(sums)


def _minute(tally: FaceTimeCounter, begin_s: int) -> Minute:
    return Minute(
        begin_s=begin_s,
        watched_s=round(tally.watched_ns / 1e9, 3),
        visitors=tally.visitors,
        left=tally.left,
        dwell_s=round(tally.dwell_s, 3),
        most_faces=tally.most_faces,
        shown_s=_seconds(tally.shown_ns),
        abstained_s=_seconds(tally.abstained_ns),
        heat_s=_seconds(tally.heat_ns),
        signals={name: _signal_minute(counter) for name, counter in tally.signals.items()},
        zones={name: _zone_minute(counter) for name, counter in tally.zones.items()},
    )


def _zone_minute(counter: ZoneCounter) -> ZoneMinute:
    return ZoneMinute(
        visits=counter.visits,
        left=counter.left,
        dwell_s=round(counter.dwell_s, 3),
        most_faces=counter.most_faces,
        shown_s=_seconds(counter.shown_ns),
    )


def _signal_minute(counter: SignalCounter) -> SignalMinute:
    return SignalMinute(
        faces=counter.faces,
        lasting=counter.lasting,
        on_s=round(counter.on_ns / 1e9, 3),
        known_s=round(counter.known_ns / 1e9, 3),
        sum_s=round(counter.sum_ns / 1e9, 3),
    )


def _seconds(spent_ns: Mapping[K, int]) -> dict[K, float]:
    return {key: round(spent / 1e9, 3) for key, spent in spent_ns.items()}
