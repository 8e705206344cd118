"""Checksums of stored rows, and the handling of mismatches: SQLite has none for its pages, so it does not notice
a flipped bit in a row."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import zlib
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from fer_edge.runtime.count_text import counted

log = logging.getLogger(__name__)

Value = int | float | str | bytes | None
Row = tuple[Value, ...]

KEPT_ROWS = 100  # damaged rows that stay in the file for inspection
LOGGED_ROWS = 10  # of which this many get a line in the log; then only the count in `stats`


def checksum(*values: Value) -> int:
    """CRC-32 over values and their types."""
    crc = 0
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        crc = zlib.crc32(b"%s %d " % (type(value).__name__.encode(), len(data)) + data, crc)
    return crc


def sealed(*values: Value) -> Row:
    """A row with its checksum as the last column."""
    return *values, checksum(*values)


def intact(row: Row) -> bool:
    """Whether a row is what `sealed` made."""
    return row[-1] == checksum(*row[:-1])


def add_check_column(db: sqlite3.Connection, table: str) -> bool:
    """Give the table of an earlier version the column of checksums. True: it was missing."""
    columns = {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}
    if "crc" in columns:
        return False
    db.execute(f"ALTER TABLE {table} ADD COLUMN crc INTEGER")
    return True


def check_columns(db: sqlite3.Connection, statement: str, table: str) -> None:
    """Whether a table has the columns and types that `statement` makes: the file keeps that statement as text, and a
    flipped bit in it gives values other types. Raises sqlite3.DatabaseError where it has not."""
    with closing(sqlite3.connect(":memory:")) as model:
        model.execute(statement)
        asked = f"PRAGMA table_info({table})"
        if [row[1:3] for row in db.execute(asked)] == [row[1:3] for row in model.execute(asked)]:
            return
    error = sqlite3.DatabaseError(f"the columns of {table} are not what they were made as")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error


def lenient_text(data: bytes) -> str:
    """A text as it stands in the file, valid UTF-8 or not: the checksum judges it."""
    return data.decode("utf-8", "surrogateescape")


def readable(db: sqlite3.Connection, forward: str, backward: str, values: Sequence[Value] = ()) -> list[Row]:
    """The rows of a query; of a table that is damaged halfway those that can be read from its beginning and, by the
    query `backward`, from its end. Raises sqlite3.Error where that is none."""
    rows: list[Row] = []
    try:
        rows.extend(db.execute(forward, values))
    except (sqlite3.Error, UnicodeError, MemoryError):
        from_the_end: list[Row] = []
        with contextlib.suppress(sqlite3.Error, UnicodeError, MemoryError):
            from_the_end.extend(db.execute(backward, values))
        known = set(rows)
        rows += [row for row in reversed(from_the_end) if row not in known]
        if not rows:
            raise
    return rows


class DamagedRows:
    """Rows that were set aside: counted, named in the log, kept in a table of their own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[int] = set()
        self._unwritten: deque[tuple[str, str]] = deque(maxlen=KEPT_ROWS)
        self.count = 0

    def add(self, table: str, row: Row) -> bool:
        """Note a damaged row. False: it was noted before."""
        name = checksum(table, *row)
        if name in self._seen:
            return False
        self._seen.add(name)
        self._unwritten.append((table, ascii(row)))
        self.count += 1
        if self.count <= LOGGED_ROWS:
            more = "; more of them are counted only" if self.count == LOGGED_ROWS else ""
            key = ascii(row[:-2])[:100]  # without what it says and the checksum
            log.warning("%s: a row of %s is damaged and set aside: %s%s", self._path, table, key, more)
        return True

    def write(self, db: sqlite3.Connection) -> None:
        """Keep what was set aside in the file."""
        if not self._unwritten:
            return
        db.execute("CREATE TABLE IF NOT EXISTS damaged_rows (source TEXT, content TEXT)")
        db.executemany("INSERT INTO damaged_rows VALUES (?, ?)", self._unwritten)
        db.execute("DELETE FROM damaged_rows WHERE rowid <= (SELECT max(rowid) FROM damaged_rows) - ?", (KEPT_ROWS,))

    def written(self) -> None:
        """What `write` did has been committed."""
        self._unwritten.clear()

    def in_words(self) -> str | None:
        """For the figures."""
        if not self.count:
            return None
        rows = counted(self.count, "damaged row")
        return f"{self._path}: {rows} set aside since the start; the rest is in order; check the SD card"
