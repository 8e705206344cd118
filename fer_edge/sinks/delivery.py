"""What is on its way to the MQTT broker, and what happens to it when the connection dies.

An event leaves `Outgoing` when it is handed to a link and comes back when that link dies before the broker
acknowledged it: so a broker that is killed costs no event, and their order stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from threading import Lock

import msgspec

from fer_edge.payloads import EventPayload
from fer_edge.sinks.link import Link
from fer_edge.sinks.worker import Backlog


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event on its way."""

    payload: EventPayload  # made when it happened: a replay must not change its time
    era: int  # how often the broker had come or gone by then; another era when it is sent: it was held back


class Outgoing:
    """What is to be said to the broker. Filled by `submit`, emptied by the sink's thread."""

    def __init__(self, size: int) -> None:
        self.events: Backlog[Waiting] = Backlog(size)
        self._lock = Lock()
        self._retained: dict[str, bytes] = {}  # topic -> what subscribers should see
        self._unsaid: dict[str, None] = {}  # the topics among them that changed, in order
        self._stats: bytes | None = None

    def retain(self, topic: str, payload: bytes) -> bool:
        """Set a retained value. True: it changed."""
        with self._lock:
            changed = self._retained.get(topic) != payload
            if changed:
                self._retained[topic] = payload
                self._unsaid[topic] = None
            return changed

    def say_all(self) -> None:
        """Every retained value is news again: another broker, or one that has forgotten."""
        with self._lock:
            self._unsaid = dict.fromkeys(self._retained)

    def take_retained(self, busy: Collection[object]) -> tuple[str, bytes] | None:
        """A changed retained value whose topic is not busy: one message a topic at a time, so the last one wins."""
        with self._lock:
            topic = next((topic for topic in self._unsaid if topic not in busy), None)
            if topic is None:
                return None
            del self._unsaid[topic]
            return topic, self._retained[topic]

    def put_stats(self, payload: bytes) -> None:
        """Leave the newest figures; older ones that were not sent are worth nothing."""
        with self._lock:
            self._stats = payload

    def take_stats(self) -> bytes | None:
        """The newest figures, once."""
        with self._lock:
            stats, self._stats = self._stats, None
            return stats


class Delivery:
    """What goes over one link: at most `link.window` messages unacknowledged, the rest stays in `Outgoing`."""

    def __init__(self, outgoing: Outgoing, *, base: str, era: int) -> None:
        self._outgoing, self._base, self._era = outgoing, base, era
        self._pending: dict[int, Waiting | str] = {}  # number -> event, or topic of a retained value
        self._fresh = True
        self.refusal: str | None = None  # why the broker did not take the last message that it refused

    def __len__(self) -> int:
        return len(self._pending)

    def send(self, link: Link) -> None:
        """Hand over what there is, as far as the window allows: a new connection begins with the retained values,
        afterwards what happened to a face comes before the state that follows from it."""
        if self._fresh:
            self._send_retained(link)
            self._fresh = False
        while len(self._pending) < link.window and (event := self._outgoing.events.get()):
            self._pending[link.publish(f"{self._base}/event", self._encode(event))] = event
        self._send_retained(link)
        if stats := self._outgoing.take_stats():
            link.publish(f"{self._base}/stats", stats, qos=0)

    def _send_retained(self, link: Link) -> None:
        while len(self._pending) < link.window and (value := self._outgoing.take_retained(self._pending.values())):
            topic, payload = value
            self._pending[link.publish(f"{self._base}/{topic}", payload, retain=True)] = topic

    def _encode(self, event: Waiting) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(event.payload, replayed=event.era != self._era))

    def acknowledge(self, number: int, refusal: str | None) -> None:
        """The broker has a message (or says why it will not)."""
        item = self._pending.pop(number, None)
        if item is not None and refusal:
            self.refusal = refusal
            if isinstance(item, Waiting):
                self._outgoing.events.count_lost()

    def return_events(self) -> None:
        """The link is gone: what it did not deliver waits for the next one."""
        self._outgoing.events.put_back([item for item in self._pending.values() if isinstance(item, Waiting)])
        self._pending.clear()
