"""The configuration: one frozen type per section of config.yaml, and its JSON Schema.

`config.yaml` explains each key in prose; `settings/loader.py` reads it. Defaults are defined only here. One
file, though long: it mirrors config.yaml section by section, and defaults must not be spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Interval = Annotated[float, Meta(gt=0, le=3600)]
Degrees = Annotated[float, Meta(gt=0, le=90)]
Pixels = Annotated[int, Meta(ge=1, le=8192)]
RoleName = Literal["detector", "landmarks", "expression"]
InputSide = Annotated[int, Meta(ge=32, le=2048)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
WatchedSeconds = Annotated[float, Meta(ge=1, le=55)]  # of the last minute
Fps = Annotated[float, Meta(ge=1, le=240)]  # slower ones would leave a face out of sight for its keep_seconds
Celsius = Annotated[float, Meta(ge=30, le=110)]
SignalName = Literal["looks", "looked_away", "eyes_closed", "mouth_open", "smiles", "perclos", "yawns"]
Purpose = Literal["home", "research", "retail", "care", "safety", "workplace", "education"]
Label = Literal["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
# (?!\n): without it, $ would let a newline at the end pass
NAME, TOPIC, TEXT, HOURS, PATH, MODE, URL, ROOT_PATH = (
    r"^[a-zA-Z0-9_-]{1,64}$(?!\n)",
    r"^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$(?!\n)",
    r"^[^\x00-\x1f]*$(?!\n)",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)",
    r"^/[!-~]*$(?!\n)",
    r"^([1-9][0-9]*x[1-9][0-9]*(@[1-9][0-9]*)?)?$(?!\n)",
    r"^(https?://[!-~]+)?$(?!\n)",
    r"^(/[a-zA-Z0-9._~-]+)*$(?!\n)",
)
Name = Annotated[str, Meta(pattern=NAME)]
Topic = Annotated[str, Meta(pattern=TOPIC)]
Text = Annotated[str, Meta(pattern=TEXT)]
Hours = Annotated[str, Meta(pattern=HOURS)]
Polygon = Annotated[tuple[tuple[Fraction, Fraction], ...], Meta(min_length=3, max_length=64)]
VideoMode = Annotated[str, Meta(pattern=MODE)]
IN_WORDS = {
    NAME: "1 to 64 letters, digits, _ and -",
    TOPIC: "letters, digits, _ and -, in parts with / between them",
    TEXT: "text without control characters",
    HOURS: 'two times of day in quotes, such as "22:00-06:30"',
    PATH: 'a path that begins with /, such as "/mqtt"',
    MODE: 'width x height in pixels, such as "1280x720" or "1920x1080@60", or "" for what the display prefers',
    ROOT_PATH: 'a path that begins with / and does not end with it, such as "/cam", or ""',
    URL: 'an address such as "https://example.org/camera", or ""',
}
"""The patterns in words, for error messages."""


BACKENDS = {
    "picamera2": "fer_edge.camera.picamera:PiCamera",
    "v4l2": "fer_edge.camera.v4l2:V4l2Camera",
    "stream": "fer_edge.camera.stream:StreamCamera",
    "replay": "fer_edge.camera.replay:ReplayCamera",
}
"""Where frames can come from: `camera.backend` in config.yaml -> module and class. A new backend is one line here."""
if TYPE_CHECKING:
    Backend = str
else:
    Backend = Literal[tuple(BACKENDS)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, strict."""


class Device(Section, frozen=True):
    """Who this daemon is."""

    id: Name | None = None


class Camera(Section, frozen=True):
    """Where frames come from."""

    backend: Backend = "picamera2"
    source: Text = ""
    password_file: Text | None = None
    width: Pixels = 640
    height: Pixels = 480
    fps: Annotated[float, Meta(gt=0, le=240)] = 15.0
    rotation: Literal[0, 90, 180, 270] = 0
    hflip: bool = False
    vflip: bool = False
    exposure_us: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None
    gain: Annotated[float, Meta(ge=1, le=1000)] | None = None
    awb: Literal["auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy"] = "auto"
    focus: Literal["continuous", "auto", "manual"] = "continuous"
    focus_dioptres: Annotated[float, Meta(ge=0, le=32)] | None = None
    hdr: Literal["none", "sensor", "single-exposure", "multi-exposure", "night"] = "none"
    pace: Literal["real", "max"] = "real"
    loop: bool = False
    timeout_seconds: Interval = 5.0
    decoder_memory_mb: Annotated[int, Meta(ge=64, le=65_536)] | None = None
    paused: bool = False


