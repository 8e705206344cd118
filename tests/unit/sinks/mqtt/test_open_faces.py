"""sinks/openids.py: the faces that a crash leaves open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fer_edge.contract.encode import event_payload
from fer_edge.contract.payloads import EventPayload
from fer_edge.records import EventType
from fer_edge.sinks.checked_rows import sealed
from fer_edge.sinks.mqtt.open_faces import OpenFaces
from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.sqlite_file import SqliteFile
from tests.support.face_events import IDENTITY, face_event
from tests.support.outbox_helpers import NEVER, connection, die, later, on_disk, opened, put, retry, seqs, well


def face(track_id: int, event_type: EventType, seq: int = 1, **changes: Any) -> EventPayload:
    return event_payload(face_event(seq, track_id=track_id, event_type=event_type, **changes), IDENTITY)


def faces_on_disk(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [track for (track,) in db.execute("SELECT track_id FROM open_faces ORDER BY rowid")]


def test_faces_that_a_crash_left_open_are_known_after_it(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(SqliteFile(path, write_every_seconds=NEVER), max_events=10)
    faces = OpenFaces(outbox.disk)
    for track_id in (3, 2, 1):
        faces.note(face(track_id, EventType.START))
    last = face(3, EventType.UPDATE, 7, expression="anger")
    outbox.flush()
    faces.note(last)
    faces.note(face(2, EventType.END))
    outbox.flush()
    faces.note(face(9, EventType.START))  # too late
    assert faces.left_over() == []
    die(outbox)
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        assert [payload.track_id for payload in faces.left_over()] == [3, 1]
        assert faces.left_over()[0] == last
        faces.note(msgspec.structs.replace(face(1, EventType.START), boot_id="boot-2"))
        faces.clear_left_over()
        assert faces.left_over() == []
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        assert [(payload.boot_id, payload.track_id) for payload in faces.left_over()] == [("boot-2", 1)]


def test_ends_that_were_not_written_are_due_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path) as outbox:
        OpenFaces(outbox.disk).note(face(1, EventType.START))
    outbox = Outbox(SqliteFile(path, write_every_seconds=NEVER), max_events=10)
    faces = OpenFaces(outbox.disk)
    put(outbox, 1, 1)  # the end
    faces.clear_left_over()
    die(outbox)
    with opened(path) as outbox:
        assert len(outbox) == 0
        assert [payload.track_id for payload in OpenFaces(outbox.disk).left_over()] == [1]


def test_a_face_that_comes_and_goes_within_a_batch_never_touches_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=5.0) as outbox, closing(sqlite3.connect(path)) as observer:
        faces = OpenFaces(outbox.disk)
        before = observer.execute("PRAGMA data_version").fetchone()
        for event_type in (EventType.START, EventType.UPDATE, EventType.END, EventType.END):
            faces.note(face(1, event_type))
        outbox.tick(later(100))
        assert observer.execute("PRAGMA data_version").fetchone() == before
        faces.note(face(2, EventType.START))
        outbox.tick(later(4.5))
        assert faces_on_disk(path) == []
        outbox.tick(later(5.5))
        assert faces_on_disk(path) == [2]


def test_open_faces_outlast_a_disk_that_comes_late(tmp_path: Path) -> None:
    folder = tmp_path / "mounted-late"
    folder.mkdir()
    with opened(folder / "outbox.db") as outbox:
        OpenFaces(outbox.disk).note(face(1, EventType.START))
    folder.rename(tmp_path / "away")
    with opened(folder / "outbox.db", write_every_seconds=0) as outbox:
        faces = OpenFaces(outbox.disk)
        faces.note(msgspec.structs.replace(face(5, EventType.START), boot_id="boot-2"))
        assert faces.left_over() == []
        (tmp_path / "away").rename(folder)
        retry(outbox)
        assert [payload.track_id for payload in faces.left_over()] == [1]
        assert faces_on_disk(folder / "outbox.db") == [1, 5]


def test_a_full_disk_keeps_the_faces_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        faces = OpenFaces(outbox.disk)
        faces.note(face(1, EventType.START))
        connection(outbox).execute("PRAGMA max_page_count=1")
        put(outbox, 1, 100, size=1000)
        faces.note(face(1, EventType.END))
        faces.note(face(2, EventType.START))
        assert faces_on_disk(path) == [1]
        connection(outbox).execute("PRAGMA max_page_count=100000")
        retry(outbox)
        assert faces_on_disk(path) == [2]
        assert on_disk(path) == list(range(1, 101))


def test_a_table_that_does_not_fit_any_more_takes_all_to_memory_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.db"
    with opened(path) as outbox:
        put(outbox, 1, 3)
        outbox.flush()
        connection(outbox).execute("PRAGMA max_page_count=1")
        faces = OpenFaces(outbox.disk)
        assert "full" in str(outbox.trouble)
        faces.note(face(1, EventType.START))
        put(outbox, 4, 4)
        retry(outbox)
        assert well(outbox)
        assert seqs(outbox) == [1, 2, 3, 4]
        assert faces_on_disk(path) == [1]


def two_open(folder: Path) -> Path:
    """A file in which faces 1 and 2 are open."""
    path = folder / "outbox.db"
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        faces.note(face(1, EventType.START))
        faces.note(face(2, EventType.START))
    return path


def test_a_face_that_another_version_wrote_differently_is_left_out(tmp_path: Path) -> None:
    path = two_open(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("""UPDATE open_faces SET payload = '{"v": 99}' WHERE track_id = 1""")
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        assert [payload.track_id for payload in faces.left_over()] == [2]
        faces.clear_left_over()
    assert faces_on_disk(path) == []


def test_a_sound_row_of_another_version_is_left_out_too(tmp_path: Path) -> None:
    path = two_open(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        boot, track, payload, crc = sealed("boot-1", 1, b'{"v": 99}')
        db.execute("UPDATE open_faces SET payload = ?, crc = ? WHERE track_id = ?", (payload, crc, track))
        assert db.execute("SELECT boot_id FROM open_faces WHERE crc = ?", (crc,)).fetchall() == [(boot,)]
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        assert [payload.track_id for payload in faces.left_over()] == [2]
        assert well(outbox), "it is no damage"


def test_a_file_that_is_removed_meanwhile_is_made_again_with_the_faces_that_are_open(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        faces = OpenFaces(outbox.disk)
        faces.note(face(1, EventType.START))
        assert faces_on_disk(path) == [1]
        for each in tmp_path.iterdir():
            each.unlink()
        faces.note(face(2, EventType.START))
        retry(outbox)
        assert faces_on_disk(path) == [1, 2]
