"""A face over time, for what is told of it: the daemon's own tracker, events and counters, without its networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fer_edge.config import Attention, Balance, Config, Drowsiness, EyesMouth
from fer_edge.config import Intensities as IntensitiesConfig
from fer_edge.records import (
    Box,
    EyeTurn,
    FaceEvent,
    FaceState,
    Intensities,
    Pose,
    Reading,
    Reason,
    SignalState,
    Track,
    Update,
)
from fer_edge.tracking.events import EventStateMachine
from fer_edge.tracking.signals import SignalReader, enabled_signals
from fer_edge.tracking.tracker import Tracker
from tests.support.face_events import FRAME
from tests.support.samples import reading

SECOND = 1_000_000_000
EVERY_SIGNAL = Config(
    attention=Attention(enabled=True, iris=True),
    balance=Balance(enabled=True),
    eyes_mouth=EyesMouth(enabled=True),
    intensities=IntensitiesConfig(enabled=True),
    drowsiness=Drowsiness(enabled=True),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """How a face is shown in a frame."""

    yaw: float = 0.0
    pitch: float = 0.0
    error: float | None = 2.0
    height: float = 60.0
    reason: Reason | None = None
    brightness: float = 0.5
    label: int = 0
    value: float = 0.9
    intensities: Intensities | None = None
    eyes: EyeTurn | Reason | None = None


@dataclass
class Story:
    """Plays frames of at most one face, FPS a second."""

    config: Config
    fps: float = 10.0
    now_s: float = 0.0
    track_id: int | None = None
    events: list[FaceEvent] = field(default_factory=list)
    faces: tuple[FaceState, ...] = ()
    tracks: tuple[Track, ...] = ()

    def __post_init__(self) -> None:
        config = self.config
        self.tracker = Tracker(config.tracking, SignalReader(enabled_signals(config), config))
        self.machine = EventStateMachine(config.events, confirm_seconds=config.tracking.confirm_seconds)

    def show(self, seconds: float, shown: Shown | None) -> list[Update]:
        """The same face, or none, for so long; the updates of these frames."""
        return [self.step(shown) for _ in range(round(seconds * self.fps))]

    def step(self, shown: Shown | None) -> Update:
        """One frame."""
        now_ns = round(self.now_s * SECOND)
        readings = [] if shown is None else [_reading(shown, self.track_id)]
        self.tracks = self.tracker.update(readings, now_ns)
        self.track_id = next((track.id for track in self.tracks if not track.misses), None)
        events, self.faces = self.machine.update(self.tracks, now_ns, width=640, height=480)
        self.events += events
        self.now_s += 1 / self.fps
        return Update(replace(FRAME, taken_ns=now_ns), self.tracks, self.faces, events)

    @property
    def signals(self) -> Mapping[str, SignalState]:
        """Of the face that is there."""
        return self.tracks[0].signals


def _reading(shown: Shown, track_id: int | None) -> Reading:
    made = reading(
        Box(100, 100, 100 + shown.height, 100 + shown.height),
        label=shown.label,
        value=shown.value,
        reason=shown.reason,
        track_id=track_id,
    )
    pose = Pose(shown.yaw, shown.pitch, 0.0, shown.error)
    quality = replace(made.quality, brightness=shown.brightness)
    landmarks = replace(made.landmarks, pose=pose)
    return replace(made, landmarks=landmarks, quality=quality, intensities=shown.intensities, eyes=shown.eyes)
