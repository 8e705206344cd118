"""Faults between the daemon and a real mosquitto: nothing lost, nothing twice, order kept."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fer_edge.config import Config
from fer_edge.records import Update
from fer_edge.settings.constraints import combination_errors
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.inbox import Inbox
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.testing.brokers import PATIENCE, SECONDS, Mosquitto, Recorder, free_port, program, wait_for
from tests.support.face_events import FRAME, IDENTITY, events
from tests.support.paths import ROOT
from tests.support.sink_helpers import (
    CONNACK,
    decoded,
    events_without_answer,
    first_seen,
    logged,
    quick_retries,
    running,
)

KNOWN = ["set/events/enter", "set/alerts/a/enabled", "request/ping", "request/reload", "set/", "request/"]
DEEP = [b"[" * 100_000, b'{"a":' + b"[" * 1019]
ACL = ROOT / "examples" / "mosquitto" / "acl"


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "memory"])
def test_a_broker_that_is_killed_at_any_moment_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, disk: bool
) -> None:
    quick_retries(monkeypatch)
    rng, total = random.Random(4), 400
    with Mosquitto(tmp_path / "broker", persistent=True) as broker, Recorder(broker.port, session="recorder") as seen:
        wait_for((tmp_path / "broker" / "mosquitto.db").exists, "the recorder's session on disk")
        with running(broker.port, disk=disk) as sink:
            seen.wait("availability")
            for last in range(10, total + 1, 10):
                sink.submit(events(last - 9, last))
                if last % 80 == 0:
                    # mosquitto acknowledges before it forwards or saves: what it still holds dies with it
                    wait_for(lambda: len(first_seen(seen.of("event"))) == last, "what was sent")  # noqa: B023
                    sink.submit(events(last + 1, last))
                    broker.kill()
                    time.sleep(rng.uniform(0, 0.2))
                    broker.start()
            wait_for(lambda: len(first_seen(seen.of("event"))) == total, "all events")
            assert first_seen(seen.of("event")) == list(range(1, total + 1))


@contextmanager
def proxy(target: int) -> Iterator[tuple[int, threading.Event]]:
    """A TCP proxy on loopback that, while `stalled` is set, keeps connections open and forwards nothing."""
    stalled, over = threading.Event(), threading.Event()
    opened: list[socket.socket] = []

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                while stalled.is_set() and not over.is_set():
                    time.sleep(0.01)
                sink.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", target))
                opened.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threads.append(threading.Thread(target=forward, args=pair))
                    threads[-1].start()

    server = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=serve)]
    threads[0].start()
    try:
        yield server.getsockname()[1], stalled
    finally:
        over.set()
        for each in (server, *opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join(SECONDS)


def test_a_half_open_connection_is_left_and_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick_retries(monkeypatch)
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder(broker.port) as seen,
        proxy(broker.port) as (port, stalled),
        running(port, keepalive_seconds=2) as sink,
    ):
        sink.submit(events(1, 10))
        seen.wait("event", 10)
        stalled.set()
        started = time.monotonic()
        sink.submit(events(11, 60))
        assert time.monotonic() - started < 10 * PATIENCE  # the camera does not wait
        wait_for(lambda: logged(caplog, "no answer from the broker for") > 0, "the silence is noticed", seconds=30)
        stalled.clear()
        wait_for(lambda: len(first_seen(seen.of("event"))) == 60, "all events", seconds=30)
        assert first_seen(seen.of("event")) == list(range(1, 61))


def test_over_websockets(tmp_path: Path) -> None:
    port = free_port()
    with (
        Mosquitto(tmp_path / "broker", f"listener {port} 127.0.0.1", "protocol websockets") as broker,
        Recorder(broker.port) as seen,
        running(port, websockets=True) as sink,
    ):
        sink.submit(events(1, 50))
        assert first_seen(seen.wait("event", 50)) == list(range(1, 51))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a socket to the collector
def test_a_port_without_websockets_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Mosquitto(tmp_path / "broker") as broker, running(broker.port, websockets=True):
        wait_for(lambda: logged(caplog, "trying again"), "the failure")
    assert "answers no websocket handshake; check port and websocket_path" in caplog.text


def test_mqtt_5_events_carry_expiry_and_properties(tmp_path: Path) -> None:
    got: list[Any] = []
    with Mosquitto(tmp_path / "broker") as broker:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.on_message = lambda _client, _data, message: got.append(message)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.subscribe("fer-edge/+/event", 1)
        with running(broker.port, event_expiry_seconds=60) as sink:
            sink.submit(events(1, 1))
            wait_for(lambda: got, "the event")
        client.disconnect()
        client.loop_stop()
    assert 50 <= got[0].properties.MessageExpiryInterval <= 60
    assert dict(got[0].properties.UserProperty) == {"schema": "fer-edge/1/event", "model": IDENTITY.model}


def test_the_example_of_an_acl_gives_each_device_its_own_tree(tmp_path: Path) -> None:
    with Mosquitto.with_password(tmp_path / "broker", "kitchen", "salt", f"acl_file {ACL}") as broker:
        with (
            pytest.MonkeyPatch.context() as patch,
            Recorder(broker.port, user=("kitchen", "salt"), topic="fer-edge/#") as seen,
        ):
            patch.setenv("FER_EDGE_MQTT_PASSWORD", "salt")
            with running(broker.port, username="kitchen") as sink:
                sink.submit(events(1, 1))
                seen.wait("event")
                seen.publish("fer-edge/kitchen/request/ping", "{}")
                seen.wait("response/ping")
                seen.publish("fer-edge/cellar/event", "forged")
                seen.publish("fer-edge/kitchen/request/ping", "{}")
                seen.wait("response/ping", 2)
        assert not [message for message in seen.messages if message.topic.startswith("fer-edge/cellar")]


def test_another_user_cannot_take_the_id_of_a_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As examples/mosquitto/mosquitto.conf has it."""
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "salt")
    rules = (ROOT / "examples" / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    bound = [line for line in rules if line.startswith(("use_username_as_clientid", "message_size_limit"))]
    assert len(bound) == 2
    folder = tmp_path / "broker"
    with Mosquitto.with_password(folder, "kitchen", "salt", f"acl_file {ACL}", *bound) as broker:
        added = [program("mosquitto_passwd"), "-b", str(folder / "passwords"), "cellar", "pepper"]
        subprocess.run(added, check=True, capture_output=True)
        broker.kill()
        broker.start()
        with running(broker.port, username="kitchen") as sink:
            wait_for(lambda: "kitchen/availability" in broker.log.read_text(), "the daemon is there")
            thief = paho.Client(CallbackAPIVersion.VERSION2, client_id="fer-edge-kitchen")
            thief.username_pw_set("cellar", "pepper")
            thief.connect("127.0.0.1", broker.port)
            thief.loop_start()
            wait_for(thief.is_connected, "the thief is connected")
            sink.submit(events(1, 3))
            wait_for(lambda: sink.store.figures()[0] == 0, "the daemon goes on over its connection")
            thief.disconnect()
            thief.loop_stop()
        log = broker.log.read_text()
    assert "as cellar" in log
    assert "session taken over" not in log
    assert "already connected" not in log


def test_a_password_that_is_changed_at_the_broker_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick_retries(monkeypatch)
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "salt")
    folder = tmp_path / "broker"
    with Mosquitto.with_password(folder, "kitchen", "salt") as broker:
        right = (folder / "passwords").read_text()
        with running(broker.port, username="kitchen") as sink:
            wait_for(lambda: "kitchen/state" in broker.log.read_text(), "the first connection")
            broker.kill()
            (folder / "passwords").write_text("")
            broker.start()
            sink.submit(events(1, 20))
            wait_for(lambda: "check user name and password" in caplog.text, "it is turned away")
            broker.kill()
            (folder / "passwords").write_text(right)
            broker.start()
            with Recorder(broker.port, user=("kitchen", "salt")) as seen:
                assert first_seen(seen.wait("event", 20)) == list(range(1, 21))


