"""One connection to an MQTT broker, driven by the thread that owns it.

paho's own loop thread is not used: it hides why a connection failed, has no jitter, and after a reconnect
re-sends unacknowledged retained values *behind* the new ones. A `Link` lives as long as its connection and nothing
of a dead one lives on: what was not acknowledged is the owner's to send again, over the next link.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.reasoncodes import ReasonCode

from fer_edge.errors import SinkError

WINDOW = 20
"""Messages that may wait for their acknowledgement; mosquitto's own limit, which MQTT 5 brokers may lower."""

VERSIONS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}

NO_BROKER = "is it an MQTT broker? check port, tls and MQTT version"

ADVICE = {
    "Bad user name or password": "check user name and password",
    "Not authorized": "check user name and password, and the broker's access rules",
    "Client identifier not valid": "check device.id against the broker's rules",
    "Unsupported protocol version": "set the other MQTT version (mqtt.version)",
    "Session taken over": "another client has this client's id; give each daemon its own device.id",
}
"""What to do about the reasons with which brokers turn a client away."""


class LinkError(Exception):
    """There is no connection, or no longer. `refused`: the broker answers but turns us away, which lasts
    until somebody changes something."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where a broker is and how to speak to it."""

    host: str
    port: int
    version: str = "3.1.1"  # a key of VERSIONS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None  # None: no TLS
    keepalive_seconds: int = 30

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the connection dies."""

    topic: str
    payload: bytes


class Wake:
    """Ends another thread's wait for the network."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def set(self) -> None:
        """End the wait, now or the next time. Never blocks."""
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Be ready to wait again."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def fileno(self) -> int:
        """For select()."""
        return self._reader.fileno()

    def close(self) -> None:
        """Let go of the sockets."""
        self._reader.close()
        self._writer.close()


