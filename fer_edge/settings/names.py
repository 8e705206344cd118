"""What people call the settings, where there is no heading above them."""

from __future__ import annotations

NAMES = {
    "camera.paused": "Privacy pause",
    "detector.min_score": "Detection: least face score",
    "detector.candidate_score": "Detection: ask the landmarks from",
    "detector.min_face_px": "Detection: least size of a face",
    "detector.max_faces": "Detection: most faces",
    "detector.every_seconds": "Detection: every",
    "detector.idle_every_seconds": "Detection: every, nobody there",
    "detector.closer_every_seconds": "Detection: closer look every",
    "detector.motion": "Detection: at motion from",
    "quality.min_height_px": "Quality: least height of a face",
    "quality.max_yaw_deg": "Quality: furthest turn sideways",
    "quality.max_pitch_deg": "Quality: furthest turn up or down",
    "quality.max_pose_error_deg": "Quality: largest error of the pose",
    "quality.max_blur": "Quality: most blur",
    "quality.min_brightness": "Quality: least brightness",
    "quality.max_brightness": "Quality: most brightness",
    "tracking.min_score": "Tracking: least landmark score",
    "tracking.confirm_seconds": "Tracking: a face starts after",
    "tracking.keep_seconds": "Tracking: a hidden face ends after",
    "tracking.reach": "Tracking: how far a face may move",
    "tracking.judge_every_seconds": "Tracking: judge an expression every",
    "tracking.smoothing_seconds": "Tracking: smoothing",
    "events.enter": "Events: report an expression from",
    "events.leave": "Events: keep it until below",
    "events.dwell_seconds": "Events: a change must last",
    "events.heartbeat_seconds": "Events: heartbeat every",
    "readings.enabled": "Readings of every frame",
    "readings.max_per_second": "Readings: at most, each second",
    "stats.interval_seconds": "Statistics every",
    "rate.enabled": "Slow down when hot or idle",
    "rate.min_fps": "Frame rate: at least",
    "rate.warm_c": "Frame rate: lower from",
    "rate.hot_c": "Frame rate: least from",
    "rate.hysteresis_c": "Frame rate: higher again when cooler by",
    "rate.weak_share": "Frame rate: share at low voltage",
    "rate.hold_seconds": "Frame rate: stays low for",
    "rate.idle_after_seconds": "Frame rate: idle after",
    "rate.idle_fps": "Frame rate: when idle",
    "log.level": "Log level",
}
"""Of every setting but those of an alert."""

UNITS = {"_seconds": "s", "_px": "px", "_deg": "°", "_c": "°C", "_fps": "fps"}
"""Unit of a setting, by the end of its key."""


def name_of(key: str) -> str:
    """What people call a setting."""
    if key.startswith("alerts."):
        _, alert, rest = key.split(".", 2)
        words = alert.replace("_", " ").replace("-", " ").strip()
        return f"Alert {words} on duty" if rest == "enabled" else f"Alert {words}: {rest.replace('_', ' ')}"
    return NAMES.get(key) or key.replace(".", ": ").replace("_", " ").capitalize()


def unit_of(key: str) -> str | None:
    """The unit of a setting."""
    return next((unit for end, unit in UNITS.items() if key.endswith(end)), None)
