"""The MQTT sink: retained values, events that outlast the broker's absence, figures.

`submit` notes in `Outgoing` what is to be said; the sink's thread opens one `Link` after the other and says it. While a
link is being opened, the thread goes on writing events down.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import replace
from threading import Event

import msgspec

from fer_edge.config import Config
from fer_edge.contract.encode import (
    alert_payload,
    event_payload,
    readings_payload,
    state_payload,
    stats_payload,
    summary_payload,
)
from fer_edge.instance import state_folder
from fer_edge.records import Identity, Update
from fer_edge.runtime.worker import Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.broker import Broker, LinkError, broker_of
from fer_edge.sinks.mqtt.connection import Connection, ConnectThread, Message, Will, backoff
from fer_edge.sinks.mqtt.delivery import Delivery, Outgoing, Store
from fer_edge.sinks.mqtt.embedded import EmbeddedBroker
from fer_edge.sinks.mqtt.inbox import Inbox
from fer_edge.sinks.mqtt.retained import RetainedTopics
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


class MqttSink:
    """Publishes under `<mqtt.topic>/<device_id>/` as the MQTT contract says."""

    def __init__(self, config: Config, identity: Identity, control: Control | None = None) -> None:
        """Without a `control`, what is set over MQTT lasts until the end of the run."""
        self._config, self._identity, self._control = config, identity, control or Control(config)
        self.pictures = config.privacy.images  # a client may ask for a snapshot at any time
        self._base = f"{config.mqtt.topic}/{identity.device_id}"
        self._client_id = f"fer-edge-{identity.device_id}"
        self._folder = state_folder(config, identity.device_id)
        self._outgoing = Outgoing()
        self._told = RetainedTopics(self._base, identity, self._outgoing, self._control)
        self._inbox = Inbox(config, self._base, self._outgoing, self._control, wake=lambda: self._wake.set())
        self._store = Store(self._outgoing, config, self._folder)
        self._worker = Worker("mqtt", self._run)
        self._embedded: EmbeddedBroker | None = None
        self._closing = Event()
        self._deadline = float("inf")  # for the last deliveries; `close` sets it
        self._trouble: str | None = None  # the reason that was logged last
        self._short_links = 0  # in a row
        self._readings_at = 0.0  # monotonic seconds

    def start(self) -> None:
        """Read secrets and certificates, start the embedded broker where one is wanted, and the thread.

        Raises:
            SinkError: a certificate cannot be used, or the embedded broker cannot start.
            ConfigError: the password file cannot be read.

        """
        embedded = self._config.mqtt.broker == "embedded"
        broker = self._start_embedded() if embedded else broker_of(self._config.mqtt)
        self._broker = self._wanted = replace(broker, session_seconds=SESSION_SECONDS)
        self._say("availability", ONLINE)
        self._say("camera/availability", OFFLINE)  # until the first frame
        self._say("state", NOBODY)
        self._told.remember(self._folder / "published.json")
        self._told.refresh()
        self._wake = WakePipe()
        self._control.on_change(self._refresh)
        self._worker.start()

    def _start_embedded(self) -> Broker:
        self._embedded = EmbeddedBroker(self._config.mqtt.port)
        self._embedded.start()
        port, topic = self._embedded.port, f"{self._base}/event"
        log.info(
            "MQTT: embedded broker on 127.0.0.1:%d, events on %s; see them: fer-edge watch --port %d", port, topic, port
        )
        keepalive = self._config.mqtt.keepalive_seconds
        return Broker(host="127.0.0.1", port=port, version="3.1.1", keepalive_seconds=keepalive)

    @property
    def port(self) -> int:
        """The broker's TCP port, after `start` also where the embedded broker took any free one."""
        return self._broker.port

    def submit(self, update: Update) -> None:
        """Note what is to be said about an update. Returns at once; raises what stopped the thread."""
        self._worker.check()
        if self._closing.is_set():
            return
        self._inbox.see(update)
        news = self._say("camera/availability", OFFLINE if update.frame is None else ONLINE)
        news |= self._say("state", msgspec.json.encode(state_payload(update.faces)))
        for event in update.events:
            self._outgoing.events.put(event_payload(event, self._identity))
        for alert in update.alerts:
            if alert.name not in self._control.config.alerts:
                continue  # a reload has removed it, and `RetainedTopics` its topic
            news |= self._say(f"alert/{alert.name}", msgspec.json.encode(alert_payload(alert)))
        news |= self._figures(update)
        if news or update.events:
            self._wake.set()

    def _say(self, topic: str, payload: bytes) -> bool:
        """Set a retained value. True: it is news."""
        return self._outgoing.retain(f"{self._base}/{topic}", payload)

    def _figures(self, update: Update) -> bool:
        """Leave what is not retained. True: there is something."""
        news = False
        if update.stats:
            queue, dropped, trouble = self._store.figures()
            stats = stats_payload(update.stats, queue=queue, dropped_events=dropped, outbox=trouble)
            self._outgoing.put_newest(self._brief("stats", stats))
            news = True
        if update.summary:
            payload = summary_payload(update.summary, min_visitors=self._control.config.summary.min_visitors)
            self._outgoing.messages.put(Message(f"{self._base}/summary", msgspec.json.encode(payload)))
            news = True
        return self._readings(update) or news

    def _readings(self, update: Update) -> bool:
        """Leave a frame's faces, where they are wanted and it is time."""
        wanted, frame, now = self._control.config.readings, update.frame, time.monotonic()
        if not wanted.enabled or frame is None or now - self._readings_at < 1 / wanted.max_per_second:
            return False
        self._readings_at = now
        allowed = self._config.privacy.landmarks
        self._outgoing.put_newest(self._brief("readings", readings_payload(update.tracks, frame, landmarks=allowed)))
        return True

    def _brief(self, topic: str, payload: msgspec.Struct) -> Message:
        return Message(f"{self._base}/{topic}", msgspec.json.encode(payload), qos=0)

    def _refresh(self) -> None:
        """Other settings are in force."""
        self._told.refresh()
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Deliver what waits, say `offline` and disconnect, within `timeout` seconds. Never raises."""
        if self._closing.is_set() or not self._worker.started:
            return
        self._deadline = time.monotonic() + 0.9 * timeout  # the rest is for the thread to end
        self._closing.set()
        self._wake.set()
        self._worker.join(timeout)
        if self._embedded:
            self._embedded.close()

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
