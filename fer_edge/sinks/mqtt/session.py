"""The MQTT sink's thread: one connection after the other, and what is sent over each.

While a connection is being opened, the thread keeps storing events.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from threading import Event

import msgspec

from fer_edge.config import Config
from fer_edge.contract.encode import state_payload
from fer_edge.records import Identity
from fer_edge.runtime.backoff import Backoff
from fer_edge.runtime.count_text import bytes_text
from fer_edge.runtime.say_once import LastReason
from fer_edge.runtime.worker import Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.attempt import ConnectThread
from fer_edge.sinks.mqtt.blocked import Blocked, LeftBehind
from fer_edge.sinks.mqtt.broker import Broker, LinkError
from fer_edge.sinks.mqtt.connection import Connection, Will
from fer_edge.sinks.mqtt.delivery import Delivery, Store
from fer_edge.sinks.mqtt.inbox import Inbox
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.sinks.mqtt.wakeup import WakePipe

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""A connection that lasts so long is a good one; several shorter ones in a row suggest two clients with one id."""

RETRY_SECONDS = (1.0, 60.0)
"""The pause before the first new attempt to connect, and the longest."""

IDLE_SECONDS = 0.25
"""How long the thread waits for the network before it serves the disk and the keepalive."""

SESSION_SECONDS = 300
"""How long an MQTT 5 broker keeps messages for us (set/, request/) while disconnected."""

DEAF_SECONDS = (30.0, 600.0)
"""How long we stop listening after somebody has sent what is too large: the first time, and at most."""

ONLINE, OFFLINE = b"online", b"offline"
NOBODY = msgspec.json.encode(state_payload(()))