class Models(Section, frozen=True):
    """Which networks run, and how."""

    folder: Text | None = None
    detector: Name = "detector"
    landmarks: Name = "landmarks"
    expression: Name = "expression"
    intensity: Name | None = None
    runtime: Literal["ai-edge-litert", "tflite-runtime"] = "ai-edge-litert"
    threads: Annotated[int, Meta(ge=1, le=16)] = 1
    delegate: Annotated[str, Meta(min_length=1, pattern=TEXT)] | None = None
    delegate_options: dict[Text, Text | int | float] = {}
    delegate_roles: Annotated[tuple[RoleName, ...], Meta(min_length=1)] = ("detector", "landmarks", "expression")


class Detector(Section, frozen=True):
    """How faces are found."""

    input_size: tuple[InputSide, InputSide] | None = None
    min_score: Fraction = 0.5
    candidate_score: Fraction = 0.15
    min_face_px: Pixels = 24
    max_faces: Annotated[int, Meta(ge=1, le=100)] = 10
    region: tuple[Fraction, Fraction, Fraction, Fraction] = (0.0, 0.0, 1.0, 1.0)
    every_seconds: Seconds = 1.0
    idle_every_seconds: Seconds = 0.1
    closer_every_seconds: Seconds = 0.5
    motion: Fraction = 0.1


class Quality(Section, frozen=True):
    """Which faces are good enough to be classified."""

    min_height_px: Pixels = 24
    max_yaw_deg: Degrees = 40.0
    max_pitch_deg: Degrees = 35.0
    max_pose_error_deg: Degrees = 12.0
    max_blur: Fraction = 0.7
    min_brightness: Fraction = 0.08
    max_brightness: Fraction = 0.92


class Tracking(Section, frozen=True):
    """How faces are tracked."""

    min_score: Fraction = 0.5
    confirm_seconds: Seconds = 0.2
    keep_seconds: Seconds = 1.5
    reach: Annotated[float, Meta(gt=0, le=10)] = 1.5
    judge_every_seconds: Seconds = 0.1
    smoothing_seconds: Seconds = 0.6


class Events(Section, frozen=True):
    """When an expression is reported."""

    enter: Fraction = 0.5
    leave: Fraction = 0.35
    neutral_doubt: Fraction = 0.3
    dwell_seconds: Seconds = 0.5
    heartbeat_seconds: Seconds = 30.0


class Zone(Section, frozen=True, kw_only=True):
    """A part of the picture with figures of its own; its name is its key in section `zones`."""

    points: Polygon
    anchor: Literal["foot", "centre"] = "centre"
    margin: Annotated[float, Meta(ge=0, le=0.5)] = 0.02


class Attention(Section, frozen=True):
    """Who looks at the camera."""

    enabled: bool = False
    cone_deg: Degrees = 20.0
    hysteresis_deg: Annotated[float, Meta(ge=0, le=45)] = 5.0
    dwell_seconds: Seconds = 0.3
    min_height_px: Pixels = 24
    max_pose_error_deg: Degrees = 8.0
    lasting_seconds: Seconds = 2.0
    iris: bool = False
    min_eye_px: Pixels = 8


class EyesMouth(Section, frozen=True):
    """Closed eyes, an open mouth, a smile."""

    enabled: bool = False
    eyes_closed: Fraction = 0.7
    mouth_open: Fraction = 0.35
    smiles: Fraction = 0.5
    hysteresis: Fraction = 0.15
    dwell_seconds: Seconds = 0.3
    min_height_px: Pixels = 24
    lasting_seconds: Seconds = 2.0


