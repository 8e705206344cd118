"""The daemon's own figures as sensors of Home Assistant."""

from __future__ import annotations

from typing import Any

EVERYDAY = ("fps", "temperature", "rate_reason")
"""The figures that are enabled by default."""

MEASUREMENT, TOTAL = {"state_class": "measurement"}, {"state_class": "total_increasing"}
FIGURES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("fps", "fps", {"name": "Frame rate", "unit_of_measurement": "fps", "icon": "mdi:speedometer", **MEASUREMENT}),
    (
        "latency",
        "latency_ms[0]",
        {"name": "Latency", "device_class": "duration", "unit_of_measurement": "ms", **MEASUREMENT},
    ),
    # without a name it is called by its class, in the user's language
    ("temperature", "temperature_c", {"device_class": "temperature", "unit_of_measurement": "°C", **MEASUREMENT}),
    ("memory", "rss_mb", {"name": "Memory", "device_class": "data_size", "unit_of_measurement": "MB", **MEASUREMENT}),
    (
        "queue",
        "queue",
        {"name": "Waiting events", "unit_of_measurement": "events", "icon": "mdi:tray-full", **MEASUREMENT},
    ),
    ("rate_reason", "rate_reason or 'none'", {"name": "Frame rate reduced", "icon": "mdi:speedometer-slow"}),
    (
        "dropped_frames",
        "dropped_frames",
        {"name": "Dropped frames", "unit_of_measurement": "frames", "icon": "mdi:filmstrip-off", **TOTAL},
    ),
    (
        "dropped_events",
        "dropped_events",
        {"name": "Dropped events", "unit_of_measurement": "events", "icon": "mdi:tray-remove", **TOTAL},
    ),
)
"""Sensors of topic `stats`: key, field of the payload, options. A null becomes "None", which is Home Assistant's word
for unknown."""