def test_a_wall_clock_that_jumps_changes_nothing_but_the_time_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time_ns
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen, running(broker.port) as sink:
        seen.wait("availability")
        for number, hours in enumerate((0, 5, -7, 0)):
            monkeypatch.setattr(
                "fer_edge.runtime.clock.time.time_ns", lambda hours=hours: real() + hours * 3_600_000_000_000
            )
            sink.submit(events(2 * number + 1, 2 * number + 2))
            seen.wait("event", 2 * number + 2)
        reported = decoded(seen.of("event"))
        assert seen.of("kitchen/availability") == [b"online"]  # one connection all the time
    assert [event["seq"] for event in reported] == list(range(1, 9))
    assert not any(event["replayed"] for event in reported)
    off = [datetime.fromisoformat(event["ts"]).timestamp() - real() / 1e9 for event in reported[::2]]
    assert [round(seconds / 3600) for seconds in off] == [0, 5, -7, 0]


def test_a_broker_that_refuses_subscriptions_still_gets_the_events(caplog: pytest.LogCaptureFixture) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running(server.getsockname()[1], version="3.1.1", close_seconds=0.5 * PATIENCE) as sink,
    ):
        strict, _ = server.accept()
        strict.recv(4096)
        strict.sendall(CONNACK)
        sink.submit(events(1, 3))
        with strict, strict.makefile("rb") as stream:
            sent = events_without_answer(strict, stream, granted=b"\x80")
            assert [next(sent) for _ in range(3)] == [1, 2, 3]
            wait_for(lambda: "continuing without it" in caplog.text, "a word in the log")
    assert "refuses the subscription (fer-edge/kitchen/set/#: " in caplog.text


