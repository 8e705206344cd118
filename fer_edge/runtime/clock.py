"""The wall clock: what time it was, and whether that can be believed."""

from __future__ import annotations

import ctypes
import functools
import math
import subprocess
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

TIMESYNC = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes it when it has set the clock; its folder is there for as long as that runs."""

TIMEDATED = (
    *("busctl", "get-property", "org.freedesktop.timedate1", "/org/freedesktop/timedate1"),
    *("org.freedesktop.timedate1", "NTPSynchronized"),
)
ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 10.0  # doubled with each answer that it is not synchronised yet, up to ...
LONGEST_PAUSE_SECONDS = 600.0
SYNCED_PAUSE_SECONDS = 3600.0  # the kernel takes hours to doubt a clock that nobody sets any more


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
    """Whether the wall clock is synchronised, as far as can be said at once: it is asked for every event.

    The kernel knows (adjtimex(2) returns TIME_ERROR otherwise). Where it may not be asked, as in the service's sandbox,
    systemd-timesyncd says so, and where that does not run, timedated does for whatever keeps the time.
    """
    time_error = 5
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(_Timex())))
    except (OSError, AttributeError):  # no glibc
        state = -1
    if state != -1:
        return state != time_error or TIMESYNC.exists()
    return TIMESYNC.exists() if TIMESYNC.parent.exists() else _timedated().synced()


class Timedated:
    """What systemd-timedated answers, which is what the kernel told it. It is slow, so it is asked in a thread of its
    own that ends with the answer, and now and then only: each question starts it anew and leaves lines in the journal.
    """

    def __init__(self, command: Sequence[str] = TIMEDATED) -> None:
        self._command = command
        self._synced = False  # until there is an answer
        self._pause = FIRST_PAUSE_SECONDS
        self._next = -math.inf  # monotonic seconds at which the answer is too old
        self._asking = threading.Lock()

    def synced(self) -> bool:
        """The last answer. Returns at once; asks again where that is old."""
        if time.monotonic() >= self._next and self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask, name="clock", daemon=True).start()
        return self._synced

    def _ask(self) -> None:
        try:
            done = subprocess.run(
                self._command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_SECONDS, check=False
            )
            self._synced = done.stdout.split() == [b"b", b"true"]
        except (OSError, subprocess.TimeoutExpired):  # no systemd, or it does not answer
            self._synced = False
        finally:
            self._next = time.monotonic() + (SYNCED_PAUSE_SECONDS if self._synced else self._pause)
            self._pause = FIRST_PAUSE_SECONDS if self._synced else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._asking.release()


@functools.cache
def _timedated() -> Timedated:
    """One for the process, and none where nobody asks."""
    return Timedated()


def minute_of_day() -> int | None:
    """Local time in minutes since midnight; None where the clock is not synchronised and so may be anything."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min if clock_synced() else None
