"""Stored files that a bad card has damaged: nothing of it stops the daemon, and what is sound arrives."""

from __future__ import annotations

import logging
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec
import pytest

from fer_edge.commands.analyze.checkpoint import Checkpoint, CheckpointWriter, Origin
from fer_edge.commands.analyze.checkpoint import load as load_checkpoint
from fer_edge.commands.analyze.tally import Tally
from fer_edge.contract.payloads import EventPayload
from fer_edge.errors import SinkError
from fer_edge.pipeline import PipelineSnapshot
from fer_edge.sinks.history import read_history
from fer_edge.sinks.mqtt.replay import replayed
from fer_edge.tracking.events import EventsSnapshot
from fer_edge.tracking.tracker import TrackerSnapshot
from fer_edge.vision.schedule import ScheduleSnapshot
from tests.support.damage import (
    BEGIN_S,
    EVENTS,
    KINDS,
    MINUTES,
    attack,
    check_history,
    damage,
    make_history,
    make_outbox,
    store_in,
)
from tests.support.sink_helpers import logged


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_damaged_the_daemon_starts_and_what_is_sound_arrives(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path / kind, count=60, seed=7) == []


def test_a_flipped_bit_in_a_waiting_event_costs_that_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_outbox(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.rindex(b'"seq":3,') + 1] ^= 0x80
    path.write_bytes(content)
    for start in (1, 2):
        store, _ = store_in(tmp_path)
        store.open()
        entries = store.outbox.oldest(EVENTS)
        assert [entry.seq for entry in entries[: EVENTS - 1]] == [1, 2, *range(4, EVENTS + 1)]
        assert all(msgspec.json.decode(replayed(entry.payload), type=EventPayload) for entry in entries)
        queue, dropped, trouble = store.figures()
        if start == 1:
            assert (queue, dropped) == (len(entries), 1) or dropped == 1
            assert "1 damaged row set aside since the start" in str(trouble)
            assert "\n" not in str(trouble)
        else:
            assert (dropped, trouble) == (0, None)
        store.outbox.close()
    assert logged(caplog, "a row of events is damaged and set aside: (3, 'boot-1', 3)") == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT source FROM damaged_rows").fetchall() == [("events",)]


def test_a_damaged_open_face_costs_its_end_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_outbox(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE open_faces SET boot_id = CAST(x'ff' AS TEXT) WHERE track_id = 1")
        db.execute("UPDATE open_faces SET payload = '[1]' WHERE track_id = 2")
    store, _ = store_in(tmp_path)
    store.open()
    ends = [entry for entry in store.outbox.oldest(100) if b'"event_type":"end"' in entry.payload]
    assert len(ends) == 4
    assert logged(caplog, "a row of open_faces is damaged") == 2
    store.outbox.close()


def test_files_of_earlier_versions_keep_their_rows(tmp_path: Path) -> None:
    path = make_outbox(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for table in ("events", "open_faces"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN crc")
        db.execute("UPDATE events SET payload = x'80' WHERE seq = 5")  # damaged already
    store, _ = store_in(tmp_path)
    store.open()
    found = [entry.seq for entry in store.outbox.oldest(100)]
    assert found[: EVENTS - 1] == [seq for seq in range(1, EVENTS + 1) if seq != 5]
    assert len(found) == EVENTS - 1 + 6, "and the ends of the faces that were open"
    store.outbox.close()


def test_a_history_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path = make_history(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for table in ("minutes", "events"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN crc")
        db.execute("UPDATE minutes SET body = '{' WHERE begin_s = ?", (BEGIN_S,))
    minutes, moments = read_history(path, since_s=0, until_s=2e9)
    assert (len(minutes), len(moments)) == (MINUTES - 1, MINUTES)
    check_history(path)
    assert len(read_history(path, since_s=0, until_s=2e9)[1]) == 2 * MINUTES + 1


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    origin = Origin(software="s", configuration="c", models="m", sources="s", options="o")
    memory = PipelineSnapshot((64, 48), ScheduleSnapshot(1, None, 0), TrackerSnapshot((), 3), EventsSnapshot((), 9))
    tally = Tally(20, 0, 3, 4, 1)
    made = Checkpoint(
        origin=origin, source=1, frame=20, now_ns=5, failed=0, tally=tally, memory=memory, outputs={"x": b"12"}
    )
    path = tmp_path / "out.resume"
    CheckpointWriter(path, every_seconds=0).keep(made, begun=None)
    sound = path.read_bytes()
    assert load_checkpoint(path, origin) == made
    for number in range(500):
        path.write_bytes(sound)
        damage(path, Random(number))
        if path.read_bytes() != sound:
            with pytest.raises(SinkError, match=r"out\.resume: cannot be read \(its checksum"):
                load_checkpoint(path, origin)


def test_a_flipped_bit_in_the_schema_costs_no_row(tmp_path: Path) -> None:
    """SQLite keeps the statement that made a table as text: REAL, SEAL, and numbers come back as other types."""
    path = make_history(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"at_s REAL NOT NULL", b"at_s SEAL NOT NULL"))
    check_history(path)
    assert len(read_history(path, since_s=0, until_s=2e9)[1]) == 2 * MINUTES + 1


def test_a_flipped_bit_in_the_schema_of_waiting_events(tmp_path: Path) -> None:
    path = make_outbox(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"payload BLOB", b"payload BMOB"))
    store, _ = store_in(tmp_path)
    store.open()
    assert [entry.seq for entry in store.outbox.oldest(EVENTS)] == list(range(1, EVENTS + 1))
    store.outbox.close()
    assert list(tmp_path.glob("outbox.sqlite.corrupt-1"))


def test_an_index_with_what_is_no_number_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_history(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), "all of it is in this file"
        at_s = db.execute("SELECT max(at_s) FROM events").fetchone()[0]
    content, key = bytearray(path.read_bytes()), b"\x07\x01" + struct.pack(">d", at_s)  # types of two columns first
    at = content.rindex(key) + 2
    content[at : at + 2] = b"\xff\xff"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "SQLite does not see it"
    check_history(path)
    assert logged(caplog, "index events_by_time is damaged and is rebuilt") == 1, caplog.text
