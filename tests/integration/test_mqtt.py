"""The MQTT sink against a real mosquitto on loopback: what is said, what is never lost."""

from __future__ import annotations

import gc
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.config import Config, Jsonl, Mqtt, Privacy
from fer_edge.errors import SinkError
from fer_edge.records import Update
from fer_edge.runtime.worker import Backlog
from fer_edge.settings.control import Control
from fer_edge.sinks import Sink, open_sinks
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.delivery import Delivery
from fer_edge.sinks.mqtt.session import Session
from fer_edge.testing.brokers import PATIENCE, SECONDS, Mosquitto, Recorder, free_port, wait_for
from tests.support.face_events import FRAME, IDENTITY, STATS, events, face_event, face_state
from tests.support.paths import ROOT
from tests.support.sink_helpers import (
    CONNACK,
    decoded,
    events_without_answer,
    first_seen,
    logged,
    mqtt_sink,
    quick_retries,
    running,
)
from tests.support.threads import wait_for_end_of


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_run_says_all_that_the_contract_lists(mosquitto: Mosquitto, version: str) -> None:
    with Recorder(mosquitto.port) as seen:
        with running(mosquitto.port, version=version) as sink:
            seen.wait("availability")
            seen.wait("state")
            sink.submit(Update(FRAME, faces=(face_state("happiness"),), events=(face_event(1),), stats=STATS))
            seen.wait("event")
            seen.wait("stats")
            sink.submit(Update(FRAME, faces=(face_state("happiness"),), events=(face_event(2),)))
            seen.wait("event", 2)
        seen.wait_last("kitchen/availability", b"offline")
        assert [event["seq"] for event in decoded(seen.of("event"))] == [1, 2]
        assert not any(event["replayed"] for event in decoded(seen.of("event")))
        assert [state["faces"] for state in decoded(seen.of("state"))] == [0, 1, 0]  # not again where nothing changed
        assert decoded(seen.of("info"))[0]["device_id"] == "kitchen"
        assert decoded(seen.of("stats"))[0]["dropped_events"] == 0
        assert {message.qos for message in seen.messages if message.topic.endswith("/stats")} == {0}
        assert {message.qos for message in seen.messages if message.topic.endswith("/event")} == {1}
        assert seen.of("camera/availability")[-1] == b"offline"
    with Recorder(mosquitto.port) as late:
        late.wait("kitchen/availability")
        late.wait("state")
        late.wait("kitchen/info")
        topics = {message.topic.removeprefix("fer-edge/kitchen/") for message in late.messages}
        assert {topic for topic in topics if not topic.startswith("config/")} == {
            "availability",
            "camera/availability",
            "camera/status",
            "info",
            "state",
        }
        assert all(message.retain for message in late.messages)
        assert late.of("kitchen/availability") == [b"offline"]


def test_a_camera_that_goes_away_and_comes_back_is_said(mosquitto: Mosquitto) -> None:
    with Recorder(mosquitto.port) as seen, running(mosquitto.port) as sink:
        seen.wait_last("camera/availability", b"offline")
        sink.submit(Update(FRAME))
        seen.wait_last("camera/availability", b"online")
        sink.submit(Update(None, events=(face_event(1),)))
        seen.wait_last("camera/availability", b"offline")
        sink.submit(Update(FRAME))
        seen.wait_last("camera/availability", b"online")
        seen.wait("event")


KILLED = """
import sys, time
sys.path.insert(0, {root!r})
from tests.support.face_events import IDENTITY, events
from fer_edge.config import Config, Jsonl, Mqtt
from tests.support.sink_helpers import mqtt_sink
sink = mqtt_sink(Config(mqtt=Mqtt(broker="127.0.0.1", port={port})))
sink.start()
sink.submit(events(1, 1))
time.sleep(60)
"""


def test_the_will_says_offline_when_the_daemon_is_killed(mosquitto: Mosquitto) -> None:
    script = KILLED.format(root=str(ROOT), port=mosquitto.port)
    with Recorder(mosquitto.port) as seen:
        daemon = subprocess.Popen([sys.executable, "-c", script])
        try:
            seen.wait("event")
        finally:
            daemon.kill()
            daemon.wait(SECONDS)
        seen.wait_last("kitchen/availability", b"offline")


