"""What the viewers take from messages, and how they say it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from fer_edge.records import reason_words


class ReceivedSignal(msgspec.Struct, frozen=True):
    """What is shown of a face's signal."""

    on: bool | None = None
    mean: float | None = None
    seconds: float = 0.0


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
    zone: str | None = None  # that was entered or left
    zone_dwell_s: float | None = None
    signals: dict[str, ReceivedSignal] = {}  # msgspec copies it

    @property
    def was(self) -> str | None:
        """The expression before, where it was another one."""
        return self.previous if self.previous != self.expression else None


class ReceivedState(msgspec.Struct, frozen=True):
    """What is shown of a state."""

    faces: int
    expressions: dict[str, int] = {}  # msgspec copies it
    zones: dict[str, int] = {}  # name -> faces within it
    signals: dict[str, float | None] = {}

    @property
    def in_signals(self) -> str:
        """As in "looks 1, balance -0.2": with how many faces each is on, those with none left out."""
        return ", ".join(f"{printable(name)} {value:g}" for name, value in self.signals.items() if value)

    @property
    def in_zones(self) -> str:
        """As in "door 2, till 0"; empty where there are no zones."""
        return ", ".join(f"{printable(name)} {faces}" for name, faces in self.zones.items())


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
    return printable(reason_words(reason or "no expression"))


def clock_time(ts: str | None) -> str:
    """A time stamp as the time of day here."""
    try:
        return datetime.fromisoformat(ts or "").astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError):  # OverflowError: the year 9999 in another zone
        return "--:--:--"


def printable(text: str) -> str:
    """Without control characters: publishers must not control the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
