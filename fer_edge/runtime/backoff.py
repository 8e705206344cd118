"""Pauses between attempts to reach something that may be unavailable for long."""

from __future__ import annotations

import random


class Backoff:
    """An iterator of seconds to wait before the next attempt: `first`, each time twice as long, up to `longest`.

    `jitter`: so much longer at most, by chance, as a share; a fleet whose broker was restarted must not return at once.
    """

    def __init__(self, first: float, longest: float, *, jitter: float = 0.0) -> None:
        self._first, self._longest, self._jitter = first, longest, jitter
        self._next = first

    def __iter__(self) -> Backoff:
        return self

    def __next__(self) -> float:
        seconds, self._next = self._next, min(self._longest, self._next * 2)
        return seconds * random.uniform(1.0, 1.0 + self._jitter)  # noqa: S311 - no secret

    def reset(self) -> None:
        """It worked, and lasted: start again with the shortest pause."""
        self._next = self._first