def test_a_broker_that_is_absent_at_start_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_retries(monkeypatch)
    caplog.set_level(logging.INFO)
    broker = Mosquitto(tmp_path / "broker", persistent=True)
    with broker, Recorder(broker.port, session="recorder"):
        wait_for((tmp_path / "broker" / "mosquitto.db").exists, "the recorder's session on disk")
    with running(broker.port) as sink:
        sink.submit(events(1, 30))
        wait_for(lambda: logged(caplog, "connection refused"), "a word in the log")
        with broker, Recorder(broker.port, session="recorder") as seen:
            held_back = decoded(seen.wait("event", 30))
            assert [event["seq"] for event in held_back] == list(range(1, 31))
            # by their age, not for having waited: a consumer acts upon what happened a moment ago
            assert not any(event["replayed"] for event in held_back)
            long_ago = face_event(31, mono_ns=time.monotonic_ns() - 60_000_000_000)
            sink.submit(Update(FRAME, events=(long_ago,)))
            assert decoded(seen.wait("event", 31))[-1]["replayed"] is True
            assert logged(caplog, "connection refused") == 1
            sink.close(5)


def test_a_killed_broker_costs_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_retries(monkeypatch)
    with Mosquitto(tmp_path / "broker", persistent=True) as broker, Recorder(broker.port, session="recorder") as seen:
        wait_for((tmp_path / "broker" / "mosquitto.db").exists, "the recorder's session on disk")
        with running(broker.port) as sink:
            seen.wait("availability")
            last = 0
            for _ in range(3):
                for _ in range(10):
                    sink.submit(events(last + 1, last + 10))
                    last += 10
                # mosquitto acknowledges before it forwards or saves: what it still holds dies with it, whatever we do
                wait_for(lambda: len(first_seen(seen.of("event"))) == last, "what was sent")  # noqa: B023
                broker.kill()
                sink.submit(events(last + 1, last + 10))
                last += 10
                broker.start()
            wait_for(lambda: len(first_seen(seen.of("event"))) == last, "all events")
            assert first_seen(seen.of("event")) == list(range(1, last + 1))
            seen.wait_last("kitchen/availability", b"online")


