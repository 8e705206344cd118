"""The thresholds as a page shows them: in words, with the range of a slider."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fer_edge.settings.overrides import Tunable
from fer_edge.sinks.web.messages import Group, Setting

GROUPS = {
    "events": "Reporting",
    "tracking": "Following faces",
    "quality": "Good enough to judge",
    "detector": "Finding faces",
}
"""The sections that are shown, in this order; behind them the alerts."""

WORDS: dict[str, tuple[str, str]] = {
    "events.enter": ("Report from", "probability from which on an expression is reported"),
    "events.leave": ("Keep until below", "probability below which it is given up; at most “Report from”"),
    "events.dwell_seconds": ("Must last", "a change is reported when it has lasted so long"),
    "events.heartbeat_seconds": ("Heartbeat", "without changes, an update every so often; 0: never"),
    "tracking.min_score": ("Least landmark score", "at which the landmarks still sit on a face"),
    "tracking.confirm_seconds": ("Starts after", "a face starts when it has been there for so long"),
    "tracking.keep_seconds": ("Hidden for at most", "a face that is hidden for longer ends"),
    "tracking.reach": ("May move", "how far from where it was lost it may come back, in heights of the face"),
    "tracking.judge_every_seconds": ("Judge every", "0: in every frame; higher saves CPU"),
    "tracking.smoothing_seconds": ("Smoothing", "higher is calmer and slower; 0: none"),
    "quality.min_height_px": ("Least height", "eyebrows to chin; smaller faces are not judged"),
    "quality.max_yaw_deg": ("Furthest turn sideways", "faces that are turned further are not judged"),
    "quality.max_pitch_deg": ("Furthest turn up or down", "faces that are turned further are not judged"),
    "quality.max_blur": ("Most blur", "0 is sharp, 1 is nothing but blur"),
    "quality.min_brightness": ("Least brightness", "mean of the face; 0 is black"),
    "quality.max_brightness": ("Most brightness", "mean of the face; 1 is white"),
    "detector.min_score": ("Least face score", "lower finds more faces, and more of what is none"),
    "detector.candidate_score": ("Ask the landmarks from", "the detector's own score; lower finds small faces"),
    "detector.min_face_px": ("Least size", "forehead to chin; smaller faces are ignored"),
    "detector.max_faces": ("Most faces", "from one look of the detector, the surest ones"),
    "detector.every_seconds": ("Look every", "for others, while faces are followed; 0: in every frame"),
    "detector.idle_every_seconds": ("Look every, nobody there", "the same while nobody is there"),
    "detector.closer_every_seconds": ("Look closer every", "for small, far faces; 0: never"),
    "detector.motion": ("Look at motion from", "change of brightness that makes it look; 1: never"),
    "enabled": ("On duty", "whether this alert is watched for"),
    "min_confidence": ("Least probability", "of the expression, on each face"),
    "for_seconds": ("For", "the expression must be shown for so long"),
    "min_faces": ("Faces", "so many must show it"),
    "cooldown_seconds": ("Then off for", "after it was on it stays off for so long"),
}
"""Name and explanation of each key; those of an alert by their last part."""

UNITS = {"_seconds": "s", "_px": "px", "_deg": "°"}
SPAN = {"s": 5.0, "px": 100.0, "": 10.0, "°": 90.0}
"""Where a slider ends at least, by unit: most ranges go on to values that nobody wants."""
ROOM = 4  # it reaches to so many times the default, too


def groups(tunables: Sequence[Tunable]) -> list[Group]:
    """What can be set on the page, by heading."""
    found: dict[str, list[Setting]] = {name: [] for name in GROUPS.values()}
    for tunable in tunables:
        section, _, below = tunable.key.partition(".")
        if section in GROUPS:
            found[GROUPS[section]].append(_setting(tunable, *WORDS[tunable.key]))
        elif section == "alerts":
            alert, _, key = below.partition(".")
            found.setdefault(f"Alert “{alert}”", []).append(_setting(tunable, *WORDS[key]))
    return [Group(name=name, settings=settings) for name, settings in found.items()]


def _setting(tunable: Tunable, name: str, hint: str) -> Setting:
    unit = next((word for end, word in UNITS.items() if tunable.key.endswith(end)), "")
    high = 1.0 if tunable.maximum is None else float(tunable.maximum)
    top = _top(tunable, unit, high)
    step = 1.0 if tunable.type == "int" or unit == "°" else 0.01 if top <= 1 else 0.1 if top <= 60 else 1.0
    low = float(tunable.minimum or 0) + (step if tunable.above_minimum else 0)
    return Setting(
        key=tunable.key,
        name=name,
        hint=hint,
        unit=unit,
        type=tunable.type,
        value=tunable.value,
        kept=tunable.kept,
        default=tunable.default,
        low=low,
        high=high,
        top=top,
        step=step,
    )


def _top(tunable: Tunable, unit: str, high: float) -> float:
    """Where the slider ends: rare values can be typed in beside it."""
    if high <= 1 or tunable.type == "bool":
        return high
    wanted = max(SPAN[unit], ROOM * float(tunable.default), float(tunable.value))
    return min(high, math.ceil(wanted))
