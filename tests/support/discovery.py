"""An announced device, and what its entities read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fer_edge.config import Alert, Config, Privacy
from fer_edge.settings.tunables import Tunable
from fer_edge.sinks.mqtt.discovery import discovery
from fer_edge.sinks.mqtt.short_names import spelled_out
from tests.support.face_events import IDENTITY

Payload = dict[str, Any]


BASE = "fer-edge/kitchen"


CONFIG = Config(
    alerts={
        "distress-long": Alert(expressions=("sadness", "fear")),
        "smile": Alert(expressions=("happiness",), enabled=False),
    },
    privacy=Privacy(images=True),
)


TUNABLES = (
    Tunable("events.enter", "number", 0.5, 0.5, 0.5, minimum=0.1, maximum=0.9),
    Tunable("readings.enabled", "bool", False, False, False),
)


ANNOUNCED = discovery(IDENTITY, CONFIG, tunables=TUNABLES)


FIGURE_KEYS = ("fps", "latency", "temperature", "memory", "queue", "rate_reason", "dropped_frames", "dropped_events")


DIAGNOSTIC = [*(f"sensor.{key}" for key in FIGURE_KEYS), "binary_sensor.throttled", "binary_sensor.camera"]


def plain(payload: bytes) -> Payload:
    """A message with full names of options."""
    return spelled_out(msgspec.json.decode(payload))


def announced(config: Config = CONFIG, tunables: tuple[Tunable, ...] = TUNABLES) -> Payload:
    return plain(discovery(IDENTITY, config, tunables=tunables)[1])


def components(config: Config = CONFIG, tunables: tuple[Tunable, ...] = TUNABLES) -> dict[str, Payload]:
    return dict(announced(config, tunables)["components"])


def render(template: str, payload: msgspec.Struct) -> str:
    """A template's result. A field that the payload does not have is an error."""
    jinja2 = pytest.importorskip("jinja2", reason="pip install jinja2")
    value = msgspec.json.encode(payload).decode()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return str(environment.from_string(template).render(value=value, value_json=msgspec.json.decode(value)))
