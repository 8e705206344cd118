"""The faces whose `start` was published and whose `end` was not: what a crash leaves open, the next start ends."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import msgspec

from fer_edge.contract.payloads import EventPayload
from fer_edge.sinks.checked_rows import add_check_column, check_columns, checksum, intact, sealed
from fer_edge.sinks.sqlite_file import SqliteFile

Key = tuple[str, int]  # boot id, track id
TABLE = (
    "CREATE TABLE IF NOT EXISTS open_faces (boot_id TEXT NOT NULL, track_id INTEGER NOT NULL, payload BLOB NOT NULL,"
    " crc INTEGER, PRIMARY KEY (boot_id, track_id))"
)


class OpenFaces:
    """Remembers each open face's last event in the outbox's file, with its batches and in its thread.

    Noted together with the event (`SqliteFile.gathered`), a face is in the file before its `start` can be sent, its
    newest event before that is sent, and it is out of the file before its `end` is: so a kill -9 or power cut costs no
    end, makes none twice, and none that lies before what was published. While the disk refuses, the faces are known in
    memory only.
    """

    def __init__(self, disk: SqliteFile) -> None:
        self._open: dict[Key, bytes] = {}  # of this run: the last event of each, as JSON
        self._left_over: dict[Key, bytes] = {}  # of earlier runs
        self._stored: dict[Key, bytes] = {}  # what the file holds
        self._since: float | None = None  # when (monotonic seconds) memory and file began to differ
        self._met = False  # the file has been read
        self._damaged = False  # and has rows that do not check
        self._disk = disk
        disk.add(self)

    def note(self, payload: EventPayload) -> None:
        """A face is there, or has ended: its newest event."""
        key = payload.boot_id, payload.track_id
        if payload.event_type == "end":
            self._open.pop(key, None)
        else:
            self._open[key] = msgspec.json.encode(payload)
        self._changed()

    def left_over(self) -> list[EventPayload]:
        """The last event of each face that an earlier run left open, in the order in which they appeared. Empty while
        the file cannot be read; what another version wrote and this one cannot read is left out."""
        return [last for data in self._left_over.values() if (last := _decoded(data))]

    def clear_left_over(self) -> None:
        """Their ends have been put into the outbox. Written in one batch with what was put before."""
        self._left_over.clear()
        self._changed()

    def _wanted(self) -> dict[Key, bytes]:
        """What the file should hold."""
        return {**self._left_over, **self._open}

    def _changed(self) -> None:
        now = time.monotonic()
        self._since = None if self._wanted() == self._stored else self._since or now
        self._disk.tick(now)

    def attach(self, db: sqlite3.Connection) -> None:
        """See `Table.attach`."""
        db.execute(TABLE)
        if add_check_column(db, "open_faces"):  # an earlier version wrote them
            for *values, _ in db.execute("SELECT * FROM open_faces").fetchall():
                update = "UPDATE open_faces SET crc = ? WHERE boot_id = ? AND track_id = ?"
                db.execute(update, (checksum(*values), *values[:2]))
        check_columns(db, TABLE, "open_faces")
        self._stored = self._sound(db)
        if not self._met:  # afterwards, memory knows better
            self._left_over = {key: payload for key, payload in self._stored.items() if key not in self._open}
            self._met = True

    def _sound(self, db: sqlite3.Connection) -> dict[Key, bytes]:
        """The rows that check, in order; the others are set aside."""
        found: dict[Key, bytes] = {}
        with contextlib.closing(db.execute("SELECT * FROM open_faces ORDER BY rowid")) as rows:
            for row in rows:
                if len(row) == 4 and intact(row):
                    found[row[0], row[1]] = row[2]
                elif self._disk.damaged.add("open_faces", row):
                    self._damaged, self._since = True, self._since or time.monotonic()
        return found

    def write(self, db: sqlite3.Connection) -> None:
        """See `Table.write`."""
        wanted = self._wanted()
        if self._damaged:  # SQLite may not find damaged rows to delete them
            db.execute("DELETE FROM open_faces")
            self._stored = {}
        db.executemany("DELETE FROM open_faces WHERE boot_id = ? AND track_id = ?", self._stored.keys() - wanted.keys())
        news = [sealed(*key, payload) for key, payload in wanted.items() if self._stored.get(key) != payload]
        # not OR REPLACE, which would put the face at the end of the order
        upsert = (
            "INSERT INTO open_faces (boot_id, track_id, payload, crc) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET payload = excluded.payload, crc = excluded.crc"
        )
        db.executemany(upsert, news)

    def written(self) -> None:
        """See `Table.written`."""
        self._stored = self._wanted()
        self._since, self._damaged = None, False

    def rescue(self, db: sqlite3.Connection, *, damaged: bool) -> None:  # noqa: ARG002 - both mean the same here
        """See `Table.rescue`."""
        if not self._met:
            self._left_over = {key: payload for key, payload in self._sound(db).items() if key not in self._open}
            self._met = True
        self._stored = {}
        self._since = self._since or time.monotonic()

    def detach(self, *, lost: bool) -> None:  # noqa: ARG002 - what is open is all in memory
        """See `Table.detach`."""
        self._stored = {}

    def waiting_since(self) -> float | None:
        """See `Table.waiting_since`."""
        return self._since


def _decoded(data: bytes) -> EventPayload | None:
    try:
        return msgspec.json.decode(data, type=EventPayload)
    except (msgspec.MsgspecError, UnicodeError, TypeError):
        return None
