"""One connection: every way in which it can fail is said in words."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fer_edge.sinks.mqtt.broker import Broker, LinkError, in_words
from fer_edge.sinks.mqtt.connection import Connection, Will
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.wakeup import WakePipe
from fer_edge.testing.brokers import Mosquitto, Recorder, free_port
from tests.support.sink_helpers import CONNACK, running, scripted, turn_until_it_ends


def test_another_client_of_the_same_id_is_said() -> None:
    """As an MQTT 5 broker tells it (mosquitto 2.0.11 just hangs up)."""
    with scripted(b"\x20\x06\x00\x00\x03\x21\x00\x05", b"\xe0\x02\x8e\x00") as port:
        link = Connection(Broker(host="127.0.0.1", port=port, version="5"), "me")
        link.connect(5)
        assert link.window == 5  # Receive Maximum
        with pytest.raises(LinkError, match="give each daemon its own device") as raised:
            turn_until_it_ends(link)
        assert raised.value.refused


def test_a_subscription_that_is_refused_is_said() -> None:
    with scripted(CONNACK, b"\x90\x03\x00\x01\x80") as port:
        link = Connection(Broker(host="127.0.0.1", port=port, version="3.1.1"), "me")
        link.connect(5)
        link.subscribe(["fer-edge/+/event"])
        with pytest.raises(LinkError, match="refuses the subscription"):
            turn_until_it_ends(link)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x05garbage", b"\xf0\x00", b"\x20\xff\xff\xff\xff\xff"]
)
def test_what_is_no_mqtt_broker_is_said(answer: bytes) -> None:
    with scripted(answer) as port, pytest.raises(LinkError, match="is it an MQTT broker"):
        Connection(Broker(host="127.0.0.1", port=port, version="3.1.1"), "me").connect(2)


def test_a_server_that_never_answers_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = Connection(Broker(host="127.0.0.1", port=server.getsockname()[1], version="3.1.1"), "me")
        with pytest.raises(LinkError, match="no answer to CONNECT"):
            link.connect(0.2)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("no-such-host.invalid", "not found"),
        ("a" * 70, "not a usable address: between dots, 'aaa"),
        ("127.0.0.1", "no broker listens"),
    ],
)
def test_an_address_without_a_broker_is_said(host: str, text: str) -> None:
    with pytest.raises(LinkError, match=text):
        Connection(Broker(host=host, port=free_port()), "me").connect(2)


@pytest.mark.parametrize(
    ("error", "text"), [(TimeoutError(), "no answer"), (OSError(113, "No route to host"), "No route")]
)
def test_other_network_errors_are_said_in_words(error: OSError, text: str) -> None:
    assert text in str(in_words(error, Broker(host="far", port=1)))


def test_a_broker_that_falls_silent_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = Connection(
            Broker(host="127.0.0.1", port=server.getsockname()[1], version="3.1.1", keepalive_seconds=1), "me"
        )
        accepted: list[socket.socket] = []

        def accept() -> None:
            accepted.append(server.accept()[0])
            accepted[0].sendall(CONNACK)

        answering = threading.Thread(target=accept)
        answering.start()
        link.connect(5)
        answering.join()
        with pytest.raises(LinkError, match="no answer from the broker for 1 s"):
            turn_until_it_ends(link)
        accepted[0].close()


def test_the_password_is_in_no_text() -> None:
    assert "hunter2" not in repr(Broker(host="h", port=1, username="u", password="hunter2"))


@pytest.mark.parametrize(
    "refusal", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b"", None], ids=["v3", "v5", "hangs up", "silent"]
)
def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(refusal: bytes | None) -> None:
    """None: it does not answer at all, as amqtt does."""
    versions: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in (refusal, CONNACK):
                connection, _ = server.accept()
                opened.append(connection)
                versions.append(connection.recv(4096)[8])
                if answer:
                    connection.sendall(answer)
                elif answer is not None:
                    connection.close()

        opened: list[socket.socket] = []
        serving = threading.Thread(target=serve)
        serving.start()
        link = Connection(Broker(host="127.0.0.1", port=server.getsockname()[1]), "me")
        link.connect(0.5)
        serving.join()
        assert versions == [5, 4]
        assert link.version == "3.1.1"
        link.close()
        for connection in opened:
            connection.close()


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server on loopback that gives each connection one answer: its port, and what each said first."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join()


def test_a_broker_without_qos_1_and_retained_messages_gets_another_will() -> None:
    refusals = (b"\x20\x03\x00\x9b\x00", b"\x20\x03\x00\x9a\x00")  # QoS, then Retain not supported
    with answering(*refusals, b"\x20\x07\x00\x00\x04\x24\x00\x25\x00") as (port, asked):
        link = Connection(Broker(host="127.0.0.1", port=port, version="5"), "me", will=Will("gone", b"offline"))
        link.connect(5)
        assert [connect[9] & 0x38 for connect in asked] == [0x28, 0x20, 0x00], "QoS 1 and retained, ever less"
        assert (link.limits.qos, link.limits.retain) == (0, False)
        assert len(link.limits.warnings()) == 2
        link.drop()


def test_a_broker_that_refuses_each_will_is_given_up() -> None:
    refusal = b"\x20\x03\x00\x9b\x00"
    with answering(refusal, refusal) as (port, asked):
        link = Connection(Broker(host="127.0.0.1", port=port, version="5"), "me", will=Will("gone", b"offline"))
        with pytest.raises(LinkError, match="QoS not supported"):
            link.connect(5)
        assert len(asked) == 2


def test_what_was_never_opened_is_lost() -> None:
    link = Connection(Broker(host="127.0.0.1", port=1), "me")
    link.subscribe(["fer-edge/+/event"])
    with pytest.raises(LinkError, match="the connection was lost"):
        link.poll(0)


def test_a_subscription_that_is_not_needed_is_a_warning_only() -> None:
    with scripted(CONNACK, b"\x90\x03\x00\x01\x80") as port:
        link = Connection(Broker(host="127.0.0.1", port=port, version="3.1.1"), "me")
        link.connect(5)
        link.subscribe(["fer-edge/kitchen/set/#"], needed=False)
        with pytest.raises(LinkError, match="closed by the broker or the network"):
            turn_until_it_ends(link)
        assert "refuses the subscription (fer-edge/kitchen/set/#" in str(link.warning)


ACK, BAD_TOPIC, GREETING = b"\x40\x02\x00\x01", b"\x30\x05\x00\x02\xff\xfex", b"\x30\x06\x00\x01they"


@pytest.mark.parametrize("listening", [True, False])
def test_acknowledgements_and_messages_go_to_whom_they_concern(listening: bool) -> None:
    heard: list[object] = []
    with scripted(CONNACK, ACK, BAD_TOPIC, GREETING) as port:
        link = Connection(
            Broker(host="127.0.0.1", port=port, version="3.1.1"),
            "me",
            on_ack=(lambda number, refusal: heard.append((number, refusal))) if listening else None,
            on_message=(lambda *message: heard.append(message)) if listening else None,
        )
        link.connect(5)
        assert link.publish(Message("a", b"b")) == 1
        with pytest.raises(LinkError, match="closed by the broker or the network"):
            turn_until_it_ends(link)
    assert heard == ([(1, None), ("t", b"hey", False)] if listening else [])


@pytest.mark.parametrize(
    ("reason", "text", "hung_up"),
    [(0x95, "the broker ended the connection: Packet too large", True), (0x8B, "Server shutting down", False)],
)
def test_why_a_broker_ends_the_connection_is_said(reason: int, text: str, hung_up: bool) -> None:
    """`hung_up`: it may have been one of our messages."""
    with scripted(b"\x20\x03\x00\x00\x00", bytes((0xE0, 0x02, reason, 0x00))) as port:
        link = Connection(Broker(host="127.0.0.1", port=port, version="5"), "me")
        link.connect(5)
        with pytest.raises(LinkError, match=text) as raised:
            turn_until_it_ends(link)
        assert raised.value.hung_up == hung_up


@pytest.mark.parametrize(
    "answer",
    [
        b"\x20\x06\x00\x00\x03\x99\x00\x05",  # an unknown property
        b"\x20\x03\x00\x77\x00",  # an unknown reason
        b"\x20\x01\x00",
        b"\x20\x09\x00\x00\x06\x1f\x00\x03\xff\xfe\xfd",  # a text that is none
        b"\x30\x01\x00",  # a message without a topic
        b"\x90\x01\x00",
        b"\x40\x01\x00",
    ],
)
def test_an_answer_that_breaks_the_rules_is_no_mqtt(answer: bytes) -> None:
    with scripted(answer) as port, pytest.raises(LinkError, match="not valid MQTT"):
        Connection(Broker(host="127.0.0.1", port=port, version="5"), "me").connect(5)


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """More than select(2) can wait on, as with a thousand open pages."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2048
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no process may have {wanted} open files here (at most {hard})")
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while (number := os.open(os.devnull, os.O_RDONLY)) < 1100:
            stack.callback(os.close, number)
        stack.callback(os.close, number)
        yield


@pytest.mark.usefixtures("many_open_files")
def test_a_connection_does_not_mind_a_thousand_open_files() -> None:
    with scripted(CONNACK) as port:
        link = Connection(Broker(host="127.0.0.1", port=port, version="3.1.1"), "me")
        link.wake = WakePipe()
        link.connect(5)
        link.wake.set()
        link.wake.wait(5)
        assert link.connected
        link.close()
        link.wake.close()


def test_the_end_of_an_attempt_is_noticed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the thread looks for changes again."""
    monkeypatch.setattr("fer_edge.sinks.mqtt.session.IDLE_SECONDS", 600.0)
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen, running(broker.port):
        seen.wait_last("kitchen/availability", b"online")