class Session:
    """Owns the connection to the broker and the events that wait for it."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        control: Control,
        *,
        outgoing: Outgoing,
        inbox: Inbox,
        store: Store,
        on_limit: Callable[[int | None, str | None], None],
    ) -> None:
        """`on_limit(bytes, topic)` gets the largest size of a message, and the topic on which none may be sent."""
        self._on_limit = on_limit
        self._config, self._identity, self._control = config, identity, control
        self._outgoing, self._inbox, self._store = outgoing, inbox, store
        self._base = f"{config.mqtt.topic}/{identity.device_id}"
        self._client_id = f"fer-edge-{identity.device_id}"
        self._worker = Worker("mqtt", self._run)
        self._closing = Event()
        self._deadline = float("inf")  # for the last deliveries; `close` sets it
        self._trouble = LastReason()
        self._short_links = 0  # in a row
        self._blocked = Blocked()
        self._left_behind = LeftBehind()  # what was on its way when the last connection ended
        self._refused: set[tuple[str, bool]] = set()  # what was named as refused: topics, and whether it is too large
        self.subscribed = False  # to set/ and request/
        self._deaf_until = 0.0  # monotonic seconds
        self._deaf_seconds = Backoff(*DEAF_SECONDS)
        outgoing.last = f"{self._base}/availability"

    def start(self, broker: Broker) -> None:
        """Start the thread."""
        self._broker = self._wanted = replace(broker, session_seconds=SESSION_SECONDS)
        self._wake = WakePipe()
        self._worker.start()

    @property
    def broker(self) -> Broker:
        """Where the connection goes to, after `start`."""
        return self._broker

    @property
    def open(self) -> bool:
        """Whether it was started and not closed."""
        return self._worker.started and not self._closing.is_set()

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        self._worker.check()

    def wake(self) -> None:
        """There is something to send. For any thread."""
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Deliver what is queued, publish `offline` and disconnect, within `timeout` seconds. Never raises."""
        if not self.open:
            return
        self._deadline = time.monotonic() + 0.9 * timeout  # the rest is for the thread to end
        self._closing.set()
        self._wake.set()
        self._worker.join(timeout)

    def _retain(self, topic: str, payload: bytes) -> None:
        self._outgoing.retain(f"{self._base}/{topic}", payload)

    def _run(self) -> None:
        """The thread, which may outlive `close`: only its own end releases what it waits on."""
        with closing(self._wake):
            self._run_connections()

    def _run_connections(self) -> None:
        """One connection after the other, until closed. Events that wait at the end get one more attempt."""
        self._store.open()
        delays = Backoff(*RETRY_SECONDS, jitter=0.25)
        while self._store.volatile or not self._closing.is_set():
            opened, pause = None, 0.0
            try:
                connection, delivery = self._open()
                opened = time.monotonic()
                self._serve(connection, delivery)
            except LinkError as error:
                if error.version:
                    self._broker = self._wanted
                steady = opened is not None and time.monotonic() - opened >= STEADY_SECONDS
                convicted = opened is not None and self._convict(error, short=not steady)
                if steady or convicted:
                    delays.reset()
                self._short_links = self._short_links + 1 if opened is not None and not steady else 0
                pause = next(delays)
                self._control.report("broker", f"away: {error}", retry_at=time.monotonic() + pause)
                self._report(f"{error}{self._guess(error)}", logging.ERROR if error.refused else logging.WARNING)
            if self._closing.is_set():
                break
            self._pause(pause)
        self._store.close(str(self._broker))

    def _convict(self, error: LinkError, *, short: bool) -> bool:
        """Whether it is known now which message the broker ends connections for. That is not sent any more."""
        guilty = self._blocked.connection_ended(self._left_behind, hung_up=error.hung_up, short=short)
        if guilty is None:
            return False
        log.error(
            "MQTT broker %s ends the connection at each message of %s on %s: not sent until the restart; "
            "check the broker's limit for the size of messages, and its access rules",
            self._broker,
            bytes_text(len(guilty.payload)),
            guilty.topic,
        )
        self._short_links = 0
        self._on_limit(None, guilty.topic)
        return True

    def _guess(self, error: LinkError) -> str:
        """What may be wrong, and what happens next."""
        if error.oversized:
            seconds = next(self._deaf_seconds)
            self._deaf_until = time.monotonic() + seconds
            return f"; set/ and request/ are ignored for {seconds:.0f} s; trying again"
        if self._blocked.suspect:
            return f"; possibly because of a message on {self._blocked.suspect}; trying again"
        rival = f"; is another client using the id {self._client_id}?" if self._short_links > 2 else ""
        return f"{rival}; trying again"

    def _pause(self, seconds: float) -> None:
        """Wait, but write events down."""
        end = time.monotonic() + seconds
        while not self._closing.is_set() and (left := end - time.monotonic()) > 0:
            self._wake.wait(min(left, IDLE_SECONDS))
            self._store.keep()

    def _open(self) -> tuple[Connection, Delivery]:
        """Connect. Every retained value is then to be sent again. Raises LinkError."""
        event = Message(
            f"{self._base}/event",
            b"",
            expiry_seconds=self._config.mqtt.event_expiry_seconds,
            properties={"schema": "fer-edge/1/event", "model": self._identity.model},
        )
        delivery = Delivery(
            self._outgoing,
            self._store.outbox,
            event=event,
            replay_per_second=self._config.outbox.replay_per_second,
            boot_id=self._identity.boot_id,
            blocked=self._blocked,
        )
        connection = Connection(
            replace(self._broker, session_seconds=0) if self._deaf else self._broker,
            self._client_id,
            will=Will(f"{self._base}/availability", OFFLINE),
            on_ack=delivery.acknowledge,
            on_message=self._inbox.receive,
        )
        self._connect(connection)
        connection.wake = self._wake
        self.subscribed = False
        self._listen(connection)
        self._on_limit(connection.limits.packet_bytes, None)
        self._outgoing.republish_all()
        log.info("MQTT %s: connected to %s (%s)", connection.version, self._broker, self._store.in_words())
        self._trouble.changes_to(None)
        for warning in connection.limits.warnings():
            self._report(warning, logging.WARNING)
        self._control.report("broker", "connected", good=True)
        if connection.version == "5":  # what it speaks, it will speak again; an older one may be replaced any day
            self._broker = replace(self._broker, version="5")
        return connection, delivery

    def _connect(self, connection: Connection) -> None:
        """Wait until the broker has accepted us; meanwhile events are stored. Raises LinkError."""
        attempt = ConnectThread(connection, min(CONNECT_SECONDS, max(0.1, self._left())), decided=self.wake)
        while attempt.running:
            if self._left() < 0:
                attempt.abandon()
                raise LinkError("still connecting at the end")
            self._wake.wait(IDLE_SECONDS)
            self._store.keep()
        attempt.check()

    @property
    def _deaf(self) -> bool:
        """Whether nothing is to be heard now, because somebody sends what is too large."""
        return time.monotonic() < self._deaf_until

    def _listen(self, connection: Connection) -> None:
        """Subscribe, once over each connection."""
        if not (self.subscribed or self._deaf):
            self.subscribed = True
            connection.subscribe(self._inbox.topics, needed=False)

    def _serve(self, connection: Connection, delivery: Delivery) -> None:
        """Send what there is, until closed. Raises LinkError."""
        try:
            while not self._closing.is_set():
                self._store.keep()
                self._inbox.say_again()
                self._listen(connection)
                delivery.send(connection)
                connection.poll(IDLE_SECONDS)
                self._report_refusals(delivery)
                if connection.warning:
                    self._report(f"{connection.warning}; continuing without it", logging.WARNING)
                    connection.warning = None
            self._shutdown(connection, delivery)
        finally:
            self._left_behind = delivery.pending
            connection.drop()
            delivery.give_back()

    def _report_refusals(self, delivery: Delivery) -> None:
        """Log what the broker rejects: each part of the topic tree once."""
        self._store.refused += delivery.refused_events
        delivery.refused_events = 0
        while delivery.refusals:
            topic, why = delivery.refusals.popitem()
            too_large = why[0].isdigit()
            tree = f"{self._base}/#" if topic.startswith(f"{self._base}/") and not too_large else topic
            if (tree, too_large) in self._refused:
                continue
            self._refused.add((tree, too_large))
            self._control.report("broker", f"it refuses messages: {topic}: {why}")
            rights = f"allow this user to write {tree} there (docs/mqtt.md: Who may do what)"
            advice = "raise the broker's limit for the size of messages" if too_large else rights
            log.error("MQTT broker %s refuses messages, which are lost: %s: %s; %s", self._broker, topic, why, advice)

    def _shutdown(self, connection: Connection, delivery: Delivery) -> None:
        """Deliver the rest, then `offline`. Where time runs out, the will publishes `offline`."""
        self._deliver(connection, delivery)
        self._retain("state", NOBODY)
        self._retain("camera/availability", OFFLINE)
        self._retain("availability", OFFLINE)
        if self._deliver(connection, delivery):
            connection.close()

    def _deliver(self, connection: Connection, delivery: Delivery) -> bool:
        """Send all there is and wait for the acknowledgements. False: time ran out."""
        self._store.keep()
        delivery.send(connection)
        while not delivery.done and self._left() > 0:
            connection.poll(min(IDLE_SECONDS, self._left()))
            delivery.send(connection)
        return delivery.done

    def _left(self) -> float:
        """Seconds until the thread must end."""
        return self._deadline - time.monotonic()

    def _report(self, reason: str, level: int) -> None:
        """Log a reason, once in a row: a broker may be down for days."""
        if self._trouble.changes_to(reason):
            log.log(level, "MQTT broker %s: %s", self._broker, reason)
