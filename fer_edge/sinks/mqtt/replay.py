"""Events that waited: how fast they follow, and which of them are marked as old."""

from __future__ import annotations

import time

import msgspec

from fer_edge.sinks.mqtt.outbox import Entry

LATE_SECONDS = 5.0
"""An event that is sent so long after it happened is one that waited: nobody should act upon it as upon news."""


class Throttle:
    """Lets so many pass in a second, at once or one by one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = self._left = per_second
        self._seen = time.monotonic()

    def allowed(self) -> int:
        """How many may pass now."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._seen) * self._per_second)
        self._seen = now
        return int(self._left)

    def spend(self, count: int) -> None:
        """So many have passed."""
        self._left -= count


class _When(msgspec.Struct):
    mono_ns: int = 0


def is_late(entry: Entry, boot_id: str | None) -> bool:
    """Whether an event is sent long after it happened. One of an earlier run, whose clock is gone, always is."""
    if boot_id is not None and entry.boot_id != boot_id:
        return True
    happened = msgspec.json.decode(entry.payload, type=_When).mono_ns
    return time.monotonic_ns() - happened > LATE_SECONDS * 1e9


def replayed(payload: bytes) -> bytes:
    """An encoded event that says that it waited."""
    return msgspec.json.encode({**msgspec.json.decode(payload), "replayed": True})
