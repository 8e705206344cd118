"""Every type that crosses a stage. All are frozen; arrays are shared, never written to after they were made. One file,
though long: the vocabulary that all stages share is read, and imported, as a whole.

Coordinates are frame pixels (x to the right, y down, the centre of the first pixel at 0.5) up to
`events.py`, which divides them by the frame's size. Times are nanoseconds of the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The FER+ expressions in the order of its columns (Barsoum et al. 2016, arXiv:1608.01041)."""

NEGATIVE = ("sadness", "anger", "disgust", "fear", "contempt")


class Reason(StrEnum):
    """Why a face has no expression: the daemon abstains instead of guessing."""

    TOO_SMALL = "too_small"
    TURNED = "turned"
    BLURRED = "blurred"
    DARK = "dark"
    BRIGHT = "bright"
    UNCERTAIN = "uncertain"  # good to judge, but no expression stands out (yet)
    TOO_SHORT = "too_short"  # of a signal that needs time: not watched for long enough
    TOO_SLOW = "too_slow"  # of a signal of fast movements: too few frames a second

    @property
    def words(self) -> str:
        """As people read it, on pictures, pages and terminals."""
        return reason_words(self.value)


def reason_words(reason: str) -> str:
    """A `Reason` as people read it; one that only a newer version knows stays as it is."""
    return _REASON_WORDS.get(reason, reason)


_REASON_WORDS = {
    "too_small": "too small",
    "turned": "turned away",
    "blurred": "too blurred",
    "dark": "too dark",
    "bright": "too bright",
    "uncertain": "no clear expression",
    "too_short": "not watched for long enough",
    "too_slow": "too few frames a second",
}


class EventType(StrEnum):
    """What happened to a face."""

    START = "start"
    UPDATE = "update"
    ENTER = "enter"  # a zone
    LEAVE = "leave"
    END = "end"


class RateReason(StrEnum):
    """Why fewer frames are processed than configured."""

    HOT = "hot"
    UNDER_VOLTAGE = "under_voltage"
    THROTTLED = "throttled"  # by the firmware: it has capped or lowered the CPU's clock
    SOFT_LIMIT = "soft_limit"  # the soft temperature limit of a Pi 3 B+
    IDLE = "idle"  # nobody is there


THROTTLED = {
    1 << 0: "under-voltage",
    1 << 1: "frequency capped",
    1 << 2: "throttled",
    1 << 3: "soft temperature limit",
}
"""The Raspberry Pi firmware's bits, as `vcgencmd get_throttled` reports them, in words: the current state."""


