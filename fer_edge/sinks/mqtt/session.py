"""The MQTT sink's thread: one connection after the other, and what is said over each.

While a connection is being opened, the thread goes on writing events down.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import replace
from threading import Event

import msgspec

from fer_edge.config import Config
from fer_edge.contract.encode import state_payload
from fer_edge.records import Identity
from fer_edge.runtime.worker import Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.broker import Broker, LinkError
from fer_edge.sinks.mqtt.connection import ConnectThread, Connection, Message, Will, backoff
from fer_edge.sinks.mqtt.delivery import Delivery, Outgoing, Store
from fer_edge.sinks.mqtt.inbox import Inbox
from fer_edge.sinks.mqtt.wakeup import WakePipe

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""A connection that lasts so long is a good one; several shorter ones in a row smell of two clients with one id."""

IDLE_SECONDS = 0.25
"""How long the thread waits for the network before it looks after the disk and the keepalive."""

SESSION_SECONDS = 300
"""How long an MQTT 5 broker keeps what was sent to us (set/, request/) while the connection is away."""

ONLINE, OFFLINE = b"online", b"offline"
NOBODY = msgspec.json.encode(state_payload(()))


class Session:
    """Owns the connection to the broker and the events that wait for it."""

    def __init__(
        self, config: Config, identity: Identity, control: Control, *, outgoing: Outgoing, inbox: Inbox, store: Store
    ) -> None:
        self._config, self._identity, self._control = config, identity, control
        self._outgoing, self._inbox, self._store = outgoing, inbox, store
        self._base = f"{config.mqtt.topic}/{identity.device_id}"
        self._client_id = f"fer-edge-{identity.device_id}"
        self._worker = Worker("mqtt", self._run)
        self._closing = Event()
        self._deadline = float("inf")  # for the last deliveries; `close` sets it
        self._trouble: str | None = None  # the reason that was logged last
        self._short_links = 0  # in a row

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
        """Whether it was started and not told to close."""
        return self._worker.started and not self._closing.is_set()

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        self._worker.check()

    def wake(self) -> None:
        """There is something to be said. For any thread."""
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Deliver what waits, say `offline` and disconnect, within `timeout` seconds. Never raises."""
        if not self.open:
            return
        self._deadline = time.monotonic() + 0.9 * timeout  # the rest is for the thread to end
        self._closing.set()
        self._wake.set()
        self._worker.join(timeout)

    def _say(self, topic: str, payload: bytes) -> None:
        self._outgoing.retain(f"{self._base}/{topic}", payload)

    def _run(self) -> None:
        """The thread, which may outlast `close`: only its own end lets go of what it waits on."""
        with closing(self._wake):
            self._run_links()

    def _run_links(self) -> None:
        """One link after the other, until closed. Events that wait at the end get one more attempt."""
        self._store.open()
        delays = backoff()
        while self._store.volatile or not self._closing.is_set():
            opened = None
            try:
                link, delivery = self._open()
                opened = time.monotonic()
                self._serve(link, delivery)
            except LinkError as error:
                if error.version:
                    self._broker = self._wanted
                steady = opened is not None and time.monotonic() - opened >= STEADY_SECONDS
                delays = backoff() if steady else delays
                self._short_links = self._short_links + 1 if opened is not None and not steady else 0
                self._control.report("broker", f"away: {error}")
                rival = f"; is another client there as {self._client_id}?" if self._short_links > 2 else ""
                self._report(f"{error}{rival}; trying again", logging.ERROR if error.refused else logging.WARNING)
            if self._closing.is_set():
                break
            self._pause(next(delays))
        self._store.close(str(self._broker))

    def _pause(self, seconds: float) -> None:
        """Wait, but write events down."""
        end = time.monotonic() + seconds
        while not self._closing.is_set() and (left := end - time.monotonic()) > 0:
            self._wake.wait(min(left, IDLE_SECONDS))
            self._store.keep()

    def _open(self) -> tuple[Connection, Delivery]:
        """Connect. Every retained value is then to be said again. Raises LinkError."""
        event = Message(
            f"{self._base}/event",
            b"",
            expiry_seconds=self._config.mqtt.event_expiry_seconds,
            properties={"schema": "fer-edge/1/event", "model": self._identity.model},
        )
        delivery = Delivery(
            self._outgoing, self._store.outbox, event=event, replay_per_second=self._config.outbox.replay_per_second
        )
        link = Connection(
            self._broker,
            self._client_id,
            will=Will(f"{self._base}/availability", OFFLINE),
            on_ack=delivery.acknowledge,
            on_message=self._inbox.receive,
        )
        attempt = ConnectThread(link, min(CONNECT_SECONDS, max(0.1, self._left())))
        while attempt.running:
            if self._left() < 0:
                attempt.abandon()
                raise LinkError("still connecting at the end")
            self._wake.wait(IDLE_SECONDS)
            self._store.keep()
        attempt.check()
        link.wake = self._wake
        link.subscribe(self._inbox.topics, needed=False)
        self._outgoing.republish_all()
        log.info("MQTT %s: connected to %s (%s)", link.version, self._broker, self._store.in_words())
        self._trouble = None
        self._control.report("broker", "connected")
        if link.version == "5":  # what it speaks, it will speak again; an older one may be replaced any day
            self._broker = replace(self._broker, version="5")
        return link, delivery

    def _serve(self, link: Connection, delivery: Delivery) -> None:
        """Say what there is to say, until closed. Raises LinkError."""
        try:
            while not self._closing.is_set():
                self._store.keep()
                self._inbox.say_again()
                delivery.send(link)
                link.poll(IDLE_SECONDS)
                if delivery.refusal:
                    self._control.report("broker", f"it refuses messages: {delivery.refusal}")
                    advice = f"allow this user to write {self._base}/# there (docs/mqtt.md: Who may do what)"
                    self._report(f"messages are refused and lost ({delivery.refusal}); {advice}", logging.ERROR)
                elif link.warning:
                    self._report(f"{link.warning}; going on without it", logging.WARNING)
            self._farewell(link, delivery)
        finally:
            link.drop()
            delivery.give_back()

    def _farewell(self, link: Connection, delivery: Delivery) -> None:
        """Deliver the rest, then `offline`. Where time runs out there is no goodbye: then the will says `offline`."""
        self._deliver(link, delivery)
        self._say("state", NOBODY)
        self._say("camera/availability", OFFLINE)
        self._say("availability", OFFLINE)
        if self._deliver(link, delivery):
            link.close()

    def _deliver(self, link: Connection, delivery: Delivery) -> bool:
        """Send all there is and wait for the acknowledgements. False: time ran out."""
        self._store.keep()
        delivery.send(link)
        while not delivery.done and self._left() > 0:
            link.poll(min(IDLE_SECONDS, self._left()))
            delivery.send(link)
        return delivery.done

    def _left(self) -> float:
        """Seconds until the thread must end."""
        return self._deadline - time.monotonic()

    def _report(self, reason: str, level: int) -> None:
        """Log a reason, once in a row: a broker may be away for days."""
        if reason != self._trouble:
            self._trouble = reason
            log.log(level, "MQTT broker %s: %s", self._broker, reason)
