"""What the viewers take from messages, and how they say it."""

from __future__ import annotations

from datetime import datetime

import msgspec

REASONS = {
    "too_small": "too small to judge",
    "turned": "turned away",
    "blurred": "too blurred",
    "dark": "too dark",
    "bright": "too bright",
    "uncertain": "no clear expression",
}


class ReceivedEvent(msgspec.Struct, frozen=True):
    """What is shown of an event; whatever else a newer or older daemon sends does not matter."""

    event_type: str
    track_id: int | None = None
    ts: str | None = None
    expression: str | None = None
    confidence: float = 0.0
    previous: str | None = None
    dwell_s: float = 0.0
    reason: str | None = None
    replayed: bool = False


class ReceivedState(msgspec.Struct, frozen=True):
    """What is shown of a state."""

    faces: int
    expressions: dict[str, int] = {}  # msgspec copies it


class ReceivedStats(msgspec.Struct, frozen=True):
    """What is shown of a daemon's own figures."""

    fps: float
    latency_ms: tuple[float, float]
    rss_mb: float = 0.0
    queue: int = 0
    temperature_c: float | None = None


class ReceivedAlert(msgspec.Struct, frozen=True):
    """What is shown of an alert."""

    name: str
    state: str
    since: str | None = None


def reason_text(reason: str | None) -> str:
    """Why there is no expression, in words."""
    return REASONS.get(reason or "", printable(reason or "no expression"))


def counted(number: int, thing: str) -> str:
    """As in "no faces", "1 face", "2 faces"."""
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def clock_time(ts: str | None) -> str:
    """A time stamp as the time of day here."""
    try:
        return datetime.fromisoformat(ts or "").astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError):  # OverflowError: the year 9999 in another zone
        return "--:--:--"


def printable(text: str) -> str:
    """Without control characters: whoever may publish must not steer the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
