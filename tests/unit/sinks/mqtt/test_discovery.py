"""What Home Assistant is announced: topics of the contract, ids that stay, templates that read the real payloads."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from fer_edge.config import Alert, Config, HomeAssistant, Mqtt, Privacy, Web
from fer_edge.contract.encode import alert_payload, event_payload, state_payload, stats_payload
from fer_edge.contract.payloads import ConfigPayload
from fer_edge.records import LABELS, AlertState, EventType, Hub, Reason
from fer_edge.sinks.mqtt.discovery import discovery, hub_discovery, removals
from fer_edge.sinks.mqtt.entities import THROTTLED_BITS
from fer_edge.sinks.mqtt.short_names import abbreviated
from tests.support.discovery import (
    ANNOUNCED,
    BASE,
    CONFIG,
    DIAGNOSTIC,
    TUNABLES,
    Payload,
    announced,
    components,
    plain,
    render,
)
from tests.support.face_events import IDENTITY, STATS, face_event, face_state
from tests.support.paths import ROOT

TOPIC = "homeassistant/device/fer-edge-kitchen/config"


CONTRACT_TOPICS = re.compile(
    rf"{BASE}/(availability|camera/availability|camera/status|state|event|stats|snapshot|alert/[\w-]+|"
    r"(set|config)/events/enter|(set|config)/readings/enabled|request/(reload|restart|snapshot))"
)


STATE = state_payload((face_state("sadness"), face_state("sadness"), face_state(None)))


NOBODY = state_payload(())


ALERT = alert_payload(AlertState("distress-long", on=True, mono_ns=0, expressions=("sadness",), faces=2))


FIGURES = stats_payload(replace(STATS, throttled=0x50005), queue=4, dropped_events=2)


NO_PI = stats_payload(replace(STATS, throttled=None, temperature_c=None, rate_reason=None), queue=0, dropped_events=0)


COOL = stats_payload(replace(STATS, throttled=0xF0000), queue=0, dropped_events=0)


ENTER = ConfigPayload(v=1, key="events.enter", value=0.55, status="refused", reason="too high")


READINGS = ConfigPayload(v=1, key="readings.enabled", value=True, status="ok", reason=None)


OFF = structs.replace(READINGS, value=False)


FACES = ["sensor.faces", "sensor.dominant", "event.face", *(f"binary_sensor.expression.{label}" for label in LABELS)]


ALERTS = ["binary_sensor.alert.distress-long"]


SETTINGS = ["number.set.events.enter", "switch.set.readings.enabled"]


PICTURES = ["button.snapshot", "image.snapshot"]


COMPONENTS = [*FACES, *ALERTS, *DIAGNOSTIC, *SETTINGS, "button.reload", "button.restart", *PICTURES]


def topics(node: object) -> Iterator[str]:
    """Every topic that a payload names."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key.endswith("topic"):
                yield value
            yield from topics(value)
    elif isinstance(node, list):
        for value in node:
            yield from topics(value)


def test_the_device_is_announced_in_one_message() -> None:
    topic, payload = ANNOUNCED
    assert topic == TOPIC
    message = plain(payload)
    assert list(message["components"]) == COMPONENTS
    assert (message["device"]["name"], message["device"]["sw_version"]) == ("fer-edge kitchen", "0.1.0")
    assert message["origin"] == {"name": "fer-edge", "sw_version": "0.1.0"}
    assert message["qos"] == 1


def test_the_same_input_makes_the_same_bytes() -> None:
    assert discovery(IDENTITY, CONFIG, tunables=TUNABLES) == ANNOUNCED
    assert discovery(replace(IDENTITY, boot_id="boot-2"), CONFIG, tunables=TUNABLES) == ANNOUNCED


def test_a_large_installation_stays_below_64_kib() -> None:
    config = structs.replace(CONFIG, alerts={f"distress-{n}": Alert(expressions=("fear",)) for n in range(20)})
    tunables = [replace(TUNABLES[0], key=f"detector.idle_every_seconds_{n}") for n in range(40)]
    assert len(discovery(replace(IDENTITY, device_id="0123456789ab"), config, tunables=tunables)[1]) < 64 * 1024


