"""Whether a face looks at the camera: its head, and with `attention.iris` its eyes, point at it, within a cone.

Without irises, or where the eyes are too small for them, somebody who turns the head away and glances back does not
look, by this measure (docs/signals.md).
"""

from __future__ import annotations

import math

from fer_edge.config import Attention, Config
from fer_edge.records import EyeTurn, Pose, Quality, Reason, Track
from fer_edge.tracking.signals.eyes_mouth import EYES, intensity
from fer_edge.tracking.signals.signal import Measured, Signal, Switch, smoothed

UNSEEN = (Reason.DARK, Reason.BRIGHT, Reason.BLURRED)
"""With these reasons the pose is not trusted either. A turned face may be known not to look."""


RANGE_DEG = 30.0
"""By how much the eyes are turned where `eyes_aside` is 1."""

SMOOTHING_S = 0.5


def off_camera_deg(pose: Pose, eyes: EyeTurn | None = None) -> float:
    """The angle between where the head points, or the eyes in it, and the camera."""
    across, down = (eyes.across_deg, eyes.down_deg) if eyes else (0.0, 0.0)
    toward = math.cos(math.radians(pose.yaw_deg + across)) * math.cos(math.radians(pose.pitch_deg + down))
    return math.degrees(math.acos(max(-1.0, min(1.0, toward))))


def looks(pose: Pose, quality: Quality, config: Attention, eyes: EyeTurn | None = None) -> Measured:
    """How far inside the cone the head points, or the eyes where they are known, degrees; negative: outside."""
    if quality.height_px < config.min_height_px:
        return Reason.TOO_SMALL
    if quality.reason in UNSEEN:
        return quality.reason
    off, error = off_camera_deg(pose, eyes), pose.error_deg or 0.0
    surely_away = off - error > config.cone_deg + config.hysteresis_deg
    if error > config.max_pose_error_deg and not surely_away:
        return Reason.TURNED
    return config.cone_deg - off


def _measure(track: Track, config: Config) -> Measured:
    eyes = _open_eyes(track, config)
    return looks(track.landmarks.pose, track.quality, config.attention, eyes if isinstance(eyes, EyeTurn) else None)


def _open_eyes(track: Track, config: Config) -> EyeTurn | Reason:
    """The turn of the eyes, unless they are known to be closed."""
    if not isinstance(track.eyes, EyeTurn):
        return track.quality.reason or track.eyes or Reason.UNCERTAIN
    closed = intensity(track, EYES, 0)
    if isinstance(closed, Reason) or closed < config.eyes_mouth.eyes_closed:
        return track.eyes
    return Reason.UNCERTAIN


def _aside(track: Track, config: Config) -> Measured:
    """By how much the eyes are turned to the right of the picture, in shares of RANGE_DEG."""
    eyes = _open_eyes(track, config)
    if isinstance(eyes, Reason):
        return eyes
    return smoothed(track, "eyes_aside", max(-1.0, min(1.0, eyes.across_deg / RANGE_DEG)), SMOOTHING_S)


def _switch(config: Config) -> Switch:
    attention = config.attention
    return Switch(0.0, -attention.hysteresis_deg, attention.dwell_seconds, attention.lasting_seconds)


LOOKS = Signal(
    name="looks",
    words="looks at the camera",
    icon="eye-check",
    enabled=lambda config: config.attention.enabled,
    measure=_measure,
    switch=_switch,
    opposite="looked_away",
)

EYES_ASIDE = Signal(
    name="eyes_aside",
    words="eyes turned aside",
    icon="eye-arrow-right",
    enabled=lambda config: config.attention.enabled and config.attention.iris,
    measure=_aside,
)
