"""Numbers in a notice, as the readers of its language write them."""

from __future__ import annotations

import msgspec

HOURS_A_DAY = 24


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language's way with numbers."""

    group: str  # between thousands
    group_from: int  # the least number that is grouped
    decimal: str
    singular_from: float  # numbers from here on, and below the next, have the singular
    singular_below: float
    day: str
    days: str
    hour: str
    hours: str
    hours_few: str = ""  # of 2 to 4, 22 to 24, ..., and of fractions; empty: as the others

    def text(self, value: float) -> str:
        """As in "1", "1.5", "20,000"."""
        whole, _, rest = f"{value:.12g}".partition(".")
        grouped = f"{int(whole):,}".replace(",", self.group) if value >= self.group_from else whole
        return grouped + (self.decimal + rest if rest else "")

    def days_text(self, days: int) -> str:
        """As in "1 day", "90 days"."""
        return f"{self.text(days)} {self.day if self._singular(days) else self.days}"

    def hours_text(self, hours: float) -> str:
        """As in "1 hour", "24 hours"; several whole days as days."""
        if hours > HOURS_A_DAY and hours % HOURS_A_DAY == 0:
            return self.days_text(round(hours / HOURS_A_DAY))
        word = self.hours_few if self.hours_few and _few(hours) else self.hours
        return f"{self.text(hours)} {self.hour if self._singular(hours) else word}"

    def _singular(self, value: float) -> bool:
        return self.singular_from <= value < self.singular_below


def _few(value: float) -> bool:
    """Whether Slavic languages count it as few."""
    return value % 1 != 0 or (2 <= value % 10 <= 4 and not 12 <= value % 100 <= 14)
