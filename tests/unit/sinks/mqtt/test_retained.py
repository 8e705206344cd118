"""What the broker keeps about the daemon: current, and removed when it is gone."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fer_edge.config import Alert, Config, HomeAssistant, Mqtt, State, Zone
from fer_edge.records import AlertState, Update
from fer_edge.runtime.sealed_file import seal, unseal
from fer_edge.settings.control import Control
from fer_edge.settings.loader import load_config
from fer_edge.sinks.mqtt import inbox
from fer_edge.sinks.mqtt.outgoing import REMOVE_SECONDS, Outgoing
from fer_edge.sinks.mqtt.retained import Published, RetainedTopics, left_by
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.support.face_events import FRAME, IDENTITY, events
from tests.support.sink_helpers import kept, mqtt_sink, quick_retries

DISCOVERY = "homeassistant/device/fer-edge-kitchen/config"
JOY = {"joy": Alert(expressions=("happiness",))}


@pytest.fixture(autouse=True)
def removed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Home Assistant gets two seconds otherwise; here nobody needs them."""
    monkeypatch.setattr("fer_edge.sinks.mqtt.outgoing.REMOVE_SECONDS", 0.05)


def run_once(port: int, *, control: Control | None = None, **sections: Any) -> None:
    """A daemon's MQTT side that comes and goes."""
    config = Config(mqtt=Mqtt(broker="127.0.0.1", port=port), **sections)
    sink = MqttSink(config, IDENTITY, control or Control(config))
    sink.start()
    with Recorder(port) as seen:
        seen.wait_last("kitchen/availability", b"online")
        wait_for(lambda: sink.settled, "all is said")
    sink.close(5)


def test_what_a_later_configuration_does_not_have_is_removed(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port, alerts=JOY)
        before = kept(broker.port)
        assert {f"fer-edge/kitchen/config/alerts/joy/{key}" for key in ("enabled", "min_faces")} <= before.keys()
        assert "binary_sensor.alert.joy" in json.loads(before[DISCOVERY])["cmps"]
        with Recorder(broker.port, topic=DISCOVERY) as seen:
            run_once(broker.port)
            wait_for(lambda: any(not message.retain for message in seen.messages[1:]), "the removal")
            reported = [json.loads(message.payload)["cmps"] for message in seen.messages]
            assert {"p": "binary_sensor"} in [components.get("binary_sensor.alert.joy") for components in reported]
        after = kept(broker.port)
        assert not [topic for topic in after if "joy" in topic]
        assert "joy" not in after[DISCOVERY].decode()


def test_home_assistant_is_told_when_it_is_not_wanted_any_more(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port)
        assert DISCOVERY in kept(broker.port)
        run_once(broker.port, homeassistant=HomeAssistant(prefix="ha"))
        topics = kept(broker.port).keys()
        assert DISCOVERY not in topics
        assert "ha/device/fer-edge-kitchen/config" in topics
        run_once(broker.port, homeassistant=HomeAssistant(enabled=False))
        assert not [topic for topic in kept(broker.port) if topic.startswith(("ha/", "homeassistant/"))]


def test_everything_is_said_again_when_home_assistant_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BIRTH_SECONDS", (0.05, 0.2))
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port, topic="#") as seen:
        sink = mqtt_sink(Config(mqtt=Mqtt(broker="127.0.0.1", port=broker.port)))
        sink.start()
        seen.wait("kitchen/state")
        seen.publish("homeassistant/status", "offline")
        seen.publish("homeassistant/status", "online")
        seen.wait("kitchen/state", 2)
        seen.wait("fer-edge-kitchen/config", 2)
        sink.close(5)


