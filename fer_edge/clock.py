"""The wall clock: what time it was, and whether that can be believed."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path

TIMESYNC = Path("/run/systemd/timesync/synchronized")


def timestamp(mono_ns: int) -> str:
    """Wall-clock time, UTC by RFC 3339 with milliseconds, of a moment of the monotonic clock."""
    ago_ns = max(0, time.monotonic_ns() - mono_ns)  # files may be read faster than they were filmed: not the future
    wall_ns = time.time_ns() - ago_ns
    moment = datetime.fromtimestamp(wall_ns / 1e9, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); only its size and zeroed `modes` matter for reading."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_long * 64))


def clock_synced() -> bool:
    """Whether the wall clock is synchronised: the kernel says so (adjtimex(2) returns TIME_ERROR otherwise), or
    systemd-timesyncd does, in case the kernel may not be asked."""
    time_error = 5
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(_Timex())))
    except (OSError, AttributeError):  # no glibc
        state = -1
    return state not in (-1, time_error) or TIMESYNC.exists()


def minute_of_day() -> int | None:
    """Local time in minutes since midnight; None where the clock is not synchronised and so may be anything."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min if clock_synced() else None
