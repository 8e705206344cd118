"""What the tests of the outbox share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

from fer_edge.sinks import sqlite_file as module
from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.sqlite_file import SqliteFile

NEVER = 3600.0  # seconds: nothing is written unless it is asked for
BOOT = "boot-1"


@contextmanager
def opened(path: Path, *, max_events: int = 1000, write_every_seconds: float = NEVER) -> Iterator[Outbox]:
    outbox = Outbox(SqliteFile(path, write_every_seconds=write_every_seconds), max_events=max_events)
    try:
        yield outbox
    finally:
        outbox.close()


def put(outbox: Outbox, first: int, last: int, *, size: int = 20) -> None:
    for seq in range(first, last + 1):
        assert outbox.put(BOOT, seq, b"%d" % seq + b" " * size)


def seqs(outbox: Outbox, count: int = 100_000, after: int = 0) -> list[int]:
    """The sequence numbers that wait, oldest first; every payload must be its own."""
    entries = outbox.oldest(count, after)
    assert [int(entry.payload) for entry in entries] == [entry.seq for entry in entries]
    assert all(left.id < right.id for left, right in pairwise(entries))
    return [entry.seq for entry in entries]


def remove(outbox: Outbox, *numbers: int) -> None:
    outbox.remove([entry.id for entry in outbox.oldest(100_000) if entry.seq in numbers])


def on_disk(path: Path) -> list[int]:
    """What another program sees in the file."""
    with closing(sqlite3.connect(path)) as db:
        return [seq for (seq,) in db.execute("SELECT seq FROM events ORDER BY id")]


def connection(outbox: Outbox) -> sqlite3.Connection:
    connection = outbox.disk._db  # to damage what no caller can
    assert connection is not None
    return connection


def die(outbox: Outbox) -> None:
    """What was not committed is gone, as after kill -9."""
    connection(outbox).close()


def well(outbox: Outbox) -> bool:
    return outbox.trouble is None


def later(seconds: float) -> float:
    return time.monotonic() + seconds


def retry(outbox: Outbox) -> None:
    """The time to try the disk again has come."""
    outbox.tick(later(module.RETRY_SECONDS + 1))
