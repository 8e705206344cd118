"""The outbox: MQTT events that wait for the broker, on disk, so that neither a restart nor a crash loses them.

What comes in and what was acknowledged is written in batches, to spare SD cards: an event that is acknowledged by then
never touches the disk. Where the disk fails, events wait in memory, and `trouble` says so.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from fer_edge.sinks.sqlite_file import SqliteFile

LATE = 1 << 40  # ids begin above this where the file cannot be read at first: its own move below it where they must


class Entry(NamedTuple):
    """An event in the outbox."""

    id: int  # > 0, ascending: the order in which events came
    boot_id: str
    seq: int
    payload: bytes  # JSON, made when it happened


class Outbox:
    """A ring of at most `max_events` events that wait for the broker; (boot_id, seq) names an event.

    What is lost, at worst: a power cut or kill -9 costs the events of the last `write_every_seconds` that were not
    acknowledged (0: none, every put is committed at once); everything older, and everything before a successful
    `flush`, is in the file. An acknowledgement that is not written yet is forgotten: that event is sent twice, never
    lost. While `trouble` tells of a disk that refuses, what comes in waits in memory, in the same ring.

    For one thread at a time, which calls `tick` at least every `write_every_seconds`. `dropped`, `trouble` and the
    length may be read from any thread. What a disk that comes back brings along has smaller ids than what came since.
    """

    def __init__(self, disk: SqliteFile, *, max_events: int) -> None:
        self._max_events = max_events
        self.dropped = 0  # events that the ring pushed out or a damaged file cost, since the start of the process
        # not written: id -> since when (monotonic seconds), event; ordered: after many removals a dict's front is slow
        self._fresh: OrderedDict[int, tuple[float, Entry]] = OrderedDict()
        self._keys: set[tuple[str, int]] = set()  # of those
        self._stored = 0  # events in the file, without those that are to be deleted there:
        self._floor = 0  # all up to this id,
        self._gone: set[int] = set()  # and these
        self._gone_since: float | None = None
        self.last_id = self._base = -1  # the newest event's id, and what it was at the start
        self._met = False  # the file's ids and those given out here agree
        self.disk = disk
        self.disk.add(self)
        if self._base < 0:
            self.last_id = self._base = LATE

    @property
    def trouble(self) -> str | None:
        """See `Disk.trouble`."""
        return self.disk.trouble

    def __len__(self) -> int:
        return self._stored + len(self._fresh)

    def put(self, boot_id: str, seq: int, payload: bytes) -> bool:
        """Append an event; where the ring is full the oldest goes. False: it waits here already."""
        key = (boot_id, seq)
        if key in self._keys or self._find("SELECT id FROM events WHERE boot_id = ? AND seq = ?", key):
            return False
        now = time.monotonic()
        self.last_id += 1
        self._fresh[self.last_id] = now, Entry(self.last_id, boot_id, seq, payload)
        self._keys.add(key)
        self._trim()
        self.disk.tick(now)
        return True

    def oldest(self, count: int, after: int = 0) -> list[Entry]:
        """At most `count` events, the oldest of those with an id above `after`, in order."""
        entries = self._read(count, after)
        fresh = (entry for _, entry in self._fresh.values() if entry.id > after)
        return [*entries, *islice(fresh, count - len(entries))]

    def remove(self, ids: Iterable[int]) -> None:
        """The broker has acknowledged these. Ids that are not here any more are ignored."""
        now = time.monotonic()
        for number in ids:
            if not self._take_fresh(number) and self._find("SELECT id FROM events WHERE id = ?", (number,)):
                self._gone.add(number)
                self._gone_since = self._gone_since or now
                self._stored -= 1
        self.disk.tick(now)

    def tick(self, now: float) -> None:
        """Write what has waited long enough; `now` is the monotonic time in seconds."""
        self.disk.tick(now)

    def flush(self) -> bool:
        """Write what waits, now. False: it could not be written, see `trouble`."""
        return self.disk.flush()

    def close(self) -> None:
        """Write what waits and close the file."""
        self.disk.close()

    def _take_fresh(self, number: int) -> bool:
        _, entry = self._fresh.pop(number, (0.0, None))
        if entry is not None:
            self._keys.remove((entry.boot_id, entry.seq))
        return entry is not None

    def _trim(self) -> None:
        """Drop the oldest beyond the bound."""
        while (over := len(self) - self._max_events) > 0 and (entries := self.oldest(min(over, 100))):
            for entry in entries:
                if not self._take_fresh(entry.id):
                    self._floor = entry.id
                    self._gone_since = self._gone_since or time.monotonic()
                    self._stored -= 1
            self.dropped += len(entries)

    def _find(self, sql: str, values: tuple[str | int, ...]) -> bool:
        """Whether an event waits in the file, as far as that can be read."""
        row = self.disk.read(lambda db: db.execute(sql, values).fetchone()) if self._stored else None
        return row is not None and row[0] > self._floor and row[0] not in self._gone

    def _read(self, count: int, after: int) -> list[Entry]:
        """`oldest`, of those in the file."""
        start = max(after, self._floor)

        def query(db: sqlite3.Connection) -> list[Entry]:
            sql = "SELECT id, boot_id, seq, payload FROM events WHERE id > ? ORDER BY id"
            with contextlib.closing(db.execute(sql, (start,))) as rows:
                return list(islice((Entry(*row) for row in rows if row[0] not in self._gone), count))

        entries = self.disk.read(query) if self._stored else None
        if entries is not None and start == self._floor and len(entries) < count:
            self._stored = len(entries)  # no news, unless somebody deleted rows with another program
        return entries or []

    def attach(self, db: sqlite3.Connection) -> None:
        """See `Part.attach`."""
        columns = "id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL"
        db.execute(f"CREATE TABLE IF NOT EXISTS events ({columns}, UNIQUE (boot_id, seq))")
        # a commit that failed in its last step may turn out to have succeeded
        db.executemany("DELETE FROM events WHERE boot_id = ? AND seq = ?", self._keys)
        if not self._met:
            self._agree(db)
        self._delete(db)
        self._stored = db.execute("SELECT count(*) FROM events").fetchone()[0]  # without WHERE it reads the index only

    def _agree(self, db: sqlite3.Connection) -> None:
        """Ids go on from those in the file; where some may have been given out already, the file's move below them."""
        last = db.execute("SELECT max(id) FROM events").fetchone()[0] or 0
        if self._base < 0:
            self.last_id = self._base = last
        if last > self._base:
            db.execute("UPDATE events SET id = -id")  # in two steps, so that none meets another on its way
            db.execute("UPDATE events SET id = -id - ?", (last - self._base,))

    def _delete(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM events WHERE id <= ?", (self._floor,))
        db.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in self._gone])

    def write(self, db: sqlite3.Connection) -> None:
        """See `Part.write`."""
        self._delete(db)
        if not self._stored:  # the file shrinks when it is empty: then no page has to be moved for it
            for _ in range(db.execute("PRAGMA freelist_count").fetchone()[0]):
                db.execute("PRAGMA incremental_vacuum")  # one page: sqlite3 does not finish a statement without rows
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", [entry for _, entry in self._fresh.values()])

    def written(self) -> None:
        """See `Part.written`."""
        self._met = True
        self._stored += len(self._fresh)
        self._fresh.clear()
        self._keys.clear()
        self._gone.clear()
        self._gone_since = None
        self._trim()

    def detach(self, *, lost: bool) -> None:
        """See `Part.detach`."""
        self.dropped += self._stored if lost else 0
        self._stored = 0

    def waiting_since(self) -> float | None:
        """See `Part.waiting_since`."""
        times = [since for since, _ in islice(self._fresh.values(), 1)]
        return min([*times, self._gone_since] if self._gone_since else times, default=None)