def test_every_topic_is_one_of_the_contract() -> None:
    named = list(topics(announced()))
    assert len(named) > len(COMPONENTS)
    for topic in named:
        assert CONTRACT_TOPICS.fullmatch(topic), topic
    other = set(topics(announced(structs.replace(CONFIG, mqtt=Mqtt(topic="shop/cameras")))))
    assert other == {topic.replace("fer-edge/", "shop/cameras/") for topic in named}


def test_ids_are_unique_and_follow_the_component() -> None:
    entities = components()
    assert len({(entity["platform"], entity["unique_id"]) for entity in entities.values()}) == len(COMPONENTS)
    assert len({entity["default_entity_id"] for entity in entities.values()}) == len(COMPONENTS)
    for key, entity in entities.items():
        platform, _, rest = key.partition(".")
        assert entity["platform"] == platform
        assert entity["unique_id"] == f"fer-edge.kitchen.{rest}"
        assert re.fullmatch(rf"{platform}\.fer_edge_kitchen_[a-z0-9_]+", entity["default_entity_id"])
        assert entity["default_entity_id"] == f"{platform}.{entity['object_id']}"


def test_ids_outlast_another_name_topic_and_prefix() -> None:
    renamed = structs.replace(
        CONFIG, mqtt=Mqtt(topic="elsewhere"), homeassistant=HomeAssistant(name="Shop window", prefix="ha/one")
    )
    assert discovery(IDENTITY, renamed)[0] == "ha/one/device/fer-edge-kitchen/config"
    assert announced(renamed)["device"]["name"] == "Shop window"
    assert announced(renamed)["device"]["identifiers"] == announced()["device"]["identifiers"]
    assert _ids(components(renamed)) == _ids(components())


def _ids(entities: dict[str, Payload]) -> dict[str, tuple[str, str]]:
    return {key: (entity["unique_id"], entity["default_entity_id"]) for key, entity in entities.items()}


def test_two_devices_never_share_an_id() -> None:
    """An alert "alert-x" of "kitchen" is not the alert "x" of "kitchen-alert"."""
    one = structs.replace(CONFIG, alerts={"alert-x": Alert(expressions=("fear",))})
    other = structs.replace(CONFIG, alerts={"x": Alert(expressions=("fear",))})
    messages = discovery(IDENTITY, one), discovery(replace(IDENTITY, device_id="kitchen-alert"), other)
    ids = [{each["unique_id"] for each in plain(text)["components"].values()} for _, text in messages]
    assert not ids[0] & ids[1]


def test_what_needs_the_camera_is_unavailable_without_it() -> None:
    message = announced()
    assert message["availability"] == [{"topic": f"{BASE}/availability"}, {"topic": f"{BASE}/camera/availability"}]
    assert message["availability_mode"] == "all"
    own = [{"topic": f"{BASE}/availability"}]
    assert all(entity.get("availability", own) == own for entity in message["components"].values())
    with_camera = {key for key, entity in message["components"].items() if "availability" not in entity}
    assert with_camera == {*FACES, *ALERTS, *PICTURES} - {"event.face"}


def test_pictures_are_offered_only_where_they_may_leave_the_machine() -> None:
    private = components(structs.replace(CONFIG, privacy=Privacy()))
    assert [*private, *PICTURES] == COMPONENTS
    assert not any("snapshot" in topic for topic in topics(private))
    picture = components()["image.snapshot"]
    assert (picture["image_topic"], picture["content_type"]) == (f"{BASE}/snapshot", "image/jpeg")


