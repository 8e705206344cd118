"""The outbox: MQTT events that wait for the broker, on disk, so that neither a restart nor a crash loses them.

An event is on disk before it is sent (`secure`), in one transaction with the faces that it leaves open;
acknowledgements are written in batches, to spare SD cards. While the disk fails, events are queued in memory, and
`trouble` gives the reason. Every row has a checksum; one that does not check is set aside.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from fer_edge.runtime.count_text import counted
from fer_edge.sinks.checked_rows import Row, add_check_column, check_columns, intact, readable, sealed
from fer_edge.sinks.mqtt.event_copy import COPY_BYTES, COPY_EVENTS, Copy, Entry
from fer_edge.sinks.sqlite_file import FAULTS, RETRY_SECONDS, SqliteFile

LATE = 1 << 40  # ids begin above this where the file cannot be read at first: its own move below it where they must
GROUP_SECONDS = 0.2  # events are made durable at most so often
TABLE = (
    "CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, seq INTEGER NOT NULL,"
    " payload BLOB NOT NULL, crc INTEGER, UNIQUE (boot_id, seq))"
)
INSERT = "INSERT OR REPLACE INTO events (id, boot_id, seq, payload, crc) VALUES (?, ?, ?, ?, ?)"


class Outbox:
    """A ring of at most `max_events` events that wait for the broker; (boot_id, seq) names an event.

    What is lost, at worst: a power cut or kill -9 costs the events since the last `secure`, which were not sent either;
    everything older, and everything before a successful `flush`, is in the file. An acknowledgement that is not written
    yet is forgotten: that event is sent twice, never lost. While `trouble` reports a failing disk, new events
    wait in memory, in the same ring; a file that cannot be read any more is replaced by a bounded copy in memory.

    For one thread at a time, which calls `tick` at least every `write_every_seconds`. `dropped`, `trouble` and the
    length may be read from any thread. What a disk that comes back brings along has smaller ids than what came since.
    """

    def __init__(self, disk: SqliteFile, *, max_events: int) -> None:
        self._max_events = max_events
        self.dropped = 0  # events lost by overflow or a damaged file, since the start of the process
        # not written: id -> since when (monotonic seconds), event; ordered: after many removals a dict's front is slow
        self._fresh: OrderedDict[int, tuple[float, Entry]] = OrderedDict()
        self._keys: set[tuple[str, int]] = set()  # of those
        self._stored = 0  # events in the file, without those that are to be deleted there:
        self._floor = 0  # all up to this id,
        self._gone: set[int] = set()  # and these
        self._changed_since: float | None = None  # since when there are such, or rows to be set aside
        self._copy = Copy()
        self._away_since: float | None = None  # monotonic seconds; not None: the file cannot be read
        self._damaged = False  # there are rows in the file that do not check
        self._secured = 0.0  # when (monotonic seconds) `secure` wrote last
        self.last_id = self._base = -1  # the newest event's id, and what it was at the start
        self._met = False  # the file's ids and those given out here agree
        self.disk = disk
        self.disk.add(self)
        if self._base < 0:
            self.last_id = self._base = LATE

    @property
    def trouble(self) -> str | None:
        """See `SqliteFile.trouble`; also how much of what waits cannot be reached."""
        trouble, lost = self.disk.trouble, self._unreachable()
        waiting = counted(lost, "event that waits there", "events that wait there")
        return f"{trouble}; {waiting} cannot be read now" if trouble and lost else trouble

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

    def secure(self) -> None:
        """Make durable what came in, at most every GROUP_SECONDS: from then on it may be sent."""
        now = time.monotonic()
        pause = min(GROUP_SECONDS, self.disk.write_every_seconds)
        if self._fresh and not self.disk.failing and now >= self._secured + pause:
            self.disk.flush()
            self._secured = time.monotonic()

    def sendable(self, count: int, after: int = 0) -> list[Entry]:
        """Those of `oldest` that may be sent: they are on the disk, or the disk refuses. Events that cannot be read
        hold back newer ones for two attempts at the disk, then they are given up."""
        if not self.disk.failing:
            return self._read(count, after)
        if self._unreachable():
            if time.monotonic() < (self._away_since or 0.0) + 2 * RETRY_SECONDS:
                return []
            self._forsake()
        return self.oldest(count, after)

    def remove(self, ids: Iterable[int]) -> None:
        """The broker has acknowledged these. Unknown ids are ignored."""
        now = time.monotonic()
        for number in ids:
            if not self._take_fresh(number) and self._is_stored(number):
                self._gone.add(number)
                self._changed_since = self._changed_since or now
                self._stored -= 1
                self._copy.discard(number)
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
        if len(self) > self._max_events and self._unreachable():
            self._forsake()
        while (over := len(self) - self._max_events) > 0 and (entries := self.oldest(min(over, 100))):
            for entry in entries:
                if not self._take_fresh(entry.id):
                    self._floor = entry.id
                    self._changed_since = self._changed_since or time.monotonic()
                    self._stored -= 1
                    self._copy.discard(entry.id)
            self.dropped += len(entries)

    def _unreachable(self) -> int:
        """How many events are in the file, which cannot be read, and not in memory."""
        return 0 if self._away_since is None else self._stored - len(self._copy)

    def _forsake(self) -> None:
        """Give up the unreadable events: later ones must be sent, and order is kept."""
        self.dropped += self._unreachable()
        self._stored = len(self._copy)
        first = next(iter(self._copy), None) or next((entry for _, entry in self._fresh.values()), None)
        self._floor = first.id - 1 if first else self.last_id
        self._changed_since = self._changed_since or time.monotonic()

    def _is_stored(self, number: int) -> bool:
        """Whether an id that was handed out waits in the file."""
        if self._away_since is not None:
            return number > self._floor and number not in self._gone
        return self._find("SELECT id FROM events WHERE id = ?", (number,))

    def _find(self, sql: str, values: tuple[str | int, ...]) -> bool:
        """Whether an event waits in the file, as far as that can be read."""
        row = self.disk.read(lambda db: db.execute(sql, values).fetchone()) if self._stored else None
        return row is not None and isinstance(row[0], int) and row[0] > self._floor and row[0] not in self._gone

    def _read(self, count: int, after: int) -> list[Entry]:
        """`oldest`, of those in the file."""
        start = max(after, self._floor)

        def query(db: sqlite3.Connection) -> list[Entry]:
            with contextlib.closing(db.execute("SELECT * FROM events WHERE id > ? ORDER BY id", (start,))) as rows:
                return list(islice(self._sound(rows), count))

        entries = self.disk.read(query) if self._stored and self._away_since is None else None
        if entries is not None and start == self._floor and len(entries) < count:
            self._stored = len(entries)  # no news, unless somebody deleted rows with another program
        if entries is None and self._away_since is not None:
            entries = list(islice((entry for entry in self._copy if entry.id > start), count))
        return entries or []

    def _sound(self, rows: Iterable[Row]) -> Iterator[Entry]:
        """The events of rows that check and are not to be deleted; the others are set aside."""
        for row in rows:
            if not intact(row) or len(row) != 5:
                self._set_aside(row)
            elif row[0] not in self._gone:
                yield Entry(*row[:4])  # type: ignore[arg-type]  # as they were written

    def _set_aside(self, row: Row) -> None:
        if self.disk.damaged.add("events", row):
            self.dropped += 1
            self._stored = max(0, self._stored - 1)
            self._damaged = True
            self._changed_since = self._changed_since or time.monotonic()

    def attach(self, db: sqlite3.Connection) -> None:
        """See `Table.attach`."""
        db.execute(TABLE)
        if add_check_column(db, "events"):
            self._add_checksums(db)
        check_columns(db, TABLE, "events")
        # a commit that failed in its last step may turn out to have succeeded
        db.executemany("DELETE FROM events WHERE boot_id = ? AND seq = ?", self._keys)
        if not self._met:
            self._agree(db)
        self._delete(db)
        self._fill_copy(db)
        self._away_since = None
        self._stored = db.execute("SELECT count(*) FROM events").fetchone()[0]  # without WHERE it reads the index only

    def _add_checksums(self, db: sqlite3.Connection) -> None:
        """An earlier version wrote the rows, without checksums: give them some where they can be understood."""
        for number, boot_id, seq, payload, _ in db.execute("SELECT * FROM events").fetchall():
            try:
                msgspec.json.decode(payload, type=dict)
            except (msgspec.MsgspecError, TypeError, UnicodeError):
                continue
            db.execute(INSERT, sealed(number, boot_id, seq, payload))

    def _agree(self, db: sqlite3.Connection) -> None:
        """Ids go on from those in the file; where some may have been given out already, the file's move below them."""
        rows = db.execute("SELECT * FROM events ORDER BY id DESC")
        with contextlib.closing(rows):
            last = next((entry.id for entry in self._sound(rows)), 0)
        if self._base < 0:
            self.last_id = self._base = last
        if last > self._base:
            entries = list(self._sound(db.execute("SELECT * FROM events ORDER BY id").fetchall()))
            db.execute("DELETE FROM events")
            moved = [entry._replace(id=entry.id - last + self._base) for entry in entries]
            db.executemany(INSERT, [sealed(*entry) for entry in moved if entry.id > 0])
            self.dropped += sum(entry.id <= 0 for entry in moved)

    def _fill_copy(self, db: sqlite3.Connection) -> None:
        """Hold the newest events of the file in memory."""
        self._copy.clear()
        rows = db.execute("SELECT * FROM events ORDER BY id DESC LIMIT ?", (COPY_EVENTS,))
        entries, size = [], 0
        with contextlib.closing(rows):
            for entry in self._sound(rows):
                size += len(entry.payload)
                if size > COPY_BYTES:
                    break
                entries.append(entry)
        for entry in reversed(entries):
            self._copy.add(entry)

    def _delete(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM events WHERE id <= ?", (self._floor,))
        db.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in self._gone])

    def _make_anew(self, db: sqlite3.Connection) -> None:
        """Leave damaged rows behind: where an id is damaged, SQLite may not find its row to delete it."""
        db.execute("ALTER TABLE events RENAME TO events_before")
        db.execute(TABLE)
        for entry in self._sound(db.execute("SELECT * FROM events_before ORDER BY id")):
            db.execute(INSERT, sealed(*entry))
        db.execute("DROP TABLE events_before")
        self._stored = db.execute("SELECT count(*) FROM events").fetchone()[0]

    def write(self, db: sqlite3.Connection) -> None:
        """See `Table.write`."""
        self._delete(db)
        if self._damaged:
            self._make_anew(db)
        if not self._stored:  # the file shrinks when it is empty: then no page has to be moved for it
            for _ in range(db.execute("PRAGMA freelist_count").fetchone()[0]):
                db.execute("PRAGMA incremental_vacuum")  # one page: sqlite3 does not finish a statement without rows
        db.executemany(INSERT, [sealed(*entry) for _, entry in self._fresh.values()])

    def written(self) -> None:
        """See `Table.written`."""
        self._met, self._damaged = True, False
        self._stored += len(self._fresh)
        for _, entry in self._fresh.values():
            self._copy.add(entry)
        self._fresh.clear()
        self._keys.clear()
        self._gone.clear()
        self._changed_since = None
        self._trim()

    def rescue(self, db: sqlite3.Connection, *, damaged: bool) -> None:  # noqa: ARG002 - both mean the same here
        """See `Table.rescue`."""
        entries = {entry.id: entry for entry in self._copy}
        with contextlib.suppress(*FAULTS):
            rows = readable(db, "SELECT * FROM events ORDER BY id", "SELECT * FROM events ORDER BY id DESC")
            entries |= {entry.id: entry for entry in self._sound(rows)}
        kept = [entries[number] for number in sorted(entries) if number > self._floor]
        before = time.monotonic() - self.disk.write_every_seconds
        ours = {entry.id: (before, entry) for entry in kept if (entry.boot_id, entry.seq) not in self._keys}
        self._keys |= {(entry.boot_id, entry.seq) for _, entry in ours.values()}
        self._fresh = OrderedDict(sorted({**ours, **self._fresh}.items()))
        self.dropped += max(0, self._stored - len(ours))
        self._stored, self._damaged = 0, False
        self._copy.clear()
        self._base = next(iter(self._fresh), self.last_id + 1) - 1  # what another file brings comes before
        self.last_id, self._met = max(self.last_id, *entries, -1), False

    def detach(self, *, lost: bool) -> None:
        """See `Table.detach`."""
        if lost:
            self.dropped += self._stored
            self._stored = 0
            self._copy.clear()
        self._away_since = self._away_since or time.monotonic()

    def waiting_since(self) -> float | None:
        """See `Table.waiting_since`."""
        times = [since for since, _ in islice(self._fresh.values(), 1)]
        return min([*times, self._changed_since] if self._changed_since else times, default=None)
