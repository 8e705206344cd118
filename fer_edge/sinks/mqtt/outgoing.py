"""The messages to be sent to the broker."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from threading import Lock

from fer_edge.contract.payloads import EventPayload
from fer_edge.runtime.worker import Backlog
from fer_edge.sinks.mqtt.limits import Message

BURST = 10_000
"""Events that may wait for the sink's thread, which is held up by nothing but a disk."""

ANSWERS = 1000

REMOVE_SECONDS = 2.0
"""How long Home Assistant gets to remove an entity before the values that it reads are removed."""


class Outgoing:
    """The messages to be sent to the broker. Filled by `submit`, emptied by the sink's thread."""

    def __init__(self) -> None:
        self.events: Backlog[EventPayload] = Backlog(BURST)
        self.messages: Backlog[Message] = Backlog(ANSWERS)  # summaries and answers
        self._lock = Lock()
        self._retained: dict[str, bytes] = {}  # topic -> what subscribers should see
        self._dirty: dict[str, None] = {}  # the topics among them that changed, in order
        self._newest: dict[str, Message] = {}  # by topic: figures of which only the newest counts
        self.last: str | None = None
        """The topic that is sent only when the broker has all others: at `online`, every retained value is current."""
        self._before: set[str] = set()  # the topics that the broker must have before that
        self._removals: dict[str, str | None] = {}  # topic -> the one that the broker must have taken before
        self._removable: dict[str, float] = {}  # the ones that it has taken -> when (monotonic seconds)

    def retain(self, topic: str, payload: bytes, *, again: bool = False) -> bool:
        """Set a retained value; an empty one removes it from the broker. It is sent where it changed, or `again`.
        True: it will be sent."""
        with self._lock:
            self._removals.pop(topic, None)
            changed = again or self._retained.get(topic) != payload
            if changed:
                self._retained[topic] = payload
                self._dirty[topic] = None
            return changed

    def republish_all(self) -> None:
        """Every retained value is to be sent again: another broker, or one that lost them."""
        with self._lock:
            self._dirty = dict.fromkeys(self._retained)
            self._before = self._retained.keys() - {self.last}

    def remove(self, topics: Iterable[str], *, after: str | None = None) -> None:
        """Remove retained values: at once, or a moment after a message on topic `after` was taken, so that nobody
        there looks at them any more. What waits for that already goes on waiting for the message that it waited for."""
        with self._lock:
            new = [topic for topic in topics if not (after and topic in self._removals)]
            self._removals |= dict.fromkeys(new, after)
            if new and after:
                self._removable.pop(after, None)

    def forget(self, topics: Iterable[str]) -> None:
        """Stop sending retained values that the broker rejects: there is nothing to be removed."""
        with self._lock:
            for topic in topics:
                for each in (self._retained, self._dirty, self._removals):
                    each.pop(topic, None)
                self._before.discard(topic)

    def taken(self) -> set[str]:
        """The topics on which the broker has accepted a message."""
        with self._lock:
            return set(self._removable)

    def known(self) -> set[str]:
        """The topics for which the broker may hold a retained value."""
        with self._lock:
            return self._retained.keys() | self._removals.keys()

    def _remove_due(self) -> None:
        now = time.monotonic()
        never = float("inf")
        for topic in [
            topic for topic, after in self._removals.items() if not after or self._removable.get(after, never) <= now
        ]:
            del self._removals[topic]
            self._retained[topic] = b""
            self._dirty[topic] = None

    @property
    def opening(self) -> bool:
        """Whether the initial messages of a connection have not all been sent yet."""
        return self.last in self._dirty

    @property
    def removing(self) -> bool:
        """Whether removals are pending."""
        return bool(self._removals)

    @property
    def dirty(self) -> bool:
        """Whether a retained value is pending."""
        return bool(self._dirty)

    def acknowledged(self, topic: str, *, taken: bool) -> None:
        """The broker has accepted a retained value, or rejected it. A removed one is forgotten."""
        with self._lock:
            self._before.discard(topic)
            if taken:
                self._removable[topic] = time.monotonic() + REMOVE_SECONDS
            if topic not in self._dirty and self._retained.get(topic) == b"":
                del self._retained[topic]

    def retained(self) -> list[str]:
        """The topics that have a retained value."""
        with self._lock:
            return [topic for topic, payload in self._retained.items() if payload]

    def put_newest(self, message: Message) -> None:
        """Leave figures in place of those of the same topic that were not sent yet."""
        with self._lock:
            self._newest[message.topic] = message

    def take_newest(self) -> list[Message]:
        """All such figures, once."""
        with self._lock:
            messages, self._newest = list(self._newest.values()), {}
            return messages

    def take_retained(self, busy: Collection[object]) -> tuple[str, bytes] | None:
        """A changed retained value whose topic is not busy: one message a topic at a time, so the last one wins."""
        with self._lock:
            self._remove_due()
            free = (topic for topic in self._dirty if topic not in busy)
            topic = next((topic for topic in free if not (self._before and topic == self.last)), None)
            if topic is None:
                return None
            del self._dirty[topic]
            return topic, self._retained[topic]
