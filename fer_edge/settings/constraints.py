"""Contradictions between keys of the configuration that are each valid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from fer_edge.config import Camera, Config, Mqtt, Privacy, Zone

Combination = tuple[str, tuple[str, ...], str]
Point = tuple[float, float]
TINY = 1e-9  # twice the area of a triangle that counts as none, of the picture


def combination_errors(config: Config) -> list[Combination]:
    """Contradictions between keys that are each valid: (section, the keys with the one to blame first, what)."""
    return [*camera_errors(config), *common_errors(config)]


def common_errors(config: Config) -> list[Combination]:
    """Those that do not concern the camera."""
    return [
        *_delegate_errors(config),
        *_threshold_errors(config),
        *_mqtt_errors(config.mqtt),
        *_purpose_errors(config.privacy),
        *_signal_errors(config),
        *_zone_errors(config),
        *_picture_errors(config),
    ]


def value_at(node: Any, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        node = node[part] if isinstance(node, dict) else getattr(node, part)
    return node


def camera_errors(config: Config) -> Iterator[Combination]:
    """Those between what one camera is and what is looked at in its picture."""
    camera = config.camera
    if camera.backend in ("stream", "replay") and not camera.source:
        what = f'expected a file, folder or URL: backend "{camera.backend}" needs one'
        yield "camera", ("source", "backend"), what
    if camera.password_file and not (camera.backend == "stream" and "://" in camera.source.removeprefix("file://")):
        yield "camera", ("password_file", "source", "backend"), 'expected a URL as camera.source, and backend "stream"'
    yield from _pi_camera_errors(camera)
    yield from _live_errors(camera)
    x0, y0, x1, y1 = config.detector.region
    if x0 >= x1 or y0 >= y1:
        yield "detector", ("region",), "expected left < right and top < bottom, as in [0, 0, 1, 1]"


def _delegate_errors(config: Config) -> Iterator[Combination]:
    models = config.models
    if models.delegate_options and not models.delegate:
        yield "models", ("delegate_options", "delegate"), "expected models.delegate to be set too"
    if models.delegate and "detector" in models.delegate_roles and config.detector.input_size:
        what = "expected null: a detector on models.delegate keeps the input size of its card"
        yield "detector", ("input_size",), what


def _pi_camera_errors(camera: Camera) -> Iterator[Combination]:
    """What only the backend picamera2 supports, and contradictions there."""
    for key in ("exposure_us", "gain", "awb", "focus", "focus_dioptres", "hdr"):
        default = getattr(Camera(), key)
        if camera.backend != "picamera2" and getattr(camera, key) != default:
            what = f'expected {"null" if default is None else default}: backend "{camera.backend}" cannot set it'
            yield "camera", (key, "backend"), what
    if (camera.focus == "manual") != (camera.focus_dioptres is not None):
        yield "camera", ("focus_dioptres", "focus"), "expected a number when focus is manual, otherwise null"
    if camera.exposure_us and camera.exposure_us > 1e6 / camera.fps:
        what = f"expected at most {int(1e6 / camera.fps)}, the time between two frames at {camera.fps:g} per second"
        yield "camera", ("exposure_us", "fps"), what


def _live_errors(camera: Camera) -> Iterator[Combination]:
    """What only a recording supports."""
    is_url = camera.backend == "stream" and "://" in camera.source.removeprefix("file://")
    if camera.backend not in ("picamera2", "v4l2") and not is_url:
        return
    if camera.pace != "real":
        yield "camera", ("pace", "backend", "source"), "expected real: a live camera sets its own pace"
    if camera.loop:
        yield "camera", ("loop", "backend", "source"), "expected false: a live camera has no end to loop from"


def _threshold_errors(config: Config) -> Iterator[Combination]:
    if config.events.leave > config.events.enter:
        yield "events", ("leave", "enter"), f"expected at most events.enter ({config.events.enter:g})"
    if config.quality.min_brightness >= config.quality.max_brightness:
        yield "quality", ("min_brightness", "max_brightness"), "expected less than quality.max_brightness"
    if config.rate.warm_c >= config.rate.hot_c:
        yield "rate", ("warm_c", "hot_c"), f"expected less than rate.hot_c ({config.rate.hot_c:g})"
    if config.rate.idle_fps < config.rate.min_fps:
        yield "rate", ("idle_fps", "min_fps"), f"expected at least rate.min_fps ({config.rate.min_fps:g})"


def _mqtt_errors(mqtt: Mqtt) -> Iterator[Combination]:
    if "://" in mqtt.broker or re.fullmatch(r"[^:]*:\d+", mqtt.broker):
        yield "mqtt", ("broker",), "expected a host name or address alone (the port is mqtt.port, TLS is mqtt.tls)"
    if mqtt.broker == "embedded":
        if mqtt.version == "5":
            yield "mqtt", ("version", "broker"), 'expected "3.1.1": the embedded broker does not support MQTT 5'
        if mqtt.tls or mqtt.username or mqtt.websockets:
            keys = ("broker", "tls", "username", "websockets")
            yield "mqtt", keys, "expected neither tls, username nor websockets with the embedded broker"
    elif mqtt.port == 0:
        yield "mqtt", ("port", "broker"), "expected 1 to 65535 (0, any free port, goes with the embedded broker only)"
    if mqtt.password_file and not mqtt.username:
        yield "mqtt", ("password_file", "username"), "expected mqtt.username to be set too"
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        yield "mqtt", ("cert_file", "key_file"), "expected cert_file and key_file together, or neither"
    if (mqtt.ca_file or mqtt.cert_file) and not mqtt.tls:
        yield "mqtt", ("tls", "ca_file", "cert_file"), "expected true where ca_file or cert_file is set"


PROHIBITED = ("workplace", "education")
LAW = "Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f)"


def _purpose_errors(privacy: Privacy) -> Iterator[Combination]:
    if privacy.purpose in PROHIBITED and not privacy.medical_or_safety:
        what = (
            f"inferring the emotions of people in the areas of workplace and education is prohibited by {LAW}, except "
            "for medical or safety reasons; expected home, research, retail, care or safety, or beside it "
            "privacy.medical_or_safety: true where these are your reasons"
        )
        yield "privacy", ("purpose", "medical_or_safety"), what


def polygon_errors(zones: Mapping[str, Zone]) -> Iterator[Combination]:
    """Zones whose points are no polygon."""
    for name, zone in zones.items():
        if what := _polygon_error(zone.points):
            yield "zones", (f"{name}.points",), what


def _zone_errors(config: Config) -> Iterator[Combination]:
    yield from polygon_errors(config.zones)
    for name, alert in config.alerts.items():
        if alert.zone is not None and alert.zone not in config.zones:
            known = ", ".join(config.zones) or "none"
            yield "alerts", (f"{name}.zone",), f"expected null or a name of section zones, which has {known}"


def _picture_errors(config: Config) -> Iterator[Combination]:
    pictures = config.pictures
    if pictures.enabled and not config.privacy.images:
        yield "pictures", ("enabled",), "expected false, or privacy.images: true beside it"
    if pictures.enabled and "enter" in pictures.at and not config.zones:
        yield "pictures", ("at", "enabled"), 'expected section zones to have one, for "enter"'


def _polygon_error(points: tuple[Point, ...]) -> str | None:
    """Why points are not the corners of a polygon, one after the other."""
    if len(set(points)) < len(points):
        twice = next(point for number, point in enumerate(points) if point in points[:number])
        which = f"[{twice[0]:g}, {twice[1]:g}] appears twice"
        return f"expected each point once ({which}; the last one joins the first by itself)"
    sides = list(zip(points, points[1:] + points[:1], strict=True))
    for (one, first), (other, second) in combinations(enumerate(sides, start=1), 2):
        if _cross(first, second):
            return f"expected the points in order around the zone (side {one} crosses or touches side {other})"
    return None


def _cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two sides share a point, beside the corner at which neighbours meet."""
    shared = set(one) & set(other)
    if shared:
        (corner,) = shared
        ends = [end for side in (one, other) for end in side if end != corner]
        return _turn(corner, *ends) == 0 and _faces(corner, *ends)
    straddle = [_turn(*one, end) for end in other], [_turn(*other, end) for end in one]
    if all(first * second < 0 for first, second in straddle):
        return True
    (at, until), (start, end) = one, other
    touching = ((at, until, start), (at, until, end), (start, end, at), (start, end, until))
    return any(_turn(a, b, point) == 0 and not _faces(point, a, b) for a, b, point in touching)