class Intensities(Section, frozen=True):
    """A smile and raised brows beside the face's own calm state."""

    enabled: bool = False
    watched_seconds: Seconds = 5.0
    min_height_px: Pixels = 24


class Drowsiness(Section, frozen=True):
    """Blinks, PERCLOS and yawns."""

    enabled: bool = False
    min_height_px: Pixels = 36
    min_fps: Fps = 12.0
    watched_seconds: WatchedSeconds = 20.0
    perclos: Fraction = 0.15
    yawn: Fraction = 0.3
    yawn_seconds: Seconds = 1.5


class Balance(Section, frozen=True):
    """The positive share of a face's expressions minus the negative ones."""

    enabled: bool = False


class Alert(Section, frozen=True, kw_only=True):
    """When an alert is on; its name is its key in section `alerts`."""

    enabled: bool = True
    expressions: Annotated[tuple[Label, ...], Meta(min_length=1)] = ()
    signals: tuple[SignalName, ...] = ()
    min_confidence: Fraction = 0.5
    for_seconds: Seconds = 3.0
    min_faces: Annotated[int, Meta(ge=1, le=100)] = 1
    cooldown_seconds: Annotated[float, Meta(ge=0, le=86400)] = 60.0
    active_hours: Hours | None = None
    zone: Name | None = None


class Summary(Section, frozen=True):
    """Figures over many faces, for market research."""

    interval_seconds: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    min_visitors: Count = 5


class Readings(Section, frozen=True):
    """Every frame's faces."""

    enabled: bool = False
    max_per_second: Annotated[float, Meta(gt=0, le=240)] = 5.0


class Mqtt(Section, frozen=True):
    """The MQTT sink."""

    enabled: bool = True
    broker: Annotated[str, Meta(min_length=1, pattern=TEXT)] = "localhost"
    port: Annotated[int, Meta(ge=0, le=65535)] = 1883
    version: Literal["auto", "3.1.1", "5"] = "auto"
    websockets: bool = False
    websocket_path: Annotated[str, Meta(pattern=PATH)] = "/mqtt"
    topic: Topic = "fer-edge"
    username: Text | None = None
    password_file: Text | None = None
    tls: bool = False
    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    keepalive_seconds: Annotated[int, Meta(ge=5, le=3600)] = 30
    event_expiry_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 604_800
    queue: Count = 1000


class Outbox(Section, frozen=True):
    """Where events wait on disk while the broker is away."""

    enabled: bool = True
    max_events: Count = 20_000
    write_every_seconds: Annotated[float, Meta(ge=0, le=60)] = 1.0
    replay_per_second: Count = 200


class HomeAssistant(Section, frozen=True):
    """Entities that Home Assistant discovers."""

    enabled: bool = True
    prefix: Topic = "homeassistant"
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=TEXT)] | None = None


class State(Section, frozen=True):
    """What survives a restart."""

    folder: Text | None = None


class Jsonl(Section, frozen=True):
    """The JSON Lines sink."""

    enabled: bool = False
    path: Text = "-"
    max_bytes: Annotated[int, Meta(ge=1024, le=1 << 40)] = 10_000_000
    backups: Annotated[int, Meta(ge=0, le=1000)] = 3


class History(Section, frozen=True):
    """Figures minute by minute and events, kept for `fer-edge report`."""

    enabled: bool = False
    keep_days: Annotated[int, Meta(ge=1, le=3660)] = 30
    max_mb: Annotated[int, Meta(ge=1, le=100_000)] = 50


class Hdmi(Section, frozen=True):
    """The annotated picture on a display, without a desktop."""

    enabled: bool = False
    device: Text = ""
    connector: Text = ""
    mode: VideoMode = ""
    max_fps: Annotated[float, Meta(gt=0, le=240)] = 30.0
    images: bool = True
    landmarks: bool = True
    status: bool = True
    mirror: bool = False


