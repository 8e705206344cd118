"""Makes events of the same recorded readings again with other thresholds: what the networks saw does not depend on
them.

The networks run once and classify every face in every frame; `Replay` then decides, as `Pipeline.step` does, which of
these readings its own configuration would have used. When the detector runs is decided once, by the recording.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from msgspec import structs

from fer_edge.config import Config, Quality
from fer_edge.pipeline import Pipeline
from fer_edge.records import LABELS, EventType, FaceEvent, Frame, Reading, Track
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.counters import FaceTimeCounter, View, view
from fer_edge.tracking.events import EventStateMachine
from fer_edge.tracking.signals import SignalReader, enabled_signals
from fer_edge.tracking.tracker import Tracker
from fer_edge.vision.quality import reason_of

FLIP_SECONDS = 3.0
"""An expression that is left for another and taken up again within so long has flipped."""

OPEN = Quality(
    min_height_px=1,
    max_yaw_deg=90.0,
    max_pitch_deg=90.0,
    max_pose_error_deg=90.0,
    max_blur=1.0,
    min_brightness=0.0,
    max_brightness=1.0,
)


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame as the networks saw it."""

    now_ns: int
    size: tuple[int, int]
    readings: Sequence[Reading]  # all judged; ids of followed faces are the recording's
    tracks: Sequence[Track]  # the recording's


class Recording:
    """Runs the networks on every frame, and judges every face."""

    def __init__(self, config: Config) -> None:
        """`config`: its detector, landmarks and expression settings count. Raises ModelError."""
        tracking = structs.replace(config.tracking, judge_every_seconds=0.0)
        self._pipeline = Pipeline(structs.replace(config, quality=OPEN, tracking=tracking))

    def look(self, frame: Frame) -> RecordedFrame:
        """The next frame."""
        update = self._pipeline.step(frame)
        return RecordedFrame(frame.taken_ns, (frame.width, frame.height), update.readings, update.tracks)


class Replay:
    """What one configuration makes of the looks."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._tracker = Tracker(config.tracking, SignalReader(enabled_signals(config), config))
        self._maker = EventStateMachine(
            config.events, confirm_seconds=config.tracking.confirm_seconds, zones=config.zones
        )
        self._ids: dict[int, int] = {}  # the recording's id of a face in view -> ours
        self._shown: tuple[View, ...] = ()
        self._first_ns: int | None = None
        self._last: RecordedFrame | None = None
        self._tally = FaceTimeCounter(0)
        self._alerts = AlertMaker(config.alerts)
        self.alerts = dict.fromkeys(config.alerts, 0)
        self.events: list[FaceEvent] = []

    def add(self, look: RecordedFrame) -> None:
        """Take in the next look."""
        self._first_ns = look.now_ns if self._first_ns is None else self._first_ns
        readings = [self._reread(reading, look.now_ns) for reading in look.readings]
        tracks = self._tracker.update(readings, look.now_ns)
        ours = {id(track.landmarks): track.id for track in tracks if not track.misses}
        self._ids = {
            track.id: ours[id(track.landmarks)]
            for track in look.tracks
            if not track.misses and id(track.landmarks) in ours
        }
        width, height = look.size
        events, faces = self._maker.update(tracks, look.now_ns, width=width, height=height)
        if self._last:
            self._tally.add_time(self._shown, self._last.now_ns, look.now_ns)
        self._shown = tuple(view(face) for face in faces if face.in_view)
        self._tally.add_step(events, self._shown)
        for alert in self._alerts.update(faces, look.now_ns, minute_of_day=None):  # whatever hour it was
            self.alerts[alert.name] += alert.on
        self.events += events
        self._last = look

    def _reread(self, reading: Reading, now_ns: int) -> Reading:
        """A reading as it would have been with our limits and cadence."""
        face = replace(reading.face, track_id=self._ids.get(reading.face.track_id or 0))
        due, before = self._tracker.should_classify(face, now_ns), self._tracker.quality_of(face)
        quality = reading.quality
        if before is not None and not due:
            quality = replace(quality, blur=before.blur, brightness=before.brightness)
        reason = reason_of(quality, reading.landmarks.pose, self.config.quality)
        expression = reading.expression if due and reason is None else None
        return replace(reading, face=face, quality=replace(quality, reason=reason), expression=expression)

    def outcome(self) -> Outcome:
        """What would have been published so far."""
        return replace(outcome(self.events, self._tally, self._seconds), alerts=dict(self.alerts))

    @property
    def _seconds(self) -> float:
        return (self._last.now_ns - self._first_ns) / 1e9 if self._last and self._first_ns is not None else 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a configuration would have published, in numbers. None: nothing to say it of."""

    seconds: float
    faces: int
    events_per_minute: float | None
    changes_per_minute: float | None  # of the expression, per minute of faces in view
    flips: int  # expressions left and taken up again within FLIP_SECONDS
    first_label_s: float | None  # from a face's coming to its first expression, median
    labelled: float | None  # share of the face time
    abstained: float | None
    shares: dict[str, float]  # label -> share of the labelled time
    alerts: dict[str, int] = field(default_factory=dict)  # name -> how often it went on, at any hour


def outcome(events: Sequence[FaceEvent], tally: FaceTimeCounter, seconds: float) -> Outcome:
    """Sum events and face time up. Faces that are still there will have their end, too: it is counted."""
    starts, ends = (sum(event.event_type is kind for event in events) for kind in (EventType.START, EventType.END))
    faces_s = tally.shown_ns.total() / 1e9
    labelled_s = sum(tally.shown_ns[label] for label in LABELS) / 1e9
    lives: defaultdict[int, list[FaceEvent]] = defaultdict(list)
    for event in events:
        lives[event.track_id].append(event)
    first = [
        event.dwell_s for life in lives.values() for event in [each for each in life if each.expression is not None][:1]
    ]
    return Outcome(
        seconds=seconds,
        faces=starts,
        events_per_minute=60 * (len(events) + starts - ends) / seconds if seconds else None,
        changes_per_minute=60 * sum(map(_changes, lives.values())) / faces_s if faces_s else None,
        flips=sum(map(_flips, lives.values())),
        first_label_s=statistics.median(first) if first else None,
        labelled=labelled_s / faces_s if faces_s else None,
        abstained=1 - labelled_s / faces_s if faces_s else None,
        shares={label: tally.shown_ns[label] / 1e9 / labelled_s if labelled_s else 0.0 for label in LABELS},
    )


def _changed(life: Sequence[FaceEvent]) -> list[FaceEvent]:
    """The events of a face by which its expression became another one."""
    return [event for event in life if event.event_type is EventType.UPDATE and not event.is_heartbeat]


def _changes(life: Sequence[FaceEvent]) -> int:
    return len(_changed(life))


def _flips(life: Sequence[FaceEvent]) -> int:
    changes = _changed(life)
    return sum(
        later.expression == earlier.previous and later.mono_ns - earlier.mono_ns <= FLIP_SECONDS * 1e9
        for earlier, later in pairwise(changes)
    )


def networks(config: Config) -> tuple[object, ...]:
    """Those thresholds that decide what the networks see: configurations that agree in them can share a recording."""
    return config.detector, config.tracking.min_score
