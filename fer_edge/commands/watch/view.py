"""The interface of every view of `fer-edge watch`, and its options."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol, Self

from fer_edge.config import Mqtt
from fer_edge.sinks.mqtt.broker import Broker

QUIET_SECONDS = 3.0
"""After this long without a message since connecting, say that nobody publishes."""

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
    forget: Callable[[str], int] | None = None  # removes what the broker keeps of a device; returns how many topics

    @property
    def where(self) -> str:
        """The topics that are watched, as people read them."""
        return f"all devices under {self.mqtt.topic}" if self.device == "+" else f"{self.mqtt.topic}/{self.device}"

    def silence(self, others: Collection[str]) -> str:
        """What to say where nothing comes; `others`: the devices that the broker knows."""
        if self.device == "+":
            return f"nothing from {self.mqtt.topic}/+ yet: is a daemon running with this broker and topic?"
        near = difflib.get_close_matches(self.device, others, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        known = f"there are: {', '.join(sorted(others))}" if others else "nor from any other device"
        return f"nothing from {self.mqtt.topic}/{self.device} yet; {known}{hint}"


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
        """The final summary.

        Raises:
            SinkError: there never was a connection.

        """
