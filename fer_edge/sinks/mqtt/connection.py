"""One connection to an MQTT broker, driven by the thread that owns it.

paho's own loop thread is not used: it hides why a connection failed, has no jitter, and after a reconnect
re-sends unacknowledged retained values *behind* the new ones. A `Connection` is used once: what was not
acknowledged when it ended is the owner's to send again, over the next one.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_edge.sinks.mqtt.broker import NO_BROKER, Broker, LinkError, Version, in_words
from fer_edge.sinks.mqtt.limits import MAX_PACKET_BYTES, BoundedClient, Limits, Message, TooLarge
from fer_edge.sinks.mqtt.wakeup import WakePipe, wait_ready

WINDOW = 20
"""Messages that may wait for their acknowledgement; mosquitto's own limit, which MQTT 5 brokers may lower."""

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
"""What to do about the reasons with which brokers refuse a client."""


OWN_REASONS = (
    *("Session taken over", "Server shutting down", "Server busy", "Administrative action", "Keep alive timeout"),
    *("Server unavailable", "Use another server", "Server moved", "Connection rate exceeded", "Maximum connect time"),
)
"""Reasons to end a connection that do not depend on its messages."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the connection dies."""

    topic: str
    payload: bytes


class Connection:
    """A connection to a broker, made by `connect` and kept going by calling `poll` again and again.

    `on_ack(mid, refusal)` is called, within `poll`, for each acknowledged message; `refusal` gives the reason why an
    MQTT 5 broker rejected it. `on_message(topic, payload, retained)` likewise for what is received.
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
        self.limits = Limits()
        self.version: Version = OLDER[broker.version][0]
        self._client_id, self._will = client_id, will
        self.wake: WakePipe | None = None  # what ends `poll` early
        self._ack, self._message = on_ack, on_message
        self._trouble: LinkError | None = None
        self.warning: str | None = None  # about what was asked for and is not needed
        self._asked: dict[int, tuple[Sequence[str], bool]] = {}  # number -> topics, and whether they are needed
        self._client = self._make_client()

    def _make_client(self) -> BoundedClient:
        broker, will = self.broker, self._will
        client = BoundedClient(
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
            client.will_set(will.topic, will.payload, qos=self.limits.qos, retain=self.limits.retain)
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
                self._connect_within_limits(timeout)
            except LinkError as error:
                if not error.version:
                    raise
            else:
                return
        self.version = oldest
        self._connect_within_limits(timeout)

    def _connect_within_limits(self, timeout: float) -> None:
        """Connect; again with a reduced will where the broker does not support this one."""
        for _ in range(2):
            before = self.limits
            try:
                return self._connect(timeout)
            except LinkError:
                if self.limits == before:
                    raise
        return self._connect(timeout)

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
        connection swallows is never acknowledged, and the next `poll` raises."""
        info: MQTTMessageInfo = self._client.publish(
            message.topic,
            message.payload,
            qos=min(message.qos, self.limits.qos),
            retain=message.retain and self.limits.retain,
            properties=_properties(message) if self.version == "5" else None,
        )
        return info.mid

    def acknowledges(self, message: Message) -> bool:
        """Whether `on_ack` will be called for a message."""
        return min(message.qos, self.limits.qos) > 0

    @property
    def busy(self) -> bool:
        """Whether the network has not yet accepted what was handed over."""
        return self._client.want_write()

    def subscribe(self, topics: Sequence[str], *, needed: bool = True) -> None:
        """Ask for messages. A refusal raises from a later `poll`, or stands in `complaint` where they are not needed.

        QoS 1; but what is not needed comes with QoS 0 by MQTT 3.1.1: RabbitMQ before 3.13 keeps a QoS 1 subscription on
        one node of a cluster, and refuses the client for as long as that node is down.
        """
        qos = 1 if needed or self.version == "5" else 0
        _, number = self._client.subscribe([(topic, qos) for topic in topics])
        if number is not None:
            self._asked[number] = topics, needed

    def poll(self, timeout: float) -> None:
        """Wait for the network (or the wake-up) at most `timeout` seconds and process what came.

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
        pending = getattr(sock, "pending", None)  # of TLS and websockets: bytes that the kernel does not see any more
        buffered = bool(pending and pending())
        waiting = [sock, self.wake] if self.wake else [sock]
        ready = wait_ready(waiting, 0.0 if buffered else timeout, writing=self._client.want_write())
        if self.wake and self.wake.fileno() in ready:
            self.wake.clear()
        events = ready.get(sock.fileno(), 0)
        try:
            if buffered or events & ~select.POLLOUT:  # an error or the end of it is read, too
                self._client.loop_read()
            if events & select.POLLOUT:
                self._client.loop_write()
            self._client.loop_misc()
        except TooLarge as error:
            self._trouble = LinkError(f"it sent {error}", oversized=True)

    def close(self) -> None:
        """Send DISCONNECT, which revokes the will, and close the socket."""
        self._client.disconnect()
        self.drop()

    def drop(self) -> None:
        """Close the socket without DISCONNECT: the broker publishes the will. May be called twice."""
        self.connected = False
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._trouble = _refusal(reason)
            if str(reason) == "QoS not supported":
                self.limits = replace(self.limits, qos=0)
            if str(reason) == "Retain not supported":
                self.limits = replace(self.limits, retain=False)
            return
        self.connected = True
        self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self.limits = Limits(
            packet_bytes=getattr(properties, "MaximumPacketSize", None),
            qos=min(1, getattr(properties, "MaximumQoS", 1)),
            retain=bool(getattr(properties, "RetainAvailable", 1)),
        )

    def _on_disconnect(self, _client: Client, _data: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        before, self.connected = self.connected, False
        if self._trouble:
            return
        if flags.is_disconnect_packet_from_server:
            self._trouble = _refusal(reason, before=before)
        elif str(reason) == "Keep alive timeout":
            self._trouble = LinkError(f"no answer from the broker for {self.broker.keepalive_seconds} s (keepalive)")
        elif str(reason) == "Protocol error":
            self._trouble = LinkError(f"its answer is not valid MQTT; {NO_BROKER}", refused=True, version=True)
        elif before:
            self._trouble = LinkError("the connection was closed by the broker or the network", hung_up=True)
        elif "CERTIFICATE_REQUIRED" in (self._client.tls_reason or ""):
            what = "the broker wants a client certificate: set mqtt.cert_file and mqtt.key_file"
            self._trouble = LinkError(what, refused=True)
        else:
            what = f"it closed the connection instead of answering CONNECT; {NO_BROKER}"
            if self.broker.tls:  # a reset may overtake TLS's own word for it
                what += "; if it wants a client certificate, set mqtt.cert_file and mqtt.key_file"
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


def _properties(message: Message) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho forgot it
    if message.expiry_seconds:
        properties.MessageExpiryInterval = message.expiry_seconds
    if message.properties:
        properties.UserProperty = list(message.properties.items())
    return properties


def _refusal(reason: ReasonCode, *, before: bool = False) -> LinkError:
    """Why the broker refused us; `before`: it had accepted us, and ends the connection now."""
    name = str(reason)
    if before and name not in OWN_REASONS:
        return LinkError(f"the broker ended the connection: {reason}", hung_up=True)
    advice = ADVICE.get(name)
    why = f"the broker refused the connection: {reason}" + (f"; {advice}" if advice else "")
    return LinkError(why, refused=advice is not None, version=name == "Unsupported protocol version")
