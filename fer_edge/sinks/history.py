"""The history sink: figures minute by minute and the events, in a bounded SQLite file, for `fer-edge report`.

No pictures, no landmarks, no boxes of single faces: where faces were is kept as a sum over all of them.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event

import msgspec

from fer_edge.config import Config
from fer_edge.config import History as HistoryConfig
from fer_edge.errors import ReportError
from fer_edge.instance import state_folder
from fer_edge.records import Identity, Update
from fer_edge.runtime.clock import clock_synced
from fer_edge.runtime.worker import Backlog, Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.sqlite_file import SqliteFile
from fer_edge.tracking.minutes import EventRow, Minute, MinuteMaker, Step, added, moments, step_of

log = logging.getLogger(__name__)

HISTORY_FILE = "history.db"
QUEUE = 10_000  # steps that may wait for a slow disk
WAITING = 20_000  # minutes and events, each, that may wait for one that refuses
WRITE_SECONDS = 10.0  # a crash or a power cut costs as much of the events, and the minute that has begun
TICK_SECONDS = 0.5
DAY_SECONDS = 86_400
TRIM_SHARE = 0.02  # of the time that is kept goes at once where the file is too large
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS minutes (begin_s INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS events (at_s REAL NOT NULL, run TEXT NOT NULL, track_id INTEGER NOT NULL,"
    " kind TEXT NOT NULL, expression TEXT, reason TEXT, dwell_s REAL NOT NULL)",
    "CREATE INDEX IF NOT EXISTS events_by_time ON events (at_s)",
)


class HistoryTable:
    """What waits to be written, and the tables. See `disk.Part`."""

    def __init__(self, config: HistoryConfig, now_s: Callable[[], float] = time.time) -> None:
        """`now_s`: the wall clock, seconds of the epoch."""
        self._config, self._now_s = config, now_s
        self._minutes: deque[Minute] = deque(maxlen=WAITING)
        self._moments: deque[EventRow] = deque(maxlen=WAITING)
        self._since: float | None = None

    def add(self, minute: Minute | None, events: list[EventRow]) -> None:
        """Keep a minute, or part of one, and events."""
        if minute is None and not events:
            return
        if minute is not None:
            self._minutes.append(minute)
        self._moments.extend(events)
        self._since = self._since or time.monotonic()

    def attach(self, db: sqlite3.Connection) -> None:
        """See `Part.attach`."""
        for statement in SCHEMA:
            db.execute(statement)

    def write(self, db: sqlite3.Connection) -> None:
        """See `Part.write`. What is too old, or too much, goes."""
        for minute in self._minutes:
            row = db.execute("SELECT body FROM minutes WHERE begin_s = ?", (minute.begin_s,)).fetchone()
            parts = [msgspec.json.decode(row[0], type=Minute), minute] if row else [minute]
            whole = msgspec.json.encode(added(parts, minute.begin_s))
            db.execute("INSERT OR REPLACE INTO minutes VALUES (?, ?)", (minute.begin_s, whole))
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", self._moments)
        self._forget(db, self._now_s() - self._config.keep_days * DAY_SECONDS)
        while _used_bytes(db) > self._config.max_mb * 1e6 and (span := _span(db)):
            first, last = span
            self._forget(db, first + max(1.0, (last - first) * TRIM_SHARE))

    def written(self) -> None:
        """See `Part.written`."""
        self._minutes.clear()
        self._moments.clear()
        self._since = None

    def detach(self, *, lost: bool) -> None:
        """See `Part.detach`: what waits is all in memory."""

    def waiting_since(self) -> float | None:
        """See `Part.waiting_since`."""
        return self._since

    def _forget(self, db: sqlite3.Connection, before_s: float) -> None:
        gone = db.execute("DELETE FROM minutes WHERE begin_s < ?", (before_s,)).rowcount
        gone += db.execute("DELETE FROM events WHERE at_s < ?", (before_s,)).rowcount
        for _ in range(db.execute("PRAGMA freelist_count").fetchone()[0] if gone else 0):
            db.execute("PRAGMA incremental_vacuum")  # one page: sqlite3 does not finish a statement without rows


def _used_bytes(db: sqlite3.Connection) -> float:
    pages, unused, size = (db.execute(f"PRAGMA {what}").fetchone()[0] for what in PAGES)
    return float((pages - unused) * size)


PAGES = ("page_count", "freelist_count", "page_size")


def _span(db: sqlite3.Connection) -> tuple[float, float] | None:
    """The first and the last moment in the file."""
    sql = (
        "SELECT min(first), max(last) FROM (SELECT min(begin_s) AS first, max(begin_s) AS last FROM minutes"
        " UNION ALL SELECT min(at_s), max(at_s) FROM events)"
    )
    first, last = db.execute(sql).fetchone()
    return None if first is None else (first, last)


class HistorySink:
    """Keeps the history. A disk that fails is told once and tried again; it stops nothing else."""

    pictures = False

    def __init__(self, config: Config, identity: Identity, _control: Control | None = None) -> None:
        self._path = state_folder(config, identity.device_id) / HISTORY_FILE
        self._run_id = identity.boot_id
        self._history = HistoryTable(config.history)
        self._steps: Backlog[Step] = Backlog(QUEUE)
        self._worker = Worker("history", self._run)
        self._closing = Event()
        self._trouble: str | None = None

    def start(self) -> None:
        """See `Sink.start`."""
        self._worker.start()

    def submit(self, update: Update) -> None:
        """See `Sink.submit`."""
        self._worker.check()
        self._steps.put(step_of(update, at_s=time.time(), mono_ns=time.monotonic_ns()))

    def close(self, timeout: float) -> None:
        """See `Sink.close`."""
        self._closing.set()
        self._steps.wake()
        if not self._worker.join(timeout):
            log.warning("history: %s does not answer; the last minute is lost", self._path)

    def _run(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            log.warning("history: %s: %s", self._path.parent, error.strerror)  # the disk says more, again and again
        disk, maker = SqliteFile(self._path, write_every_seconds=WRITE_SECONDS), MinuteMaker()
        disk.add(self._history)
        while True:
            closing_now = self._closing.is_set()
            while step := self._steps.get(0 if closing_now else TICK_SECONDS):
                self._history.add(_stamped(maker.add(step)), moments(step, self._run_id))
                disk.tick(time.monotonic())
            disk.tick(time.monotonic())
            self._tell(disk.trouble)
            if closing_now:
                break
        self._history.add(_stamped(maker.finish()), [])
        disk.close()

    def _tell(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            log.warning("history: %s", trouble) if trouble else log.info("history: the disk takes it again")
            self._trouble = trouble


def _stamped(minute: Minute | None) -> Minute | None:
    """Whether the clock can be believed is asked once a minute."""
    return minute and msgspec.structs.replace(minute, synced=clock_synced())


def read_history(path: Path, *, since_s: float, until_s: float) -> tuple[list[Minute], list[EventRow]]:
    """The minutes and events of a period; the daemon may be writing at the same time.

    Raises:
        ReportError: there is no history, or it cannot be read.

    """
    if not path.exists():
        raise ReportError(f"{path}: there is no history; set history.enabled: true, and let the daemon run for a while")
    try:
        with closing(sqlite3.connect(_uri(path), uri=True, timeout=5.0)) as db:
            period = (since_s, until_s)
            rows = db.execute("SELECT body FROM minutes WHERE begin_s >= ? AND begin_s < ? ORDER BY begin_s", period)
            found = [msgspec.json.decode(body, type=Minute) for (body,) in rows]
            rows = db.execute("SELECT * FROM events WHERE at_s >= ? AND at_s < ? ORDER BY at_s, rowid", period)
            return found, [EventRow(*row) for row in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise ReportError(f"{path}: cannot read the history: {error}; is it fer-edge's, and may you read it?") from None


def _uri(path: Path) -> str:
    """To read a history. SQLite makes files beside one that nobody has open, and where it cannot (a copy on a read-only
    disk) has to be told that nobody writes (https://www.sqlite.org/wal.html, "Read-Only Databases")."""
    path = path.absolute()
    alone = not path.with_name(f"{path.name}-wal").exists() and not os.access(path.parent, os.W_OK, effective_ids=True)
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