def test_online_comes_when_every_value_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home Assistant shows an old `on` again as soon as it hears `online`, and automations fire."""
    quick_retries(monkeypatch)
    base = "fer-edge/kitchen"
    with Mosquitto(tmp_path / "broker", persistent=True) as broker:
        with Recorder(broker.port) as crashed:  # what a killed daemon leaves behind
            crashed.publish(f"{base}/alert/joy", b'{"state":"ON"}', retain=True)
            crashed.publish(f"{base}/state", b'{"faces":3}', retain=True)
            crashed.publish(f"{base}/availability", b"offline", retain=True)
        config = Config(mqtt=Mqtt(broker="127.0.0.1", port=broker.port), alerts=JOY)
        with Recorder(broker.port, topic="#", session="recorder") as seen:
            sink = mqtt_sink(config)
            sink.start()
            wait_for((tmp_path / "broker" / "mosquitto.db").exists, "the recorder's session on disk")
            seen.wait_last("kitchen/availability", b"online")
            assert json.loads(seen.of("alert/joy")[-1])["state"] == "OFF"
            assert json.loads(seen.of("kitchen/state")[-1])["faces"] == 0
            broker.kill()
            sink.submit(Update(FRAME, alerts=(AlertState("joy", True, 0, ("happiness",), 1),)))
            sink.submit(Update(FRAME, alerts=(AlertState("joy", False, 0, (), 0),), events=events(1, 1).events))
            seen.messages.clear()
            broker.start()
            seen.wait_last("kitchen/availability", b"online")
            seen.wait("kitchen/event")
            sink.close(5)
    # the killed broker hands the recorder again what it has not heard an acknowledgement of: that is the old connection
    order = [message.topic for message in seen.messages if not (message.retain or message.dup)]
    values = {topic for topic in order if topic.startswith((f"{base}/config", f"{base}/alert", "homeassistant"))}
    assert values
    said_online = order.index(f"{base}/availability")
    assert all(order.index(topic) < said_online for topic in {*values, f"{base}/state", f"{base}/camera/availability"})
    assert order.index(f"{base}/event") > said_online
    assert b'"ON"' not in b"".join(seen.of("alert/joy"))


OLD, NEW = f"old-{os.getpid()}", f"new-{os.getpid()}"  # no daemon of another test has this id


def test_another_topic_or_device_id_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("")

    def run_as(device: str, port: int, topic: str) -> None:
        config = Config(mqtt=Mqtt(broker="127.0.0.1", port=port, topic=topic), alerts=JOY)
        control = Control(config, path=path)
        sink = MqttSink(config, replace(IDENTITY, device_id=device), control)
        sink.start()
        with Recorder(port, topic="#") as seen:
            here = (f"{topic}/{device}/availability", b"online")  # the one of an earlier topic is removed soon
            wait_for(lambda: here in [(each.topic, each.payload) for each in seen.messages], "it is online")
            wait_for(lambda: sink.settled, "all is said")
        sink.close(5)

    with Mosquitto(tmp_path / "broker") as broker:
        run_as(OLD, broker.port, "fer-edge")
        run_as(OLD, broker.port, "shop")
        assert not [topic for topic in kept(broker.port) if topic.startswith("fer-edge/")]
        run_as(NEW, broker.port, "shop")
        left = kept(broker.port)
        assert not [topic for topic in left if OLD in topic]
        assert {
            f"shop/{NEW}/info",
            f"shop/{NEW}/availability",
            f"homeassistant/device/fer-edge-{NEW}/config",
        } <= left.keys()
        assert not (tmp_path / "state" / OLD / "published.json").exists()


def test_a_list_of_an_earlier_device_that_cannot_be_deleted_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its folder may be another user's; the daemon would not start again."""
    path, old = tmp_path / "config.yaml", tmp_path / "state" / OLD / "published.json"
    old.parent.mkdir(parents=True)
    old.write_bytes(seal(msgspec.json.encode(Published(topics=[f"fer-edge/{OLD}/info"], source=str(path)))))
    unlink = Path.unlink

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        if self == old:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    config, outgoing = Config(state=State(folder=str(tmp_path / "state"))), Outgoing()
    topics = RetainedTopics(f"fer-edge/{NEW}", replace(IDENTITY, device_id=NEW), outgoing, Control(config, path=path))
    topics.remember(tmp_path / "state" / NEW / "published.json")
    topics.refresh()
    assert f"fer-edge/{OLD}/info" in outgoing.known()
    assert "cannot delete the list of the earlier device: Permission denied" in caplog.text


def test_a_device_of_another_configuration_is_left_alone(tmp_path: Path) -> None:
    """Two daemons on one machine share the state folder."""
    ours, theirs = tmp_path / NEW / "published.json", tmp_path / OLD / "published.json"
    theirs.parent.mkdir()
    theirs.write_bytes(b'{"source":"/etc/fer-edge/kitchen.yaml"}')
    assert left_by(ours, Path("/etc/fer-edge/hall.yaml")) == []
    assert left_by(ours, None) == []
    assert left_by(ours, Path("/etc/fer-edge/kitchen.yaml")) == [theirs]
    assert left_by(ours, Path("/etc/fer-edge/kitchen.yaml"), beside=(NEW, OLD)) == []


