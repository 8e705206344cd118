"""What is on its way to the MQTT broker, and what happens to it when the connection dies.

An event waits in the outbox until the broker has acknowledged it: so a broker that is killed costs no event, and their
order stays.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from threading import Lock

import msgspec

from fer_edge.config import Config
from fer_edge.contract.payloads import EventPayload
from fer_edge.runtime.worker import Backlog
from fer_edge.sinks.mqtt.connection import Connection, Message
from fer_edge.sinks.mqtt.open_faces import OpenFaces
from fer_edge.sinks.mqtt.outbox import Entry, Outbox
from fer_edge.sinks.sqlite_file import NoFile, SqliteFile

log = logging.getLogger(__name__)

BURST = 10_000
"""Events that may wait for the sink's thread, which is held up by nothing but a disk."""

ANSWERS = 1000

CRASHED_SEQ = 1_000_000
"""Added to the seq of a crashed run's last event: its faces' ends must not be taken for events that were lost."""


class Outgoing:
    """What is to be said to the broker. Filled by `submit`, emptied by the sink's thread."""

    def __init__(self) -> None:
        self.events: Backlog[EventPayload] = Backlog(BURST)
        self.messages: Backlog[Message] = Backlog(ANSWERS)  # summaries and answers
        self._lock = Lock()
        self._retained: dict[str, bytes] = {}  # topic -> what subscribers should see
        self._unsaid: dict[str, None] = {}  # the topics among them that changed, in order
        self._newest: dict[str, Message] = {}  # by topic: figures of which older ones are worth nothing

    def retain(self, topic: str, payload: bytes, *, again: bool = False) -> bool:
        """Set a retained value; an empty one removes it from the broker. It is said where it changed, or `again`.
        True: it will be said."""
        with self._lock:
            changed = again or self._retained.get(topic) != payload
            if changed:
                self._retained[topic] = payload
                self._unsaid[topic] = None
            return changed

    def republish_all(self) -> None:
        """Every retained value is news again: another broker, or one that has forgotten."""
        with self._lock:
            self._unsaid = dict.fromkeys(self._retained)

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
            topic = next((topic for topic in self._unsaid if topic not in busy), None)
            if topic is None:
                return None
            del self._unsaid[topic]
            return topic, self._retained[topic]


class Store:
    """The events that wait, on disk where config allows it, and the faces that are open. For the sink's thread."""

    def __init__(self, outgoing: Outgoing, config: Config, folder: Path) -> None:
        self._outgoing, self._config = outgoing, config.outbox
        self._path = folder / "outbox.sqlite" if config.outbox.enabled else None
        self._size = config.outbox.max_events if config.outbox.enabled else config.mqtt.queue
        self._trouble: str | None = None  # what was logged last
        self._dropped = 0  # likewise
        self.outbox: Outbox

    def open(self) -> None:
        """Open the file and tell the end of every face that a crash of an earlier run left open."""
        self.outbox = Outbox(self._disk(), max_events=self._size)
        self._faces = OpenFaces(self.outbox.disk)
        crashed = self._faces.left_over()
        beyond = max((last.seq for last in crashed), default=0) + CRASHED_SEQ
        for number, last in enumerate(crashed, 1):
            end = end_of(last, seq=beyond + number)
            self.outbox.put(end.boot_id, end.seq, msgspec.json.encode(end))
        self._faces.clear_left_over()
        if crashed:
            log.warning("MQTT: the last run crashed; faces that it left open and that are ended now: %d", len(crashed))

    def _disk(self) -> SqliteFile:
        if self._path is None:
            return NoFile()
        with contextlib.suppress(OSError):  # then the disk says what is wrong
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteFile(self._path, write_every_seconds=self._config.write_every_seconds)

    def keep(self) -> None:
        """Move what `submit` left into the outbox, and write to the disk what is due."""
        while event := self._outgoing.events.get():
            ends, heartbeat = event.event_type == "end", event.event_type == "update"
            heartbeat &= event.expression == event.previous
            if not (ends or heartbeat):  # an open face is known before its start can be sent, until its end is safe
                self._faces.note(event)
            self.outbox.put(event.boot_id, event.seq, msgspec.json.encode(event))
            if ends:
                self._faces.note(event)
        self.outbox.tick(time.monotonic())
        if self.outbox.trouble != self._trouble:
            self._trouble = self.outbox.trouble
            log.warning("MQTT outbox: %s", self._trouble or "the disk is in order again")
        if self.outbox.dropped and not self._dropped:
            log.warning("MQTT: %d events wait for the broker; the oldest are dropped now", self._size)
        self._dropped = self.outbox.dropped

    @property
    def volatile(self) -> bool:
        """Whether events wait that would be lost with the process."""
        return bool(self._path is None or self.outbox.trouble) and self._waiting() > 0

    def _waiting(self) -> int:
        return len(self.outbox) + len(self._outgoing.events)

    def figures(self) -> tuple[int, int, str | None]:
        """How many events wait, how many were dropped since the start, and what is wrong with the disk. For any
        thread."""
        if not hasattr(self, "outbox"):
            return len(self._outgoing.events), 0, None
        return self._waiting(), self.outbox.dropped + self._outgoing.events.dropped, self.outbox.trouble

    def in_words(self) -> str:
        """For the log."""
        waiting, dropped, _ = self.figures()
        return f"events that waited: {waiting}, dropped since the start: {dropped}"

    def close(self, broker: str) -> None:
        """Write what waits, and say so."""
        self.keep()
        lost, waiting = self.volatile, self._waiting()
        self.outbox.close()
        if lost:
            log.warning("MQTT: %d events could not be delivered to %s before the end", waiting, broker)
        elif waiting:
            log.info("MQTT: events that wait on disk for %s and the next start: %d", broker, waiting)


