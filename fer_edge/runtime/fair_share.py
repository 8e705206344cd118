"""Which of several that share one thread is next."""

from __future__ import annotations

from collections.abc import Collection

BANK_SECONDS = 1.0
"""How far one that had nothing to do may be ahead of the others, at most."""


class FairShare:
    """Gives turns so that each gets the same time, if it needs it: the next turn goes to the one that had least.

    One that needs little gets all of that; the others share the rest (max-min fairness).
    """

    def __init__(self) -> None:
        self._used: dict[str, float] = {}  # seconds, by name
        self._turns: dict[str, int] = {}  # number of its last turn, by name
        self._turn = 0

    def pick(self, ready: Collection[str]) -> str:
        """The one of `ready` whose turn it is; among equals, the one that waited longest."""
        least = max(self._used.values(), default=0.0) - BANK_SECONDS
        for name in ready:
            self._used[name] = max(self._used.get(name, 0.0), least)
        self._turn += 1
        chosen = min(ready, key=lambda name: (self._used[name], self._turns.get(name, 0)))
        self._turns[chosen] = self._turn
        return chosen

    def charge(self, name: str, seconds: float) -> None:
        """Its turn took so long."""
        self._used[name] = self._used.get(name, 0.0) + seconds