def test_an_alert_that_is_switched_off_keeps_its_entity(tmp_path: Path) -> None:
    config = Config(alerts=JOY)
    control = Control(config)
    control.start()
    answered: list[object] = []
    control.set("alerts.joy.enabled", b"OFF", answered.append)
    wait_for(lambda: answered, "the answer")
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port, control=control, alerts=JOY)
        components = json.loads(kept(broker.port)[DISCOVERY])["cmps"]
    control.close()
    assert "binary_sensor.alert.joy" in components
    assert any("alerts" in key and "enabled" in key for key in components)


def test_a_list_that_cannot_be_read_or_written_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state" / "kitchen"
    folder.mkdir(parents=True)
    (folder / "published.json").write_bytes(b"{")
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port)
        assert "cannot read the list of retained topics" in caplog.text
        run_once(broker.port)
    assert json.loads(unseal((folder / "published.json").read_bytes()))["discovery"][0] == DISCOVERY


def test_a_zone_comes_and_goes_with_its_topic_and_entities(tmp_path: Path) -> None:
    door = {"door": Zone(points=((0, 0), (1, 0), (1, 1)))}
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port, zones=door)
        before = kept(broker.port)
        assert json.loads(before["fer-edge/kitchen/zone/door"])["state"] == "OFF"
        entities = json.loads(before[DISCOVERY])["cmps"]
        assert {"sensor.zone.door", "binary_sensor.zone.door"} <= entities.keys()
        run_once(broker.port)
        after = kept(broker.port)
        assert not [topic for topic in after if "door" in topic]
        assert "sensor.zone.door" not in json.loads(after[DISCOVERY])["cmps"]


def test_a_reload_takes_zones_in_and_out(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        head = f"mqtt: {{broker: 127.0.0.1, port: {broker.port}}}\nstate: {{folder: {tmp_path / 'state'}}}\n"
        path.write_text(head + "zones: {door: {points: [[0, 0], [1, 0], [1, 1]]}}\n")
        control = Control(load_config(path), path=path)
        sink = MqttSink(control.config, IDENTITY, control)
        sink.start()
        control.start()
        seen.wait("zone/door")
        path.write_text(head + "zones: {till: {points: [[0, 0], [1, 0], [1, 1]]}}\n")
        seen.publish("fer-edge/kitchen/request/reload", "")
        assert json.loads(seen.wait("zone/till")[-1])["faces"] == 0
        seen.wait_last("zone/door", b"")
        control.close()
        sink.close(5)


class Prompt(Outgoing):
    """As if the sink's thread sent each value, and had the broker's answer, before the next one is set."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, bytes]] = []

    def retain(self, topic: str, payload: bytes, *, again: bool = False) -> bool:
        changed = super().retain(topic, payload, again=again)
        self.send()
        return changed

    def send(self) -> None:
        while value := self.take_retained(()):
            self.sent.append(value)
            self.acknowledged(value[0], taken=True)


def test_a_topic_is_removed_however_soon_the_broker_knows_that_its_entity_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("fer_edge.sinks.mqtt.outgoing.time.monotonic", lambda: now[0])
    path, outgoing = tmp_path / "config.yaml", Prompt()
    path.write_text("zones: {door: {points: [[0, 0], [1, 0], [1, 1]]}}\n")
    control = Control(load_config(path), path=path)
    control.start()
    topics = RetainedTopics("fer-edge/kitchen", IDENTITY, outgoing, control)
    topics.refresh()
    path.write_text("zones: {till: {points: [[0, 0], [1, 0], [1, 1]]}}\n")
    answers: list[object] = []
    assert control.reload(answers.append)
    wait_for(lambda: answers, "the reload")
    outgoing.sent.clear()
    topics.refresh()
    topics.refresh()  # as with any change of a threshold: the description is as it was, and is not sent again
    now[0] += REMOVE_SECONDS
    outgoing.send()
    control.close()
    sent = [topic for topic, _ in outgoing.sent]
    assert ("fer-edge/kitchen/zone/door", b"") in outgoing.sent
    assert sent.index(DISCOVERY) < sent.index("fer-edge/kitchen/zone/door"), "its entities first"
    assert "fer-edge/kitchen/zone/till" in sent