def test_unacknowledged_events_go_first_over_the_next_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes everything and acknowledges nothing, then dies."""
    quick_retries(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with running(port, version="3.1.1") as sink:
            silent, _ = server.accept()
            silent.recv(4096)
            silent.sendall(CONNACK)
            sink.submit(events(1, 100))
            with silent, silent.makefile("rb") as stream:
                sent = [seq for _, seq in zip(range(20), events_without_answer(silent, stream), strict=False)]
                assert sent == list(range(1, 21))  # as many as the window holds
                silent.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    stream.read(1)
            server.close()
            broker = Mosquitto(tmp_path / "broker")
            broker.settings.write_text(broker.settings.read_text().replace(str(broker.port), str(port)))
            broker.port = port
            with broker:
                wait_for(lambda: broker.log.read_text().count("kitchen/event'") >= 100, "all events at the broker")
                sink.close(5)


def test_a_full_queue_drops_the_oldest_and_counts_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with running(port, queue=10, close_seconds=0.5) as sink:
        sink.submit(events(1, 4))
        sink.submit(events(5, 30))
        sink.submit(events(31, 31))
        wait_for(lambda: sink.store.figures()[:2] == (10, 21), "the oldest are dropped and counted")
        assert [entry.seq for entry in sink.store.outbox.oldest(100)] == list(range(22, 32))
    assert logged(caplog, "the oldest are now dropped") == 1


def test_stats_tell_of_dropped_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_retries(monkeypatch)
    broker = Mosquitto(tmp_path / "broker")
    with running(broker.port, queue=10) as sink:
        sink.submit(events(1, 15))
        with broker, Recorder(broker.port) as seen:
            wait_for(lambda: not sink.store.figures()[0], "the events are sent")
            sink.submit(Update(FRAME, stats=STATS))
            stats = decoded(seen.wait("stats"))[0]
            assert (stats["queue"], stats["dropped_events"]) == (0, 5)
            sink.close(5)


def test_close_delivers_what_waits_then_says_offline(mosquitto: Mosquitto) -> None:
    with Recorder(mosquitto.port) as seen:
        with running(mosquitto.port) as sink:
            sink.submit(events(1, 500))
        assert first_seen(seen.wait("event", 500)) == list(range(1, 501))
        seen.wait_last("kitchen/availability", b"offline")
        topics = [message.topic.rpartition("/")[2] for message in seen.messages]
        assert topics[-1] == "availability"
        assert topics.index("event") < topics.index("availability", topics.index("event"))
    sink.close(1)  # a second time: nothing happens
    sink.submit(events(501, 501))
    assert "disconnected" in mosquitto.log.read_text()  # not "closed its connection"


def test_a_broker_that_hangs_does_not_hold_up_submit_or_close(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with running(server.getsockname()[1], close_seconds=0.6, version="3.1.1") as sink:
            silent, _ = server.accept()
            silent.recv(4096)
            silent.sendall(CONNACK)
            started = time.monotonic()
            for first in range(1, 1001, 10):
                sink.submit(events(first, first + 9))
            assert time.monotonic() - started < 10 * PATIENCE
            before_close = time.monotonic()
        assert time.monotonic() - before_close < 10 * PATIENCE
        silent.close()
    assert logged(caplog, "1000 events could not be delivered") == 1


def test_messages_that_the_broker_refuses_are_said_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acl").write_text("topic read fer-edge/#\n")
    with (
        Mosquitto(tmp_path / "broker", f"acl_file {tmp_path / 'acl'}") as broker,
        running(broker.port, version="5") as sink,
    ):
        sink.submit(events(1, 2))
        wait_for(lambda: sink.store.figures()[1] == 2, "the refusals are counted")
        wait_for(lambda: logged(caplog, "allow this user to write fer-edge/kitchen/#") == 1, "a word in the log")


def test_what_stops_the_thread_is_raised_by_submit(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Session) -> tuple[Connection, Delivery]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Session, "_open", fail)
    with running(mosquitto.port) as sink:
        wait_for_end_of("mqtt")

        def raises() -> bool:
            try:
                sink.submit(Update(FRAME))
            except RuntimeError as error:
                return "a fault of ours" in str(error)
            return False

        wait_for(raises, "submit raises")


def opened(config: Config) -> list[Sink]:
    return open_sinks(config, IDENTITY, Control(config))


def test_sinks_are_closed_when_a_later_one_cannot_start(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mqtt = Mqtt(broker="127.0.0.1", port=mosquitto.port)
    with pytest.raises(SinkError, match="cannot open for appending"):
        opened(Config(mqtt=mqtt, jsonl=Jsonl(enabled=True, path=str(tmp_path))))
    sinks = opened(Config(mqtt=mqtt, jsonl=Jsonl(enabled=True, path=str(tmp_path / "events"))))
    assert [type(sink).__name__ for sink in sinks] == ["MqttSink", "JsonlSink"]
    for sink in sinks:
        sink.close(5)


def test_a_thread_that_outlasts_close_lets_go_of_its_sockets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, running(deaf.getsockname()[1], close_seconds=0) as sink:
        deaf.accept()[0].close()
    wait_for(lambda: not any(thread.name == "mqtt" for thread in threading.enumerate()), "the end of the thread")
    del sink
    gc.collect()  # a socket that is still open is a warning here, and each warning an error


def test_pictures_are_looked_at_only_where_they_may_leave() -> None:
    for images in (False, True):
        assert mqtt_sink(Config(privacy=Privacy(images=images))).pictures is images


def test_a_backlog_that_takes_back_more_than_it_holds_drops_the_oldest() -> None:
    backlog: Backlog[int] = Backlog(3)
    for item in (3, 4, 5):
        backlog.put(item)
    backlog.put_back([1, 2])
    assert [backlog.get() for _ in range(4)] == [3, 4, 5, None]
    assert backlog.dropped == 2


def test_a_second_client_with_the_same_id_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick_retries(monkeypatch)
    with Mosquitto(tmp_path / "broker") as broker, running(broker.port), running(broker.port):
        wait_for(lambda: logged(caplog, "is another client using the id fer-edge-kitchen?"), "a guess")
