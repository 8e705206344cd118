"""What people call the settings, wherever they are shown: on the live page and in Home Assistant."""

from __future__ import annotations

HEADINGS = {
    "events": "Reporting",
    "tracking": "Tracking",
    "quality": "Face quality",
    "detector": "Detection",
    "rate": "Frame rate",
    "readings": "Readings",
    "stats": "Statistics",
}
"""Of the sections; what is in none of them has a name that needs no explanation."""

NAMES: dict[str, tuple[str, str]] = {
    "events.enter": ("Enter threshold", "an expression is reported once its probability reaches this"),
    "events.leave": ("Leave threshold", "and given up when it falls below this; at most the enter threshold"),
    "events.neutral_doubt": (
        "Neutral doubt",
        "neutral is not reported while all negative expressions together reach this probability; 1: off",
    ),
    "events.dwell_seconds": ("Minimum duration", "how long a change must last before it is reported"),
    "events.heartbeat_seconds": ("Heartbeat interval", "how often an unchanged face is reported again; 0: never"),
    "tracking.min_score": ("Minimum landmark score", "below it, the landmarks have lost the face"),
    "tracking.confirm_seconds": ("Start delay", "how long a face must be visible before it is reported"),
    "tracking.keep_seconds": ("Keep hidden faces for", "a face that stays hidden longer is ended"),
    "tracking.reach": ("Reach", "how far from where it was lost a face may reappear, in face heights"),
    "tracking.judge_every_seconds": ("Classification interval", "0: every frame; higher saves CPU"),
    "tracking.smoothing_seconds": ("Smoothing", "higher is steadier and slower; 0: off"),
    "quality.min_height_px": ("Minimum height", "eyebrows to chin; smaller faces are not classified"),
    "quality.max_yaw_deg": ("Maximum yaw", "faces turned further to the side are not classified"),
    "quality.max_pitch_deg": ("Maximum pitch", "faces turned further up or down are not classified"),
    "quality.max_pose_error_deg": ("Maximum pose error", "faces whose pose is less certain count as turned"),
    "quality.max_blur": ("Maximum blur", "0 is sharp, 1 is completely blurred"),
    "quality.min_brightness": ("Minimum brightness", "mean of the face; 0 is black"),
    "quality.max_brightness": ("Maximum brightness", "mean of the face; 1 is white"),
    "detector.min_score": ("Minimum face score", "lower finds more faces, and more false positives"),
    "detector.candidate_score": (
        "Minimum candidate score",
        "the detector's own, before landmarks confirm a face; lower finds smaller faces",
    ),
    "detector.min_face_px": ("Minimum face size", "forehead to chin; smaller faces are ignored"),
    "detector.max_faces": ("Maximum faces", "of each detection, those with the highest scores"),
    "detector.every_seconds": ("Interval", "how often to look for others while faces are tracked; 0: every frame"),
    "detector.idle_every_seconds": ("Interval when empty", "how often to detect while nobody is in view"),
    "detector.closer_every_seconds": (
        "Close-up interval",
        "how often to search a part of the picture for small, distant faces; 0: never",
    ),
    "detector.motion": ("Motion threshold", "change of brightness that starts a detection at once; 1: never"),
    "readings.enabled": ("Of every frame", "whether the faces of every frame are published"),
    "readings.max_per_second": ("Maximum rate", "messages a second"),
    "stats.interval_seconds": ("Interval", "how often the daemon's own figures are published"),
    "rate.enabled": ("Slow down when hot or idle", "whether fewer frames are processed then"),
    "rate.min_fps": ("Minimum", "frames a second however hot it is"),
    "rate.warm_c": ("Reduce from", "temperature from which on fewer frames are processed"),
    "rate.hot_c": ("Minimum from", "temperature at which the minimum is reached"),
    "rate.hysteresis_c": ("Raise again when cooler by", "how much cooler it must get first"),
    "rate.weak_share": ("Share at low voltage", "of the frame rate while the supply is too weak"),
    "rate.hold_seconds": ("Minimum time reduced", "how long it stays reduced"),
    "rate.idle_after_seconds": ("Idle after", "after how long without anybody in view"),
    "rate.idle_fps": ("When idle", "frames a second while nobody is in view"),
    "camera.paused": ("Privacy pause", "whether the camera is closed"),
    "log.level": ("Log level", "how much is logged"),
    "enabled": ("Enabled", "whether this alert is active"),
    "min_confidence": ("Minimum probability", "of the expression, for each face"),
    "for_seconds": ("Minimum duration", "how long the expression must last"),
    "min_faces": ("Minimum faces", "how many must show it at once"),
    "cooldown_seconds": ("Cooldown", "how long the alert stays off after it was on"),
}
"""Name under its heading, and explanation, of each setting; those of an alert by their last part."""

UNITS = {"_seconds": "s", "_px": "px", "_deg": "°", "_c": "°C", "_fps": "fps"}
"""Unit of a setting, by the end of its key."""


def short_name(key: str) -> str:
    """What people call a setting below its heading."""
    return _named(key)[0]


def hint_of(key: str) -> str:
    """What a setting does, in a few words."""
    return _named(key)[1]


def full_name(key: str) -> str:
    """What people call a setting where there is no heading above it."""
    name, (section, *path) = short_name(key), key.split(".")
    heading = HEADINGS.get(section)
    if section == "alerts":
        heading = f"Alert {path[0].replace('_', ' ').replace('-', ' ').strip()}"
    return f"{heading}: {name[0].lower()}{name[1:]}" if heading else name


def unit_of(key: str) -> str:
    """The unit of a setting; empty where it has none."""
    return next((unit for end, unit in UNITS.items() if key.endswith(end)), "")


def _named(key: str) -> tuple[str, str]:
    last = key.rpartition(".")[2]
    return NAMES.get(last if key.startswith("alerts.") else key) or (last.replace("_", " ").capitalize(), "")
