"""The history sink: figures per minute and the events, in a bounded SQLite file, for `fer-edge report`.

No pictures, no landmarks, no boxes of single faces: where faces were is kept as a sum over all of them.
"""

from __future__ import annotations

import contextlib
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
from fer_edge.runtime.clock import SteadyClock, clock_synced
from fer_edge.runtime.say_once import LastReason
from fer_edge.runtime.worker import Backlog, Worker
from fer_edge.settings.control import Control
from fer_edge.sinks.checked_rows import (
    DamagedRows,
    Row,
    add_check_column,
    check_columns,
    intact,
    lenient_text,
    readable,
    sealed,
)
from fer_edge.sinks.sqlite_file import FAULTS, SqliteFile
from fer_edge.tracking.minutes import EventRow, Minute, MinuteMaker, Step, added, moments, step_of

log = logging.getLogger(__name__)

HISTORY_FILE = "history.db"
QUEUE = 10_000  # steps that may wait for a slow disk
WAITING = 20_000  # minutes and events, each, that may wait for one that refuses
WRITE_SECONDS = 10.0  # a crash or a power cut loses this much of the events, and the current minute
TICK_SECONDS = 0.5
DAY_SECONDS = 86_400
TRIM_PARTS = 50  # the oldest of so many parts goes at once where the file is too large
PLAUSIBLE_SECONDS = 86_400  # how far ahead of a reliable clock a row may be
LARGEST_WAL = 4_194_304
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS minutes (begin_s INTEGER PRIMARY KEY, body BLOB NOT NULL, crc INTEGER)",
    "CREATE TABLE IF NOT EXISTS events (at_s REAL NOT NULL, run TEXT NOT NULL, track_id INTEGER NOT NULL,"
    " kind TEXT NOT NULL, expression TEXT, reason TEXT, dwell_s REAL NOT NULL, crc INTEGER)",
    "CREATE INDEX IF NOT EXISTS events_by_time ON events (at_s)",
    # rows dated by a wrong clock: kept as long as there is room, but in no report
    "CREATE TABLE IF NOT EXISTS misdated (source TEXT, at_s REAL, content TEXT)",
)
MISDATED = (
    "INSERT INTO misdated SELECT 'minutes', begin_s, body FROM minutes WHERE begin_s > ?",
    "INSERT INTO misdated SELECT 'events', at_s, kind || ' ' || ifnull(expression, '') FROM events WHERE at_s > ?",
    "DELETE FROM minutes WHERE begin_s > ?",
    "DELETE FROM events WHERE at_s > ?",
)


