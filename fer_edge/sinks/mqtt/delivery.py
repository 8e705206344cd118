"""What is on its way to the MQTT broker, and what happens to it when the connection dies.

An event waits in the outbox until the broker has acknowledged it: so a broker that is killed costs no event, and their
order stays.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from fer_edge.config import Config
from fer_edge.contract.payloads import EventPayload
from fer_edge.runtime.count_text import counted
from fer_edge.runtime.say_once import LastReason
from fer_edge.sinks.mqtt.blocked import Blocked, LeftBehind
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.event_copy import Entry
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.sinks.mqtt.open_faces import OpenFaces
from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.sinks.mqtt.replay import Throttle, is_late, replayed
from fer_edge.sinks.sqlite_file import NoFile, SqliteFile

log = logging.getLogger(__name__)

CRASHED_SEQ = 1_000_000
"""Added to the seq of a crashed run's last event: its faces' ends must not be taken for events that were lost."""


class Store:
    """The events that wait, on disk where config allows it, and the faces that are open. For the sink's thread."""

    def __init__(self, outgoing: Outgoing, config: Config, folder: Path) -> None:
        self._outgoing, self._config = outgoing, config.outbox
        self._path = folder / "outbox.sqlite" if config.outbox.enabled else None
        self._size = config.outbox.max_events if config.outbox.enabled else config.mqtt.queue
        self._trouble = LastReason()
        self._dropped = 0  # events, when `keep` last looked
        self.refused = 0  # events that the broker rejected
        self.outbox: Outbox

    def open(self) -> None:
        """Open the file and publish the end of every face that a crash of an earlier run left open."""
        self.outbox = Outbox(self._disk(), max_events=self._size)
        self._faces = OpenFaces(self.outbox.disk)
        crashed = self._faces.left_over()
        beyond = max((last.seq for last in crashed), default=0) + CRASHED_SEQ
        with self.outbox.disk.gathered():
            for seq, (last, zone) in enumerate(endings(crashed), beyond + 1):
                end = end_of(last, seq=seq, zone=zone)
                self.outbox.put(end.boot_id, end.seq, msgspec.json.encode(end))
            self._faces.clear_left_over()
        self.outbox.flush()
        if crashed:
            log.warning("MQTT: the last run crashed; faces that it left open are ended now: %d", len(crashed))

    def _disk(self) -> SqliteFile:
        if self._path is None:
            return NoFile()
        with contextlib.suppress(OSError):  # then the disk reports what is wrong
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteFile(self._path, write_every_seconds=self._config.write_every_seconds)

    def keep(self) -> None:
        """Move what `submit` left into the outbox, and write to the disk what is due."""
        with self.outbox.disk.gathered():  # a face and its events become durable together
            while event := self._outgoing.events.get():
                self._faces.note(event)
                self.outbox.put(event.boot_id, event.seq, msgspec.json.encode(event))
        self.outbox.tick(time.monotonic())
        self.outbox.secure()
        if self._trouble.changes_to(self.outbox.trouble):
            log.warning("MQTT outbox: %s", self._trouble.text or "writing to disk works again")
        if self.outbox.dropped and not self._dropped:
            log.warning(
                "MQTT: %s queued for the broker; the oldest are now dropped",
                counted(self._size, "event is", "events are"),
            )
        self._dropped = self.outbox.dropped

    @property
    def volatile(self) -> bool:
        """Whether events wait that would be lost with the process."""
        return bool(self._path is None or self.outbox.disk.failing) and self._waiting() > 0

    def _waiting(self) -> int:
        return len(self.outbox) + len(self._outgoing.events)

    def figures(self) -> tuple[int, int, str | None]:
        """How many events wait, how many were dropped since the start, and what is wrong with the disk. For any
        thread."""
        if not hasattr(self, "outbox"):
            return len(self._outgoing.events), 0, None
        lost = self.outbox.dropped + self._outgoing.events.dropped + self.refused
        return self._waiting(), lost, self.outbox.trouble

    def in_words(self) -> str:
        """For the log."""
        waiting, dropped, _ = self.figures()
        return f"events that waited: {waiting}, dropped since the start: {dropped}"

    def close(self, broker: str) -> None:
        """Write what is queued, and log it."""
        self.keep()
        lost, waiting = self.volatile, self._waiting()
        self.outbox.close()
        if lost:
            log.warning("MQTT: %s could not be delivered to %s before the end", counted(waiting, "event"), broker)
        elif waiting:
            log.info("MQTT: events kept on disk for %s until the next start: %d", broker, waiting)


def endings(crashed: Sequence[EventPayload]) -> Iterator[tuple[EventPayload, str | None]]:
    """The last event of each face that was left open, and what it was in: each zone is left, then the face ends."""
    for last in crashed:
        yield from ((last, zone) for zone in last.zones or ())
        yield last, None


