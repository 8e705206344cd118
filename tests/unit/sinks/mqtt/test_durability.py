"""What the disk knows when something is sent, and what is sent when the disk fails or its files are taken away."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from fer_edge.config import Config
from fer_edge.config import Outbox as OutboxConfig
from fer_edge.contract.encode import event_payload
from fer_edge.contract.payloads import EventPayload
from fer_edge.records import EventType
from fer_edge.sinks import sqlite_file
from fer_edge.sinks.mqtt import event_copy
from fer_edge.sinks.mqtt import outbox as outbox_module
from fer_edge.sinks.mqtt.connection import Connection
from fer_edge.sinks.mqtt.delivery import Delivery, Store
from fer_edge.sinks.mqtt.limits import Limits, Message
from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.mqtt.outgoing import Outgoing
from fer_edge.sinks.sqlite_file import SqliteFile
from tests.support.face_events import IDENTITY, face_event
from tests.support.outbox_helpers import connection, on_disk, opened, put, remove, retry, seqs, well
from tests.support.sink_helpers import logged

CONFIG = Config(outbox=OutboxConfig(write_every_seconds=0.01))
START, UPDATE, END = EventType.START, EventType.UPDATE, EventType.END


def payload_of(seq: int, kind: EventType, *, track_id: int = 1, **changes: Any) -> EventPayload:
    event = face_event(seq, track_id=track_id, event_type=kind, mono_ns=seq * 10**9, **changes)
    return msgspec.structs.replace(event_payload(event, IDENTITY), ts=f"2026-01-01T00:00:{seq:02}.000Z")


class Wire:
    """Takes the place of a link; calls `look` with each event before it is on its way."""

    window, busy, limits = 20, True, Limits()

    def __init__(self, look: Callable[[EventPayload], None]) -> None:
        self.look, self.sent = look, 0

    def publish(self, message: Message) -> int:
        self.look(msgspec.json.decode(message.payload, type=EventPayload))
        self.sent += 1
        return self.sent

    def acknowledges(self, _: Message) -> bool:
        return True


def test_a_face_and_its_events_are_on_the_disk_before_they_are_sent(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(event: EventPayload) -> None:
        with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as db:
            rows = db.execute("SELECT payload FROM open_faces WHERE track_id = ?", (event.track_id,)).fetchall()
            last = [msgspec.json.decode(row[0], type=EventPayload).seq for row in rows]
            waiting = db.execute("SELECT count(*) FROM events WHERE seq = ?", (event.seq,)).fetchone()[0]
        assert last == ([] if event.event_type == "end" else [event.seq])
        assert waiting == 1
        seen.append(event.seq)

    outgoing = Outgoing()
    store = Store(outgoing, CONFIG, tmp_path)
    store.open()
    delivery, wire = Delivery(outgoing, store.outbox, event=Message("event", b""), replay_per_second=1000), Wire(look)
    for seq, kind in enumerate((START, UPDATE, UPDATE, END), 1):
        outgoing.events.put(payload_of(seq, kind))
        while len(seen) < seq:
            store.keep()
            delivery.send(cast(Connection, wire))
        delivery.acknowledge(wire.sent, None)
    store.close("nobody")


def kill(store: Store) -> None:
    """As kill -9."""
    connection(store.outbox).close()


def test_the_end_after_a_crash_has_the_newest_time_and_stay(tmp_path: Path) -> None:
    outgoing = Outgoing()
    store = Store(outgoing, CONFIG, tmp_path)
    store.open()
    outgoing.events.put(payload_of(1, START, dwell_s=0.2))
    for seq in (2, 3):  # heartbeats
        outgoing.events.put(payload_of(seq, UPDATE, dwell_s=10.0 * seq, previous="happiness"))
    store.keep()
    assert [entry.seq for entry in store.outbox.sendable(10)] == [1, 2, 3]
    kill(store)
    later = Store(Outgoing(), CONFIG, tmp_path)
    later.open()
    end = msgspec.json.decode(later.outbox.oldest(10)[-1].payload, type=EventPayload)
    assert (end.event_type, end.ts, end.dwell_s) == ("end", "2026-01-01T00:00:03.000Z", 30.0)
    later.close("nobody")


def test_ends_after_a_crash_are_told_once_whenever_the_next_start_is_killed(tmp_path: Path) -> None:
    outgoing = Outgoing()
    store = Store(outgoing, Config(outbox=OutboxConfig(write_every_seconds=0)), tmp_path)
    store.open()
    for seq in (1, 2, 3):
        outgoing.events.put(payload_of(seq, START, track_id=seq))
    store.keep()
    kill(store)
    for _ in range(3):
        again = Store(Outgoing(), CONFIG, tmp_path)
        again.open()
        ends = [entry.seq for entry in again.outbox.oldest(10) if b'"end"' in entry.payload]
        assert len(ends) == len(set(ends)) == 3
        kill(again)


def test_a_clean_stop_is_no_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outgoing = Outgoing()
    store = Store(outgoing, Config(), tmp_path)
    store.open()
    outgoing.events.put(payload_of(1, START))
    outgoing.events.put(payload_of(2, END))
    store.close("nobody")
    again = Store(Outgoing(), Config(), tmp_path)
    again.open()
    assert [entry.seq for entry in again.outbox.oldest(10)] == [1, 2]
    assert logged(caplog, "crashed") == 0
    again.close("nobody")


def test_a_disk_that_turns_read_only_is_read_on_and_order_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 5)
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_file, "PRAGMAS", (*sqlite_file.PRAGMAS, "query_only=ON"))
            connection(outbox).execute("PRAGMA query_only=ON")  # root may write everywhere, so SQLite has to refuse
            put(outbox, 6, 8)
            assert "readonly" in str(outbox.trouble)
            retry(outbox)
            assert not well(outbox)
            assert [entry.seq for entry in outbox.sendable(100)] == list(range(1, 9))
            remove(outbox, 1, 2, 7)
            assert (seqs(outbox), len(outbox), outbox.dropped) == ([3, 4, 5, 6, 8], 5, 0)
        retry(outbox)
        assert well(outbox)
        assert on_disk(path) == [3, 4, 5, 6, 8]


class Broken:
    """A connection to a disk that has failed."""

    def execute(self, *_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...


def break_disk(outbox: Outbox, patch: pytest.MonkeyPatch) -> None:
    def refuse(_self: SqliteFile) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    patch.setattr(SqliteFile, "_connect", refuse)
    connection(outbox).close()
    outbox.disk._db = cast(sqlite3.Connection, Broken())  # sqlite3 cannot be made to fail there


def test_where_nothing_can_be_read_the_copy_in_memory_is_sent_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 50)
    with opened(path, write_every_seconds=0) as outbox:
        with monkeypatch.context() as patch:
            break_disk(outbox, patch)
            put(outbox, 51, 60)
            retry(outbox)
            assert [entry.seq for entry in outbox.sendable(100)] == list(range(1, 61))
            remove(outbox, 1, 2, 55)
            assert (len(outbox), outbox.dropped) == (57, 0)
            assert "Input/output error" in str(outbox.trouble)
        retry(outbox)
        assert well(outbox)
        assert on_disk(path) == seqs(outbox) == [seq for seq in range(3, 61) if seq != 55]


def test_after_a_restart_a_disk_that_is_well_again_gives_its_events_again_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged while the disk had failed could not be noted there: it comes twice, under its numbers."""
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 20)
    with monkeypatch.context() as patch, opened(path, write_every_seconds=0) as outbox:
        break_disk(outbox, patch)
        put(outbox, 21, 25)
        retry(outbox)
        assert [entry.seq for entry in outbox.sendable(100)] == list(range(1, 26))
        remove(outbox, *range(1, 11))
        assert "are lost at a restart" in str(outbox.trouble)
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 26, 27)
        assert [entry.seq for entry in outbox.sendable(100)] == [*range(1, 21), 26, 27]
        assert (well(outbox), outbox.dropped) == (True, 0)
        remove(outbox, *range(1, 21), 26, 27)
    with opened(path, write_every_seconds=0) as outbox:
        assert seqs(outbox) == [], "and never a third time"


