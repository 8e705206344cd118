"""The wall clock, and whether it can be trusted."""

from __future__ import annotations

import ctypes
import functools
import math
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fer_edge.runtime.backoff import Backoff

TIMESYNC = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes it when it has set the clock; its folder is there for as long as that runs."""

TIMEDATED = (
    *("busctl", "get-property", "org.freedesktop.timedate1", "/org/freedesktop/timedate1"),
    *("org.freedesktop.timedate1", "NTPSynchronized"),
)
ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 10.0  # doubled with each answer "not synchronised", up to ...
LONGEST_PAUSE_SECONDS = 600.0
STEADY_SECONDS = 3600.0
JUMP_SECONDS = 5.0  # more than a clock that is being corrected gains or loses between two readings
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
    """Whether the wall clock is synchronised, as far as is known at once: this is called for every event.

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
    """systemd-timedated's answer, which is the kernel's. It is slow, so it is queried in a thread of its
    own that ends with the answer, and rarely: each query starts it again and leaves lines in the journal.
    """

    def __init__(self, command: Sequence[str] = TIMEDATED) -> None:
        self.command = command
        self._synced = False  # until there is an answer
        self._pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self.asks_again_at = -math.inf  # monotonic seconds at which the answer is too old
        self._asking = threading.Lock()

    def synced(self) -> bool:
        """The last answer. Returns at once; queries again where that is old."""
        known = self._synced  # before a thread may change it
        if time.monotonic() >= self.asks_again_at and self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask, name="clock", daemon=True).start()
        return known

    def _ask(self) -> None:
        try:
            done = subprocess.run(
                self.command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_SECONDS, check=False
            )
            self._synced = done.stdout.split() == [b"b", b"true"]
        except (OSError, subprocess.TimeoutExpired):  # no systemd, or it does not answer
            self._synced = False
        finally:
            self.asks_again_at = time.monotonic() + (SYNCED_PAUSE_SECONDS if self._synced else next(self._pauses))
            if self._synced:
                self._pauses.reset()
            self._asking.release()


@functools.cache
def _timedated() -> Timedated:
    """One for the process, and none where nobody asks."""
    return Timedated()


class SteadyClock:
    """The wall clock, where it can be relied on: it has been synchronised, and has not jumped, for STEADY_SECONDS."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
        synced: Callable[[], bool] = clock_synced,
    ) -> None:
        self._wall, self._mono, self._synced = wall, mono, synced
        self._ahead: float | None = None  # of the monotonic clock; None: it was not synchronised
        self._since = 0.0  # monotonic seconds

    def now(self) -> float | None:
        """Seconds of the epoch; None: better not to rely on it. To be asked every few minutes at least: it is watched
        from one time to the next."""
        wall, mono = self._wall(), self._mono()
        jumped = self._ahead is None or abs(wall - mono - self._ahead) > JUMP_SECONDS
        if jumped or not self._synced():
            self._since = mono
        self._ahead = wall - mono if self._synced() else None
        return wall if self._ahead is not None and mono - self._since >= STEADY_SECONDS else None


def minute_of_day() -> int | None:
    """Local time in minutes since midnight; None where the clock is not synchronised and so may be anything."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min if clock_synced() else None
