"""Where frames of a film are missing because they could not be decoded."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from fer_edge.camera.matroska import Damage
from fer_edge.runtime.count_text import counted

NEAR = 8
"""Decoders report damage some frames before or after the gap that it leaves."""
MOST_NAMED = 3


class Gap(NamedTuple):
    """Between two frames: how many came before it, their times in seconds, and how many frames fit in between."""

    before: int
    begin_s: float
    end_s: float
    missing: int


class Losses:
    """Watches the frames of a film and what the reader counts as bad."""

    def __init__(self, period_s: float, *, longest_s: float = math.inf) -> None:
        """`longest_s`: where times may start anew, a longer gap without bad frames beside it is none."""
        self._period_s, self._longest_s = period_s, longest_s
        self._count = self._bad = self._late = 0
        self._first_s = 0.0
        self._bad_at: list[int] = []  # ascending
        self._last_s: float | None = None
        self._gaps: list[Gap] = []
        self._places: list[Damage] = []

    def frame(self, bad: int, time_s: float | None) -> None:
        """A frame came, `bad` were counted so far."""
        self.end(bad)
        if time_s is not None:
            self._at(time_s)
        self._count += 1

    def _at(self, time_s: float) -> None:
        if self._last_s is None:
            self._first_s = self._last_s = time_s
        if time_s < self._last_s:  # damage may break the order
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
    def recent(self) -> bool:
        """Whether there was damage near the frame that came last."""
        return bool(self._bad_at) and self._count - self._bad_at[-1] <= NEAR

    def damaged(self, places: Iterable[Damage], *, until_s: float | None) -> None:
        """After the last frame: where the container is damaged. `until_s`: the film's length as it promises."""
        self._places = list(places)
        if self._places and self._places[-1].end_s is None and until_s and self._last_s is not None:
            missing = round((until_s - self._last_s) / self._period_s) - 1
            if missing > 0:
                begin_s, end_s = self._last_s - self._first_s, until_s - self._first_s
                self._gaps.append(Gap(self._count, begin_s, end_s, missing))

    @property
    def gaps(self) -> list[Gap]:
        """Those that damage left; a film of a varying rate has others."""
        return [gap for gap in self._gaps if self._is_near_bad(gap) or any(self._is_at(gap, it) for it in self._places)]

    def _is_near_bad(self, gap: Gap) -> bool:
        first = bisect_left(self._bad_at, gap.before - NEAR)
        return first < len(self._bad_at) and self._bad_at[first] <= gap.before + NEAR

    def _is_at(self, gap: Gap, place: Damage) -> bool:
        """Times of frames that are stored out of order are a few frames off."""
        begin_s, end_s = place.begin_s - self._first_s, (place.end_s or gap.end_s + self._first_s) - self._first_s
        off_s = NEAR * self._period_s
        if gap.end_s - gap.begin_s > self._longest_s:
            return False
        return gap.begin_s < end_s + off_s and gap.end_s > begin_s - off_s

    @property
    def frames(self) -> int:
        """How many frames are missing: those that were counted, or that would fit into the gaps."""
        return max(self._bad, sum(gap.missing for gap in self.gaps) - self._late)

    def summary(self) -> str:
        """What is missing, and where."""
        places = _places(self.gaps)
        more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
        where = f": nothing {', '.join(map(_words, places[:MOST_NAMED]))}{more}" if places else ""
        were = "was" if self.frames == 1 else "were"
        return f"{counted(self.frames, 'frame')} could not be decoded and {were} left out{where}"


def _places(gaps: list[Gap]) -> list[list[Gap]]:
    """Gaps with few frames between them are one place."""
    places: list[list[Gap]] = []
    for gap in gaps:
        if places and gap.before - places[-1][-1].before <= NEAR:
            places[-1].append(gap)
        else:
            places.append([gap])
    return places


def _words(place: list[Gap]) -> str:
    between = place[-1].before - place[0].before
    but = f" but for {counted(between, 'frame')}" if between else ""
    return f"from {place[0].begin_s:.1f} to {place[-1].end_s:.1f} s{but}"