@pytest.mark.parametrize(
    ("key", "payload", "value", "attributes"),
    [
        ("sensor.faces", STATE, "3", STATE.expressions),
        ("sensor.faces", NOBODY, "0", NOBODY.expressions),
        ("sensor.dominant", STATE, "sadness", None),
        ("sensor.dominant", NOBODY, "none", None),
        *((f"binary_sensor.expression.{label}", state_payload((face_state(label),)), "ON", None) for label in LABELS),
        ("binary_sensor.expression.anger", STATE, "OFF", None),
        (ALERTS[0], ALERT, "ON", {"since": ALERT.since, "expressions": ["sadness"], "faces": 2}),
        ("sensor.fps", FIGURES, "14.99", None),
        ("sensor.latency", FIGURES, str(FIGURES.latency_ms[0]), None),
        ("sensor.temperature", FIGURES, "51.2", None),
        ("sensor.temperature", NO_PI, "None", None),
        ("sensor.memory", FIGURES, "100.0", None),
        ("sensor.queue", FIGURES, "4", None),
        ("sensor.rate_reason", FIGURES, "hot", None),
        ("sensor.rate_reason", NO_PI, "none", None),
        ("sensor.dropped_frames", FIGURES, "3", None),
        ("sensor.dropped_events", FIGURES, "2", None),
        ("binary_sensor.throttled", FIGURES, "ON", dict(zip(THROTTLED_BITS, (True, False, True, False), strict=True))),
        ("binary_sensor.throttled", NO_PI, "None", {}),
        ("binary_sensor.throttled", COOL, "OFF", dict.fromkeys(THROTTLED_BITS, False)),
        ("number.set.events.enter", ENTER, "0.55", {"status": "refused", "reason": "too high"}),
        ("switch.set.readings.enabled", READINGS, "ON", {"status": "ok", "reason": None}),
        ("switch.set.readings.enabled", OFF, "OFF", {"status": "ok", "reason": None}),
    ],
)
def test_a_template_reads_the_real_payload(
    key: str, payload: msgspec.Struct, value: str, attributes: Payload | None
) -> None:
    entity = components()[key]
    assert render(entity["value_template"], payload) == value
    assert ("json_attributes_template" in entity) == (attributes is not None)
    if attributes is not None:
        assert entity["json_attributes_topic"] == entity["state_topic"]
        assert msgspec.json.decode(render(entity["json_attributes_template"], payload)) == attributes


def test_plain_words_need_no_template() -> None:
    plain = {key for key, entity in components().items() if "value_template" not in entity}
    assert plain == {"binary_sensor.camera", "button.reload", "button.restart", "button.snapshot", "image.snapshot"}
    camera = components()["binary_sensor.camera"]
    assert (camera["payload_on"], camera["payload_off"]) == ("online", "offline")
    assert components()["sensor.dominant"]["options"] == list(STATE.expressions)


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({"event_type": EventType.START, "previous": None}, "start"),
        ({"event_type": EventType.START, "expression": None, "previous": None, "reason": Reason.UNCERTAIN}, "start"),
        *(({"expression": label, "previous": None}, label) for label in LABELS),
        ({"expression": None, "previous": "anger", "reason": Reason.TURNED}, "unclear"),
        ({"event_type": EventType.END, "previous": "happiness"}, "end"),
    ],
)
def test_an_event_fires_with_its_type(changes: Payload, fires: str) -> None:
    entity = components()["event.face"]
    event = face_event(**changes)
    fired = msgspec.json.decode(render(entity["value_template"], event_payload(event, IDENTITY)))
    assert fired.pop("event_type") == fires
    assert fired.pop("reason") == event.reason
    always = {"event_id": "boot-1-1", "track_id": 7, "confidence": 0.8765, "dwell_s": 12.346, "face_count": 1}
    assert fired == always | {"expression": event.expression, "previous": event.previous}
    assert fires in entity["event_types"]


def test_what_is_past_or_nothing_new_fires_nothing() -> None:
    template = components()["event.face"]["value_template"]
    assert render(template, event_payload(face_event(), IDENTITY, replayed=True)) == ""
    assert render(template, event_payload(face_event(previous="happiness"), IDENTITY)) == ""  # a heartbeat
    nothing = face_event(expression=None, previous=None, reason=Reason.DARK)
    assert render(template, event_payload(nothing, IDENTITY)) == ""