@dataclass(frozen=True, slots=True)
class ModelId:
    """Which model runs."""

    id: str  # its card's name
    sha256: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A daemon with several cameras: the device below which each camera's device stands."""

    device_id: str
    name: str | None  # what people call it; None: by its id
    cameras: tuple[str, ...]  # their device ids; the machine's figures are read among the topics of the first

    @property
    def first(self) -> str:
        """Device id of the first camera."""
        return self.cameras[0]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends: the same for a whole run."""

    device_id: str
    boot_id: str  # new at each start of the daemon; (boot_id, seq) names an event
    version: str
    models: dict[str, ModelId]  # by role
    runtime: str  # the TFLite runtime and its version
    purpose: str | None = None  # what the device is for (privacy.purpose); None: not declared
    medical_or_safety: bool = False  # declared as the reason (privacy.medical_or_safety)
    hub: Hub | None = None  # of a camera that is one of several

    @property
    def model(self) -> str:
        """Short name of the expression model, as events carry it."""
        model = self.models["expression"]
        return f"{model.id}-{model.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture."""

    seq: int  # counts the frames that a source delivered, from 0, without gaps
    taken_ns: int  # when it was exposed; for files: start of the run + position in the file
    image: Image  # u8[H,W,3] BGR; gray and read-only where nobody looks at colours (Camera.colour)
    gray: Image  # u8[H,W]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.gray.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.gray.shape[0])


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in float pixels; x1 and y1 are exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def center(self) -> tuple[float, float]:
        """Its middle (x, y), px."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def normalised(self, width: int, height: int) -> Box:
        """As fractions of a frame of width x height px, cut off at its edges."""
        xs = np.clip((self.x0 / width, self.x1 / width), 0, 1).tolist()
        ys = np.clip((self.y0 / height, self.y1 / height), 0, 1).tolist()
        return Box(xs[0], ys[0], xs[1], ys[1])

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        shared = self._shared(other)
        return shared / (self.width * self.height + other.width * other.height - shared) if shared else 0.0

    def within(self, other: Box) -> float:
        """How much of the smaller of two boxes lies within the larger one, 0..1."""
        shared = self._shared(other)
        return shared / min(self.width * self.height, other.width * other.height) if shared else 0.0

    def _shared(self, other: Box) -> float:
        # without min and max, which take most of the time of it: it runs for every pair of faces in every frame
        left, right = self.x0 if self.x0 > other.x0 else other.x0, self.x1 if self.x1 < other.x1 else other.x1
        if right <= left:
            return 0.0
        top, bottom = self.y0 if self.y0 > other.y0 else other.y0, self.y1 if self.y1 < other.y1 else other.y1
        return (right - left) * (bottom - top) if bottom > top else 0.0


@dataclass(frozen=True, slots=True)
class Face:
    """Where a face is, as the detector or the landmarks of the frame before say."""

    box: Box
    score: float  # 0..1
    keypoints: Floats  # f32[K,2] px; the first two are the eyes, the one at the left of the picture first
    track_id: int | None = None  # the track that is being followed; None: found by the detector


@dataclass(frozen=True, slots=True)
class Pose:
    """Head rotation in degrees; all 0 looks into the camera."""

    yaw_deg: float  # positive: the nose points to the right of the picture (with the head held level)
    pitch_deg: float  # positive: the nose points down
    roll_deg: float  # positive: the head leans clockwise in the picture
    error_deg: float | None = None  # how far the angles are likely off, in the mean; None: the model does not say


@dataclass(frozen=True, slots=True)
class Intensities:
    """How strongly parts of a face move: what a network copies from another one, not what a human coder would say.
    "Left" is the left of the picture."""

    names: tuple[str, ...]  # e.g. "smile", "jaw_open": those that the model's card publishes
    values: Floats  # f32[K] 0..1, in the order of the names

    def get(self, name: str) -> float | None:
        """One of them; None where the model does not publish it."""
        return float(self.values[self.names.index(name)]) if name in self.names else None


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The 68 points in the order of Multi-PIE/iBUG 300-W: outline 0-16, eyebrows 17-26, nose 27-35,
    eyes 36-47, mouth 48-67 (Sagonas et al. 2013). "Left" is the left of the picture."""

    points: Floats  # f32[68,2] px
    score: float  # 0..1: that there is a face at all
    pose: Pose


