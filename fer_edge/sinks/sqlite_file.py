"""An SQLite file that is written in batches, may fail, and comes back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")

RETRY_SECONDS = 60.0  # how long a disk that refused is left alone
PRAGMAS = (
    "auto_vacuum=INCREMENTAL",  # first, for it is fixed with the first page
    "journal_mode=WAL",
    # NORMAL would not corrupt the file either, but it syncs at checkpoints only: a power cut could take hours of
    # events. FULL syncs once a batch; events are in none while the broker acknowledges in time.
    "synchronous=FULL",
    "journal_size_limit=4194304",  # bytes: a large batch leaves no large WAL behind
    "secure_delete=FAST",  # some systems would write every page of deleted events once more, with zeros
)

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
STRANGE = (*DAMAGED, sqlite3.SQLITE_ERROR)  # while it is opened, SQLITE_ERROR means that its tables are not ours
READABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)  # it can be read, but not be written now


class Table(Protocol):
    """Somebody with a table in the file, who holds in memory what is not written yet. `attach` and `write` run in a
    transaction that may be rolled back: only `written` says that it was committed."""

    def attach(self, db: sqlite3.Connection) -> None:
        """Make the table where there is none, and read what stands in it."""

    def write(self, db: sqlite3.Connection) -> None:
        """Bring the table up to date."""

    def written(self) -> None:
        """What `write` did has been committed."""

    def detach(self, *, lost: bool) -> None:
        """The file cannot be read, for now or (lost) for good."""

    def waiting_since(self) -> float | None:
        """Since when (monotonic seconds) the oldest change waits to be written; None: there is none."""


class SqliteFile:
    """One SQLite file that may fail, be away and come back. Errors never leave it: they stand in `trouble`."""

    def __init__(self, path: Path, *, write_every_seconds: float) -> None:
        """Opens the file when the first part is added; never raises."""
        self._path, self._write_every_seconds = path, write_every_seconds
        self._parts: list[Table] = []
        self._db: sqlite3.Connection | None = None
        self._trouble: str | None = None  # now
        self._damage: str | None = None  # since the start
        self._retry_at = 0.0  # monotonic seconds

    @property
    def trouble(self) -> str | None:
        """What is wrong, where, and what to do, in one line; None: all is well. That a damaged file was moved
        aside is said until the end of the process, for the card may be dying."""
        return self._trouble or self._damage

    def add(self, part: Table) -> None:
        """Give somebody a table."""
        self._parts.append(part)
        self._open(self._parts if self._db is None else [part])

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T | None:
        """The answer to a query; None: the file cannot be read."""
        try:
            return query(self._db) if self._db else None
        except sqlite3.Error as error:
            self._fail(error)
            return None

    def tick(self, now: float) -> None:
        """Write what has waited long enough, or try a disk that refused again; `now`: monotonic time in seconds."""
        times = [since for part in self._parts if (since := part.waiting_since()) is not None]
        due = min(times, default=float("inf")) + self._write_every_seconds
        if now >= (self._retry_at if self._trouble else due):
            self.flush()

    def flush(self) -> bool:
        """Write what waits, now. False: it could not be written."""
        if self._db is None:
            return self._open(self._parts)
        waits = any(part.waiting_since() is not None for part in self._parts)
        return self._commit(self._parts) if waits or self._trouble else True

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        self._detach()

    def _open(self, parts: Sequence[Table]) -> bool:
        """Open the file, or a new one where it turns out to be damaged."""
        damage, done = self._damage, self._commit(parts, attach=True)
        return done if self._damage == damage else self._commit(self._parts, attach=True)

    def _commit(self, parts: Sequence[Table], *, attach: bool = False) -> bool:
        try:
            db = self._db or self._connect()
            with db:
                db.execute("BEGIN IMMEDIATE")
                for part in parts:
                    if attach:
                        part.attach(db)
                    part.write(db)
        except (sqlite3.Error, OSError) as error:
            self._fail(error, attached=not attach)
            return False
        self._trouble = None
        for part in parts:
            part.written()
        return True

    def _connect(self) -> sqlite3.Connection:
        # SQLite says less about why a file cannot be opened, and would let everybody read a new one
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        # made in one thread and used in another, never in two at a time; the timeout is for people who look into it
        self._db = sqlite3.connect(self._path, timeout=1.0, isolation_level=None, check_same_thread=False)
        for pragma in PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        return self._db

    def _detach(self, *, lost: bool = False) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        for part in self._parts:
            part.detach(lost=lost)

    def _fail(self, error: sqlite3.Error | OSError, *, attached: bool = True) -> None:
        """Note what is wrong; let go of the file, unless it is attached and can still be read."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it are details
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if code in (DAMAGED if attached else STRANGE):
            self._detach(lost=True)
            reason = self._move_aside(reason)
        elif not attached or code not in READABLE:
            self._detach()
        advice = "free space there" if code == sqlite3.SQLITE_FULL else "check state.folder, its owner and its disk"
        what = f"{reason}; events wait in memory, and a restart loses them; {advice}"
        self._trouble = f"{self._path}: {what}; trying again every {RETRY_SECONDS:g} s"

    def _move_aside(self, reason: str) -> str:
        """Rename the damaged file, so that the next attempt makes a new one; older ones go. The reason to tell."""
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
        self._damage = f"{self._path}: {reason}; it is now {target.name}, its events are lost; check the SD card"
        return reason


class NoFile(SqliteFile):
    """No file, by choice: everything stays in memory, and that is no trouble."""

    def __init__(self) -> None:
        super().__init__(Path(), write_every_seconds=0.0)

    def _open(self, _parts: Sequence[Table]) -> bool:
        return False
