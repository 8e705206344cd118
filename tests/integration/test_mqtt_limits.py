"""Brokers that take less than we send, senders of more than we take: named, left out, and the rest goes on."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from fer_edge.config import Config, Mqtt, Outbox
from fer_edge.sinks.mqtt.broker import Broker, LinkError
from fer_edge.sinks.mqtt.connection import Connection, Will
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import SECONDS, Mosquitto, Recorder, wait_for
from tests.support.face_events import events
from tests.support.sink_helpers import (
    CONNACK,
    first_seen,
    logged,
    mqtt_sink,
    quick_retries,
    running,
    turn_until_it_ends,
)

BIG = 200_000_000


@contextmanager
def with_home_assistant(port: int, version: str = "auto", *, close_seconds: float = 5.0) -> Iterator[MqttSink]:
    mqtt = msgspec.convert({"broker": "127.0.0.1", "port": port, "version": version}, Mqtt)
    sink = mqtt_sink(Config(mqtt=mqtt, outbox=Outbox(enabled=False)))
    sink.start()
    try:
        yield sink
    finally:
        sink.close(close_seconds)


def entity_topics(seen: Recorder) -> set[str]:
    return {
        message.topic for message in seen.messages if message.topic.startswith("homeassistant/") and message.payload
    }


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_everything_works_through_a_broker_that_takes_4096_bytes(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick_retries(monkeypatch)
    with (
        Mosquitto(tmp_path / "broker", "max_packet_size 4096") as broker,
        Recorder(broker.port, topic="#") as seen,
        with_home_assistant(broker.port, version) as sink,
    ):
        sink.submit(events(1, 5))
        assert first_seen(seen.wait("event", 5)) == [1, 2, 3, 4, 5]
        seen.wait_last("kitchen/availability", b"online")
        topics = entity_topics(seen)
        assert len(topics) > 50
        assert all("/fer-edge-kitchen/" in topic for topic in topics)
        if version == "3.1.1":  # it does not say what it takes
            assert logged(caplog, "ends the connection at each message") == 1
            assert logged(caplog, "homeassistant/device/fer-edge-kitchen/config: not sent until the restart") == 1
            assert logged(caplog, "is another client using the id") == 0
        else:
            assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_what_was_learnt_of_a_broker_outlasts_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_retries(monkeypatch)
    with Mosquitto(tmp_path / "broker", "max_packet_size 4096") as broker:
        with with_home_assistant(broker.port, "3.1.1"), Recorder(broker.port, topic="#") as seen:
            seen.wait_last("kitchen/availability", b"online")
        before = broker.log.read_text().count("New client connected")
        with with_home_assistant(broker.port, "3.1.1"), Recorder(broker.port, topic="#") as seen:
            seen.wait_last("kitchen/availability", b"online")
        assert broker.log.read_text().count("New client connected") == before + 2  # the recorder and one of ours


def test_a_broker_that_ends_the_connection_at_a_topic_gets_everything_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As AWS IoT does with a topic that its policy does not name."""
    quick_retries(monkeypatch)
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()
        serving = threading.Thread(target=lambda: serve_strictly(server, seen, over))
        serving.start()
        with with_home_assistant(server.getsockname()[1], "3.1.1", close_seconds=1) as sink:
            sink.submit(events(1, 3))
            wait_for(lambda: b"fer-edge/kitchen/event" in seen, "the events", seconds=3 * SECONDS)
        over.set()
        socket.create_connection(server.getsockname()).close()
        serving.join(SECONDS)
    assert logged(caplog, "possibly because of a message on homeassistant/") >= 1
    assert logged(caplog, "ends the connection at each message") == 2  # the device, then one of its entities


