"""What is worth telling: tracks become start, update and end events.

A face starts once it has been seen for `confirm_seconds`; its expression is committed when its smoothed
probability reaches `enter`, kept until that falls below `leave` or another one reaches `enter` and passes it, and
replaced only when the new state has lasted `dwell_seconds`. Neutral is not committed while the negative expressions
together reach `neutral_doubt`. Every start is followed by exactly one end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_edge.config import Events as EventsConfig
from fer_edge.records import LABELS, NEGATIVE, EventType, Expression, FaceEvent, FaceState, Reason, Track
from fer_edge.tracking.signals import milestones

NEUTRAL = "neutral"

Decision = tuple[str | None, Reason | None]
"""An expression, or None and why there is none."""


@dataclass(slots=True)
class OpenFace:
    """A face that was started and has not ended."""

    track: Track
    decision: Decision
    last_event_ns: int  # its last event
    rival: str | None = None  # a verdict that may take over ...
    rival_ns: int | None = None  # ... and since when it is there
    reached: tuple[str, ...] = ()  # of its signals, so far: see FaceState.reached


@dataclass(frozen=True, slots=True)
class EventsSnapshot:
    """What was told."""

    open: tuple[OpenFace, ...]
    seq: int


PendingEvent = tuple[EventType, OpenFace, str | None]
"""An event to be told: what, of whom, and the expression before."""


class EventStateMachine:
    """Tracks -> events and the state of all confirmed faces. Holds the committed expressions."""

    def __init__(self, config: EventsConfig, *, confirm_seconds: float, landmarks: bool = False) -> None:
        """`landmarks`: whether events may carry them (privacy.landmarks)."""
        self.configure(config, confirm_seconds=confirm_seconds)
        self._landmarks = landmarks
        self._open: dict[int, OpenFace] = {}
        self._seq = 0

    def configure(self, config: EventsConfig, *, confirm_seconds: float) -> None:
        """Take over other thresholds and times."""
        self._config, self._confirm_ns = config, confirm_seconds * 1e9

    def snapshot(self) -> EventsSnapshot:
        """All that was learned from tracks; for another process, as open faces are not copied."""
        return EventsSnapshot(tuple(self._open.values()), self._seq)

    def restore(self, memory: EventsSnapshot) -> None:
        """Go on from there."""
        self._open = {face.track.id: face for face in memory.open}
        self._seq = memory.seq

    def update(
        self, tracks: Sequence[Track], now_ns: int, *, width: int, height: int
    ) -> tuple[tuple[FaceEvent, ...], tuple[FaceState, ...]]:
        """Take in a step's tracks.

        Args:
            tracks: all tracks, hidden ones too; one that is not among them any more has ended.
            now_ns: the frame's time.
            width: of the frame in px, to normalise coordinates.
            height: of the frame in px.

        """
        size = (width, height)
        here = {track.id: track for track in tracks}
        told: list[PendingEvent] = [
            (EventType.END, self._open.pop(id_), None) for id_ in sorted(self._open.keys() - here.keys())
        ]
        for track in tracks:
            told += self._follow(track, now_ns)
        events = tuple(self._event(kind, face, previous, now_ns, size) for kind, face, previous in told)
        return events, self._states()

    def end_all(self, now_ns: int, *, width: int, height: int) -> tuple[FaceEvent, ...]:
        """End every open face: shutdown, or the camera is gone."""
        events, _ = self.update((), now_ns, width=width, height=height)
        return events

    def _follow(self, track: Track, now_ns: int) -> list[PendingEvent]:
        """What there is to tell of a face that is here: (event type, face, the expression before)."""
        face = self._open.get(track.id)
        if face is None:
            if track.misses or track.hits < 2 or track.last_ns - track.first_ns < self._confirm_ns:
                return []
            face = self._open[track.id] = OpenFace(track, self.decide(track), now_ns)
            return [(EventType.START, face, None)]
        face.track = track
        previous = face.decision[0]
        if not track.misses and self._commit(face, now_ns):
            face.last_event_ns = now_ns
            return [(EventType.UPDATE, face, previous)]
        heartbeat_ns = self._config.heartbeat_seconds * 1e9
        if heartbeat_ns and now_ns - face.last_event_ns >= heartbeat_ns:
            face.last_event_ns = now_ns
            return [(EventType.UPDATE, face, previous)]
        return []

    def _commit(self, face: OpenFace, now_ns: int) -> bool:
        """Let a new verdict take over once it has lasted; returns whether the expression changed."""
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
        """What a track says now, with hysteresis in favour of the committed expression."""
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
        """Whether a face is called neutral that may as well be sad, angry, disgusted, afraid or contemptuous."""
        negative = float(expression.probabilities[[LABELS.index(each) for each in NEGATIVE]].sum())
        return label == NEUTRAL and negative >= self._config.neutral_doubt

    def _event(
        self, kind: EventType, face: OpenFace, previous: str | None, now_ns: int, size: tuple[int, int]
    ) -> FaceEvent:
        """Write an event down, numbered."""
        self._seq += 1
        track, (label, reason) = face.track, face.decision
        judged = track.expression if reason in (None, Reason.UNCERTAIN) else None
        confidence = 0.0 if judged is None else judged.confidence
        if judged is not None and label is not None:
            confidence = float(judged.probabilities[LABELS.index(label)])
        return FaceEvent(
            event_type=kind,
            seq=self._seq,
            track_id=track.id,
            mono_ns=now_ns,
            expression=label,
            confidence=confidence,
            probabilities=None if judged is None else judged.probabilities,
            previous=label if kind is EventType.END else previous,
            dwell_s=(track.last_ns - track.first_ns) / 1e9,
            box=track.box.normalised(*size),
            landmarks=np.asarray(track.landmarks.points / size, np.float32) if self._landmarks else None,
            pose=track.landmarks.pose,
            quality=track.quality,
            reason=reason,
            face_count=sum(not face.track.misses for face in self._open.values()),
            signals=track.signals,
        )

    def _states(self) -> tuple[FaceState, ...]:
        return tuple(FaceState(face.track, *face.decision, _reached(face)) for face in self._open.values())


def _reached(face: OpenFace) -> tuple[str, ...]:
    """What its signals have reached since this was asked last."""
    if face.track.misses:
        return ()
    new = tuple(name for name in milestones(face.track.signals) if name not in face.reached)
    face.reached += new
    return new
