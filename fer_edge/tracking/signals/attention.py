"""Whether a face looks at the camera: its head is turned towards it, within a cone.

The eyes are not tracked: somebody who turns the head away and glances back does not look, by this
measure (docs/signals.md).
"""

from __future__ import annotations

import math

from fer_edge.config import Attention, Config
from fer_edge.records import Pose, Quality, Reason, Track
from fer_edge.tracking.signals.signal import Measured, Signal, Switch

UNSEEN = (Reason.DARK, Reason.BRIGHT, Reason.BLURRED)
"""With these reasons the pose is not trusted either. A turned face may be known not to look."""


def off_camera_deg(pose: Pose) -> float:
    """The angle between where the head points and the camera."""
    toward = math.cos(math.radians(pose.yaw_deg)) * math.cos(math.radians(pose.pitch_deg))
    return math.degrees(math.acos(max(-1.0, min(1.0, toward))))


def looks(pose: Pose, quality: Quality, config: Attention) -> Measured:
    """How far inside the cone the head points, degrees; negative: outside."""
    if quality.height_px < config.min_height_px:
        return Reason.TOO_SMALL
    if quality.reason in UNSEEN:
        return quality.reason
    off, error = off_camera_deg(pose), pose.error_deg or 0.0
    surely_away = off - error > config.cone_deg + config.hysteresis_deg
    if error > config.max_pose_error_deg and not surely_away:
        return Reason.TURNED
    return config.cone_deg - off


def _measure(track: Track, config: Config) -> Measured:
    return looks(track.landmarks.pose, track.quality, config.attention)


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
