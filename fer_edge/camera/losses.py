"""Where frames of a film are missing because they could not be decoded."""

from __future__ import annotations

from typing import NamedTuple

NEAR = 8
"""Decoders tell of damage some frames before or after the gap that it leaves."""
MOST_NAMED = 3


class Gap(NamedTuple):
    """Between two frames: how many came before it, their times in seconds, and how many frames fit in between."""

    before: int
    begin_s: float
    end_s: float
    missing: int


class Losses:
    """Watches the frames of a film and what the reader counts as bad."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._count = self._bad = self._late = 0
        self._first_s = 0.0
        self._bad_at: list[int] = []
        self._last_s: float | None = None
        self._gaps: list[Gap] = []

    def frame(self, bad: int, time_s: float | None) -> None:
        """A frame came, `bad` were counted so far."""
        self.end(bad)
        if time_s is not None:
            self._at(time_s)
        self._count += 1

    def _at(self, time_s: float) -> None:
        if self._last_s is None:
            self._first_s = self._last_s = time_s
        if time_s < self._last_s:  # damage brings the order into disorder
            self._late += 1
            return
        missing = round((time_s - self._last_s) / self._period_s) - 1
        if missing > 0:
            self._gaps.append(Gap(self._count, self._last_s - self._first_s, time_s - self._first_s, missing))
        self._last_s = time_s

    def end(self, bad: int) -> None:
        """No more frame came, and `bad` were counted."""
        if bad > self._bad:
            self._bad_at.append(self._count)
        self._bad = bad

    @property
    def gaps(self) -> list[Gap]:
        """Those that damage left; a film of a varying rate has others."""
        return [gap for gap in self._gaps if any(abs(gap.before - at) <= NEAR for at in self._bad_at)]

    @property
    def frames(self) -> int:
        """How many frames are missing: those that were counted, or that would fit into the gaps."""
        return max(self._bad, sum(gap.missing for gap in self.gaps) - self._late)

    def told(self) -> str:
        """What is missing, and where."""
        gaps = self.gaps
        places = ", ".join(f"from {gap.begin_s:.1f} to {gap.end_s:.1f} s" for gap in gaps[:MOST_NAMED])
        more = f" and {len(gaps) - MOST_NAMED} more" if len(gaps) > MOST_NAMED else ""
        where = f": nothing {places}{more}" if gaps else ""
        return f"{self.frames} frames could not be decoded and were left out{where}"