def end_of(last: EventPayload, *, seq: int) -> EventPayload:
    """The end of a face of which only the last event is known."""
    return msgspec.structs.replace(
        last,
        event_type="end",
        event_id=f"{last.boot_id}-{seq}",
        seq=seq,
        replayed=True,
        previous=last.expression,
        face_count=0,
    )


class Throttle:
    """Lets so many pass in a second, at once or one by one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = self._left = per_second
        self._seen = time.monotonic()

    def allowed(self) -> int:
        """How many may pass now."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._seen) * self._per_second)
        self._seen = now
        return int(self._left)

    def spend(self, count: int) -> None:
        """So many have passed."""
        self._left -= count


class Delivery:
    """What goes over one link: at most `link.window` messages unacknowledged, the rest waits."""

    def __init__(self, outgoing: Outgoing, outbox: Outbox, *, event: Message, replay_per_second: int) -> None:
        """`event` is what an event's message looks like without its payload."""
        self._outgoing, self._outbox, self._event = outgoing, outbox, event
        self._throttle = Throttle(replay_per_second)
        self._held = 0  # events up to this one were held back
        self._sent = 0  # the last event that was handed over
        self._pending: dict[int, Entry | str | Message] = {}  # number -> event, topic of a retained value, or another
        self._fresh = True
        self.refusal: str | None = None  # why the broker did not take the last message that it refused

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def done(self) -> bool:
        """Whether nothing waits for an acknowledgement or to be sent."""
        return not (self._pending or len(self._outbox) or len(self._outgoing.messages))

    def give_back(self) -> None:
        """The link is gone: what is not in the outbox, and was not delivered, waits for the next one."""
        self._outgoing.messages.put_back([item for item in self._pending.values() if isinstance(item, Message)])
        self._pending.clear()

    def send(self, link: Connection) -> None:
        """Hand over what there is, as far as the window allows: a new connection begins with the retained values,
        afterwards what happened to a face comes before the state that follows from it."""
        if self._fresh:
            self._held = self._outbox.last_id
            self._send_retained(link)
            self._fresh = False
        self._send_events(link)
        self._send_retained(link)
        while len(self._pending) < link.window and (message := self._outgoing.messages.get()):
            self._pending[link.publish(message)] = message
        for message in () if link.busy else self._outgoing.take_newest():
            link.publish(message)

    def _send_events(self, link: Connection) -> None:
        room = link.window - len(self._pending)
        if self._sent < self._held:
            room = min(room, self._throttle.allowed())
        # while none is in flight all are unsent, also those that a disk has brought back in front of the others
        flying = any(isinstance(item, Entry) for item in self._pending.values())
        for entry in self._outbox.oldest(room, after=self._sent if flying else 0) if room > 0 else ():
            held = entry.id <= self._held
            payload = replayed(entry.payload) if held else entry.payload
            self._pending[link.publish(replace(self._event, payload=payload))] = entry
            self._throttle.spend(held)
            self._sent = entry.id

    def _send_retained(self, link: Connection) -> None:
        while len(self._pending) < link.window and (value := self._outgoing.take_retained(self._pending.values())):
            topic, payload = value
            self._pending[link.publish(Message(topic, payload, retain=True))] = topic

    def acknowledge(self, number: int, refusal: str | None) -> None:
        """The broker has a message (or says why it will not)."""
        item = self._pending.pop(number, None)
        if isinstance(item, Entry):
            self._outbox.remove([item.id])
        if refusal:
            ours = not isinstance(item, str) or item.startswith(self._event.topic.rpartition("/")[0])
            self.refusal = refusal if ours else f"{item}: {refusal}"
            self._outbox.dropped += isinstance(item, Entry)


def replayed(payload: bytes) -> bytes:
    """An encoded event that says that it waited."""
    return msgspec.json.encode({**msgspec.json.decode(payload), "replayed": True})