@dataclass(frozen=True, slots=True)
class Expression:
    """One classification of one face."""

    probabilities: Floats  # f32[8] in the order of LABELS, sums to 1

    @property
    def label(self) -> str:
        """The most likely expression."""
        return LABELS[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probabilities.max())


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether a face is good enough to be classified."""

    yaw_deg: float
    height_px: float  # eyebrows to chin
    blur: float  # 0 = sharp .. 1 = nothing but blur
    brightness: float  # mean gray of the face, 0..1
    reason: Reason | None  # None: good enough


@dataclass(frozen=True, slots=True)
class EyeTurn:
    """By how much the eyes are turned against the head."""

    across_deg: float  # to the right of the picture
    down_deg: float


@dataclass(frozen=True, slots=True)
class Reading:
    """All measurements of one face in one frame."""

    face: Face
    landmarks: Landmarks
    quality: Quality
    expression: Expression | None  # None: abstained (quality.reason), or not this face's turn
    intensities: Intensities | None = None  # None: abstained, or config names no model for them
    eyes: EyeTurn | Reason | None = None  # or why not; None: not good enough, or config does not ask for the irises


@dataclass(frozen=True, slots=True)
class SignalState:
    """A signal of one face (`tracking/signals`) after the last frame that showed the face."""

    measured_ns: int  # when that was
    on: bool | None = None  # None: not known, see reason; always None of a level
    value: float | None = None  # of a level; None: not known
    reason: Reason | None = None  # why nothing is known
    seconds: float = 0.0  # it was on, in all
    known_s: float = 0.0  # it was known
    sum_s: float = 0.0  # the values of a level, each times the seconds that it held
    times: int = 0  # it went on
    lasted: bool = False  # it was on for at least the configured time, added up
    first_after_s: float | None = None  # since the face came, when it went on first
    rival: bool | None = None  # what may take over from `on` ...
    rival_ns: int | None = None  # ... and since when it is there

    @property
    def known(self) -> bool:
        """Whether there is information; not for a face that has just appeared, nor with a reason."""
        return self.on is not None or self.value is not None

    @property
    def mean(self) -> float | None:
        """Of a level, over the time in which it was known."""
        return self.sum_s / self.known_s if self.known_s else self.value


@dataclass(frozen=True, slots=True)
class LidSecond:
    """The eyes of a face in one second of its time."""

    second: int  # of the frames' clock
    known_s: float = 0.0
    closed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FaceMemory:
    """What signals keep of a face's last minute (`tracking/signals/memory.py`)."""

    measured_ns: int  # the last frame that showed the face
    levels: Floats  # f32[K,BINS] seconds that each intensity was at each level; older ones fade
    watched_s: float = 0.0  # that these were known, in all
    interval_s: float | None = None  # between frames, smoothed; None: not known yet
    closed_ns: int | None = None  # since when the eyes are closed; None: they are open, or not known
    deepest: float = 0.0  # how far they have closed, fading
    blinks_ns: tuple[int, ...] = ()  # the ends of the blinks of the last minute
    lids: tuple[LidSecond, ...] = ()  # of the last minute, those in which the eyes were known


@dataclass(frozen=True, slots=True)
class Track:
    """One face over time."""

    id: int  # counts from 1, never used twice in a run
    box: Box
    landmarks: Landmarks
    quality: Quality  # of the last frame that showed it
    expression: Expression | None  # smoothed; None until it was judged once
    first_ns: int
    last_ns: int  # the last frame that showed it
    hits: int  # frames that showed it
    misses: int  # frames since then; 0 = it is in this frame
    classified_ns: int | None = None  # the last frame that was classified
    intensities: Intensities | None = None  # of the last frame that showed it; not smoothed
    eyes: EyeTurn | Reason | None = None  # the same
    signals: Mapping[str, SignalState] = field(default_factory=dict)  # by name; those that config switches on
    memory: FaceMemory | None = field(default=None, repr=False)  # where a signal needs one


@dataclass(frozen=True, slots=True)
class FaceEvent:
    """One line of the contract's `event` topic; `payloads.py` adds who sent it and when by the clock."""

    event_type: EventType
    seq: int  # counts the events of a run from 1, without gaps
    track_id: int
    mono_ns: int
    expression: str | None
    confidence: float  # smoothed probability of `expression`, or of the most likely one
    probabilities: Floats | None  # f32[8], smoothed
    previous: str | None  # the expression committed before this event
    dwell_s: float  # since the face came, seconds
    box: Box  # 0..1 of the frame
    landmarks: Floats | None  # f32[68,2] 0..1 of the frame; only where privacy.landmarks allows
    pose: Pose
    quality: Quality
    reason: Reason | None  # why `expression` is None
    face_count: int
    zones: tuple[str, ...] | None = None  # that it is in after this step; None: config has none
    zone: str | None = None  # the one that was entered or left
    zone_dwell_s: float | None = None  # how long it was in the zone that it left, seconds
    signals: Mapping[str, SignalState] = field(default_factory=dict)

    @property
    def is_heartbeat(self) -> bool:
        """Whether it only confirms that nothing has changed."""
        return self.event_type is EventType.UPDATE and self.expression == self.previous


@dataclass(frozen=True, slots=True)
class FaceState:
    """One face's current state: a track and what was committed for it."""

    track: Track
    expression: str | None
    reason: Reason | None
    zones: tuple[str, ...] = ()  # that it is in
    reached: tuple[str, ...] = ()  # signals that were on for the first time, or lasted ("+" behind the name), just now

    @property
    def in_view(self) -> bool:
        """Whether the newest frame shows it. A hidden one is open for tracking.keep_seconds, but counted nowhere."""
        return not self.track.misses


