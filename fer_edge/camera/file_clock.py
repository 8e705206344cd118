"""When each frame of a film is due."""

from __future__ import annotations

LONGEST_STEP_MS = 10_000.0
"""Without damage: more is another recording."""


class FileClock:
    """When each frame of a file is due. Steps come from the file's time stamps; where those stand still or run
    backwards (some containers have none), from its frame rate."""

    def __init__(self, start_ns: int, *, period_ns: int, restarts: bool = False) -> None:
        """`restarts`: times may start anew within it, so that a jump means nothing."""
        self.period_ns = period_ns
        self._restarts = restarts
        self._due_ns = start_ns
        self._position_ms: float | None = None

    def step_ns(self, position_ms: float, *, hole: bool = False) -> int:
        """Time from the frame before to the one at `position_ms` of the file; 0 for the first. `hole`: frames may be
        missing in between."""
        before, self._position_ms = self._position_ms, position_ms
        if before is None:
            return 0
        if position_ms <= before or (self._restarts and not hole and position_ms - before > LONGEST_STEP_MS):
            return self.period_ns
        return round((position_ms - before) * 1e6)

    def advance(self, step_ns: int) -> int:
        """Move on, to the monotonic time that is returned."""
        self._due_ns += step_ns
        return self._due_ns
