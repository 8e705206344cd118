"""discovery.py: a sensor for each signal that config switches on, and none for the others."""

from __future__ import annotations

from typing import Any

import msgspec

from fer_edge.config import Alert, Attention, Balance, Config
from fer_edge.sinks.mqtt.discovery import discovery
from fer_edge.sinks.mqtt.short_names import spelled_out
from tests.support.face_events import IDENTITY


def components(config: Config) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = spelled_out(msgspec.json.decode(discovery(IDENTITY, config)[1]))["components"]
    return found


def test_a_sensor_for_each_that_is_on() -> None:
    on = Config(attention=Attention(enabled=True), balance=Balance(enabled=True))
    signals = {key: each for key, each in components(on).items() if "signal" in key}
    assert list(signals) == ["sensor.signal.looks", "sensor.signal.balance"]
    looks, balance = signals.values()
    assert looks["name"] == "Faces: looks at the camera"
    assert looks["value_template"] == "{{ value_json.signals.looks }}"
    assert looks["state_topic"].endswith("/state")
    assert looks["unit_of_measurement"] == "faces"
    assert (balance["name"], "unit_of_measurement" in balance) == ("Balance of expressions", False)
    assert not [key for key in components(Config()) if "signal" in key]


def test_an_alert_about_signals_says_which() -> None:
    def attributes(alert: Alert) -> str:
        config = Config(attention=Attention(enabled=True), alerts={"away": alert})
        return str(components(config)["binary_sensor.alert.away"]["json_attributes_template"])

    assert "'signals': value_json.signals | default([])" in attributes(Alert(signals=("looked_away",)))
    assert "signals" not in attributes(Alert(expressions=("fear",)))
