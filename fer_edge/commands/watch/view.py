"""What every view of `fer-edge watch` can do, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

from fer_edge.config import Mqtt
from fer_edge.sinks.mqtt.broker import Broker

PATIENCE_SECONDS = 1.5
"""For so long after the start a broker that is not there yet is no news."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """What to watch, and how to show it."""

    mqtt: Mqtt = field(default_factory=Mqtt)  # the broker and the first part of the topics
    device: str = "+"  # a device id; "+": all of them
    live: bool = False  # a screen that is drawn again and again instead of lines
    json: bool = False  # events as they are, one a line; remarks go to stderr
    for_seconds: float | None = None  # None: until Ctrl-C
    until_offline: bool = False  # end when a device that was online goes offline


class Viewer(Protocol):
    """Shows what comes."""

    events: int
    """How many events came."""
    over: bool
    """What shall be shown has been shown."""
    topics: tuple[str, ...]
    """What to subscribe to, below each device."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def connected(self, broker: Broker) -> None:
        """The broker has accepted us."""

    def away(self, why: str) -> None:
        """There is no connection; called again and again while that lasts."""

    def tick(self) -> None:
        """Called now and then."""

    def show(self, topic: str, payload: bytes) -> None:
        """Show one message."""

    def sum_up(self) -> None:
        """The last word.

        Raises:
            SinkError: there never was a connection.

        """