class Web(Section, frozen=True):
    """The live page, for browsers."""

    enabled: bool = False
    host: Annotated[str, Meta(min_length=1, pattern=TEXT)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    names: tuple[Text, ...] = ()
    root_path: Annotated[str, Meta(pattern=ROOT_PATH)] = ""
    token_file: Text | None = None
    max_fps: Annotated[float, Meta(gt=0, le=60)] = 15.0
    max_width: Annotated[int, Meta(ge=64, le=3840)] = 640
    max_viewers: Annotated[int, Meta(ge=1, le=1000)] = 50


class Stats(Section, frozen=True):
    """The daemon's own figures."""

    interval_seconds: Interval = 10.0


class Rate(Section, frozen=True):
    """How many frames are processed when the board is hot or short of power, and when nobody is there."""

    enabled: bool = True
    min_fps: Fps = 2.0
    warm_c: Celsius = 75.0
    hot_c: Celsius = 85.0
    hysteresis_c: Annotated[float, Meta(ge=0, le=20)] = 3.0
    weak_share: Annotated[float, Meta(ge=0.05, le=1)] = 0.5
    hold_seconds: Interval = 60.0
    idle_after_seconds: Seconds = 60.0
    idle_fps: Fps = 5.0


class Pictures(Section, frozen=True):
    """Pictures at events, kept for a while. Only with privacy.images."""

    enabled: bool = False
    at: Annotated[tuple[Literal["start", "enter", "alert"], ...], Meta(min_length=1)] = ("alert",)
    show: Literal["whole", "face"] = "whole"
    blur_others: bool = True
    every_seconds: Seconds = 1.0
    max_count: Annotated[int, Meta(ge=1, le=10_000)] = 200
    max_mb: Annotated[int, Meta(ge=1, le=10_000)] = 50
    keep_hours: Annotated[float, Meta(gt=0, le=8784)] = 24.0


class Privacy(Section, frozen=True):
    """What may leave the machine besides labels and boxes; what the device is for, and who answers for it."""

    images: bool = False
    landmarks: bool = False
    purpose: Purpose | None = None
    medical_or_safety: bool = False
    controller: Text = ""
    contact: Text = ""
    notice_url: Annotated[str, Meta(pattern=URL)] = ""
    receivers_keep_days: Annotated[int, Meta(ge=0, le=36_600)] | None = None


class Log(Section, frozen=True):
    """What the daemon logs to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section, frozen=True):
    """The whole of config.yaml, as one camera's part of the daemon sees it."""

    device: Device = Device()
    camera: Camera = Camera()
    models: Models = Models()
    detector: Detector = Detector()
    quality: Quality = Quality()
    tracking: Tracking = Tracking()
    events: Events = Events()
    attention: Attention = Attention()
    balance: Balance = Balance()
    eyes_mouth: EyesMouth = EyesMouth()
    intensities: Intensities = Intensities()
    drowsiness: Drowsiness = Drowsiness()
    zones: dict[Name, Zone] = {}
    alerts: dict[Name, Alert] = {}
    summary: Summary = Summary()
    readings: Readings = Readings()
    mqtt: Mqtt = Mqtt()
    outbox: Outbox = Outbox()
    homeassistant: HomeAssistant = HomeAssistant()
    state: State = State()
    jsonl: Jsonl = Jsonl()
    history: History = History()
    hdmi: Hdmi = Hdmi()
    web: Web = Web()
    stats: Stats = Stats()
    rate: Rate = Rate()
    pictures: Pictures = Pictures()
    privacy: Privacy = Privacy()
    log: Log = Log()


class OwnDetector(Section, frozen=True):
    """What one of several cameras has of section `detector` for itself."""

    region: tuple[Fraction, Fraction, Fraction, Fraction] | None = None


class NamedCamera(Camera, frozen=True):
    """One of several cameras; its name is its key in section `cameras`. null: as for all others."""

    detector: OwnDetector = OwnDetector()
    zones: dict[Name, Zone] | None = None


class CamerasConfig(Config, frozen=True):
    """A config.yaml with section `cameras` instead of `camera`: what stands beside it is common to all of them."""

    cameras: dict[Name, NamedCamera] = {}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of config.yaml, for editors."""
    schema = msgspec.json.schema(CamerasConfig)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fer-edge config.yaml", **schema}
