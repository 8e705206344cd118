"""An SQLite file that is written in batches, may fail, and recovers."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from fer_edge.runtime.atomic_file import sync_folder
from fer_edge.sinks.checked_rows import DamagedRows, lenient_text

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 60.0  # how long a failed disk is not retried
WAL_BYTES = 4_194_304
PRAGMAS = (
    "auto_vacuum=INCREMENTAL",  # first, for it is fixed with the first page
    "journal_mode=WAL",
    # NORMAL would not corrupt the file either, but it syncs at checkpoints only: a power cut could take hours of
    # events. FULL syncs once a batch.
    "synchronous=FULL",
    "secure_delete=FAST",  # some systems would write every page of deleted events once more, with zeros
)

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
STRANGE = (*DAMAGED, sqlite3.SQLITE_ERROR)  # while it is opened, SQLITE_ERROR means that its tables are not ours


# what the sqlite3 module makes of damaged names, messages and lengths
MALFORMED = (UnicodeError, MemoryError, OverflowError)
FAULTS = (sqlite3.Error, OSError, *MALFORMED)


class Table(Protocol):
    """An owner of a table in the file, which holds in memory what is not written yet. `attach` and `write` run in a
    transaction that may be rolled back: only `written` means that it was committed."""

    def attach(self, db: sqlite3.Connection) -> None:
        """Make the table where there is none, and read what stands in it."""

    def write(self, db: sqlite3.Connection) -> None:
        """Bring the table up to date."""

    def written(self) -> None:
        """What `write` did has been committed."""

    def rescue(self, db: sqlite3.Connection, *, damaged: bool) -> None:
        """The file is damaged, or was removed: hold in memory what can still be read of it, to rewrite it."""

    def detach(self, *, lost: bool) -> None:
        """The file cannot be read, for now or (lost) for good."""

    def waiting_since(self) -> float | None:
        """Since when (monotonic seconds) the oldest change waits to be written; None: there is none."""


class SqliteFile:
    """One SQLite file that may fail, disappear and recover. It never raises: errors are in `trouble`.

    A file that cannot be written is read for as long as that goes. One that was deleted, moved or replaced while in use
    is noticed before the next write; a new one then gets what waits.
    """

    def __init__(self, path: Path, *, write_every_seconds: float, wal_bytes: int = WAL_BYTES) -> None:
        """Opens the file when the first part is added; never raises. `wal_bytes`: at most about so large is the file
        beside it, in which SQLite gathers changes."""
        self._path, self.write_every_seconds, self._wal_bytes = path, write_every_seconds, wal_bytes
        self._parts: list[Table] = []
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, ...] = ()  # of the file and its WAL; empty: none was open yet
        self._trouble: str | None = None  # now
        self._damage: str | None = None  # since the start
        self._retry_at = 0.0  # monotonic seconds
        self._gathering = False
        self.damaged = DamagedRows(path)

    @property
    def trouble(self) -> str | None:
        """What is wrong, where, and what to do, in one line; None: nothing. That a damaged file was moved
        aside, or rows of it, is reported until the end of the process, for the card may be failing."""
        return self._trouble or self._damage or self.damaged.in_words()

    @property
    def failing(self) -> bool:
        """Whether new data cannot be stored."""
        return self._trouble is not None

    def add(self, part: Table) -> None:
        """Add a part with its table."""
        self._parts.append(part)
        self._open([part]) if self._db else self._open(self._parts)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T | None:
        """The answer to a query; None: the file cannot be read."""
        try:
            return query(self._db) if self._db else None
        except FAULTS as error:
            self._fail(error, reading=True)
            return None

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """All changes of the block go into one transaction: in it `tick` writes nothing."""
        self._gathering = True
        try:
            yield
        finally:
            self._gathering = False

    def tick(self, now: float) -> None:
        """Write what has waited long enough, or try a disk that refused again; `now`: monotonic time in seconds."""
        times = [since for part in self._parts if (since := part.waiting_since()) is not None]
        due = min(times, default=float("inf")) + self.write_every_seconds
        if now >= (self._retry_at if self._trouble else due) and not self._gathering:
            self.flush()

    def flush(self) -> bool:
        """Write what waits, now. False: it could not be written."""
        waits = any(part.waiting_since() is not None for part in self._parts)
        if self._replaced():
            self._start_anew()
        elif not (waits or self._trouble or self._db is None):
            return True
        if self._db is None or self._trouble:
            return self._open(self._parts)
        return self._commit(self._parts, self._db)

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        self._detach()

    def _open(self, parts: Sequence[Table]) -> bool:
        """Open the file, or a new one where it is damaged. While that fails, one that is open is read."""
        damage, done = self._damage, self._connected(parts)
        return done if self._damage == damage else self._connected(self._parts)

    def _connected(self, parts: Sequence[Table]) -> bool:
        try:
            db = self._connect() if self._db is None or self._trouble else self._db
        except FAULTS as error:
            self._fail(error, attaching=self._db is None)
            return False
        return db is not None and self._commit(parts, db, attach=True)

    def _commit(self, parts: Sequence[Table], db: sqlite3.Connection, *, attach: bool = False) -> bool:
        try:
            with db:
                db.execute("BEGIN IMMEDIATE")
                for part in parts:
                    if attach:
                        part.attach(db)
                    part.write(db)
                self.damaged.write(db)
        except FAULTS as error:
            self._fail(error, attaching=attach, db=db)
            return False
        self._trouble = None
        self._take(db)
        self.damaged.written()
        for part in parts:
            part.written()
        return True

    def _take(self, db: sqlite3.Connection) -> None:
        """Something was written: from now on this is the file."""
        if db is not self._db:
            self._close_connection()
            self._db = db
        with contextlib.suppress(sqlite3.Error, OSError):
            if self._wal().stat().st_size > self._wal_bytes:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._identity = self._identify()

    def _connect(self) -> sqlite3.Connection | None:
        """A new connection; None: there is none, and why stands in `trouble`."""
        if self._identity:  # it was there, so its folder may be made again
            self._path.parent.mkdir(parents=True, exist_ok=True)
        new = not self._path.exists()
        # SQLite gives less of a reason why a file cannot be opened, and would let everybody read a new one
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        if new:
            sync_folder(self._path.parent)
        # made in one thread and used in another, never in two at a time; the timeout is for people who look into it
        db = sqlite3.connect(self._path, timeout=1.0, isolation_level=None, check_same_thread=False)
        db.text_factory = lenient_text
        try:
            for pragma in (*PRAGMAS, f"journal_size_limit={self._wal_bytes}"):
                db.execute(f"PRAGMA {pragma}")
            _verify(db)
        except FAULTS as error:
            self._fail(error, attaching=True, db=db)
            return None
        return db

    def _wal(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def _identify(self) -> tuple[int, ...]:
        """Which files these are; empty: one is not there."""
        try:
            found = (self._path.stat(), self._wal().stat())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError:  # a disk that fails proves nothing about it
            return self._identity
        return tuple(number for status in found for number in (status.st_dev, status.st_ino))

    def _replaced(self) -> bool:
        """Whether what is open is not what stands under the file's name any more."""
        return self._db is not None and bool(self._identity) and self._identify() != self._identity

    def _start_anew(self) -> None:
        """The file that is open was deleted, moved or replaced: read it once more, then let go of it."""
        log.warning(
            "%s was deleted, moved or replaced while in use; it is created again with what is pending", self._path
        )
        self._rescue(self._db, damaged=False)
        self._detach()
        if not os.path.exists(self._path):  # changes of a file that is gone are nothing to a new one
            with contextlib.suppress(OSError):
                self._wal().unlink(missing_ok=True)

    def _close_connection(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _detach(self, *, lost: bool = False) -> None:
        self._close_connection()
        for part in self._parts:
            part.detach(lost=lost)

    def _fail(
        self,
        error: Exception,
        *,
        attaching: bool = False,
        reading: bool = False,
        db: sqlite3.Connection | None = None,
    ) -> None:
        """Note what is wrong; close a file that is damaged, or cannot be read."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        code, reason = _named(error)
        if code in (STRANGE if attaching else DAMAGED):
            reason = self._give_up(reason, db or self._db)
        elif reading and code != sqlite3.SQLITE_BUSY:
            self._detach()
        if db is not None and db is not self._db:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        advice = "free space there" if code == sqlite3.SQLITE_FULL else "check state.folder, its owner and its disk"
        what = f"{reason}; events are kept in memory and are lost at a restart; {advice}"
        self._trouble = f"{self._path}: {what}; trying again every {RETRY_SECONDS:g} s"

    def _rescue(self, db: sqlite3.Connection | None, *, damaged: bool) -> None:
        for part in self._parts if db else ():
            with contextlib.suppress(*FAULTS):
                part.rescue(db, damaged=damaged)  # type: ignore[arg-type]  # it is not None here

    def _give_up(self, reason: str, db: sqlite3.Connection | None) -> str:
        """Recover what can be read of a damaged file, and move it aside. Returns the reason."""
        self._rescue(db, damaged=True)
        if db is not None and db is not self._db:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        self._detach(lost=True)
        return self._move_aside(reason)

    def _move_aside(self, reason: str) -> str:
        """Rename the damaged file, so that the next attempt makes a new one; older ones go. Returns the reason."""
        try:
            older = list(self._path.parent.glob(f"{self._path.name}.corrupt-*"))
            numbers = [int(tail) for file in older if (tail := file.name.rpartition("-")[2]).isdecimal()]
            target = self._path.with_name(f"{self._path.name}.corrupt-{max(numbers, default=0) + 1}")
            for suffix in ("-wal", "-shm"):  # first: a new file must not meet the changes of the old one
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._path.replace(target)
            for file in older:
                file.unlink()
        except OSError as error:
            return f"{reason}, and the file cannot be moved aside: {error.strerror}"
        what = "what could not be read is lost; check the SD card"
        self._damage = f"{self._path}: {reason}; it is now {target.name}, {what}"
        return reason


def _named(error: Exception) -> tuple[int, str]:
    """SQLite's code of an error, and its reason in words."""
    if isinstance(error, OSError):
        return 0, error.strerror or str(error)
    if isinstance(error, MALFORMED):
        return sqlite3.SQLITE_CORRUPT, "database schema or row is malformed"
    return getattr(error, "sqlite_errorcode", 0) & 0xFF, str(error)  # the rest of the code are details


def _verify(db: sqlite3.Connection) -> None:
    """SQLite may read around a fault for long, and then write into it. Raises sqlite3.Error where there is one."""
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        error = sqlite3.DatabaseError(str(found).splitlines()[-1])
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, index, *_ in db.execute(f"PRAGMA index_list({quoted(table)})").fetchall():
            _mend_index(db, table, index)


def _mend_index(db: sqlite3.Connection, table: str, index: str) -> None:
    """Rebuild an index that does not match its table: SQLite's check accepts what it takes for NULL."""
    columns = [quoted(name) for _, _, name in db.execute(f"PRAGMA index_info({quoted(index)})")]
    sums = ", ".join(["count(*)", *(f"count({name}), total({name})" for name in columns)])
    own, true = (
        db.execute(f"SELECT {sums} FROM {quoted(table)} {how}").fetchone()  # noqa: S608 - names of our own tables
        for how in (f"INDEXED BY {quoted(index)}", "NOT INDEXED")
    )
    if own != true:
        log.warning("index %s is damaged and is rebuilt", index)
        db.execute(f"REINDEX {quoted(index)}")


def quoted(name: str) -> str:
    """A name of SQL as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


class NoFile(SqliteFile):
    """No file, by choice: everything stays in memory, which is no error."""

    def __init__(self) -> None:
        super().__init__(Path(), write_every_seconds=0.0)

    @property
    def failing(self) -> bool:
        """See `SqliteFile.failing`."""
        return True

    def _open(self, _parts: Sequence[Table]) -> bool:
        return False
