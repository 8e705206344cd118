"""Where updates go: one interface, one thread per sink.

A sink never slows the data path: `submit` only puts into a bounded queue (drop oldest, counted) or a mailbox.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Protocol

from fer_edge.config import Config
from fer_edge.records import Identity, Update
from fer_edge.settings.control import Control

SINKS = {
    "mqtt": "fer_edge.sinks.mqtt.sink:MqttSink",
    "jsonl": "fer_edge.sinks.jsonl:JsonlSink",
    "pictures": "fer_edge.sinks.pictures:PicturesSink",
    "history": "fer_edge.sinks.history:HistorySink",
    "hdmi": "fer_edge.sinks.hdmi.sink:HdmiSink",
    "web": "fer_edge.sinks.web.sink:WebSink",
}


class Sink(Protocol):
    """A receiver of updates. It is made with the config, the daemon's identity, and what others may control."""

    @property
    def pictures(self) -> bool:
        """Whether it needs the colours of `Frame.image` now; where no sink does, the camera omits them."""

    def start(self) -> None:
        """Open what is needed and start the thread.

        Raises:
            SinkError: what config names cannot be opened. An unavailable broker is no error.

        """

    def submit(self, update: Update) -> None:
        """Take an update. Returns at once; raises what stopped the sink's thread, if anything did."""

    def close(self, timeout: float) -> None:
        """Deliver what is queued, within `timeout` seconds, and stop. Never raises; may be called twice."""


def open_sinks(config: Config, identity: Identity, control: Control, *, but: Collection[str] = ()) -> list[Sink]:
    """Start every sink that config enables, `but` those; if one cannot start, those before it are closed."""
    sinks: list[Sink] = []
    try:
        for name, path in SINKS.items():
            if getattr(config, name).enabled and name not in but:
                module, kind = path.split(":")
                sink: Sink = getattr(import_module(module), kind)(config, identity, control)
                sink.start()
                sinks.append(sink)
    except BaseException:
        for sink in sinks:
            sink.close(1.0)
        raise
    return sinks
