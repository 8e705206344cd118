"""A smile and raised brows beside the face's own calm state: intensities minus what they are while the face is calm."""

from __future__ import annotations

from fer_edge.config import Config
from fer_edge.records import Reason, Track
from fer_edge.tracking.signals.eyes_mouth import intensity
from fer_edge.tracking.signals.memory import calm
from fer_edge.tracking.signals.signal import Measured, Signal, smoothed

SUFFIX = "_over_calm"
SMOOTHING_S = 1.0


def over_calm(track: Track, name: str, config: Config) -> Measured:
    """An intensity minus that of the calm face, -1 to 1."""
    own, memory = config.intensities, track.memory
    value = intensity(track, (name,), own.min_height_px)
    if isinstance(value, Reason):
        return value
    if memory is None or memory.watched_s < own.watched_seconds:
        return Reason.TOO_SHORT
    return smoothed(track, f"{name}{SUFFIX}", value - calm(memory, name), SMOOTHING_S)


def _signal(name: str, words: str, icon: str) -> Signal:
    return Signal(
        name=f"{name}{SUFFIX}",
        words=f"{words} beside the calm face",
        icon=icon,
        enabled=lambda config: config.intensities.enabled,
        measure=lambda track, config: over_calm(track, name, config),
        remembers=True,
    )


SMILE_OVER_CALM = _signal("smile", "smile", "emoticon-happy-outline")
BROW_RAISE_OVER_CALM = _signal("brow_raise", "raised brows", "emoticon-outline")