def test_ten_megabytes_retained_on_set_do_no_harm(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port, topic="fer-edge/kitchen/event") as seen:
        for topic in ("set/events/enter", "request/reload", "set/" + "x/" * 50):
            seen.publish(f"fer-edge/kitchen/{topic}", b"9" * 10_000_000, retain=True)
        for version in ("5", "3.1.1"):
            with running(broker.port, version=version) as sink:
                sink.submit(Update(FRAME))
                sink.submit(events(1, 1))
                seen.wait("event")
                assert sink._control.config.events.enter == 0.5  # a value that was not taken shows nowhere else
            seen.messages.clear()


@given(
    topic=st.one_of(
        st.sampled_from(
            ["set/events/enter", "set/alerts/a/enabled", "request/ping", "request/reload", "set/", "request/"]
        ),
        st.text(max_size=60).map(lambda text: f"set/{text}"),
        st.text(max_size=60).map(lambda text: f"request/{text}"),
        st.just("request/" + "a" * 65_000),
    ),
    payload=st.one_of(
        st.binary(max_size=400),
        st.text(max_size=60).map(str.encode),
        st.sampled_from(DEEP),
    ),
    retained=st.booleans(),
)
def test_whatever_comes_in_is_answered_or_refused(topic: str, payload: bytes, *, retained: bool) -> None:
    control = Control(Config())
    outgoing, woken = Outgoing(), []
    inbox = Inbox(Config(), "fer-edge/me", outgoing, control, wake=lambda: woken.append(1))
    inbox.receive(f"fer-edge/me/{topic}", payload, retained)
    control.start()
    control.close()
    assert not list(combination_errors(control.config))
    if retained:
        assert not woken
        assert control.config == Config()
    while message := outgoing.messages.get():
        assert message.topic.startswith("fer-edge/me/")
        assert len(message.topic) < 200
        assert not set("+#\0") & set(message.topic)
        assert decoded([message.payload])[0]["status"] in ("ok", "error", "refused")
