"""Pictures and films at their own pace."""

from __future__ import annotations

import time

MOST_LATE_NS = 1_000_000_000  # a reader that is slower for a while catches up; one that always is plays in slow motion


def wait_until(due_ns: int) -> int:
    """Sleep until a frame is due; returns the monotonic time at which it counts as taken. That is when it is due, or
    now where this is too late: the machine cannot keep up, and what comes after must not lag further and further behind
    (its events would be taken for old ones)."""
    late_ns = time.monotonic_ns() - due_ns
    if late_ns > MOST_LATE_NS:
        return due_ns + late_ns
    time.sleep(max(0, -late_ns) / 1e9)
    return due_ns
