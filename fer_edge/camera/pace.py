"""Pictures and films at their own pace."""

from __future__ import annotations

import time

from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError

MOST_LATE_NS = 1_000_000_000  # a reader that is slower for a while catches up; one that always is plays in slow motion


def check_period(config: CameraConfig) -> None:
    """Raise CameraError where pictures that are taken at `camera.fps` would come too late to count as delivered."""
    if 1 / config.fps > config.timeout_seconds:
        raise CameraError(
            f"camera.fps {config.fps:g} asks for a frame every {1 / config.fps:g} s, later than "
            f"camera.timeout_seconds ({config.timeout_seconds:g} s) allows: raise one of them"
        )


def wait_until(due_ns: int) -> int:
    """Sleep until a frame is due; returns the monotonic time at which it counts as taken. That is when it is due, or
    now where this is too late: the machine cannot keep up, and what comes after must not lag further and further behind
    (its events would be taken for old ones)."""
    late_ns = time.monotonic_ns() - due_ns
    if late_ns > MOST_LATE_NS:
        return due_ns + late_ns
    time.sleep(max(0, -late_ns) / 1e9)
    return due_ns
