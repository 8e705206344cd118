"""The MQTT sink: retained values, events that survive a broker outage, figures.

`submit` notes in `Outgoing` what is to be sent; the `Session`'s thread sends it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from fer_edge.config import Config
from fer_edge.contract.encode import (
    alert_payload,
    event_payload,
    readings_payload,
    state_payload,
    stats_payload,
    summary_payload,
    zone_payload,
)
from fer_edge.contract.payloads import CONTRACT, CameraPayload
from fer_edge.instance import state_folder
from fer_edge.records import Identity, Update
from fer_edge.settings.control import Control
from fer_edge.sinks.mqtt.broker import Broker, broker_of
from fer_edge.sinks.mqtt.delivery import Store
from fer_edge.sinks.mqtt.inbox import Inbox
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.sinks.mqtt.retained import PUBLISHED_FILE, RetainedTopics
from fer_edge.sinks.mqtt.session import NOBODY, OFFLINE, ONLINE, Session
from fer_edge.tracking.signals import enabled_signals

if TYPE_CHECKING:
    from fer_edge.sinks.mqtt.embedded import EmbeddedBroker

log = logging.getLogger(__name__)


class MqttSink:
    """Publishes under `<mqtt.topic>/<device_id>/` by the MQTT contract."""

    def __init__(self, config: Config, identity: Identity, control: Control) -> None:
        self._config, self._identity, self._control = config, identity, control
        self.pictures = config.privacy.images  # a client may ask for a snapshot at any time
        self._base = f"{config.mqtt.topic}/{identity.device_id}"
        self._signals = [signal.name for signal in enabled_signals(config)]
        self._folder = state_folder(config, identity.device_id)
        self._outgoing = Outgoing()
        self._retained = RetainedTopics(self._base, identity, self._outgoing, self._control)
        self._inbox = Inbox(config, self._base, self._outgoing, self._control, wake=lambda: self._session.wake())
        self.store = Store(self._outgoing, config, self._folder)
        self._session = Session(
            config,
            identity,
            self._control,
            outgoing=self._outgoing,
            inbox=self._inbox,
            store=self.store,
            on_limit=self._retained.fit,
        )
        self._embedded: EmbeddedBroker | None = None
        self._readings_at = 0.0  # monotonic seconds

    @property
    def settled(self) -> bool:
        """Whether the broker has all retained values and the subscriptions to set/ and request/."""
        return self._session.subscribed and not (self._outgoing.dirty or self._outgoing.removing)

    def start(self) -> None:
        """Read secrets and certificates, start the embedded broker if configured, and the thread.

        Raises:
            SinkError: a certificate cannot be used, or the embedded broker cannot start.
            ConfigError: the password file cannot be read.

        """
        embedded = self._config.mqtt.broker == "embedded"
        broker = self._start_embedded() if embedded else broker_of(self._config.mqtt)
        self._retain("availability", ONLINE)
        self._retain("camera/availability", OFFLINE)  # until the first frame
        self._say_camera(here=False)
        self._retain("state", NOBODY)
        self._retained.remember(self._folder / PUBLISHED_FILE)
        self._retained.refresh()
        self._session.start(broker)
        self._control.on_change(self._refresh)
        self._control.on_picture(self._picture)

    def _start_embedded(self) -> Broker:
        from fer_edge.sinks.mqtt.embedded import EmbeddedBroker  # here: it needs asyncio, and is for first tries

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
        return self._session.broker.port

    def submit(self, update: Update) -> None:
        """Note what is to be sent of an update. Returns at once; raises what stopped the thread."""
        self._session.check()
        if not self._session.open:
            return
        self._inbox.see(update)
        news = update.frame is None and self._retain("camera/availability", OFFLINE)
        state = state_payload(update.faces, self._control.config.zones, signals=self._signals)
        news |= self._retain("state", msgspec.json.encode(state))
        for event in update.events:
            self._outgoing.events.put(event_payload(event, self._identity))
        for alert in update.alerts:
            if alert.name not in self._control.config.alerts:
                continue  # a reload has removed it, and `RetainedTopics` its topic
            news |= self._retain(f"alert/{alert.name}", msgspec.json.encode(alert_payload(alert)))
        for zone in update.zones:
            if zone.name in self._control.config.zones:
                news |= self._retain(f"zone/{zone.name}", msgspec.json.encode(zone_payload(zone)))
        # behind the values: who reads that the camera is there must not act on older ones
        news |= update.frame is not None and self._retain("camera/availability", ONLINE)
        news |= self._say_camera(here=update.frame is not None)
        news |= self._figures(update)
        if news or update.events:
            self._session.wake()

    def _retain(self, topic: str, payload: bytes) -> bool:
        """Set a retained value. True: it changed."""
        return self._outgoing.retain(f"{self._base}/{topic}", payload)

    def _say_camera(self, *, here: bool) -> bool:
        """Whether the camera delivers, and why not."""
        paused = self._control.config.camera.paused
        reason = None if here else self._control.reported("camera") or "it has not delivered a picture yet"
        status = CameraPayload(v=CONTRACT, state="online" if here else "paused" if paused else "away", reason=reason)
        return self._retain("camera/status", msgspec.json.encode(status))

    def _figures(self, update: Update) -> bool:
        """Queue what is not retained. True: there is something."""
        news = False
        if update.stats:
            queue, dropped, trouble = self.store.figures()
            stats = stats_payload(update.stats, queue=queue, dropped_events=dropped, outbox=trouble)
            self._outgoing.put_newest(self._brief("stats", stats))
            news = True
        if update.summary:
            payload = summary_payload(update.summary, min_visitors=self._control.config.summary.min_visitors)
            self._outgoing.messages.put(Message(f"{self._base}/summary", msgspec.json.encode(payload)))
            news = True
        return self._readings(update) or news

    def _readings(self, update: Update) -> bool:
        """Queue a frame's faces, where enabled and due."""
        wanted, frame, now = self._control.config.readings, update.frame, time.monotonic()
        if not wanted.enabled or frame is None or now - self._readings_at < 1 / wanted.max_per_second:
            return False
        self._readings_at = now
        allowed = self._config.privacy.landmarks
        self._outgoing.put_newest(self._brief("readings", readings_payload(update.tracks, frame, landmarks=allowed)))
        return True

    def _brief(self, topic: str, payload: msgspec.Struct) -> Message:
        return Message(f"{self._base}/{topic}", msgspec.json.encode(payload), qos=0)

    def _picture(self, what: str, jpeg: bytes) -> None:
        """Queue a picture. It is not retained: nobody could delete it at a broker in time."""
        if self._config.privacy.images and self._control.reported("broker") == "connected":
            self._outgoing.put_newest(Message(f"{self._base}/picture/{what}", jpeg, qos=0))
            self._session.wake()

    def _refresh(self) -> None:
        """Other settings are in force."""
        self._retained.refresh()
        self._session.wake()

    def close(self, timeout: float) -> None:
        """Deliver what is queued, publish `offline` and disconnect, within `timeout` seconds. Never raises."""
        self._session.close(timeout)
        if self._embedded:
            self._embedded.close()
