"""The MQTT sink: retained values, events that outlast the broker's absence, figures.

`submit` notes in `Outgoing` what is to be said; the sink's thread opens one `Link` after the other and says it.
"""

from __future__ import annotations

import logging
import time
from threading import Event

import msgspec

from fer_edge.config import Config, Mqtt
from fer_edge.configfile import secret
from fer_edge.payloads import Identity, event_payload, info_payload, state_payload, stats_payload
from fer_edge.records import Update
from fer_edge.sinks.broker import EmbeddedBroker
from fer_edge.sinks.delivery import Delivery, Outgoing, Waiting
from fer_edge.sinks.link import Broker, Link, LinkError, Wake, Will, backoff, tls_context
from fer_edge.sinks.worker import Worker

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""A connection that lasts so long is a good one; several shorter ones in a row smell of two clients with one id."""

IDLE_SECONDS = 1.0
"""How long the thread waits for the network before it looks after the keepalive."""

ONLINE, OFFLINE = b"online", b"offline"
NOBODY = msgspec.json.encode(state_payload(()))


def broker_of(config: Mqtt) -> Broker:
    """The broker that config names, with its secrets and certificates read.

    Raises:
        SinkError: a certificate cannot be used.
        ConfigError: the password file cannot be read.

    """
    files = {"ca_file": config.ca_file, "cert_file": config.cert_file, "key_file": config.key_file}
    return Broker(
        host=config.broker,
        port=config.port,
        version=config.version,
        username=config.username,
        password=secret("mqtt-password", config.password_file) if config.username else None,
        tls=tls_context(**files) if config.tls else None,
        keepalive_seconds=config.keepalive_seconds,
    )


class MqttSink:
    """Publishes under `<mqtt.topic>/<device_id>/` as the MQTT contract says."""

    def __init__(self, config: Config, identity: Identity) -> None:
        self._config = config.mqtt
        self._identity = identity
        self._base = f"{config.mqtt.topic}/{identity.device_id}"
        self._outgoing = Outgoing(config.mqtt.queue)
        self._worker = Worker("mqtt", self._run)
        self._embedded: EmbeddedBroker | None = None
        self._closing = Event()
        self._deadline = float("inf")  # for the last deliveries; `close` sets it
        self._era = 0  # see Waiting; even: the broker is away
        self._trouble: str | None = None  # the reason that was logged last
        self._overflowing = False
        self._short_links = 0  # in a row
        self._client_id = f"fer-edge-{identity.device_id}"

    def start(self) -> None:
        """Read secrets and certificates, start the embedded broker where one is wanted, and the thread.

        Raises:
            SinkError: a certificate cannot be used, or the embedded broker cannot start.
            ConfigError: the password file cannot be read.

        """
        self._broker = self._start_embedded() if self._config.broker == "embedded" else broker_of(self._config)
        for topic, payload in (
            ("availability", ONLINE),
            ("info", msgspec.json.encode(info_payload(self._identity))),
            ("camera/availability", OFFLINE),  # until the first frame
            ("state", NOBODY),
        ):
            self._outgoing.retain(topic, payload)
        self._wake = Wake()
        self._worker.start()

    def _start_embedded(self) -> Broker:
        self._embedded = EmbeddedBroker(self._config.port)
        self._embedded.start()
        port, topic = self._embedded.port, f"{self._base}/event"
        log.info(
            "MQTT: embedded broker on 127.0.0.1:%d, events on %s; see them: fer-edge watch --port %d", port, topic, port
        )
        return Broker(host="127.0.0.1", port=port, keepalive_seconds=self._config.keepalive_seconds)

    @property
    def port(self) -> int:
        """The broker's TCP port, after `start` also where the embedded broker took any free one."""
        return self._broker.port

    def submit(self, update: Update) -> None:
        """Note what is to be said about an update. Returns at once; raises what stopped the thread."""
        self._worker.check()
        if self._closing.is_set():
            return
        news = self._outgoing.retain("camera/availability", OFFLINE if update.frame is None else ONLINE)
        news |= self._outgoing.retain("state", msgspec.json.encode(state_payload(update.faces)))
        for event in update.events:
            self._put(Waiting(event_payload(event, self._identity), self._era))
        if update.stats:
            events = self._outgoing.events
            stats = stats_payload(update.stats, queue=len(events), dropped_events=events.dropped)
            self._outgoing.put_stats(msgspec.json.encode(stats))
        if news or update.events or update.stats:
            self._wake.set()

    def _put(self, event: Waiting) -> None:
        if self._outgoing.events.put(event) and not self._overflowing:
            self._overflowing = True
            log.warning(
                "MQTT: %d events wait for the broker (mqtt.queue); the oldest are dropped now", self._config.queue
            )

    def close(self, timeout: float) -> None:
        """Deliver what waits, say `offline` and disconnect, within `timeout` seconds. Never raises."""
        if self._closing.is_set() or not self._worker.started:
            return
        self._deadline = time.monotonic() + 0.9 * timeout  # the rest is for the thread to end
        self._closing.set()
        self._wake.set()
        if self._worker.join(timeout):
            self._wake.close()
        if lost := len(self._outgoing.events):
            log.warning("MQTT: %d events could not be delivered to %s before the end", lost, self._broker)
        if self._embedded:
            self._embedded.close()

    def _run(self) -> None:
        """The thread: one link after the other, until closed. Events that wait at the end get one more attempt."""
        delays = backoff()
        while len(self._outgoing.events) or not self._closing.is_set():
            delivery = Delivery(self._outgoing, base=self._base, era=self._era + 1)
            opened = None
            try:
                link, opened = self._open(delivery), time.monotonic()
                self._serve(link, delivery)
            except LinkError as error:
                steady = opened is not None and time.monotonic() - opened >= STEADY_SECONDS
                delays = backoff() if steady else delays
                self._short_links = self._short_links + 1 if opened is not None and not steady else 0
                rival = f"; is another client there as {self._client_id}?" if self._short_links > 2 else ""
                self._report(f"{error}{rival}; trying again", logging.ERROR if error.refused else logging.WARNING)
            finally:
                delivery.return_events()
            if self._closing.is_set():
                return
            self._closing.wait(next(delays))

    def _open(self, delivery: Delivery) -> Link:
        """Connect. Every retained value is then to be said again."""
        link = Link(
            self._broker,
            self._client_id,
            will=Will(f"{self._base}/availability", OFFLINE),
            wake=self._wake,
            on_ack=delivery.acknowledge,
        )
        link.connect(min(CONNECT_SECONDS, max(0.1, self._left())))
        self._era += 1
        self._outgoing.say_all()
        waited, dropped = len(self._outgoing.events), self._outgoing.events.dropped
        log.info("MQTT: connected to %s (%d events waited, %d dropped since the start)", self._broker, waited, dropped)
        self._trouble, self._overflowing = None, False
        return link

    def _serve(self, link: Link, delivery: Delivery) -> None:
        """Say what there is to say, until closed. Raises LinkError."""
        try:
            while not self._closing.is_set():
                delivery.send(link)
                link.turn(IDLE_SECONDS)
                if delivery.refusal:
                    advice = f"allow this user to write {self._base}/# there"
                    self._report(f"messages are refused and lost ({delivery.refusal}); {advice}", logging.ERROR)
            self._farewell(link, delivery)
        finally:
            self._era += 1
            link.drop()

    def _farewell(self, link: Link, delivery: Delivery) -> None:
        """Deliver the rest, then `offline`. Where time runs out there is no goodbye: then the will says `offline`."""
        self._deliver(link, delivery)
        self._outgoing.retain("state", NOBODY)
        self._outgoing.retain("camera/availability", OFFLINE)
        self._outgoing.retain("availability", OFFLINE)
        if self._deliver(link, delivery):
            link.close()

    def _deliver(self, link: Link, delivery: Delivery) -> bool:
        """Send all there is and wait for the acknowledgements. False: time ran out."""
        delivery.send(link)
        while len(delivery) and self._left() > 0:
            link.turn(self._left())
            delivery.send(link)
        return not len(delivery)

    def _left(self) -> float:
        """Seconds until the thread must end."""
        return self._deadline - time.monotonic()

    def _report(self, reason: str, level: int) -> None:
        """Log a reason, once in a row: a broker may be away for days."""
        if reason != self._trouble:
            self._trouble = reason
            log.log(level, "MQTT broker %s: %s", self._broker, reason)
