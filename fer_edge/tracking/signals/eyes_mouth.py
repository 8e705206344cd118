"""Closed eyes, an open mouth and a smile, from the model for intensities, which `models.intensity` names.

The 68 points are not exact enough for these: their eye aspect ratio does not detect closed eyes (docs/signals.md).
"""

from __future__ import annotations

from collections.abc import Callable

from fer_edge.config import Config, EyesMouth
from fer_edge.records import Reason, Track
from fer_edge.tracking.signals.signal import Measured, Signal, Switch


def intensity(track: Track, names: tuple[str, ...], min_height_px: int) -> Measured:
    """The mean of some intensities of a face, 0..1."""
    if track.quality.height_px < min_height_px:
        return Reason.TOO_SMALL
    if track.quality.reason is not None:
        return track.quality.reason
    values = [track.intensities.get(name) for name in names] if track.intensities else []
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else Reason.UNCERTAIN


def _signal(name: str, words: str, icon: str, of: tuple[str, ...], enter: Callable[[EyesMouth], float]) -> Signal:
    """A signal that is on from a limit in config upwards."""

    def switch(config: Config) -> Switch:
        own = config.eyes_mouth
        return Switch(enter(own), enter(own) - own.hysteresis, own.dwell_seconds, own.lasting_seconds)

    return Signal(
        name=name,
        words=words,
        icon=icon,
        enabled=lambda config: config.eyes_mouth.enabled,
        measure=lambda track, config: intensity(track, of, config.eyes_mouth.min_height_px),
        switch=switch,
    )


EYES = ("eye_closed_left", "eye_closed_right")
EYES_CLOSED = _signal("eyes_closed", "eyes closed", "eye-off", EYES, lambda config: config.eyes_closed)
MOUTH_OPEN = _signal("mouth_open", "mouth open", "emoticon-excited", ("jaw_open",), lambda config: config.mouth_open)
SMILES = _signal("smiles", "smiles", "emoticon-happy", ("smile",), lambda config: config.smiles)
