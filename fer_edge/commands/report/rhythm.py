"""When they came: by the hour of the day and by the day of the week, for each hour that was watched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap

from fer_edge.runtime.time_text import figure_text, local
from fer_edge.tracking.minutes import Minute

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LEAST_WATCHED_S = 600.0  # of a period, an hour or a weekday, to say how many come in an hour of it


@dataclass(frozen=True, slots=True)
class Slot:
    """An hour of the day, or a day of the week."""

    name: str
    watched_s: float
    visitors: int

    @property
    def rate(self) -> float | None:
        """How many came per watched hour; None: it was hardly watched."""
        return self.visitors / (self.watched_s / 3600) if self.watched_s >= LEAST_WATCHED_S else None


def by_hour(minutes: Sequence[Minute]) -> list[Slot]:
    """The hours of the day, from 0 to 23."""
    return _slots(minutes, [f"{hour:02}" for hour in range(24)], lambda when: when.hour)


def by_weekday(minutes: Sequence[Minute]) -> list[Slot]:
    """The days of the week, from Monday on."""
    return _slots(minutes, WEEKDAYS, datetime.weekday)


def busiest(slots: Sequence[Slot]) -> Slot | None:
    """The one with most arrivals per watched hour, where there are at least two to choose from."""
    known = [slot for slot in slots if slot.rate is not None]
    return max(known, key=lambda slot: slot.rate or 0.0) if len(known) > 1 else None


def in_words(slots: Sequence[Slot]) -> str:
    """Every slot that was watched, as in "09 2.5, 10 3.1"."""
    return ", ".join(f"{slot.name} {figure_text(slot.rate)}" for slot in slots if slot.rate is not None)


def _slots(minutes: Sequence[Minute], names: Sequence[str], which: Callable[[datetime], int]) -> list[Slot]:
    watched: defaultdict[int, float] = defaultdict(float)
    came: defaultdict[int, int] = defaultdict(int)
    for minute in minutes:
        number = which(local(minute.begin_s))
        watched[number] += minute.watched_s
        came[number] += minute.visitors
    return list(starmap(Slot, ((name, watched[number], came[number]) for number, name in enumerate(names))))