def test_what_is_neither_readable_nor_in_memory_is_said_waited_for_and_then_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_copy, "COPY_EVENTS", 10)
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 50)
        with monkeypatch.context() as patch:
            break_disk(outbox, patch)
            put(outbox, 51, 52)
            assert outbox.sendable(100) == [], "it may come back soon, and order would be lost"
            assert (len(outbox), outbox.dropped) == (52, 0)
            assert str(outbox.trouble).endswith("; 40 events that wait there cannot be read now")
            patch.setattr(outbox_module, "RETRY_SECONDS", 0.0)
            assert [entry.seq for entry in outbox.sendable(100)] == list(range(41, 53))
            assert (len(outbox), outbox.dropped) == (12, 40)
        retry(outbox)
        assert on_disk(path) == list(range(41, 53)), "the older ones would come behind newer ones now"
        assert outbox.dropped == 40


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def remove_file(path: Path) -> None:
    path.unlink()


def remove_wal(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def put_older_file_there(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(path.with_name("older"), path)


@pytest.mark.parametrize("take_away", [remove_folder, remove_file, remove_wal, put_older_file_there])
def test_files_that_are_taken_away_under_way_are_made_anew(
    tmp_path: Path, take_away: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state" / "outbox.db"
    path.parent.mkdir()
    with opened(path) as outbox:
        put(outbox, 2, 2)
    shutil.copy(path, path.with_name("older"))
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 3, 60)
        in_flight = outbox.oldest(2)
        take_away(path)
        put(outbox, 61, 63)
        assert logged(caplog, "was deleted, moved or replaced while in use") == 1
        assert well(outbox)
        assert on_disk(path) == seqs(outbox) == list(range(2, 64))
        outbox.remove([entry.id for entry in in_flight])
        assert outbox.dropped == 0
    assert on_disk(path) == list(range(4, 64))