def _turn(a: Point, b: Point, c: Point) -> int:
    """Where c lies seen from a to b: 1 to one side, -1 to the other, 0 straight on. Rounded to what a picture has."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return 0 if abs(area) < TINY else 1 if area > 0 else -1


def _faces(a: Point, b: Point, c: Point) -> bool:
    """Whether b and c lie to the same side of a, where all three are on a line."""
    return (b[0] - a[0]) * (c[0] - a[0]) + (b[1] - a[1]) * (c[1] - a[1]) > 0


SIGNAL_SECTIONS = {
    "looks": "attention",
    "looked_away": "attention",
    "eyes_closed": "eyes_mouth",
    "mouth_open": "eyes_mouth",
    "smiles": "eyes_mouth",
    "perclos": "drowsiness",
    "yawns": "drowsiness",
}
"""What an alert may name, and the section that has to be enabled for it."""


def _signal_errors(config: Config) -> Iterator[Combination]:
    for section in ("eyes_mouth", "intensities", "drowsiness"):
        if getattr(config, section).enabled and not config.models.intensity:
            yield section, ("enabled",), "expected models.intensity: intensity beside it"
    if config.drowsiness.enabled and config.drowsiness.min_fps > config.camera.fps:
        yield "drowsiness", ("min_fps",), f"expected at most camera.fps ({config.camera.fps:g}), or nothing is known"
    for name, alert in config.alerts.items():
        if not (alert.expressions or alert.signals):
            yield "alerts", (f"{name}.expressions", f"{name}.signals"), "expected one or more, or else signals"
        for signal in alert.signals:
            section = SIGNAL_SECTIONS[signal]
            if not getattr(config, section).enabled:
                what = f"expected {section}.enabled: true beside {signal}"
                yield "alerts", (f"{name}.signals",), what
