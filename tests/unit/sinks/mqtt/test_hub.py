"""Several cameras in Home Assistant: each camera's device hangs below the daemon's own."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fer_edge.config import Config, HomeAssistant, Mqtt, Web
from fer_edge.records import Hub, Identity
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.discovery import discovery, hub_discovery, split
from fer_edge.sinks.mqtt.short_names import spelled_out
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.support.face_events import IDENTITY
from tests.support.sink_helpers import kept

SHOP = f"shop-{os.getpid()}"  # no daemon of another test has this id
MACHINE = {"sensor.temperature", "sensor.memory", "binary_sensor.throttled", "button.restart"}
HUB_TOPIC = f"homeassistant/device/fer-edge-{SHOP}/config"


def camera(name: str, *, first: str = "front", called: str | None = None) -> Identity:
    others = [each for each in ("front", "back") if each != first]
    hub = Hub(SHOP, called, tuple(f"{SHOP}-{each}" for each in (first, *others)))
    return replace(IDENTITY, device_id=f"{SHOP}-{name}", hub=hub)


def of_camera(name: str, config: Config = Config()) -> dict[str, Any]:  # noqa: B008 - frozen
    return spelled_out(msgspec.json.decode(discovery(camera(name), config)[1]))


def of_hub(identity: Identity, config: Config = Config()) -> dict[str, Any]:  # noqa: B008 - frozen
    assert identity.hub
    topic, payload = hub_discovery(identity.hub, identity, config)
    assert topic == HUB_TOPIC
    return spelled_out(msgspec.json.decode(payload))


def test_a_cameras_device_names_the_one_above_it() -> None:
    hub = of_hub(camera("front"))["device"]
    for name in ("front", "back"):
        assert of_camera(name)["device"]["via_device"] == hub["identifiers"][0] == f"fer-edge-{SHOP}"
    assert "via_device" not in hub
    alone = spelled_out(msgspec.json.decode(discovery(IDENTITY, Config())[1]))
    assert "via_device" not in alone["device"]


def test_what_the_machine_has_is_told_once_among_the_first_cameras_topics() -> None:
    hub, cameras = of_hub(camera("front")), [of_camera("front")["components"], of_camera("back")["components"]]
    assert hub["components"].keys() == MACHINE
    assert not [key for each in cameras for key in each if key in MACHINE]
    assert {component["unique_id"] for component in hub["components"].values()} == {
        f"fer-edge.{SHOP}.{key.partition('.')[2]}" for key in MACHINE
    }
    base = f"fer-edge/{SHOP}-front"
    assert hub["availability"] == [{"topic": f"{base}/availability"}], "it does not need the camera"
    assert hub["components"]["button.restart"]["command_topic"] == f"{base}/request/restart"
    assert hub["components"]["sensor.temperature"]["state_topic"] == f"{base}/stats"
    alone = spelled_out(msgspec.json.decode(discovery(IDENTITY, Config())[1]))["components"]
    assert alone.keys() == cameras[0].keys() | MACHINE


def test_each_device_has_its_name_and_its_page() -> None:
    config = Config(web=Web(enabled=True, host="192.0.2.7"), homeassistant=HomeAssistant(name="Shop front"))
    front = of_camera("front", config)["device"]
    assert (front["name"], front["configuration_url"]) == ("Shop front", "http://192.0.2.7:8080/camera/front/")
    hub = of_hub(camera("front", called="Shop"), config)["device"]
    assert (hub["name"], hub["configuration_url"]) == ("Shop", "http://192.0.2.7:8080/")
    assert of_hub(camera("front"))["device"]["name"] == f"fer-edge {SHOP}"


def test_where_a_message_for_each_entity_is_sent_they_stay_the_daemons() -> None:
    identity = camera("front")
    assert identity.hub
    parts = dict(split(hub_discovery(identity.hub, identity, Config()), "homeassistant"))
    assert f"homeassistant/button/fer-edge-{SHOP}/restart/config" in parts
    assert len(parts) == len(MACHINE)


def run_once(port: int, identity: Identity, **sections: Any) -> None:
    """A camera's MQTT side that comes and goes."""
    config = Config(mqtt=Mqtt(broker="127.0.0.1", port=port), **sections)
    sink = MqttSink(config, identity, Control(config))
    sink.start()
    wait_for(lambda: sink.settled, "all is said")
    sink.close(5)


def test_the_first_camera_announces_the_daemon_before_itself(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port, topic="homeassistant/#") as seen:
        run_once(broker.port, camera("front"))
        run_once(broker.port, camera("back"))
        wait_for(lambda: len(seen.messages) >= 3, "three devices")
        nodes = [message.topic.split("/")[2] for message in seen.messages]
        assert nodes == [f"fer-edge-{SHOP}", f"fer-edge-{SHOP}-front", f"fer-edge-{SHOP}-back"]


def test_another_order_of_the_cameras_keeps_the_daemons_device(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port, topic="homeassistant/#") as seen:
        run_once(broker.port, camera("front"))
        run_once(broker.port, camera("back"))
        run_once(broker.port, camera("back", first="back"))
        run_once(broker.port, camera("front", first="back"))
        wait_for(lambda: len(seen.messages) >= 5, "all messages")
        assert not [message for message in seen.messages if message.topic == HUB_TOPIC and not message.payload]
        described = spelled_out(json.loads(kept(broker.port)[HUB_TOPIC]))
        assert described["availability"] == [{"topic": f"fer-edge/{SHOP}-back/availability"}]


@pytest.mark.parametrize("name", ["front", "back"])
def test_without_home_assistant_the_first_camera_withdraws_it(tmp_path: Path, name: str) -> None:
    off = HomeAssistant(enabled=False)
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port, camera("front"))
        run_once(broker.port, camera("back"))
        run_once(broker.port, camera(name), homeassistant=off)
        assert (HUB_TOPIC in kept(broker.port)) == (name == "back")
