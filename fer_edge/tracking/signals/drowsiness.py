"""Signs of drowsiness: how often a face blinks, PERCLOS, and yawns. None of them shows that somebody is drowsy."""

from __future__ import annotations

from fer_edge.config import Config
from fer_edge.records import FaceMemory, Reason, Track
from fer_edge.tracking.signals.eyes_mouth import intensity
from fer_edge.tracking.signals.signal import Measured, Signal, Switch

LATE = 1.1  # cameras are not on time to the millisecond
DIM = 0.16  # mean brightness of a face below which noise looks like blinks


def _lids(track: Track, config: Config) -> FaceMemory | Reason:
    """The last minute of the eyelids, or why nothing is known of it."""
    own, memory = config.drowsiness, track.memory
    if track.quality.height_px < own.min_height_px:
        return Reason.TOO_SMALL
    if track.quality.reason is not None:
        return track.quality.reason
    if track.intensities is None or memory is None:
        return Reason.UNCERTAIN
    if memory.interval_s and memory.interval_s > LATE / own.min_fps:
        return Reason.TOO_SLOW
    return memory if _known_s(memory) >= own.watched_seconds else Reason.TOO_SHORT


def _known_s(memory: FaceMemory) -> float:
    return sum(each.known_s for each in memory.lids)


def blinks(track: Track, config: Config) -> Measured:
    """Blinks a minute, of the time of the last minute in which the eyes were known."""
    memory = _lids(track, config)
    if isinstance(memory, Reason):
        return memory
    return 60 * len(memory.blinks_ns) / _known_s(memory) if track.quality.brightness >= DIM else Reason.DARK


def perclos(track: Track, config: Config) -> Measured:
    """The share of the last minute in which the eyes were at least 80 % closed (Wierwille et al. 1994)."""
    memory = _lids(track, config)
    if isinstance(memory, Reason):
        return memory
    return sum(each.closed_s for each in memory.lids) / _known_s(memory)


def jaw(track: Track, config: Config) -> Measured:
    """How far the mouth is open."""
    return intensity(track, ("jaw_open",), config.drowsiness.min_height_px)


def _perclos_switch(config: Config) -> Switch:
    limit = config.drowsiness.perclos
    return Switch(limit, 0.8 * limit, dwell_s=0.0, lasting_s=0.0)


def _yawn_switch(config: Config) -> Switch:
    own = config.drowsiness
    return Switch(own.yawn, 0.6 * own.yawn, dwell_s=own.yawn_seconds, lasting_s=0.0)


BLINKS = Signal(
    name="blinks",
    words="blinks a minute",
    icon="eye-refresh",
    enabled=lambda config: config.drowsiness.enabled,
    measure=blinks,
    form=".0f",
    decimals=0,
    remembers=True,
)
PERCLOS = Signal(
    name="perclos",
    words="PERCLOS",
    icon="eye-minus",
    enabled=lambda config: config.drowsiness.enabled,
    measure=perclos,
    switch=_perclos_switch,
    level=True,
    form=".0%",
    decimals=2,
    remembers=True,
)
YAWNS = Signal(
    name="yawns",
    words="yawns",
    icon="emoticon-sick",
    enabled=lambda config: config.drowsiness.enabled,
    measure=jaw,
    switch=_yawn_switch,
)
