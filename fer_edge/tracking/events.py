"""Turns tracks into start, update and end events.

A face starts once it has been seen for `confirm_seconds`; its expression is committed when its smoothed
probability reaches `enter`, kept until that falls below `leave` or another one reaches `enter` and passes it, and
replaced only when the new state has lasted `dwell_seconds`. Neutral is not committed while the negative expressions
together reach `neutral_doubt`. Every start is followed by exactly one end. In between, a face enters and leaves zones:
every enter is followed by exactly one leave of the same zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fer_edge.config import Events as EventsConfig
from fer_edge.config import Zone
from fer_edge.records import LABELS, NEGATIVE, EventType, Expression, FaceEvent, FaceState, Reason, Track
from fer_edge.tracking.signals import milestones
from fer_edge.tracking.zones import ZoneMap

NEUTRAL = "neutral"
_NEGATIVE = np.array([LABELS.index(each) for each in NEGATIVE])

Decision = tuple[str | None, Reason | None]
"""An expression, or None and why there is none."""


@dataclass(slots=True)
class OpenFace:
    """A face that has started and not ended."""

    track: Track
    decision: Decision
    last_event_ns: int  # its last event
    rival: str | None = None  # a decision that may take over ...
    rival_ns: int | None = None  # ... and since when it holds
    entered_ns: dict[str, int] = field(default_factory=dict)  # zone that contains it -> since when
    reached: tuple[str, ...] = ()  # of its signals, so far: see FaceState.reached


@dataclass(frozen=True, slots=True)
class EventsSnapshot:
    """What was reported."""

    open: tuple[OpenFace, ...]
    seq: int


class PendingEvent(NamedTuple):
    """An event to be reported."""

    kind: EventType
    face: OpenFace
    previous: str | None  # the expression before
    zone: str | None = None
    zone_dwell_s: float | None = None


class EventStateMachine:
    """Tracks -> events and the state of all confirmed faces. Holds the committed expressions."""

    def __init__(
        self,
        config: EventsConfig,
        *,
        confirm_seconds: float,
        landmarks: bool = False,
        zones: Mapping[str, Zone] | None = None,
    ) -> None:
        """`landmarks`: whether events may carry them (privacy.landmarks)."""
        self.configure(config, confirm_seconds=confirm_seconds, zones=zones)
        self._landmarks = landmarks
        self._open: dict[int, OpenFace] = {}
        self._seq = 0

    def configure(
        self, config: EventsConfig, *, confirm_seconds: float, zones: Mapping[str, Zone] | None = None
    ) -> None:
        """Apply other thresholds, times and zones."""
        self._config, self._confirm_ns, self._zones = config, confirm_seconds * 1e9, ZoneMap(zones or {})

    def snapshot(self) -> EventsSnapshot:
        """The state derived from tracks; for another process, as open faces are not copied."""
        return EventsSnapshot(tuple(self._open.values()), self._seq)

    def restore(self, memory: EventsSnapshot) -> None:
        """Continue from such a state."""
        self._open = {face.track.id: face for face in memory.open}
        self._seq = memory.seq

    def update(
        self, tracks: Sequence[Track], now_ns: int, *, width: int, height: int
    ) -> tuple[tuple[FaceEvent, ...], tuple[FaceState, ...]]:
        """Process a step's tracks.

        Args:
            tracks: all tracks, hidden ones too; one that is missing has ended.
            now_ns: the frame's time.
            width: of the frame in px, to normalise coordinates.
            height: of the frame in px.

        """
        size = (width, height)
        here = {track.id: track for track in tracks}
        pending: list[PendingEvent] = []
        for id_ in sorted(self._open.keys() - here.keys()):
            face = self._open.pop(id_)
            pending += [
                *_leave(face, list(face.entered_ns), face.track.last_ns),
                PendingEvent(EventType.END, face, None),
            ]
        for track in tracks:
            pending += self._follow(track, now_ns)
            pending += self._move(self._open.get(track.id), now_ns, size)
        return tuple(self._event(each, now_ns, size) for each in pending), self._states()

    def end_all(self, now_ns: int, *, width: int, height: int) -> tuple[FaceEvent, ...]:
        """End every open face: shutdown, or the camera is lost. `width`, `height`: of the last frame, px."""
        events, _ = self.update((), now_ns, width=width, height=height)
        return events

    def _follow(self, track: Track, now_ns: int) -> list[PendingEvent]:
        """The events of a face in view, apart from its zones."""
        face = self._open.get(track.id)
        if face is None:
            if track.misses or track.hits < 2 or track.last_ns - track.first_ns < self._confirm_ns:
                return []
            face = self._open[track.id] = OpenFace(track, self.decide(track), now_ns)
            return [PendingEvent(EventType.START, face, None)]
        face.track = track
        previous = face.decision[0]
        if not track.misses and self._commit(face, now_ns):
            face.last_event_ns = now_ns
            return [PendingEvent(EventType.UPDATE, face, previous)]
        heartbeat_ns = self._config.heartbeat_seconds * 1e9
        if heartbeat_ns and now_ns - face.last_event_ns >= heartbeat_ns:
            face.last_event_ns = now_ns
            return [PendingEvent(EventType.UPDATE, face, previous)]
        return []

    def _move(self, face: OpenFace | None, now_ns: int, size: tuple[int, int]) -> Iterator[PendingEvent]:
        """The zones that a face leaves and enters. A hidden face stays where it was."""
        if face is None or face.track.misses or not (self._zones or face.entered_ns):
            return
        now_in = self._zones.around(face.track.box, size, before=face.entered_ns)
        yield from _leave(face, [name for name in face.entered_ns if name not in now_in], now_ns)
        for name in now_in:
            if name not in face.entered_ns:
                face.entered_ns[name] = now_ns
                yield PendingEvent(EventType.ENTER, face, face.decision[0], name)

    def _commit(self, face: OpenFace, now_ns: int) -> bool:
        """Let a new decision take over once it has lasted; returns whether the expression changed."""
        label, reason = self.decide(face.track, committed=face.decision[0])
        if label == face.decision[0]:
            face.decision, face.rival_ns = (label, reason), None
            return False
        if face.rival_ns is None or face.rival != label:
            face.rival, face.rival_ns = label, now_ns
        if now_ns - face.rival_ns < self._config.dwell_seconds * 1e9:
            return False
        face.decision, face.rival_ns = (label, reason), None
        return True

    def decide(self, track: Track, *, committed: str | None = None) -> Decision:
        """A track's decision now, with hysteresis in favour of the committed expression."""
        if track.quality.reason is not None:
            return None, track.quality.reason
        if track.expression is None:
            return None, Reason.UNCERTAIN
        top, confidence = track.expression.label, track.expression.confidence
        if confidence >= self._config.enter and not self._doubtful(top, track.expression):
            return top, None
        held = committed is not None and track.expression.probabilities[LABELS.index(committed)] >= self._config.leave
        if committed and held and not self._doubtful(committed, track.expression):
            return committed, None
        return None, Reason.UNCERTAIN

    def _doubtful(self, label: str, expression: Expression) -> bool:
        """Whether a face classified as neutral may as well be sad, angry, disgusted, afraid or contemptuous."""
        if label != NEUTRAL:
            return False
        return float(np.add.reduce(expression.probabilities.take(_NEGATIVE))) >= self._config.neutral_doubt

    def _event(self, pending: PendingEvent, now_ns: int, size: tuple[int, int]) -> FaceEvent:
        """Make a numbered event."""
        self._seq += 1
        track, (label, reason) = pending.face.track, pending.face.decision
        judged = track.expression if reason in (None, Reason.UNCERTAIN) else None
        confidence = 0.0 if judged is None else judged.confidence
        if judged is not None and label is not None:
            confidence = float(judged.probabilities[LABELS.index(label)])
        return FaceEvent(
            event_type=pending.kind,
            seq=self._seq,
            track_id=track.id,
            mono_ns=now_ns,
            expression=label,
            confidence=confidence,
            probabilities=None if judged is None else judged.probabilities,
            previous=label if pending.kind is EventType.END else pending.previous,
            dwell_s=(track.last_ns - track.first_ns) / 1e9,
            box=track.box.normalised(*size),
            landmarks=np.asarray(track.landmarks.points / size, np.float32) if self._landmarks else None,
            pose=track.landmarks.pose,
            quality=track.quality,
            reason=reason,
            face_count=sum(not face.track.misses for face in self._open.values()),
            zones=tuple(pending.face.entered_ns) if self._zones or pending.zone else None,
            zone=pending.zone,
            zone_dwell_s=pending.zone_dwell_s,
            signals=track.signals,
        )

    def _states(self) -> tuple[FaceState, ...]:
        faces = self._open.values()
        return tuple(FaceState(face.track, *face.decision, tuple(face.entered_ns), _reached(face)) for face in faces)


def _leave(face: OpenFace, zones: Sequence[str], until_ns: int) -> list[PendingEvent]:
    """A face is in these zones no longer."""
    stayed = [(zone, (until_ns - face.entered_ns.pop(zone)) / 1e9) for zone in zones]
    return [PendingEvent(EventType.LEAVE, face, face.decision[0], zone, max(0.0, dwell)) for zone, dwell in stayed]


def _reached(face: OpenFace) -> tuple[str, ...]:
    """What its signals have reached since the last call."""
    if face.track.misses or not face.track.signals:
        return ()
    new = tuple(name for name in milestones(face.track.signals) if name not in face.reached)
    face.reached += new
    return new
