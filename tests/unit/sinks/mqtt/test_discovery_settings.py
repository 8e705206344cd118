"""Home Assistant's entities for settings, zones and figures."""

from __future__ import annotations

import re

import msgspec
import pytest
from msgspec import structs

from fer_edge.config import Stats as StatsConfig
from fer_edge.config import Zone
from fer_edge.contract.encode import event_payload, zone_payload
from fer_edge.records import EventType, ZoneState
from fer_edge.settings.overrides import Tuning
from fer_edge.sinks.mqtt.discovery import discovery, removals, split
from fer_edge.sinks.mqtt.entities import MISSED_STATS
from tests.support.discovery import (
    ANNOUNCED,
    BASE,
    CONFIG,
    DIAGNOSTIC,
    TUNABLES,
    Payload,
    components,
    plain,
    render,
)
from tests.support.face_events import IDENTITY, face_event


def test_a_setting_has_its_range_and_its_topics() -> None:
    number = components()["number.set.events.enter"]
    assert (number["min"], number["max"], number["step"]) == (0.1, 0.9, 0.01)
    assert "unit_of_measurement" not in number
    assert [number["command_topic"], number["state_topic"]] == [
        f"{BASE}/{verb}/events/enter" for verb in ("set", "config")
    ]
    switch = components()["switch.set.readings.enabled"]
    assert not switch.keys() & {"min", "max", "step", "unit_of_measurement", "payload_on", "payload_off"}
    assert {number["entity_category"], switch["entity_category"]} == {"config"}


@pytest.mark.parametrize(("interval", "seconds"), [(10.0, 30), (0.1, 1), (3.5, 11)])
def test_figures_that_stay_away_expire(interval: float, seconds: int) -> None:
    entities = components(structs.replace(CONFIG, stats=StatsConfig(interval_seconds=interval)))
    expiring = {key: entity["expire_after"] for key, entity in entities.items() if "expire_after" in entity}
    assert set(expiring.values()) == {seconds}
    assert seconds >= MISSED_STATS * interval
    assert expiring.keys() == {key for key, entity in entities.items() if entity.get("state_topic") == f"{BASE}/stats"}


def test_the_figures_are_diagnostic_and_the_rest_is_not() -> None:
    diagnostic = [key for key, entity in components().items() if entity.get("entity_category") == "diagnostic"]
    assert diagnostic == DIAGNOSTIC


def test_settings_and_rare_figures_wait_until_somebody_wants_them() -> None:
    shown = {key for key, entity in everything().items() if entity.get("enabled_by_default", True)}
    assert len(shown) < 25
    assert {"switch.set.camera.paused", "binary_sensor.camera", "sensor.temperature", "button.restart"} <= shown
    assert not [key for key in shown if key.startswith("number.")]
    assert not {"sensor.queue", "sensor.memory", "sensor.dropped_events", "switch.set.rate.enabled"} & shown


def test_every_setting_has_a_name_for_people_and_its_unit() -> None:
    settings = {key: entity for key, entity in everything().items() if ".set." in key}
    for key, entity in settings.items():
        assert not re.search(r"_|\b(px|deg|seconds|fps| c)$", entity["name"]), entity["name"]
        if key.endswith("_c"):
            assert entity["unit_of_measurement"] == "°C"
    assert settings["switch.set.camera.paused"]["name"] == "Privacy pause"
    assert "entity_category" not in settings["switch.set.camera.paused"]


def test_settings_become_numbers_and_switches_that_can_hold_them() -> None:
    tunables = Tuning(CONFIG, None).tunables()
    made = everything()
    assert made["number.set.detector.max_faces"]["min"] == made["number.set.detector.max_faces"]["step"] == 1
    assert made["number.set.stats.interval_seconds"]["min"] > 0  # 0 itself is refused
    assert made["number.set.events.dwell_seconds"]["unit_of_measurement"] == "s"
    assert made["switch.set.alerts.smile.enabled"]["name"] == "Alert smile: enabled"
    assert not {"number.set.alerts.smile.min_faces", "number.set.log.level"} & made.keys()
    for tunable in tunables:
        entity = made.get(f"number.set.{tunable.key}")
        if entity is not None:
            assert entity["min"] <= tunable.value <= entity["max"]
            assert (entity["max"] - entity["min"]) / entity["step"] <= 40_000


def everything() -> dict[str, Payload]:
    """All entities of a real configuration."""
    return components(CONFIG, tuple(Tuning(CONFIG, None).tunables()))


def test_split_entities_are_the_same_ones_and_fit_a_small_broker() -> None:
    message = discovery(IDENTITY, CONFIG, tunables=Tuning(CONFIG, None).tunables())
    whole = plain(message[1])
    parts = dict(split(message, "homeassistant"))
    assert len(parts) == len(whole["components"])
    assert all(len(topic) + len(payload) < 4000 for topic, payload in parts.items())
    for topic, payload in parts.items():
        part = plain(payload)
        assert re.fullmatch(r"homeassistant/[a-z_]+/fer-edge-kitchen/[a-zA-Z0-9_-]+/config", topic)
        mine = part["default_entity_id"]
        key = next(key for key, each in whole["components"].items() if each["default_entity_id"] == mine)
        own = {name: value for name, value in whole["components"][key].items() if name != "platform"}
        assert topic.split("/")[1] == whole["components"][key]["platform"]
        assert part == {name: whole[name] for name in whole if name != "components"} | own


def test_a_zone_has_a_count_and_an_occupancy() -> None:
    config = structs.replace(CONFIG, zones={"front_door": Zone(points=((0, 0), (1, 0), (1, 1)))})
    found = components(config)
    payload = zone_payload(ZoneState("front_door", ("happiness", None), 0))
    count, occupancy = found["sensor.zone.front_door"], found["binary_sensor.zone.front_door"]
    assert (count["name"], occupancy["name"]) == ("Zone front door faces", "Zone front door")
    assert {count["state_topic"], occupancy["state_topic"]} == {f"{BASE}/zone/front_door"}
    assert render(count["value_template"], payload) == "2"
    assert render(occupancy["value_template"], payload) == "ON"
    assert msgspec.json.decode(render(count["json_attributes_template"], payload))["none"] == 1
    assert removals(discovery(IDENTITY, config, tunables=TUNABLES), ANNOUNCED) is not None
    face = found["event.face"]
    enter = event_payload(face_event(event_type=EventType.ENTER, zone="front_door", zones=("front_door",)), IDENTITY)
    jinja2 = pytest.importorskip("jinja2", reason="pip install jinja2")  # as Home Assistant: what is missing is none
    for event, zone in ((enter, "front_door"), (event_payload(face_event(event_type=EventType.START), IDENTITY), None)):
        value = msgspec.json.decode(msgspec.json.encode(event))
        fired = msgspec.json.decode(jinja2.Environment().from_string(face["value_template"]).render(value_json=value))
        assert fired["event_type"] in face["event_types"]
        assert fired["zone"] == zone
