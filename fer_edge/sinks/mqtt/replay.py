"""Queued events: how fast they are replayed, and which of them are marked as old."""

from __future__ import annotations

import time

import msgspec

from fer_edge.sinks.mqtt.event_copy import Entry

LATE_SECONDS = 5.0
"""An event sent this long after it happened is marked as replayed: nobody should act on it as news."""


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
    """An encoded event, marked as replayed."""
    return msgspec.json.encode({**msgspec.json.decode(payload), "replayed": True})