def tls_context(*, ca_file: str | None, cert_file: str | None = None, key_file: str | None = None) -> ssl.SSLContext:
    """TLS that trusts the system's CAs or, instead, those of `ca_file`, and may show a client certificate.

    Raises:
        SinkError: a file cannot be used.

    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one too
        raise SinkError(f"{ca_file}: cannot read CA certificates (ca_file): {_file_problem(error)}") from None
    if ca_file:
        # Python 3.13 refuses CAs without a key usage extension, as most guides to a home broker make them
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert_file and key_file:
        for name, path in (("cert_file", cert_file), ("key_file", key_file)):
            if not Path(path).is_file():
                raise SinkError(f"{path}: no such file ({name}); expected a client certificate and its key in PEM")
        try:
            context.load_cert_chain(cert_file, key_file, password="")  # "": fail, never ask on a terminal
        except OSError as error:
            what = f"cannot use client certificate and key {key_file}"
            raise SinkError(f"{cert_file}: {what} (cert_file, key_file): {_file_problem(error)}") from None
    return context


def _file_problem(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"expected PEM, got something else, or an encrypted or foreign key ({error.reason or 'unreadable'})"
    return f"{error.strerror}; check path and permissions"


def backoff(*, first: float = 1.0, longest: float = 60.0) -> Iterator[float]:
    """Seconds to wait before each new attempt: doubling, with jitter, so that a fleet does not return at once."""
    delay = first
    while True:
        yield delay * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, no secret
        delay = min(longest, delay * 2)


def in_words(error: Exception, broker: Broker) -> LinkError:
    """Why a connection could not be opened, and what to do about it."""
    match error:
        case ssl.SSLCertVerificationError():
            advice = "check ca_file, and that the certificate names this host"
            return LinkError(
                f"TLS: the broker's certificate is not trusted: {error.verify_message}; {advice}", refused=True
            )
        case ssl.SSLError():
            advice = "expected TLS there; check the port (usually 8883), and the client certificate if it wants one"
            return LinkError(f"TLS handshake failed ({error.reason or 'closed by the broker'}); {advice}", refused=True)
        case ConnectionResetError() if broker.tls:
            return LinkError(
                "it closed the connection during the TLS handshake; check that the port speaks TLS (usually 8883)"
            )
        case socket.gaierror():
            return LinkError(f"host name {broker.host!r} not found")
        case ConnectionRefusedError():
            return LinkError("connection refused: no broker listens there")
        case TimeoutError():
            return LinkError("no answer")
        case OSError():
            return LinkError(error.strerror or str(error))
        case _:
            return LinkError(f"not a usable address: {error}")


class Link:
    """A connection to a broker, made by `connect` and kept going by calling `turn` again and again.

    `on_ack(mid, refusal)` is called, within `turn`, for each acknowledged message; `refusal` says in
    words why an MQTT 5 broker did not take it. `on_message(topic, payload)` likewise for what is received.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        will: Will | None = None,
        wake: Wake | None = None,
        on_ack: Callable[[int, str | None], None] | None = None,
        on_message: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.broker = broker
        self.connected = False
        self.window = WINDOW
        self._wake, self._ack, self._message = wake, on_ack, on_message
        self._trouble: LinkError | None = None
        self._client = self._make_client(client_id, will)

    def _make_client(self, client_id: str, will: Will | None) -> Client:
        broker = self.broker
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=VERSIONS[broker.version],
            reconnect_on_failure=False,  # else a refused 3.1.1 is tried again as 3.1
        )
        client.max_inflight_messages = 0  # no second limit: the owner keeps to `window`
        client.username, client.password = broker.username, broker.password
        if broker.tls:
            client.tls_set_context(broker.tls)
        if will:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def connect(self, timeout: float) -> None:
        """Open the connection and wait for the broker's consent, together about `timeout` seconds.

        Raises:
            LinkError: with the reason in words.

        """
        deadline = time.monotonic() + timeout
        self._client.connect_timeout = timeout
        try:
            self._client.connect(self.broker.host, self.broker.port, self.broker.keepalive_seconds)
        except (OSError, ValueError) as error:  # ValueError: no possible host name
            raise in_words(error, self.broker) from None
        while not self.connected:
            if time.monotonic() >= deadline:
                self.drop()
                raise LinkError(f"no answer to CONNECT within {timeout:.0f} s; {NO_BROKER}")
            self.turn(deadline - time.monotonic())

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Hand a message over; the number by which it will be acknowledged. Never blocks; what a dead
        connection swallows is never acknowledged, and the next `turn` raises."""
        info: MQTTMessageInfo = self._client.publish(topic, payload, qos=qos, retain=retain)
        return info.mid

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages (QoS 1). A refusal raises from a later `turn`."""
        self._client.subscribe([(topic, 1) for topic in topics])

    def turn(self, timeout: float) -> None:
        """Wait for the network (or the wake) at most `timeout` seconds and deal with what came.

        Raises:
            LinkError: the connection is gone, with the reason in words.

        """
        sock = self._client.socket()
        if sock is not None:
            self._wait(sock, max(0.0, timeout))
        if self._trouble:
            self.drop()
            raise self._trouble
        if self._client.socket() is None:
            raise LinkError("the connection was lost")

    def _wait(self, sock: Any, timeout: float) -> None:
        buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0  # select() cannot see these bytes
        waiting = [sock, self._wake] if self._wake else [sock]
        writing = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select(waiting, writing, [], 0.0 if buffered else timeout)
        if self._wake in readable and self._wake:
            self._wake.clear()
        try:
            if buffered or sock in readable:
                self._client.loop_read()
            if writable:
                self._client.loop_write()
            self._client.loop_misc()
        except MQTTException as error:
            self._trouble = LinkError(f"what it answers is no MQTT ({error}); {NO_BROKER}", refused=True)

    def close(self) -> None:
        """Say goodbye, which revokes the will, and close the socket."""
        self._client.disconnect()
        self.drop()

    def drop(self) -> None:
        """Close the socket without a goodbye: the broker publishes the will. May be called twice."""
        self.connected = False
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._trouble = _refusal(reason)
            return
        self.connected = True
        self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))

    def _on_disconnect(self, _client: Client, _data: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        before, self.connected = self.connected, False
        if self._trouble:
            return
        if flags.is_disconnect_packet_from_server:
            self._trouble = _refusal(reason)
        elif str(reason) == "Keep alive timeout":
            self._trouble = LinkError(f"the broker fell silent for {self.broker.keepalive_seconds} s (keepalive)")
        elif str(reason) == "Protocol error":
            self._trouble = LinkError(f"what it answers is no MQTT; {NO_BROKER}", refused=True)
        elif before:
            self._trouble = LinkError("the connection was closed by the broker or the network")
        else:
            self._trouble = LinkError(f"it closed the connection instead of answering CONNECT; {NO_BROKER}")

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        if self._ack:
            self._ack(mid, str(reason) if reason.is_failure else None)

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if refused:
            why = f"the broker refuses the subscription ({refused}); check the user's access rules there"
            self._trouble = LinkError(why, refused=True)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._message:
            self._message(message.topic, bytes(message.payload))


def _refusal(reason: ReasonCode) -> LinkError:
    advice = ADVICE.get(str(reason))
    why = f"the broker turns us away: {reason}" + (f"; {advice}" if advice else "")
    return LinkError(why, refused=advice is not None)