def end_of(last: EventPayload, *, seq: int, zone: str | None = None) -> EventPayload:
    """The end of a face of which only the last event is known, or its leaving of a zone; for how long it was there,
    nobody knows."""
    return msgspec.structs.replace(
        last,
        event_type="leave" if zone else "end",
        zone=zone or msgspec.UNSET,
        zone_dwell_s=msgspec.UNSET,
        zones=last.zones and [],
        event_id=f"{last.boot_id}-{seq}",
        seq=seq,
        replayed=True,
        previous=last.expression,
        face_count=0,
    )


class Delivery:
    """What goes over one connection: at most `connection.window` messages unacknowledged, the rest waits."""

    def __init__(
        self,
        outgoing: Outgoing,
        outbox: Outbox,
        *,
        event: Message,
        replay_per_second: int,
        boot_id: str | None = None,
        blocked: Blocked | None = None,
    ) -> None:
        """`event` is what an event's message looks like without its payload; `boot_id` is that of this run."""
        self._outgoing, self._outbox, self._event, self._boot_id = outgoing, outbox, event, boot_id
        self._blocked = blocked or Blocked()
        self._throttle = Throttle(replay_per_second)
        self._held = 0  # events up to this one were held back
        self._sent = 0  # the last event that was handed over
        self._pending: dict[int, tuple[Message, Entry | None]] = {}  # number -> what is on its way, and its event
        self._busy: set[str] = set()  # topics of the retained values among them
        self._handed_over = 0.0  # when (monotonic seconds) the last message was
        self._fresh = True
        self.refusals: dict[str, str] = {}  # topic -> why the broker did not take a message, since these were read
        self.refused_events = 0

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def done(self) -> bool:
        """Whether nothing waits for an acknowledgement or to be sent."""
        return not (self._pending or len(self._outbox) or len(self._outgoing.messages) or self._outgoing.dirty)

    @property
    def pending(self) -> LeftBehind:
        """What is on its way."""
        return LeftBehind(tuple(message for message, _ in self._pending.values()), time.monotonic() - self._handed_over)

    def give_back(self) -> None:
        """The connection is gone: what is not in the outbox, and was not delivered, waits for the next one."""
        lost = [message for message, entry in self._pending.values() if entry is None and not message.retain]
        self._outgoing.messages.put_back(lost)
        self._pending.clear()
        self._busy.clear()

    def send(self, connection: Connection) -> None:
        """Hand over what there is, as far as the window allows: a new connection begins with the retained values,
        `online` behind them; afterwards what happened to a face comes before the state that follows from it."""
        if self._fresh:
            self._held = self._outbox.last_id
            self._fresh = False
        if self._outgoing.opening:
            self._send_retained(connection)
        if self._outgoing.opening:
            return
        self._send_events(connection)
        self._send_retained(connection)
        while self._room(connection) > 0 and (message := self._outgoing.messages.get()):
            self._hand_over(connection, message)
        for message in () if connection.busy else self._outgoing.take_newest():
            if not connection.limits.refuses(message):
                connection.publish(message)

    def _room(self, connection: Connection) -> int:
        return (1 if self._blocked.careful else connection.window) - len(self._pending)

    def _hand_over(self, connection: Connection, message: Message, entry: Entry | None = None) -> None:
        """Send a message, unless the broker is known to reject it."""
        why = "it ended the connection each time" if message in self._blocked else connection.limits.refuses(message)
        if why:
            self._finish(message, entry, why)
            return
        number, self._handed_over = connection.publish(message), time.monotonic()
        if not connection.acknowledges(message):
            self._finish(message, entry, None)
            return
        self._pending[number] = message, entry
        if message.retain:
            self._busy.add(message.topic)

    def _send_events(self, connection: Connection) -> None:
        self._outbox.secure()
        room = self._room(connection)
        if self._sent < self._held:
            room = min(room, self._throttle.allowed())
        # while none is in flight all are unsent, also those that a disk has brought back in front of the others
        flying = any(entry for _, entry in self._pending.values())
        for entry in self._outbox.sendable(room, after=self._sent if flying else 0) if room > 0 else ():
            payload = replayed(entry.payload) if is_late(entry, self._boot_id) else entry.payload
            self._throttle.spend(entry.id <= self._held)
            self._sent = entry.id
            self._hand_over(connection, replace(self._event, payload=payload), entry)

    def _send_retained(self, connection: Connection) -> None:
        while self._room(connection) > 0 and (value := self._outgoing.take_retained(self._busy)):
            topic, payload = value
            self._hand_over(connection, Message(topic, payload, retain=True))

    def acknowledge(self, number: int, refusal: str | None) -> None:
        """The broker has accepted a message, or rejected it with a reason."""
        if number in self._pending:
            self._finish(*self._pending.pop(number), refusal)

    def _finish(self, message: Message, entry: Entry | None, refusal: str | None) -> None:
        """A message is done."""
        if entry:
            self._outbox.remove([entry.id])
        elif message.retain:  # of others nothing is kept: anybody can make us answer on any number of topics
            self._busy.discard(message.topic)
            self._outgoing.acknowledged(message.topic, taken=not refusal)
        if refusal:
            self.refusals[message.topic] = refusal
            self.refused_events += entry is not None
