"""What signals keep of a face: how it is when nothing moves, and what its eyelids did in the last minute.

A face's own calm state is a low quantile of each intensity over the last seconds: some eyes are narrow, some mouths
curl upwards, and what moves is seen beside that. While the eyes are closed it hardly follows, so that eyes which stay
closed do not become the calm state.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fer_edge.records import FaceMemory, Floats, LidSecond, Track
from fer_edge.tracking.signals.signal import LOST_S

FOLLOWED = ("smile", "brow_raise", "eye_closed_left", "eye_closed_right")
"""The intensities whose calm state is kept; both eyes are one."""

LEVELS = ("smile", "brow_raise", "eyes")
BINS = 50
CALM_S = 20.0  # after which a level weighs 37 %
CALM_QUANTILE = 0.3
CALM_EYES_MOST = 0.45  # narrow eyes; more would be closed ones
CLOSED_WEIGHT = 0.1  # of levels while the eyes are closed
WARM_UP_S = 2.0  # before this, nothing is compared with the calm state


CLOSED = 0.2  # of the way from the calm state to 1, from which on eyes close ...
OPENED = 0.1  # ... until they are below this
BLINK_MOST_S = 0.6  # what lasts longer is no blink
DEEPEST_S = 60.0  # after which how far they have closed counts for 37 %
P80 = 0.8  # of it, from which on they count for PERCLOS (Wierwille et al. 1994)
MINUTE_S = 60
INTERVAL_S = 1.0  # over which the time between frames is smoothed


def remember(track: Track, now_ns: int, *, hidden: bool = False) -> FaceMemory:
    """What is kept of a face after a frame that shows it. `hidden`: that was not the frame before."""
    old = track.memory or FaceMemory(now_ns, np.zeros((len(LEVELS), BINS), np.float32))
    elapsed_s = (now_ns - old.measured_ns) / 1e9
    if hidden or not 0 < elapsed_s <= LOST_S:
        return replace(old, measured_ns=now_ns, closed_ns=None)
    interval_s = _smoothed(old.interval_s, elapsed_s)
    values = _values(track)
    if values is None:
        return replace(old, measured_ns=now_ns, interval_s=interval_s, closed_ns=None)
    at = np.minimum((values * BINS).astype(np.intp), BINS - 1)
    levels = old.levels * np.float32(math.exp(-elapsed_s / CALM_S))
    levels[np.arange(len(LEVELS)), at] += elapsed_s * (CLOSED_WEIGHT if old.closed_ns else 1.0)
    new = replace(old, measured_ns=now_ns, levels=levels, watched_s=old.watched_s + elapsed_s, interval_s=interval_s)
    return new if new.watched_s < WARM_UP_S else _watched_lids(new, float(values[-1]), now_ns, elapsed_s)


def _smoothed(before_s: float | None, elapsed_s: float) -> float:
    if before_s is None:
        return elapsed_s
    return before_s + (elapsed_s - before_s) * min(1.0, elapsed_s / INTERVAL_S)


def _values(track: Track) -> Floats | None:
    """The levels f32[K] of a frame; None where the face cannot be classified, or a model does not publish them."""
    if track.quality.reason is not None or track.intensities is None:
        return None
    smile, brow, left, right = (track.intensities.get(name) for name in FOLLOWED)
    if smile is None or brow is None or left is None or right is None:
        return None
    return np.array([smile, brow, (left + right) / 2], np.float32)


def calm(memory: FaceMemory, level: str) -> float:
    """How high an intensity is while the face is calm, 0..1."""
    held = np.cumsum(memory.levels[LEVELS.index(level)])
    return (int(np.searchsorted(held, CALM_QUANTILE * float(held[-1]))) + 0.5) / BINS


def closing(memory: FaceMemory, eyes: float) -> float:
    """How far the eyes (`eyes`: intensity, 0..1) are from their calm state, 0, to closed, 1; below 0: wider open."""
    base = min(calm(memory, "eyes"), CALM_EYES_MOST)
    return (eyes - base) / (1 - base)


def _watched_lids(memory: FaceMemory, eyes: float, now_ns: int, elapsed_s: float) -> FaceMemory:
    """With what the eyelids did in the time before a frame."""
    far = closing(memory, eyes)
    deepest = max(far if far >= CLOSED else 0.0, memory.deepest * math.exp(-elapsed_s / DEEPEST_S))
    closed_ns, blinks = memory.closed_ns, memory.blinks_ns
    if closed_ns is None and far >= CLOSED:
        closed_ns = now_ns
    elif closed_ns is not None and far < OPENED:
        blinks += (now_ns,) if now_ns - closed_ns <= BLINK_MOST_S * 1e9 else ()
        closed_ns = None
    shut = closed_ns is not None and far >= P80 * deepest
    return replace(
        memory,
        closed_ns=closed_ns,
        deepest=deepest,
        blinks_ns=tuple(at for at in blinks if now_ns - at <= MINUTE_S * 1e9),
        lids=_lids(memory.lids, now_ns, elapsed_s, shut=shut),
    )


def _lids(lids: tuple[LidSecond, ...], now_ns: int, elapsed_s: float, *, shut: bool) -> tuple[LidSecond, ...]:
    """The last minute, with the time before a frame."""
    second = now_ns // 1_000_000_000
    newest = lids[-1] if lids and lids[-1].second == second else LidSecond(second)
    before = lids[:-1] if lids and lids[-1].second == second else lids
    if before and before[0].second <= second - MINUTE_S:
        before = tuple(each for each in before if each.second > second - MINUTE_S)
    closed_s = newest.closed_s + (elapsed_s if shut else 0.0)
    return (*before, LidSecond(second, newest.known_s + elapsed_s, closed_s))
