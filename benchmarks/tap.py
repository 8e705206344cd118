"""Listening in on MQTT: a relay that notes which events a broker was sent and acknowledged, and a plain subscriber."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from fer_edge.testing.brokers import SECONDS

CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04taps"  # 3.1.1, clean session, no keepalive
PUBLISH, PUBACK, SUBACK = 3, 4, 9


class Packets:
    """Splits a stream of bytes into MQTT packets."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The packets that are complete now: first byte, and what follows the length."""
        self._data += data
        while (found := variable_length(self._data, 1)) and len(self._data) >= sum(found):
            length, begin = found
            yield self._data[0], bytes(self._data[begin : begin + length])
            del self._data[: begin + length]


def variable_length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer, and where it ends; None where it is not complete."""
    value = 0
    for count, byte in enumerate(data[at : at + 4]):
        value += (byte & 127) << (7 * count)
        if byte < 128:
            return value, at + count + 1
    return None


def published(first: int, body: bytes, *, version: int) -> tuple[str, int, bytes]:
    """Topic, number (0: QoS 0) and payload of a PUBLISH packet."""
    at = 2 + int.from_bytes(body[:2], "big")
    topic, number = body[2:at].decode(), 0
    if first & 6:
        number, at = int.from_bytes(body[at : at + 2], "big"), at + 2
    if version == 5:
        length, at = variable_length(body, at) or (0, at)
        at += length
    return topic, number, body[at:]


class Tap:
    """A relay on a free port of loopback to a broker. Connections wait while `gate` is not set."""

    def __init__(self, target: int) -> None:
        self.gate = threading.Event()
        self.sent: list[bytes] = []  # payloads of events
        self.acknowledged: list[bytes] = []
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        self.gate.wait()
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            flying: dict[int, bytes] = {}
            up = threading.Thread(target=self._upward, args=(near, far, flying), daemon=True)
            up.start()
            self._downward(far, near, flying)
            near.shutdown(socket.SHUT_RDWR)
            up.join(SECONDS)

    def _upward(self, near: socket.socket, far: socket.socket, flying: dict[int, bytes]) -> None:
        packets, version = Packets(), 4
        with suppress(OSError):
            while data := near.recv(65536):
                for first, body in packets.feed(data):
                    if first >> 4 == 1:  # CONNECT
                        version = body[6]
                    elif first >> 4 == PUBLISH:
                        topic, number, payload = published(first, body, version=version)
                        if topic.endswith("/event"):
                            flying[number] = payload
                            self.sent.append(payload)
                far.sendall(data)
        with suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _downward(self, far: socket.socket, near: socket.socket, flying: dict[int, bytes]) -> None:
        packets = Packets()
        with suppress(OSError):
            while data := far.recv(65536):
                for first, body in packets.feed(data):
                    number, refused = int.from_bytes(body[:2], "big"), body[2:3] >= b"\x80"
                    if first >> 4 == PUBACK and (payload := flying.pop(number, None)) and not refused:
                        self.acknowledged.append(payload)
                near.sendall(data)

    def close(self) -> None:
        """Accept no more."""
        self._server.close()


class Listener:
    """A subscriber with QoS 0 that reads to the very end of its connection. It sends nothing meanwhile: a client that
    fails to write to a broker that was killed may throw away what it had not read yet."""

    def __init__(self, port: int, topic: str, into: Callable[[bytes], object]) -> None:
        self._into = into
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._subscribed = threading.Event()
        name = topic.encode()
        subscription = b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x00"
        self._socket.sendall(CONNECT + b"\x82" + bytes([len(subscription)]) + subscription)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._subscribed.wait(SECONDS), "the broker did not answer"

    def _read(self) -> None:
        packets = Packets()
        with self._socket, suppress(OSError):
            while data := self._socket.recv(65536):
                for first, body in packets.feed(data):
                    if first >> 4 == SUBACK:
                        self._subscribed.set()
                    elif first >> 4 == PUBLISH:
                        self._into(published(first, body, version=4)[2])

    def join(self) -> None:
        """Wait for the end of the connection."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
