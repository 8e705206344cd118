"""`fer-edge watch`: subscribe to daemons and show what they see: live on a terminal, else line by line."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event

from fer_edge.commands.watch.lines import Lines
from fer_edge.commands.watch.screen import TerminalScreen
from fer_edge.commands.watch.view import PATIENCE_SECONDS, Viewer, WatchOptions
from fer_edge.errors import SinkError
from fer_edge.runtime.backoff import Backoff
from fer_edge.sinks.mqtt.broker import LinkError, broker_of
from fer_edge.sinks.mqtt.connection import Connection

CONNECT_SECONDS = 5.0
RETRY_SECONDS = (0.5, 5.0)
TURN_SECONDS = 0.1  # a screen is drawn as often


def watch(options: WatchOptions, *, stop: Event | None = None) -> int:
    """Show what comes, reconnecting as needed, until Ctrl-C, `stop`, or the end that the options name.

    Returns:
        How many events came.

    Raises:
        SinkError: the broker refuses us (password, TLS), or a certificate cannot be used.
        ConfigError: the password file cannot be read.

    """
    viewer: Viewer = TerminalScreen(options) if options.live else Lines(options)
    with suppress(KeyboardInterrupt), viewer:
        _follow(options, viewer, stop or Event())
    viewer.sum_up()
    return viewer.events


def _follow(options: WatchOptions, viewer: Viewer, stop: Event) -> None:
    """One connection after the other."""
    end = time.monotonic() + options.for_seconds if options.for_seconds is not None else float("inf")
    broker, delays = broker_of(options.mqtt), _pauses()
    while not (stop.is_set() or viewer.over) and time.monotonic() < end:
        link = Connection(
            broker,
            f"fer-edge-watch-{secrets.token_hex(4)}",
            on_message=lambda topic, payload, _: viewer.show(topic, payload),
        )
        try:
            link.connect(CONNECT_SECONDS)
            delays = _pauses()
            viewer.connected(broker)
            link.subscribe([f"{options.mqtt.topic}/{options.device}/{topic}" for topic in viewer.topics])
            if options.device != "+":  # to say which ones there are, where this one is not
                link.subscribe([f"{options.mqtt.topic}/+/availability"], needed=False)
            while not (stop.is_set() or viewer.over) and time.monotonic() < end:
                link.poll(min(TURN_SECONDS, end - time.monotonic()))
                viewer.tick()
            link.close()
        except LinkError as error:
            if error.refused:
                raise SinkError(f"MQTT broker {broker}: {error}") from None
            viewer.away(f"MQTT broker {broker}: {error}; trying again")
            again = min(end, time.monotonic() + next(delays))
            while time.monotonic() < again and not stop.wait(min(TURN_SECONDS, again - time.monotonic())):
                viewer.tick()
        finally:
            link.drop()


def _pauses() -> Iterator[float]:
    """Pause between attempts: short at first, since a broker may just be starting."""
    yield from [0.1] * round(PATIENCE_SECONDS / 0.1)
    yield from Backoff(*RETRY_SECONDS, jitter=0.25)
