"""What the tests of sinks share."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import pytest

from fer_edge.config import Config, HomeAssistant, Mqtt, Outbox
from fer_edge.records import Identity
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.testing.brokers import SECONDS, Recorder
from tests.support.face_events import IDENTITY

CONNACK = b"\x20\x02\x00\x00"
QUIET = HomeAssistant(enabled=False)


def mqtt_sink(config: Config, identity: Identity = IDENTITY) -> MqttSink:
    return MqttSink(config, identity, Control(config))


@contextmanager
def running(port: int, *, close_seconds: float = 5.0, disk: bool = False, **settings: Any) -> Iterator[MqttSink]:
    mqtt = Mqtt(**{"broker": "127.0.0.1", "port": port, **settings})
    sink = mqtt_sink(Config(mqtt=mqtt, outbox=Outbox(enabled=disk), homeassistant=QUIET))
    sink.start()
    try:
        yield sink
    finally:
        sink.close(close_seconds)


def decoded(payloads: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in payloads]


def first_seen(payloads: list[bytes]) -> list[int]:
    """The sequence numbers as a consumer sees them who deduplicates on (boot_id, seq)."""
    return list(dict.fromkeys(event["seq"] for event in decoded(payloads)))


def logged(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.sinks.mqtt.session.RETRY_SECONDS", (0.02, 0.2))


@contextmanager
def scripted(*answers: bytes) -> Iterator[int]:
    """A server on loopback (its port) that sends one answer to whatever comes first and the rest behind it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                for answer in answers:
                    connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(SECONDS)


def events_without_answer(connection: socket.socket, stream: BinaryIO, *, granted: bytes = b"\x01") -> Iterator[int]:
    """A broker's side of a connection that acknowledges all but events: their sequence numbers, as they come. Each
    subscription is answered with `granted`."""
    while True:
        kind = stream.read(1)[0]
        length, shift = 0, 0
        while (byte := stream.read(1)[0]) >= 128:
            length, shift = length + ((byte & 127) << shift), shift + 7
        body = stream.read(length + (byte << shift))
        if kind >> 4 == 8:  # SUBSCRIBE
            connection.sendall(b"\x90\x04" + body[:2] + 2 * granted)  # set/# and request/#
        elif kind & 0xF6 == 0x32:  # PUBLISH, QoS 1
            end = 2 + int.from_bytes(body[:2], "big")
            if body[:end].endswith(b"/event"):
                yield json.loads(body[end + 2 :])["seq"]
            else:
                connection.sendall(b"\x40\x02" + body[end : end + 2])


def turn_until_it_ends(link: Connection) -> None:
    while True:
        link.poll(1)


def kept(port: int) -> dict[str, bytes]:
    """The retained messages of a broker by topic."""
    with Recorder(port, topic="#") as seen:
        seen.publish("end/of/it", "x")
        seen.wait("of/it")
        return {message.topic: message.payload for message in seen.messages if message.retain}