def test_what_is_gone_is_removed_once() -> None:
    old, new = ANNOUNCED, discovery(IDENTITY, Config(), tunables=TUNABLES[:1])
    removing = removals(old, new)
    assert removing is not None
    topic, payload = removing
    assert topic == TOPIC
    kept = plain(new[1])
    removed = {key: {"platform": key.partition(".")[0]} for key in (*ALERTS, SETTINGS[1], *PICTURES)}
    assert plain(payload) == kept | {"components": kept["components"] | removed}
    assert removals(removing, new) is None
    assert removals(new, new) is None
    assert removals(new, old) is None


def test_another_platform_is_another_component() -> None:
    new = discovery(IDENTITY, CONFIG, tunables=(TUNABLES[0], replace(TUNABLES[1], type="number")))
    removing = removals(ANNOUNCED, new)
    assert removing is not None
    entities = plain(removing[1])["components"]
    assert entities["switch.set.readings.enabled"] == {"platform": "switch"}
    assert len(entities["number.set.readings.enabled"]) > 1


def test_a_device_leaves_the_topic_that_it_had() -> None:
    old = discovery(IDENTITY, CONFIG)
    moved = discovery(IDENTITY, structs.replace(CONFIG, homeassistant=HomeAssistant(prefix="ha")))
    assert removals(old, moved) == (TOPIC, b"")
    assert removals(old, discovery(replace(IDENTITY, device_id="hall"), CONFIG)) == (TOPIC, b"")
    assert removals(old, None) == (TOPIC, b"")


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b'"\xff"', b"null", b"[]", b"{}", b'{"components":{"a":{"b":1,"c":2}}}']
)
def test_a_damaged_old_message_removes_nothing(damaged: bytes) -> None:
    assert removals((TOPIC, damaged), discovery(IDENTITY, CONFIG)) is None


def schemas(payload: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have Home Assistant look at a message, or skip."""
    python = os.environ.get("FER_EDGE_HOMEASSISTANT_PYTHON")
    if not python:
        pytest.skip("FER_EDGE_HOMEASSISTANT_PYTHON names no Python that has homeassistant and paho-mqtt")
    path = folder / "payload.json"
    path.write_bytes(payload)
    script = ROOT / "tests" / "support" / "homeassistant_schemas.py"
    return subprocess.run([python, script, path], capture_output=True, text=True, check=False, timeout=100)


def test_home_assistant_takes_the_message(tmp_path: Path) -> None:
    done = schemas(ANNOUNCED[1], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1:] == [f"ok  {key}" for key in COMPONENTS]


def test_home_assistant_takes_several_cameras_below_their_daemon(tmp_path: Path) -> None:
    hub = Hub("shop", "Shop", ("shop-front", "shop-back"))
    camera = replace(IDENTITY, device_id="shop-front", hub=hub)
    for _, payload in (hub_discovery(hub, camera, CONFIG), discovery(camera, CONFIG, tunables=TUNABLES)):
        done = schemas(payload, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_home_assistant_refuses_a_wrong_message(tmp_path: Path) -> None:
    """Otherwise the test above would say nothing."""
    message = announced()
    message["components"]["sensor.fps"]["value_template"] = "{{ value_json."
    message["components"]["sensor.queue"]["misspelt"] = 1
    message["components"]["button.gone"] = {"platform": "button"}
    done = schemas(msgspec.json.encode(abbreviated(message)), tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    refused = [line.split()[1] for line in lines if line.startswith("refused")]
    assert refused == ["sensor.fps:", "sensor.queue:"]
    assert "refused  sensor.queue: unknown: misspelt" in lines
    assert "ok  button.gone" in lines


def test_the_live_page_is_linked_where_other_machines_reach_it() -> None:
    def link(**web: Any) -> str | None:
        page: str | None = announced(structs.replace(CONFIG, web=Web(**web)))["device"].get("configuration_url")
        return page

    assert link(enabled=True, host="192.0.2.7", port=8080) == "http://192.0.2.7:8080/"
    assert (link(enabled=True, host="0.0.0.0", port=8080) or "").endswith(".local:8080/")
    assert link(enabled=True, host="127.0.0.1") is None
    assert link(enabled=False, host="192.0.2.7") is None
