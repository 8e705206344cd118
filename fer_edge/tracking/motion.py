"""How fast faces move across the picture, so that they are searched where they will be, and distinguished
where they cross.

The speed term of an alpha-beta filter (Kalata 1984): the estimate is corrected by a share of what the new frame adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fer_edge.records import Box

TRUST = 0.5  # gain: the share of a new speed that counts
COVERED_TRUST = 0.05  # the same where another face covers this one: its landmarks may be dragged along
COAST_SECONDS = 0.5  # a hidden face is expected to slow down: it goes as far as in so many seconds at its speed
PART = 1 / 64  # px; last bits of float sums must not grow from frame to frame
COVERED_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Motion:
    """Speed of a face's middle, in px a second."""

    x: float = 0.0
    y: float = 0.0

    def seen(self, before: Box, after: Box, seconds: float, *, covered: bool) -> Motion:
        """After another frame that shows the face."""
        if seconds <= 0:
            return self
        (x, y), (u, v) = before.center, after.center
        trust = COVERED_TRUST if covered else TRUST
        return Motion(
            _even(self.x + trust * ((u - x) / seconds - self.x)), _even(self.y + trust * ((v - y) / seconds - self.y))
        )

    def after(self, seconds: float) -> tuple[float, float]:
        """How far the face goes, in px."""
        reach = COAST_SECONDS * -math.expm1(-max(0.0, seconds) / COAST_SECONDS)
        return _even(self.x * reach), _even(self.y * reach)


def shifted(box: Box, by: tuple[float, float]) -> Box:
    """A box moved by (x, y) px."""
    return Box(box.x0 + by[0], box.y0 + by[1], box.x1 + by[0], box.y1 + by[1])


def _even(value: float) -> float:
    return round(value / PART) * PART
