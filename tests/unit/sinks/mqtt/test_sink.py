"""What an update becomes on the broker, and what a reload has taken away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fer_edge.config import Attention, Config, Mqtt, Outbox, Privacy, Readings, Zone
from fer_edge.records import AlertState, Summary, Update, ZoneState
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.support.face_events import IDENTITY, STATS
from tests.support.sink_helpers import QUIET
from tests.support.web_helpers import RULE, bright, update_of

SUMMARY = Summary(0, 60_000_000_000, 12, 3.25, {"happiness": 30.0}, 1.5, 4)
DOOR = Zone(points=((0, 0), (1, 0), (1, 1)))


def sink_at(port: int, *, images: bool) -> tuple[MqttSink, Control]:
    config = Config(
        mqtt=Mqtt(broker="127.0.0.1", port=port),
        outbox=Outbox(enabled=False),
        homeassistant=QUIET,
        privacy=Privacy(images=images, landmarks=True),
        readings=Readings(enabled=True, max_per_second=0.001),
        attention=Attention(enabled=True),
        alerts={"joy": RULE},
        zones={"door": DOOR},
    )
    control = Control(config)
    return MqttSink(config, IDENTITY, control), control


def test_everything_an_update_holds_is_published_and_nothing_that_a_reload_took_away(tmp_path: Path) -> None:
    on = [AlertState(name, True, 0, ("happiness",), 1) for name in ("joy", "gone")]
    inside = [ZoneState(name, ("happiness",), 0) for name in ("door", "gone")]
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        sink, control = sink_at(broker.port, images=False)
        assert not sink.pictures
        control.start()
        sink.start()
        assert sink.port == broker.port
        seen.wait_last("kitchen/availability", b"online")
        first = update_of(bright(), stats=STATS, summary=SUMMARY, alerts=tuple(on), zones=tuple(inside))
        sink.submit(replace(first, tracks=(first.faces[0].track,)))
        sink.submit(update_of(bright(), seq=1))
        seen.wait_last("camera/availability", b"online")
        alert, zone = json.loads(seen.wait("alert/joy", 2)[-1]), json.loads(seen.wait("zone/door", 2)[-1])
        assert (alert["state"], alert["expressions"]) == ("ON", ["happiness"])
        assert (zone["state"], zone["faces"]) == ("ON", 1)
        summary = json.loads(seen.wait("kitchen/summary")[0])
        assert (summary["visitors"], summary["min_visitors"]) == (12, 5)
        assert json.loads(seen.wait("kitchen/stats")[0])["temperature_c"] == 51.2
        (readings,) = map(json.loads, seen.wait("kitchen/readings"))
        assert readings["frame"] == 0, "the second one was not due"
        assert len(readings["faces"][0]["landmarks"]) == 68
        control.tell_picture("alert/joy", b"JPEG")
        control.set("events.enter", b"0.8", lambda _: None)
        wait_for(lambda: json.loads(seen.of("config/events/enter")[-1])["value"] == 0.8, "the value in force")
        sink.submit(Update(None))
        seen.wait_last("camera/availability", b"offline")
        control.close()
        sink.close(5)
        assert not [message for message in seen.messages if "gone" in message.topic]
        assert not seen.of("picture/alert/joy"), "privacy.images is false"
        sink.submit(update_of(bright()))  # to nobody


def test_a_picture_leaves_only_where_it_may_and_while_the_broker_is_there(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        sink, control = sink_at(broker.port, images=True)
        control.tell_picture("alert/joy", b"before it was started")
        sink.start()
        control.tell_picture("alert/joy", b"before the broker")
        seen.wait_last("kitchen/availability", b"online")
        control.tell_picture("alert/joy", b"JPEG")
        sink.submit(update_of(bright(), stats=STATS))
        seen.wait("kitchen/stats")
        sink.close(5)
        assert seen.of("picture/alert/joy") == [b"JPEG"]