def test_an_event_that_is_on_its_way_whenever_a_stuck_broker_is_killed_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes the event, does not answer, and is ended by its watchdog: five times."""
    quick_retries(monkeypatch)
    monkeypatch.setattr("fer_edge.sinks.mqtt.blocked.PROMPT_SECONDS", 0.2)
    seen: list[bytes] = []
    hung_up = count(1)

    def stuck(topic: bytes) -> bool:
        if topic.endswith(b"/event") and next(hung_up) <= 5:
            time.sleep(0.3)
            return True
        return False

    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()
        serving = threading.Thread(target=serve_strictly, args=(server, seen, over, stuck), daemon=True)
        serving.start()
        with running(server.getsockname()[1], version="3.1.1", close_seconds=1) as sink:
            sink.submit(events(1, 1))
            wait_for(lambda: b"fer-edge/kitchen/event" in seen, "the event")
        over.set()
        socket.create_connection(server.getsockname()).close()
        serving.join(SECONDS)
    assert logged(caplog, "ends the connection at each message") == 0


def of_home_assistant(topic: bytes) -> bool:
    return topic.startswith(b"homeassistant/")


def serve_strictly(
    server: socket.socket,
    seen: list[bytes],
    over: threading.Event,
    refuses: Callable[[bytes], bool] = of_home_assistant,
) -> None:
    while not over.is_set():
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(SECONDS)
            try:
                answer_strictly(connection, stream, seen, refuses)
            except (OSError, IndexError):
                continue


def answer_strictly(
    connection: socket.socket, stream: BinaryIO, seen: list[bytes], refuses: Callable[[bytes], bool]
) -> None:
    """Acknowledge what comes; hang up at what is refused."""
    while True:
        kind = stream.read(1)[0]
        length, shift = 0, 0
        while (byte := stream.read(1)[0]) >= 128:
            length, shift = length + ((byte & 127) << shift), shift + 7
        body = stream.read(length + (byte << shift))
        if kind >> 4 == 1:
            connection.sendall(CONNACK)
        elif kind >> 4 == 8:
            connection.sendall(b"\x90\x05" + body[:2] + b"\x01\x01\x01")
        elif kind >> 4 == 3:
            end = 2 + int.from_bytes(body[:2], "big")
            if refuses(body[2:end]):
                return
            seen.append(body[2:end])
            if kind & 0x06:
                connection.sendall(b"\x40\x02" + body[end : end + 2])


@pytest.mark.parametrize("line", ["max_qos 0", "retain_available false"])
def test_a_broker_without_qos_or_retained_values_gets_the_events(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Mosquitto(tmp_path / "broker", line) as broker,
        Recorder(broker.port) as seen,
        with_home_assistant(broker.port) as sink,
    ):
        seen.wait_last("kitchen/availability", b"online")
        sink.submit(events(1, 5))
        assert first_seen(seen.wait("event", 5)) == [1, 2, 3, 4, 5]
    assert logged(caplog, "it supports QoS 0 only" if "qos" in line else "it does not support retained messages") == 1


def test_an_event_that_is_too_large_for_the_broker_is_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Mosquitto(tmp_path / "broker", "max_packet_size 600") as broker,
        Recorder(broker.port) as seen,
        with_home_assistant(broker.port, "5") as sink,
    ):
        sink.submit(events(1, 2))
        wait_for(lambda: sink.store.figures()[:2] == (0, 2), "they are counted")
        seen.wait_last("kitchen/availability", b"online")
    assert logged(caplog, "fer-edge/kitchen/event: ") == 1
    assert logged(caplog, "raise the broker's limit for the size of messages") >= 1
    assert logged(caplog, "events are queued for the broker") == 0


def announcing(size: int) -> bytes:
    """The first bytes of a PUBLISH packet of so many bytes on a topic of ours."""
    return b"\x30" + remaining_length(size) + b"\x00\x1dfer-edge/kitchen/set/events/a" + b"9" * 100_000


def remaining_length(size: int) -> bytes:
    """As MQTT writes it: seven bits a byte, the lowest first."""
    length, left = b"", size
    while True:
        left, digit = left >> 7, left & 127
        length += bytes([digit | (128 if left else 0)])
        if not left:
            return length


def test_a_packet_that_announces_200_megabytes_ends_the_link_unread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        def serve() -> None:
            accepted.append(server.accept()[0])
            accepted[0].recv(4096)
            accepted[0].sendall(CONNACK)
            accepted[0].sendall(announcing(BIG))

        serving = threading.Thread(target=serve)
        serving.start()
        link = Connection(Broker(host="127.0.0.1", port=server.getsockname()[1], version="3.1.1"), "me")
        link.connect(5)
        with most_megabytes_at_once() as most:
            with pytest.raises(LinkError, match=f"a packet of {BIG:,} bytes, more than") as raised:
                turn_until_it_ends(link)
            assert most() < 10
        assert raised.value.oversized
        serving.join()
        accepted[0].close()


@contextmanager
def most_megabytes_at_once() -> Iterator[Callable[[], float]]:
    """Of what Python allocates from here on: all of it, not what samples happen to see."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def publish_in_pieces(port: int, topic: bytes, megabytes: int) -> None:
    """Publish, retained, a payload that is nowhere in the memory of this process, and wait for its acknowledgement."""
    piece = b"9" * 100_000
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sender:
        sender.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02me")
        assert sender.recv(4) == b"\x20\x02\x00\x00"
        head = len(topic).to_bytes(2, "big") + topic + b"\x00\x01"
        sender.sendall(b"\x33" + remaining_length(len(head) + megabytes * 10 * len(piece)) + head)
        for _ in range(megabytes * 10):
            sender.sendall(piece)
        assert sender.recv(4) == b"\x40\x02\x00\x01"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_200_megabytes_through_a_broker_cost_no_memory_and_no_event(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick_retries(monkeypatch)
    monkeypatch.setattr("fer_edge.sinks.mqtt.session.DEAF_SECONDS", (60.0, 60.0))
    refused = version == "3.1.1"  # with 5 the broker is told what is too much and keeps it
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder(broker.port, topic="fer-edge/kitchen/event") as seen,
        with_home_assistant(broker.port, version) as sink,
    ):
        sink.submit(events(1, 1))
        seen.wait("event")
        with most_megabytes_at_once() as most:
            publish_in_pieces(broker.port, b"fer-edge/kitchen/set/events/enter", 200)
            wait_for(lambda: logged(caplog, "set/ and request/ are ignored for 60 s") == refused, "the refusal")
            sink.submit(events(2, 3))
            assert first_seen(seen.wait("event", 3)) == [1, 2, 3]
            assert most() < 10
    assert logged(caplog, "set/ and request/ are ignored for 60 s") == refused


@pytest.mark.parametrize(("line", "limits"), [("max_qos 0", (0, True)), ("retain_available false", (1, False))])
def test_a_will_that_the_broker_cannot_take_is_made_smaller(
    tmp_path: Path, line: str, limits: tuple[int, bool]
) -> None:
    with Mosquitto(tmp_path / "broker", line) as broker:
        link = Connection(
            Broker(host="127.0.0.1", port=broker.port, version="5"), "me", will=Will("fer-edge/me/availability", b"x")
        )
        link.connect(5)
        assert (link.limits.qos, link.limits.retain) == limits
        link.close()
