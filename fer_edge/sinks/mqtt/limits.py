"""How large a message may be: what a broker accepts from us, and what we accept from a broker."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from paho.mqtt.client import Client

from fer_edge.runtime.count_text import counted

MAX_PACKET_BYTES = 64 * 1024
"""Nothing larger is accepted from a broker: nobody has a reason to send it."""

HEADER_BYTES = 12
"""Of a PUBLISH packet, at most: its type, two lengths of up to four bytes, the topic's length, its number."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be published. Expiry and properties are for MQTT 5; older brokers do without."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_seconds: int | None = None  # a subscriber that was away for longer does not get it
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that an MQTT 5 broker announces when it accepts a connection. An older one announces none."""

    packet_bytes: int | None = None
    qos: int = 1
    retain: bool = True

    def refuses(self, message: Message) -> str | None:
        """Why the broker will reject a message."""
        size = packet_bytes(message)
        if self.packet_bytes is None or size <= self.packet_bytes:
            return None
        return f"{counted(size, 'byte')}, and the broker takes {self.packet_bytes} at most"

    def warnings(self) -> list[str]:
        """What does not work at such a broker, in words."""
        found = []
        if self.qos < 1:
            found.append("it supports QoS 0 only: messages in flight are lost when the connection breaks")
        if not self.retain:
            found.append("it does not support retained messages: subscribers see nothing until something changes")
        return found


def packet_bytes(message: Message) -> int:
    """The size of a message as a PUBLISH packet, or a few bytes more."""
    properties = sum(5 + len(name.encode()) + len(value.encode()) for name, value in message.properties.items())
    properties += 5 if message.expiry_seconds else 0
    return HEADER_BYTES + len(message.topic.encode()) + properties + len(message.payload)


class TooLarge(Exception):
    """A packet announced so many bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a packet of {counted(size, 'byte')}, more than {MAX_PACKET_BYTES}")
        self.size = size


class BoundedClient(Client):
    """Raises TooLarge where a packet's announced length exceeds MAX_PACKET_BYTES, before any of it is read."""

    tls_reason: str | None = None
    """Why the broker ended TLS."""

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho reads single bytes up to the length, and then asks for all that this announced
        if bufsize > MAX_PACKET_BYTES:
            raise TooLarge(bufsize)
        try:
            return bytes(super()._sock_recv(bufsize))
        except ssl.SSLError as error:  # paho reports it as a lost connection without a reason
            self.tls_reason = error.reason
            raise
