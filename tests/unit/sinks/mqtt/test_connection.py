"""One connection: every way in which it can fail is said in words."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fer_edge.sinks.mqtt.broker import Broker, LinkError, in_words
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.wakeup import WakePipe
from fer_edge.testing.brokers import free_port
from tests.support.sink_helpers import CONNACK, scripted, turn_until_it_ends


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
    [("no-such-host.invalid", "not found"), ("a" * 70, "not a usable address"), ("127.0.0.1", "no broker listens")],
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
