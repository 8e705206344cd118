"""Measures the daemon itself: stage times, frame rate, memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from fer_edge.records import Stats


class Stage:
    """A block that is being timed. A class of its own: it takes a third of a generator's time."""

    __slots__ = ("_begun", "_name", "_spent")

    def __init__(self, name: str, spent: dict[str, float]) -> None:
        """`spent`: ms by name; the block's are added."""
        self._name, self._spent = name, spent

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent[self._name] = self._spent.get(self._name, 0.0) + (time.perf_counter() - self._begun) * 1e3


class Stopwatch:
    """Times the stages of one step; a stage that runs several times adds up."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._spent: dict[str, float] = {}

    def stage(self, name: str) -> Stage:
        """Time the block as part of stage `name`."""
        return Stage(name, self._spent)

    def read(self) -> dict[str, float]:
        """Stage -> ms, and `total`."""
        return {**self._spent, "total": (time.perf_counter() - self._begun) * 1e3}


class Meter:
    """Collects the steps of an interval and sums them up."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._begun = time.monotonic()
        self._stages: defaultdict[str, list[float]] = defaultdict(list)
        self._latencies: list[float] = []
        self._steps = 0
        self._frames = 0

    def add(self, timings_ms: Mapping[str, float], *, latency_ms: float = 0.0) -> None:
        """Count a finished step; `latency_ms` has passed since its frame was exposed."""
        self._steps += 1
        self._frames += 1
        for name, spent in timings_ms.items():
            self._stages[name].append(spent)
        self._latencies.append(latency_ms)

    def due(self, *, dropped_frames: int, damaged_frames: int) -> Stats | None:
        """The figures of the interval that has just ended, or None while it lasts. The board's are left to
        `Governor.annotate`."""
        elapsed = time.monotonic() - self._begun
        if elapsed < self.interval_seconds:
            return None
        stats = Stats(
            fps=self._steps / elapsed,
            latency_ms=percentiles(self._latencies),
            stage_ms={name: percentiles(spent) for name, spent in self._stages.items()},
            frames=self._frames,
            dropped_frames=dropped_frames,
            damaged_frames=damaged_frames,
            rss_mb=rss_mb(),
            temperature_c=None,
            throttled=None,
        )
        self._begun, self._steps = time.monotonic(), 0
        self._stages.clear()
        self._latencies.clear()
        return stats


def percentiles(values: list[float]) -> tuple[float, float]:
    """(p50, p95), in the values' unit; of nothing 0."""
    p50, p95 = np.percentile(values or [0.0], (50, 95)).tolist()
    return p50, p95


def rss_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes)."""
    return _status_mb("VmRSS")


def peak_rss_mb() -> float:
    """The most that was resident at once so far, in MB; unlike getrusage's figure without what was before an exec."""
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float:
    """A size of /proc/self/status (proc(5)), which the kernel gives in units of 1,024 bytes; 0 where it cannot be read:
    a figure is not worth the daemon."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
