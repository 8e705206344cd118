"""Which zones of the picture a face is in, and who is in which zone.

A face enters a zone when its anchor (the centre or the foot of its box) lies within the polygon, and leaves it when
that is further outside than the zone's margin.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import cv2
import numpy as np

from fer_edge.config import Zone
from fer_edge.records import Box, FaceState, ZoneState


class ZoneMap:
    """The zones of config, for frames of any size."""

    def __init__(self, zones: Mapping[str, Zone]) -> None:
        """`zones`: name -> zone (config section `zones`)."""
        self._zones = dict(zones)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._zones)

    def around(self, box: Box, size: tuple[int, int], *, before: Collection[str] = ()) -> tuple[str, ...]:
        """The zones that contain a face.

        Args:
            box: the face's, px.
            size: of the frame, width and height in px.
            before: the zones that contained it.

        """
        return tuple(
            name
            for name, zone in self._zones.items()
            if _depth(zone, box, size) >= (-zone.margin * size[1] if name in before else 0)
        )


def _depth(zone: Zone, box: Box, size: tuple[int, int]) -> float:
    """How far within a zone's border a face is, px; outside it is negative. What the picture's edge cuts off counts as
    at that edge."""
    x, y = box.center if zone.anchor == "centre" else (box.center[0], box.y1)
    outline = np.asarray(np.array(zone.points) * size, np.float32)
    anchor = (min(max(x, 0.0), float(size[0])), min(max(y, 0.0), float(size[1])))
    return cv2.pointPolygonTest(outline, anchor, measureDist=True)


class ZoneWatch:
    """The state of all faces -> the zones whose content has changed."""

    def __init__(self, names: Collection[str]) -> None:
        self._states: dict[str, ZoneState | None] = dict.fromkeys(names)

    def replace(self, names: Collection[str]) -> None:
        """Apply other zones; those that stay keep their state."""
        self._states = {name: self._states.get(name) for name in names}

    def update(self, faces: Sequence[FaceState], now_ns: int) -> tuple[ZoneState, ...]:
        """Process a step; returns the zones that changed. One that was not reported yet is included."""
        news = []
        for name, before in self._states.items():
            shown = tuple(face.expression for face in faces if face.in_view and name in face.zones)
            if before is None or before.shown != shown:
                same = before is not None and bool(before.shown) == bool(shown)
                state = ZoneState(name, shown, before.since_ns if before and same else now_ns)
                self._states[name] = state
                news.append(state)
        return tuple(news)
