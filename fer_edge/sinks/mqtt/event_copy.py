"""A bounded copy in memory of the events in the outbox's file: they can still be sent where the disk fails."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

COPY_EVENTS, COPY_BYTES = 4000, 4_000_000


class Entry(NamedTuple):
    """An event in the outbox."""

    id: int  # > 0, ascending: the order in which events came
    boot_id: str
    seq: int
    payload: bytes  # JSON, made when it happened


class Copy:
    """The newest events of the file, in memory, in case the disk fails."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._bytes = 0

    def add(self, entry: Entry) -> None:
        """Hold an event; beyond the bounds the oldest goes."""
        self.discard(entry.id)
        self._entries[entry.id] = entry
        self._bytes += len(entry.payload)
        while len(self._entries) > COPY_EVENTS or self._bytes > COPY_BYTES:
            self.discard(next(iter(self._entries)))

    def discard(self, number: int) -> None:
        """Drop an event, if it is held."""
        if entry := self._entries.pop(number, None):
            self._bytes -= len(entry.payload)

    def clear(self) -> None:
        """Drop all."""
        self._entries.clear()
        self._bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
