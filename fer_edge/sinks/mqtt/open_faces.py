"""The faces whose `start` was published and whose `end` was not: what a crash leaves open, the next start ends."""

from __future__ import annotations

import sqlite3
import time

import msgspec

from fer_edge.contract.payloads import EventPayload
from fer_edge.sinks.sqlite_file import SqliteFile

Key = tuple[str, int]  # boot id, track id


class OpenFaces:
    """Remembers each open face's last event in the outbox's file, with its batches and in its thread.

    What a kill -9 or power cut costs is the last `write_every_seconds`: a face that appeared in them stays open, one
    that left in them is ended once more. While the disk refuses, the faces are known in memory only.
    """

    def __init__(self, disk: SqliteFile) -> None:
        self._open: dict[Key, bytes] = {}  # of this run: the last event of each, as JSON
        self._left_over: dict[Key, bytes] = {}  # of earlier runs
        self._stored: dict[Key, bytes] = {}  # what the file holds
        self._since: float | None = None  # when (monotonic seconds) memory and file began to differ
        self._met = False  # the file has been read
        self._disk = disk
        disk.add(self)

    def note(self, payload: EventPayload) -> None:
        """A face is there (note that before its `start` goes out), or has ended (after its `end` has gone into the
        outbox): then a crash in between costs an `end` too many, not one too few."""
        key = payload.boot_id, payload.track_id
        if payload.event_type == "end":
            self._open.pop(key, None)
        else:
            self._open[key] = msgspec.json.encode(payload)
        self._changed()

    def left_over(self) -> list[EventPayload]:
        """The last event of each face that an earlier run left open, in the order in which they appeared. Empty while
        the file cannot be read; what another version wrote and this one cannot read is left out."""
        payloads = []
        for data in self._left_over.values():
            try:
                payloads.append(msgspec.json.decode(data, type=EventPayload))
            except msgspec.MsgspecError:
                continue
        return payloads

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
        """See `Part.attach`."""
        columns = "boot_id TEXT NOT NULL, track_id INTEGER NOT NULL, payload BLOB NOT NULL"
        db.execute(f"CREATE TABLE IF NOT EXISTS open_faces ({columns}, PRIMARY KEY (boot_id, track_id))")
        rows = db.execute("SELECT boot_id, track_id, payload FROM open_faces ORDER BY rowid").fetchall()
        self._stored = {(boot_id, track_id): payload for boot_id, track_id, payload in rows}
        if not self._met:  # afterwards, memory knows better
            self._left_over = {key: payload for key, payload in self._stored.items() if key not in self._open}
            self._met = True

    def write(self, db: sqlite3.Connection) -> None:
        """See `Part.write`."""
        wanted = self._wanted()
        db.executemany("DELETE FROM open_faces WHERE boot_id = ? AND track_id = ?", self._stored.keys() - wanted.keys())
        news = [(*key, payload) for key, payload in wanted.items() if self._stored.get(key) != payload]
        # not OR REPLACE, which would put the face at the end of the order
        upsert = "INSERT INTO open_faces VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET payload = excluded.payload"
        db.executemany(upsert, news)

    def written(self) -> None:
        """See `Part.written`."""
        self._stored = self._wanted()
        self._since = None

    def detach(self, *, lost: bool) -> None:  # noqa: ARG002 - what is open is all in memory
        """See `Part.detach`."""
        self._stored = {}

    def waiting_since(self) -> float | None:
        """See `Part.waiting_since`."""
        return self._since
