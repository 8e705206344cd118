"""What the sinks of several cameras in one daemon share: the embedded broker, and the live page's server.

All else each camera has for itself: its own connection, outbox, history and pictures, below its own device id.
"""

from __future__ import annotations

import logging

from msgspec.structs import replace

from fer_edge.config import CamerasConfig, Config
from fer_edge.records import Identity
from fer_edge.settings.control import Control
from fer_edge.sinks import Sink, open_sinks
from fer_edge.sinks.mqtt.embedded import EmbeddedBroker
from fer_edge.sinks.web.pages import CameraPages

log = logging.getLogger(__name__)


class SharedSinks:
    """Opens the sinks of one camera after the other: `start`, `open` for each, `serve`, and in the end `close`."""

    def __init__(self, config: CamerasConfig, device: str) -> None:
        """`device`: the daemon's device id."""
        mqtt = config.mqtt
        self._broker = EmbeddedBroker(mqtt.port) if mqtt.enabled and mqtt.broker == "embedded" else None
        self._pages = CameraPages(config, device) if config.web.enabled else None
        self._events = f"{mqtt.topic}/{device}-<camera>/event"

    def start(self) -> None:
        """Start the embedded broker and take the live page's port, where they are wanted.

        Raises:
            SinkError: one of them cannot be had.
            ConfigError: the network could look at the live page without a token, or its file cannot be read.

        """
        if self._pages:
            self._pages.open()
        if self._broker:
            self._broker.start()
            port = self._broker.port
            where = f"embedded broker on 127.0.0.1:{port}, events on {self._events}"
            log.info("MQTT: %s; see them: fer-edge watch --port %d", where, port)

    def open(self, name: str, config: Config, identity: Identity, control: Control) -> list[Sink]:
        """Start the sinks of a camera. Raises as `open_sinks` does."""
        mqtt = config.mqtt
        if self._broker:
            mqtt = replace(mqtt, broker="127.0.0.1", port=self._broker.port, version="3.1.1")
        sinks = open_sinks(replace(config, mqtt=mqtt), identity, control, but=("web",))
        return [*sinks, self._pages.add(name, config, identity, control)] if self._pages else sinks

    def serve(self) -> None:
        """Show the pages from now on: all cameras have their sinks."""
        if self._pages:
            self._pages.serve()

    def close(self, seconds: float) -> None:
        """End what is shared, after the cameras' own sinks."""
        if self._pages:
            self._pages.close(seconds)
        if self._broker:
            self._broker.close()