class HistoryTable:
    """What waits to be written, and the tables. See `sqlite_file.Table`.

    Rows are deleted by age only while the clock is reliable; a clock that jumps deletes none, and rows that it
    has dated far into the future are set aside once it is right again.
    """

    def __init__(self, config: HistoryConfig, sure_now: Callable[[], float | None] | None = None) -> None:
        """`sure_now`: the wall clock, seconds of the epoch, while it is reliable."""
        self._config, self._sure_now = config, sure_now or SteadyClock().now
        self.damaged = DamagedRows(Path(HISTORY_FILE))
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
        """See `Table.attach`."""
        for statement in SCHEMA:
            db.execute(statement)
        for table, statement in zip(("minutes", "events"), SCHEMA, strict=False):
            add_check_column(db, table)
            check_columns(db, statement, table)

    def write(self, db: sqlite3.Connection) -> None:
        """See `Table.write`. What is too old, or too much, goes."""
        for minute in self._minutes:
            row = db.execute("SELECT * FROM minutes WHERE begin_s = ?", (minute.begin_s,)).fetchone()
            earlier = row and minute_of(row)
            if row and earlier is None:
                self.damaged.add("minutes", row)
            whole = msgspec.json.encode(added([earlier, minute] if earlier else [minute], minute.begin_s))
            db.execute("INSERT OR REPLACE INTO minutes VALUES (?, ?, ?)", sealed(minute.begin_s, whole))
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_row(each) for each in self._moments])
        if (now_s := self._sure_now()) is not None:
            for statement in MISDATED:
                db.execute(statement, (now_s + PLAUSIBLE_SECONDS,))
            self._forget(db, now_s - self._config.keep_days * DAY_SECONDS)
        while _used_bytes(db) > self._config.max_mb * 1e6 - wal_bytes(self._config) and self._shorten(db):
            pass

    def _shorten(self, db: sqlite3.Connection) -> bool:
        """Let the oldest go, those with a wrong date first. False: there is nothing."""
        if db.execute("DELETE FROM misdated").rowcount:
            _shrink(db)
            return True
        firsts = [row[0] for sql in OLDEST if (row := db.execute(sql, (TRIM_PARTS,)).fetchone())]
        return bool(firsts) and self._forget(db, (min(firsts) // 60 + 1) * 60)

    def written(self) -> None:
        """See `Table.written`."""
        self._minutes.clear()
        self._moments.clear()
        self._since = None

    def rescue(self, db: sqlite3.Connection, *, damaged: bool) -> None:
        """See `Table.rescue`. The newest of a damaged history go on; who deletes one wants it gone."""
        for sql, waiting, made in ((MINUTES, self._minutes, minute_of), (EVENTS, self._moments, moment_of)):
            with contextlib.suppress(*FAULTS):
                newest, oldest = f"{sql} DESC LIMIT {WAITING}", f"{sql} LIMIT {WAITING}"
                rows = readable(db, newest, oldest, (-ALWAYS, ALWAYS)) if damaged else []
                for row in rows:
                    if (found := made(row)) and len(waiting) < WAITING:
                        waiting.appendleft(found)  # type: ignore[arg-type]  # each its own

    def detach(self, *, lost: bool) -> None:
        """See `Table.detach`: what waits is all in memory."""

    def waiting_since(self) -> float | None:
        """See `Table.waiting_since`."""
        return self._since

    def _forget(self, db: sqlite3.Connection, before_s: float) -> bool:
        gone = db.execute("DELETE FROM minutes WHERE begin_s < ?", (before_s,)).rowcount
        gone += db.execute("DELETE FROM events WHERE at_s < ?", (before_s,)).rowcount
        gone += db.execute("DELETE FROM misdated WHERE at_s < ?", (before_s,)).rowcount
        if gone:
            _shrink(db)
        return gone > 0


OLDEST = (  # the last one of the first part
    "SELECT begin_s FROM minutes ORDER BY begin_s LIMIT 1 OFFSET (SELECT count(*) FROM minutes) / ?",
    "SELECT at_s FROM events ORDER BY at_s LIMIT 1 OFFSET (SELECT count(*) FROM events) / ?",
)


def wal_bytes(config: HistoryConfig) -> int:
    """How much of what the history may take is for changes that SQLite gathers beside the file."""
    return min(LARGEST_WAL, int(config.max_mb * 1e6 / 4))


def _shrink(db: sqlite3.Connection) -> None:
    for _ in range(db.execute("PRAGMA freelist_count").fetchone()[0]):
        db.execute("PRAGMA incremental_vacuum")  # one page: sqlite3 does not finish a statement without rows


def _used_bytes(db: sqlite3.Connection) -> float:
    pages, unused, size = (db.execute(f"PRAGMA {what}").fetchone()[0] for what in PAGES)
    return float((pages - unused) * size)


PAGES = ("page_count", "freelist_count", "page_size")


def minute_of(row: Row) -> Minute | None:
    """A row of `minutes`; None: it is damaged. Earlier versions wrote no checksums: then the content has to do."""
    try:
        minute = msgspec.json.decode(row[1], type=Minute)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, TypeError, UnicodeError, RecursionError):
        return None
    return minute if _whole(row, 2) and minute.begin_s == row[0] else None


def moment_of(row: Row) -> EventRow | None:
    """A row of `events`, likewise. Its numbers are real, also where the file's damaged schema does not say so."""
    row = tuple(float(value) if at in (0, 6) and isinstance(value, int) else value for at, value in enumerate(row))
    try:
        if not (_whole(row, 7) and isinstance(row[3], str)):
            return None
        kind, _, zone = row[3].partition(" ")
        return msgspec.convert((*row[:3], kind, *row[4:7], zone), type=EventRow)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _row(moment: EventRow) -> Row:
    """A row of `events`; numbers have the type that SQLite would give them, for the checksum."""
    # the zone stands behind the kind: the table, and the checksums of the rows that it has, stay as they were
    kind = f"{moment.kind} {moment.zone}".rstrip()
    return sealed(*moment._replace(at_s=float(moment.at_s), dwell_s=float(moment.dwell_s), kind=kind)[:7])


def _whole(row: Row, columns: int) -> bool:
    return len(row) == columns or row[columns] is None or intact(row)


class HistorySink:
    """Keeps the history. A failing disk is logged once and retried; it stops nothing else."""

    pictures = False

    def __init__(self, config: Config, identity: Identity, _control: Control) -> None:
        self._path = state_folder(config, identity.device_id) / HISTORY_FILE
        self._run_id, self._config = identity.boot_id, config.history
        self._history = HistoryTable(config.history)
        self._steps: Backlog[Step] = Backlog(QUEUE)
        self._worker = Worker("history", self._run)
        self._closing = Event()
        self._trouble = LastReason()

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
            log.warning("history: %s: %s", self._path.parent, error.strerror)  # the file reports more, repeatedly
        disk = SqliteFile(self._path, write_every_seconds=WRITE_SECONDS, wal_bytes=wal_bytes(self._config))
        self._history.damaged, maker = disk.damaged, MinuteMaker()
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
        if self._trouble.changes_to(trouble):
            log.warning("history: %s", trouble) if trouble else log.info("history: writing to disk works again")


def _stamped(minute: Minute | None) -> Minute | None:
    """Whether the clock is reliable is checked once a minute."""
    return minute and msgspec.structs.replace(minute, synced=clock_synced())


ALWAYS = 1e15  # seconds
MINUTES = "SELECT * FROM minutes WHERE begin_s >= ? AND begin_s < ? ORDER BY begin_s"
EVENTS = "SELECT * FROM events WHERE at_s >= ? AND at_s < ? ORDER BY at_s"


def read_history(path: Path, *, since_s: float, until_s: float) -> tuple[list[Minute], list[EventRow]]:
    """The minutes and events of a period; the daemon may be writing at the same time.

    Raises:
        ReportError: there is no history, or it cannot be read.

    """
    if not path.exists():
        raise ReportError(f"{path}: there is no history; set history.enabled: true, and let the daemon run for a while")
    try:
        with closing(sqlite3.connect(_uri(path), uri=True, timeout=5.0)) as db:
            db.text_factory = lenient_text
            period = (since_s, until_s)
            minutes = [minute_of(row) for row in readable(db, MINUTES, f"{MINUTES} DESC", period)]
            found = [moment_of(row) for row in readable(db, EVENTS, f"{EVENTS} DESC, rowid DESC", period)]
    except (sqlite3.Error, UnicodeError, MemoryError) as error:
        raise ReportError(f"{path}: cannot read the history: {error}; is it fer-edge's, and may you read it?") from None
    if damaged := minutes.count(None) + found.count(None):
        log.warning("%s: damaged rows, left out: %d; check the disk", path, damaged)
    return [minute for minute in minutes if minute], [moment for moment in found if moment]


def _uri(path: Path) -> str:
    """To read a history. SQLite makes files beside one that nobody has open, and where it cannot (a copy on a read-only
    disk) needs `immutable` (https://www.sqlite.org/wal.html, "Read-Only Databases")."""
    path = path.absolute()
    alone = not path.with_name(f"{path.name}-wal").exists() and not os.access(path.parent, os.W_OK, effective_ids=True)
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
