"""The messages between the daemon and a page over its websocket, as JSON; pictures are bytes of a JPEG.

Times are seconds of the daemon's monotonic clock: a page computes with the difference to its own, since neither
machine's wall clock need be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from fer_edge.config import Privacy
from fer_edge.drawing.palette import PALETTE, css
from fer_edge.records import LABELS, FaceState
from fer_edge.settings.tunables import Value
from fer_edge.tracking.signals import signal_words

MAX_BYTES = 65_536
"""Zones are the longest; no message of a page is longer."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log."""

    n: int  # counts up
    at: float
    kind: Literal["start", "update", "enter", "leave", "end", "alert", "away", "back"]  # the last two: of the camera
    face: int = 0
    expression: str | None = None
    reason: str | None = None  # of no expression, or why the camera is away
    confidence: float = 0.0
    dwell: float = 0.0  # since the face came, or how long it was in the zone that it leaves, seconds
    name: str = ""  # of an alert, or of the zone that is entered or left
    on: bool = False
    faces: int = 0  # that show what the alert is about
    who: tuple[int, ...] = ()  # these faces, when it went on


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold that can be set."""

    key: str
    name: str
    hint: str
    unit: str
    type: str  # number, int or bool
    value: Value  # in force
    kept: Value  # in force after a restart
    default: Value  # of config.yaml
    low: float = 0.0  # what can be set, in `unit`
    high: float = 1.0
    top: float = 1.0  # where the slider ends: higher values are rare
    step: float = 0.01


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Settings under one heading."""

    name: str
    settings: list[Setting]


class PartState(msgspec.Struct, frozen=True, kw_only=True):
    """The health of camera, broker or board: a word for the colour, a text for people."""

    state: Literal["good", "bad", "off", "waiting"]
    text: str
    since: float | None = None  # when that began
    retry_at: float | None = None  # when it is tried next


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The first message: everything a page needs to start, also after a reconnect."""

    device: str
    version: str
    boot: str
    at: float
    begun: float  # when the daemon began: what was before is not known
    images: bool
    login: bool  # whether there is something to log out of
    purpose: str  # what the device is for and who answers for it, in words; empty: not declared
    labels: tuple[str, ...] = LABELS
    colors: dict[str, str]
    entries: list[Entry]
    groups: list[Group]
    shapes: dict[str, Any]
    cameras: tuple[str, ...] = ()  # where there are several: their names, this one's too; their pages are at ../NAME/


class News(msgspec.Struct, frozen=True, kw_only=True, tag="news"):
    """New log entries."""

    entries: tuple[Entry, ...]


class WebFace(msgspec.Struct, frozen=True, kw_only=True):
    """A face in view."""

    id: int
    expression: str | None
    reason: str | None
    seconds: float  # since it came
    hidden: bool
    shares: list[int]  # smoothed probability of each of LABELS, per cent; empty: not judged
    signals: list[str] = []  # its other signals, in words; msgspec copies it


class Faces(msgspec.Struct, frozen=True, kw_only=True, tag="faces"):
    """The faces in view."""

    at: float
    faces: list[WebFace]


class WebHealth(msgspec.Struct, frozen=True, kw_only=True, tag="health"):
    """The daemon's health and figures."""

    at: float
    fps: float | None
    target_fps: float | None
    slowed: str  # why fewer frames are processed than configured; empty: they are not
    latency_ms: float | None
    temperature_c: float | None
    memory_mb: float | None
    dropped: int | None
    damaged: int | None
    camera: PartState
    broker: PartState
    board: PartState  # what the Pi's firmware reports of heat and power supply
    viewers: int


class Settings(msgspec.Struct, frozen=True, kw_only=True, tag="settings"):
    """The thresholds in force, and what is drawn on the picture (SHAPES)."""

    groups: list[Group]
    shapes: dict[str, Any]


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="reply"):
    """The result of a page's own message."""

    key: str  # that was set; empty: of `SaveMessage`; "shapes": of `DrawMessage`
    problem: str | None


class NextMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="next"):
    """A page requests one more picture."""


class SetMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="set"):
    """A page sets a threshold; null: back to config.yaml's value. It lasts until the restart."""

    key: str
    value: float | bool | None


class SaveMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="keep"):
    """A page saves all values in force beyond the restart."""


class DrawMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="draw"):
    """A page draws other zones, and another region; null: back to config.yaml's. They are kept at once."""

    zones: dict[str, Any] | None
    region: list[float] | None


ClientMessage = NextMessage | SetMessage | SaveMessage | DrawMessage


def encode(message: msgspec.Struct) -> str:
    """As it is sent."""
    return msgspec.json.encode(message).decode()


def decode(text: str) -> ClientMessage:
    """Decode a page's message. Raises ValueError."""
    try:
        message: ClientMessage = msgspec.json.decode(text, type=ClientMessage)
    except RecursionError:
        raise ValueError("too deep") from None
    return message


def faces_message(faces: Sequence[FaceState], now_ns: int) -> Faces:
    """Those of a frame taken at `now_ns`."""
    return Faces(at=now_ns / 1e9, faces=[_face(face, now_ns) for face in faces])


def _face(face: FaceState, now_ns: int) -> WebFace:
    judged = face.track.expression
    return WebFace(
        id=face.track.id,
        expression=face.expression,
        reason=face.reason.value if face.reason else None,
        seconds=round((now_ns - face.track.first_ns) / 1e9, 1),
        hidden=not face.in_view,
        shares=(judged.probabilities * 100).round().astype(int).tolist() if judged else [],
        signals=signal_words(face.track.signals),
    )


def colors() -> dict[str, str]:
    """Each expression's colour as CSS has it."""
    return {name: css(color) for name, color in PALETTE.items()}


def purpose_words(privacy: Privacy) -> str:
    """The device's purpose and controller; empty where nothing is declared."""
    reasons = " (medical or safety reasons)" if privacy.medical_or_safety else ""
    fields = {
        "Purpose": privacy.purpose and f"{privacy.purpose}{reasons}",
        "Responsible": privacy.controller,
        "Contact": privacy.contact,
    }
    return ". ".join(f"{name}: {value}" for name, value in fields.items() if value)
