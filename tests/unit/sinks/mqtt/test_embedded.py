"""The embedded broker: a round trip, its manners, and what can keep it from starting."""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.config import Config, Mqtt
from fer_edge.errors import SinkError
from fer_edge.runtime.meter import rss_mb
from fer_edge.sinks.mqtt import embedded as embedded_broker
from fer_edge.testing.brokers import Recorder
from tests.support.face_events import events
from tests.support.sink_helpers import first_seen, logged, mqtt_sink


def test_the_embedded_broker_serves_strangers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = mqtt_sink(Config(mqtt=Mqtt(broker="embedded", port=0)))
    sink.start()
    with Recorder(sink.port) as seen:
        sink.submit(events(1, 40))
        seen.wait("event", 40)
        sink.submit(replace(events(41, 45), frame=None))
        sink.close(5)
        assert first_seen(seen.wait("event", 45)) == list(range(1, 46))
        seen.wait_last("kitchen/availability", b"offline")
    assert logged(caplog, f"fer-edge watch --port {sink.port}") == 1


def test_retained_messages_go_to_those_who_asked_for_them() -> None:
    broker = embedded_broker.EmbeddedBroker(0)
    broker.start()
    with Recorder(broker.port, topic="a/#") as one:
        one.publish("a/x", "1", retain=True)
        one.publish("b/y", "2", retain=True)
        one.wait("x")
        with Recorder(broker.port, topic="b/#") as other:
            other.publish("b/z", "3")
            other.wait("z")
            assert {message.topic for message in other.messages} == {"b/y", "b/z"}
    broker.close()


def test_the_embedded_broker_is_quiet_about_odd_clients(caplog: pytest.LogCaptureFixture) -> None:
    broker = embedded_broker.EmbeddedBroker(0)
    broker.start()
    for first in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x10\x02\x00"):
        with socket.create_connection(("127.0.0.1", broker.port)) as sock:
            sock.sendall(first)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    with Recorder(broker.port):
        pass
    broker.close()
    broker.close()
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_a_message_of_200_megabytes_is_refused_unread(caplog: pytest.LogCaptureFixture) -> None:
    broker = embedded_broker.EmbeddedBroker(0)
    broker.start()
    before = rss_mb()
    connect = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03big"
    with socket.create_connection(("127.0.0.1", broker.port)) as sock, suppress(OSError):
        sock.sendall(connect)
        assert sock.recv(4)[:1] == b"\x20"
        sock.sendall(b"\x30\x80\xc2\xd7\x2f\x00\x03a/b")  # 100,000,000 bytes
        for _ in range(100):
            sock.sendall(b"9" * 1_000_000)
        pytest.fail("it was read to the end")
    assert rss_mb() - before < 10
    with Recorder(broker.port) as seen:  # it serves others all the same
        seen.publish("fer-edge/a/event", b"{}")
        seen.wait("event")
    broker.close()
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sink = mqtt_sink(Config(mqtt=Mqtt(broker="embedded", port=port)))
        with pytest.raises(SinkError, match=f"127.0.0.1:{port}: Address already in use; set another mqtt.port"):
            sink.start()
        sink.close(1)


def test_a_missing_amqtt_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(SinkError, match=r"pip install 'fer-edge\[embedded\]'"):
        embedded_broker.EmbeddedBroker(0).start()


def test_an_amqtt_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: object) -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr("amqtt.broker.Broker.start", fail)
    with pytest.raises(SinkError, match="not today"):
        embedded_broker.EmbeddedBroker(0).start()


def test_nobody_else_can_reach_the_embedded_broker() -> None:
    broker = embedded_broker.EmbeddedBroker(0)
    broker.start()
    listening = Path(f"/proc/{os.getpid()}/net/tcp")
    if not listening.exists():
        broker.close()
        pytest.skip("needs /proc/net/tcp")
    lines = [line.split()[1] for line in listening.read_text().splitlines() if f":{broker.port:04X} " in line]
    broker.close()
    assert lines
    assert all(address.startswith("0100007F:") for address in lines)
