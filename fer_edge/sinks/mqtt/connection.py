"""One connection to an MQTT broker, driven by the thread that owns it.

paho's own loop thread is not used: it hides why a connection failed, has no jitter, and after a reconnect
re-sends unacknowledged retained values *behind* the new ones. A `Link` lives as long as its connection and nothing
of a dead one lives on: what was not acknowledged is the owner's to send again, over the next link.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_edge.sinks.mqtt.broker import NO_BROKER, Broker, LinkError, Version, in_words
from fer_edge.sinks.mqtt.wakeup import WakePipe

WINDOW = 20
"""Messages that may wait for their acknowledgement; mosquitto's own limit, which MQTT 5 brokers may lower."""

MAX_PACKET_BYTES = 64 * 1024
"""An MQTT 5 broker sends us nothing larger: nobody has a reason to."""

OLDER: dict[Version, tuple[Version, ...]] = {"auto": ("5", "3.1.1"), "5": ("5",), "3.1.1": ("3.1.1",)}
"""The versions of MQTT to try, one after the other."""

PROTOCOLS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}

ADVICE = {
    "Bad user name or password": "check user name and password",
    "Not authorized": "check user name and password, and the broker's access rules",
    "Client identifier not valid": "check device.id against the broker's rules",
    "Unsupported protocol version": "set the other MQTT version (mqtt.version)",
    "Session taken over": "another client has this client's id; give each daemon its own device.id",
}
"""What to do about the reasons with which brokers turn a client away."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the connection dies."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be published. Expiry and properties are for MQTT 5; older brokers do without."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_seconds: int | None = None  # a subscriber that was away for longer does not get it
    properties: Mapping[str, str] = field(default_factory=dict)


def backoff(*, first: float = 1.0, longest: float = 60.0) -> Iterator[float]:
    """Seconds to wait before each new attempt: doubling, with jitter, so that a fleet does not return at once."""
    delay = first
    while True:
        yield delay * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, no secret
        delay = min(longest, delay * 2)


class Connection:
    """A connection to a broker, made by `connect` and kept going by calling `turn` again and again.

    `on_ack(mid, refusal)` is called, within `turn`, for each acknowledged message; `refusal` says in words why an
    MQTT 5 broker did not take it. `on_message(topic, payload, retained)` likewise for what is received.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        will: Will | None = None,
        on_ack: Callable[[int, str | None], None] | None = None,
        on_message: Callable[[str, bytes, bool], None] | None = None,
    ) -> None:
        self.broker = broker
        self.connected = False
        self.window = WINDOW
        self.version: Version = OLDER[broker.version][0]
        self._client_id, self._will = client_id, will
        self.wake: WakePipe | None = None  # what ends `turn` early
        self._ack, self._message = on_ack, on_message
        self._trouble: LinkError | None = None
        self.warning: str | None = None  # about what was asked for and is not needed
        self._asked: dict[int, tuple[Sequence[str], bool]] = {}  # number -> topics, and whether they are needed
        self._client = self._make_client()

    def _make_client(self) -> Client:
        broker, will = self.broker, self._will
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=PROTOCOLS[self.version],
            transport="websockets" if broker.websocket else "tcp",
            reconnect_on_failure=False,  # else a refused 3.1.1 is tried again as 3.1
        )
        client.max_inflight_messages = 0  # no second limit: the owner keeps to `window`
        client.username, client.password = broker.username, broker.password
        if broker.websocket:
            client.ws_set_options(path=broker.websocket)
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
        """Open the connection and wait for the broker's consent, about `timeout` seconds for each version of MQTT.

        Raises:
            LinkError: with the reason in words.

        """
        *newer, oldest = OLDER[self.broker.version]
        for self.version in newer:
            try:
                self._connect(timeout)
            except LinkError as error:
                if not error.version:
                    raise
            else:
                return
        self.version = oldest
        self._connect(timeout)

    def _connect(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._trouble, self._client = None, self._make_client()
        self._client.connect_timeout = timeout
        options: dict[str, Any] = {}
        if self.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho forgot it
            properties.SessionExpiryInterval = self.broker.session_seconds
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            options = {"clean_start": not self.broker.session_seconds, "properties": properties}
        refusal = None
        try:
            self._client.connect(self.broker.host, self.broker.port, self.broker.keepalive_seconds, **options)
        except (OSError, ValueError) as error:  # ValueError: no possible host name
            refusal = in_words(error, self.broker)
        if refusal:  # raised here, it does not keep paho's frames and their open socket alive
            raise refusal
        while not self.connected:
            if time.monotonic() >= deadline:
                self.drop()
                raise LinkError(f"no answer to CONNECT within {timeout:.0f} s; {NO_BROKER}", version=True)
            self.poll(deadline - time.monotonic())

    def publish(self, message: Message) -> int:
        """Hand a message over; the number by which it will be acknowledged. Never blocks; what a dead
        connection swallows is never acknowledged, and the next `turn` raises."""
        info: MQTTMessageInfo = self._client.publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            properties=_properties(message) if self.version == "5" else None,
        )
        return info.mid

    @property
    def busy(self) -> bool:
        """Whether the network has not taken yet what was handed over."""
        return self._client.want_write()

    def subscribe(self, topics: Sequence[str], *, needed: bool = True) -> None:
        """Ask for messages. A refusal raises from a later `turn`, or stands in `complaint` where they are not needed.

        QoS 1; but what is not needed comes with QoS 0 by MQTT 3.1.1: RabbitMQ before 3.13 keeps a QoS 1 subscription on
        one node of a cluster, and turns the client away for as long as that node is down.
        """
        qos = 1 if needed or self.version == "5" else 0
        _, number = self._client.subscribe([(topic, qos) for topic in topics])
        if number is not None:
            self._asked[number] = topics, needed

    def poll(self, timeout: float) -> None:
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
        pending = getattr(sock, "pending", None)  # of TLS and websockets: bytes that select() cannot see
        buffered = bool(pending and pending())
        waiting = [sock, self.wake] if self.wake else [sock]
        writing = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select(waiting, writing, [], 0.0 if buffered else timeout)
        if self.wake in readable and self.wake:
            self.wake.clear()
        try:
            if buffered or sock in readable:
                self._client.loop_read()
            if writable:
                self._client.loop_write()
            self._client.loop_misc()
        except MQTTException as error:
            self._trouble = LinkError(f"what it answers is no MQTT ({error}); {NO_BROKER}", refused=True, version=True)

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
            self._trouble = LinkError(f"what it answers is no MQTT; {NO_BROKER}", refused=True, version=True)
        elif before:
            self._trouble = LinkError("the connection was closed by the broker or the network")
        else:
            what = f"it closed the connection instead of answering CONNECT; {NO_BROKER}"
            self._trouble = LinkError(what, version=True)

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        if self._ack:
            self._ack(mid, str(reason) if reason.is_failure else None)

    def _on_subscribe(self, _client: Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        topics, needed = self._asked.pop(mid, ((), True))
        refused = [f"{topic}: {reason}" for topic, reason in zip(topics, reasons, strict=False) if reason.is_failure]
        if refused:
            why = f"the broker refuses the subscription ({', '.join(refused)}); check the user's access rules there"
            self.warning = why
            if needed:
                self._trouble = LinkError(why, refused=True)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no broker should let it through
            return
        if self._message:
            self._message(topic, bytes(message.payload), bool(message.retain))


class ConnectThread:
    """A connection being opened in a thread of its own: names, TLS and far brokers take seconds."""

    def __init__(self, link: Connection, timeout: float) -> None:
        self._link, self._timeout = link, timeout
        self._failure: Exception | None = None
        self._abandoned = False
        self._thread = Thread(target=self._run, name="mqtt-connect", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is not decided yet."""
        return self._thread.is_alive()

    def abandon(self) -> None:
        """Whatever comes of it, nobody wants it any more."""
        self._abandoned = True

    def check(self) -> None:
        """Raise what hindered it, if anything did: LinkError, or a mistake of ours."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            self._link.connect(self._timeout)
        except Exception as error:  # the top of a thread: `check` raises it
            self._failure = error
        if self._abandoned:
            self._link.drop()


def _properties(message: Message) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho forgot it
    if message.expiry_seconds:
        properties.MessageExpiryInterval = message.expiry_seconds
    if message.properties:
        properties.UserProperty = list(message.properties.items())
    return properties


def _refusal(reason: ReasonCode) -> LinkError:
    advice = ADVICE.get(str(reason))
    why = f"the broker turns us away: {reason}" + (f"; {advice}" if advice else "")
    return LinkError(why, refused=advice is not None, version=str(reason) == "Unsupported protocol version")
