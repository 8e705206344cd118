"""The configuration: one frozen type per section of config.yaml, and its JSON Schema.

`config.yaml` explains each key in prose; `configfile.py` reads it. Defaults stand here and only here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Interval = Annotated[float, Meta(gt=0, le=3600)]
Degrees = Annotated[float, Meta(gt=0, le=90)]
Pixels = Annotated[int, Meta(ge=1, le=8192)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Topic = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, strict."""


class Device(Section, frozen=True):
    """Who this daemon is."""

    id: Name | None = None


class Camera(Section, frozen=True):
    """Where frames come from."""

    backend: Literal["picamera2", "v4l2", "stream", "replay"] = "picamera2"
    source: str = ""
    width: Pixels = 640
    height: Pixels = 480
    fps: Annotated[float, Meta(gt=0, le=240)] = 15.0
    pace: Literal["real", "max"] = "real"
    loop: bool = False
    timeout_seconds: Interval = 5.0


class Models(Section, frozen=True):
    """Which networks run, and how."""

    folder: str | None = None
    detector: Name = "blazeface_full"
    landmarks: Name = "face_mesh"
    expression: Name = "expression"
    runtime: Literal["ai-edge-litert", "tflite-runtime"] = "ai-edge-litert"
    threads: Annotated[int, Meta(ge=1, le=16)] = 1


class Detector(Section, frozen=True):
    """How faces are found."""

    min_score: Fraction = 0.3
    min_face_px: Pixels = 24
    max_faces: Annotated[int, Meta(ge=1, le=100)] = 10
    region: tuple[Fraction, Fraction, Fraction, Fraction] = (0.0, 0.0, 1.0, 1.0)
    every_seconds: Seconds = 0.5
    idle_every_seconds: Seconds = 0.1
    motion: Fraction = 0.1


class Quality(Section, frozen=True):
    """Which faces are good enough to judge."""

    min_height_px: Pixels = 24
    max_yaw_deg: Degrees = 40.0
    max_pitch_deg: Degrees = 35.0
    max_blur: Fraction = 0.7
    min_brightness: Fraction = 0.12
    max_brightness: Fraction = 0.92


class Tracking(Section, frozen=True):
    """How faces are followed."""

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
    dwell_seconds: Seconds = 0.5
    heartbeat_seconds: Seconds = 30.0


class Mqtt(Section, frozen=True):
    """The MQTT sink."""

    enabled: bool = True
    broker: Annotated[str, Meta(min_length=1)] = "localhost"
    port: Annotated[int, Meta(ge=0, le=65535)] = 1883
    version: Literal["3.1.1", "5"] = "3.1.1"
    topic: Topic = "fer-edge"
    username: str | None = None
    password_file: str | None = None
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keepalive_seconds: Annotated[int, Meta(ge=5, le=3600)] = 30
    queue: Count = 1000


class Jsonl(Section, frozen=True):
    """The JSON Lines sink."""

    enabled: bool = False
    path: str = "-"
    max_bytes: Annotated[int, Meta(ge=1024, le=1 << 40)] = 10_000_000
    backups: Annotated[int, Meta(ge=0, le=1000)] = 3


class Stats(Section, frozen=True):
    """The daemon's own figures."""

    interval_seconds: Interval = 10.0


class Privacy(Section, frozen=True):
    """What may leave the machine besides labels and boxes."""

    images: bool = False
    landmarks: bool = False


class Log(Section, frozen=True):
    """What the daemon says on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section, frozen=True):
    """The whole of config.yaml."""

    device: Device = Device()
    camera: Camera = Camera()
    models: Models = Models()
    detector: Detector = Detector()
    quality: Quality = Quality()
    tracking: Tracking = Tracking()
    events: Events = Events()
    mqtt: Mqtt = Mqtt()
    jsonl: Jsonl = Jsonl()
    stats: Stats = Stats()
    privacy: Privacy = Privacy()
    log: Log = Log()


def combination_errors(config: Config) -> list[tuple[str, str, str]]:
    """What is wrong between keys that are each right: (section, key, what)."""
    camera, mqtt, found = config.camera, config.mqtt, []
    x0, y0, x1, y1 = config.detector.region
    if x0 >= x1 or y0 >= y1:
        found.append(("detector", "region", "expected left < right and top < bottom, as in [0, 0, 1, 1]"))
    if config.events.leave > config.events.enter:
        found.append(("events", "leave", f"expected at most events.enter ({config.events.enter:g})"))
    if config.quality.min_brightness >= config.quality.max_brightness:
        found.append(("quality", "min_brightness", "expected less than quality.max_brightness"))
    if camera.backend in ("stream", "replay") and not camera.source:
        found.append(("camera", "source", f"expected a file, folder or URL, for backend {camera.backend!r} needs one"))
    if mqtt.broker == "embedded" and mqtt.version == "5":
        found.append(("mqtt", "version", 'expected "3.1.1": the embedded broker speaks no MQTT 5'))
    if mqtt.broker == "embedded" and (mqtt.tls or mqtt.username):
        found.append(("mqtt", "broker", "expected neither tls nor username: the embedded broker is loopback only"))
    if mqtt.password_file and not mqtt.username:
        found.append(("mqtt", "password_file", "expected mqtt.username beside it"))
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        found.append(("mqtt", "cert_file", "expected cert_file and key_file together, or neither"))
    if (mqtt.ca_file or mqtt.cert_file) and not mqtt.tls:
        found.append(("mqtt", "tls", "expected true where ca_file or cert_file is set"))
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of config.yaml, for editors."""
    schema = msgspec.json.schema(Config)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fer-edge config.yaml", **schema}
