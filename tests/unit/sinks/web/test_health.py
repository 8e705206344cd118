"""What pages are told of the health of camera, broker and board."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from fer_edge.config import Config, HomeAssistant, Mqtt, Outbox
from fer_edge.records import Update
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import wait_for
from tests.support.face_events import IDENTITY, STATS, face_event
from tests.support.web_helpers import Page, bright, serving, update_of


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health comes every second otherwise."""
    monkeypatch.setattr("fer_edge.sinks.web.server.BEAT_SECONDS", 0.05)


def health_with(page: Page, part: str, state: str) -> dict[str, Any]:
    """The next health in which this part is in this state."""
    while (health := page.receive("health"))[part]["state"] != state:
        pass
    return health


@pytest.mark.usefixtures("quick_beats")
def test_health_comes_again_and_again(tmp_path: Path) -> None:
    with serving(tmp_path) as site, site.page() as page:
        camera = page.receive("health")["camera"]
        assert (camera["state"], camera["text"]) == ("waiting", "waiting for the first picture")
        site.sink.submit(update_of(bright(), stats=STATS))
        health = health_with(page, "camera", "good")
        assert health["fps"] > 0
        assert 0 <= health["latency_ms"] < 10_000
        assert (health["temperature_c"], health["slowed"], health["target_fps"]) == (51.2, "hot", 7.5)
        assert (health["broker"]["state"], health["broker"]["text"]) == ("off", "MQTT is off")
        assert health["viewers"] == 1
        site.sink.submit(Update(None, events=(face_event(1),)))
        camera = health_with(page, "camera", "bad")["camera"]
        assert (camera["state"], camera["text"]) == ("bad", "no picture from the camera")
        assert camera["since"] <= time.monotonic()


@pytest.mark.usefixtures("quick_beats")
def test_the_broker_is_as_the_mqtt_sink_says(tmp_path: Path) -> None:
    with serving(tmp_path, mqtt=True) as site, site.page() as page:
        assert page.receive("health")["broker"]["state"] == "waiting"
        site.control.report("broker", "away: no answer", retry_at=1e9)
        broker = health_with(page, "broker", "bad")["broker"]
        assert (broker["state"], broker["text"], broker["retry_at"]) == ("bad", "away: no answer", 1e9)
        site.control.report("broker", "away: no route", retry_at=2e9)
        while (later := health_with(page, "broker", "bad")["broker"])["text"] != "away: no route":
            pass
        assert later["since"] == broker["since"], "it has been away all the time"
        site.control.report("broker", "connected", good=True)
        health_with(page, "broker", "good")


def test_the_mqtt_sink_says_how_its_broker_fares() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = mqtt_sink(Mqtt(broker="127.0.0.1", port=port))
    wait_for(lambda: away.reported("broker") == "away: connection refused: no broker listens there", "it is away")
    gone = away.report_of("broker")
    assert gone is not None
    assert gone.retry_at is not None
    assert gone.retry_at > gone.since
    here = mqtt_sink(Mqtt(broker="embedded", port=0))
    wait_for(lambda: here.reported("broker") == "connected", "it is here")


def mqtt_sink(mqtt: Mqtt) -> Control:
    """What a control was told that belonged to a sink with this broker."""
    config = Config(mqtt=mqtt, outbox=Outbox(enabled=False), homeassistant=HomeAssistant(enabled=False))
    control = Control(config)
    sink = MqttSink(config, IDENTITY, control)
    sink.start()
    wait_for(lambda: control.reported("broker") != "", "the broker was looked for")
    sink.close(3)
    return control