@dataclass(frozen=True, slots=True)
class AlertState:
    """An alert after it went on or off."""

    name: str
    on: bool
    mono_ns: int  # when it did
    expressions: tuple[str, ...]  # of its faces, while it is on; each once
    faces: int  # that meet it now
    track_ids: tuple[int, ...] = field(default=(), compare=False)  # theirs; for views of this device only
    signals: tuple[str, ...] = ()  # of its faces, while it is on; each once


@dataclass(frozen=True, slots=True)
class SignalSummary:
    """What many faces did together in an interval, by one of tracking/signals."""

    faces: int  # with which it was on, each counted when it first was
    lasting: int  # with which it was on for at least the configured time, added up
    seconds: float  # face-seconds in which it was on
    share: float | None  # of the face-seconds in which it was known
    mean: float | None  # of a level, over these


@dataclass(frozen=True, slots=True)
class ZoneState:
    """A zone after what is shown in it changed."""

    name: str
    shown: tuple[str | None, ...]  # the expression of each face in view that is in it
    since_ns: int  # since when there is somebody, or nobody


@dataclass(frozen=True, slots=True)
class ZoneSummary:
    """What many faces did in a zone in an interval; all None where fewer than summary.min_visitors came into it."""

    visitors: int | None = None  # faces that entered, each once
    visits: int | None = None  # how often they did
    mean_dwell_s: float | None = None  # of the visits that ended; None too where these are fewer than min_visitors
    seconds: Mapping[str, float] | None = None  # as in Summary, of the time within the zone
    mean_faces: float | None = None
    most_faces: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What many faces did together in an interval; nothing of any single one."""

    start_ns: int
    end_ns: int
    visitors: int | None  # faces that started in it; None: fewer than summary.min_visitors, then all figures are None
    mean_dwell_s: float | None  # of the faces that ended in it; None too where these are fewer than min_visitors
    seconds: Mapping[str, float] | None  # label, or "none" -> face-seconds in which it was shown
    mean_faces: float | None  # in view, over the interval
    most_faces: int | None
    zones: Mapping[str, ZoneSummary] = field(default_factory=dict)  # by name, every zone of config
    signals: Mapping[str, SignalSummary] = field(default_factory=dict)  # by name, those that were known of a face


@dataclass(frozen=True, slots=True)
class Stats:
    """The daemon's figures, over the last interval."""

    fps: float  # finished steps per second
    latency_ms: tuple[float, float]  # from exposure to the end of the step: (p50, p95) in ms
    stage_ms: Mapping[str, tuple[float, float]]  # stage -> (p50, p95) in ms
    frames: int  # finished steps since the start
    dropped_frames: int  # overwritten before they were processed, since the start
    rss_mb: float
    temperature_c: float | None  # of the SoC; None where it is unknown
    throttled: int | None  # the Pi firmware's bit field; None elsewhere
    target_fps: float | None = None  # steps per second that are aimed at now; None for a recording
    rate_reason: RateReason | None = None  # why these are fewer than config asks for
    skipped_frames: int = 0  # skipped on purpose, since the start
    damaged_frames: int = 0  # of a stream, that could not be decoded, since the start


@dataclass(frozen=True, slots=True)
class Update:
    """The result of one step: what every sink receives."""

    frame: Frame | None  # None: the camera is away; `events` then hold the ends
    tracks: tuple[Track, ...] = ()  # all, the hidden and the not yet confirmed too
    faces: tuple[FaceState, ...] = ()  # the confirmed ones, hidden ones too, with what was committed for them
    events: tuple[FaceEvent, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    stats: Stats | None = None  # every stats.interval_seconds
    alerts: tuple[AlertState, ...] = ()  # those that changed
    summary: Summary | None = None  # every summary.interval_seconds
    zones: tuple[ZoneState, ...] = ()  # those that changed
    readings: tuple[Reading, ...] = ()  # what the networks saw in this frame, before tracking
