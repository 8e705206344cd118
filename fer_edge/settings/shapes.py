"""What is drawn on the picture instead of being set as a value: zones, and the region in which faces are found.

In `tuning.json` and between pages and daemon they are plain lists and mappings, as in config.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fer_edge.config import Config, Detector, Name, Zone
from fer_edge.settings.constraints import value_at
from fer_edge.settings.loader import expected, show

REGION = next(field.type for field in msgspec.structs.fields(Detector) if field.name == "region")
SHAPES: dict[str, Any] = {"zones": dict[Name, Zone], "detector.region": REGION}
"""Their keys and types."""

MOST_ZONES = 32
"""So many can be drawn; config.yaml may have more."""


def plain(value: Any) -> Any:
    """Lists and mappings only."""
    return msgspec.json.decode(msgspec.json.encode(value))


def shapes_of(config: Config) -> dict[str, Any]:
    """Those of a configuration, by key."""
    return {key: plain(value_at(config, key)) for key in SHAPES}


def typed(key: str, value: Any) -> Any:
    """As a configuration holds it; other keys' values as they are."""
    return msgspec.convert(plain(value), SHAPES[key]) if key in SHAPES else value


def wrong(key: str, value: Any) -> str | None:
    """Why a value is none of its key, in words."""
    try:
        found = msgspec.convert(value, SHAPES[key])
    except msgspec.ValidationError as error:
        return f"{key}{_place(error)}: {expected(error, SHAPES[key], value)}, got {show(value)[:80]}"
    if key == "zones" and len(found) > MOST_ZONES:
        return f"zones: expected at most {MOST_ZONES}, got {len(found)}"
    return None


def _place(error: msgspec.ValidationError) -> str:
    """Where within the value it is wrong, by msgspec's message."""
    _, at, place = str(error).partition(" - at `$")
    return place.rstrip("`") if at else ""


def unchanged(config: Config, shapes: Mapping[str, Any]) -> set[str]:
    """The keys whose value is that of a configuration already."""
    return {key for key, value in shapes.items() if value == plain(value_at(config, key))}
