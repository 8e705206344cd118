"""sinks/disk.py under the outbox: damaged, full, read-only, late, locked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fer_edge.sinks import sqlite_file as module
from fer_edge.sinks.mqtt.outbox import LATE, Outbox
from fer_edge.sinks.sqlite_file import SqliteFile
from tests.support.full_disk import disk_that_ends_at
from tests.support.outbox_helpers import connection, die, later, on_disk, opened, put, remove, retry, seqs, well


def corrupt_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*corrupt*"))


@pytest.mark.parametrize("content", [b"no database, " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_file_is_moved_aside_and_the_last_one_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "outbox.db"
    for number in (1, 2, 3):
        path.write_bytes(content)
        (tmp_path / "outbox.db-wal").write_bytes(b"rest of it")
        with opened(path) as outbox:
            assert f"it is now outbox.db.corrupt-{number}" in str(outbox.trouble)
            assert "\n" not in str(outbox.trouble)
            put(outbox, 1, 3)
            assert outbox.flush()
            assert not well(outbox)  # until the end of the process
        assert corrupt_files(tmp_path) == [f"outbox.db.corrupt-{number}"]
        assert (tmp_path / f"outbox.db.corrupt-{number}").read_bytes() == content
        assert on_disk(path) == [1, 2, 3]
    with opened(path) as outbox:
        assert well(outbox)


def test_tables_of_somebody_else_are_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (what TEXT)")
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 1)
        assert "corrupt-1" in str(outbox.trouble)
    assert on_disk(path) == [1]


def test_damage_that_shows_later_costs_what_was_in_the_file_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path) as outbox:
        put(outbox, 1, 100, size=1000)
    with path.open("r+b") as file:  # not what is read at the start: the schema, and the index to count
        file.seek(4096 * 15)
        file.write(b"\xff" * 4096 * 5)
    with opened(path) as outbox:
        assert (outbox.trouble, len(outbox)) == (None, 100)
        put(outbox, 101, 103)
        assert seqs(outbox) == [101, 102, 103]
        assert "malformed" in str(outbox.trouble)
        assert (len(outbox), outbox.dropped) == (3, 100)
        put(outbox, 104, 104)
        retry(outbox)
        assert "it is now outbox.db.corrupt-1" in str(outbox.trouble)
        assert on_disk(path) == [101, 102, 103, 104]


def test_a_corrupt_file_that_cannot_be_moved_stays_and_events_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(30, "Read-only file system")

    path = tmp_path / "outbox.db"
    path.write_bytes(b"no database" * 1000)
    monkeypatch.setattr(Path, "replace", refuse)
    with opened(path) as outbox:
        put(outbox, 1, 3)
        assert "cannot be moved aside: Read-only file system" in str(outbox.trouble)
        assert seqs(outbox) == [1, 2, 3]
        monkeypatch.undo()
        retry(outbox)
        assert on_disk(path) == [1, 2, 3]


@pytest.mark.parametrize(("where", "why"), [("a-file/outbox.db", "Not a directory"), (".", "Is a directory")])
def test_where_no_file_can_be_the_events_wait_in_memory_with_the_same_bound(
    tmp_path: Path, where: str, why: str
) -> None:
    (tmp_path / "a-file").touch()
    with opened(tmp_path / where, max_events=10, write_every_seconds=0) as outbox:
        put(outbox, 1, 15)
        assert why in str(outbox.trouble)
        assert "\n" not in str(outbox.trouble)
        assert seqs(outbox) == list(range(6, 16))
        assert (len(outbox), outbox.dropped) == (10, 5)
        remove(outbox, 6, 8)
        assert not outbox.flush()
        assert seqs(outbox) == [7, *range(9, 16)]


def test_a_file_that_may_only_be_read_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outbox.db"
    with opened(path) as outbox:
        put(outbox, 1, 3)
    pragmas = (*module.PRAGMAS, "query_only=ON")  # root may write everywhere, so SQLite has to refuse
    with monkeypatch.context() as patch:
        patch.setattr(module, "PRAGMAS", pragmas)
        outbox = Outbox(SqliteFile(path, write_every_seconds=0), max_events=10)
    put(outbox, 4, 5)
    assert "readonly" in str(outbox.trouble)
    assert on_disk(path) == [1, 2, 3]
    assert corrupt_files(tmp_path) == []
    retry(outbox)
    assert well(outbox)
    assert seqs(outbox) == [1, 2, 3, 4, 5]
    outbox.close()


@pytest.mark.parametrize("first_id", [1, LATE - 1, LATE, LATE + 2])
def test_a_disk_that_comes_late_brings_its_events_before_those_in_memory(tmp_path: Path, first_id: int) -> None:
    folder = tmp_path / "mounted-late"
    folder.mkdir()
    with opened(folder / "outbox.db") as outbox:
        outbox.last_id = first_id - 1
        put(outbox, 1, 5)
    folder.rename(tmp_path / "away")
    with opened(folder / "outbox.db", max_events=8, write_every_seconds=1.0) as outbox:
        put(outbox, 6, 8)
        in_flight = outbox.oldest(3)
        assert outbox.last_id == in_flight[-1].id
        assert "No such file" in str(outbox.trouble)
        remove(outbox, 6)
        outbox.remove([in_flight[0].id])
        (tmp_path / "away").rename(folder)
        outbox.tick(later(30))  # too early to try again
        assert not well(outbox)
        retry(outbox)
        assert well(outbox)
        assert seqs(outbox) == [1, 2, 3, 4, 5, 7, 8]
        assert outbox.oldest(1)[0].id > 0
        assert outbox.last_id == in_flight[-1].id
        outbox.remove([in_flight[1].id])
        put(outbox, 9, 11)
        assert seqs(outbox) == [2, 3, 4, 5, 8, 9, 10, 11]
        assert outbox.dropped == 1
    assert on_disk(folder / "outbox.db") == [2, 3, 4, 5, 8, 9, 10, 11]


def test_a_full_disk_costs_nothing_once_there_is_space(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, max_events=150, write_every_seconds=1.0) as outbox:
        put(outbox, 1, 50, size=1000)
        assert outbox.flush()
        pages = connection(outbox).execute("PRAGMA page_count").fetchone()[0]
        connection(outbox).execute(f"PRAGMA max_page_count={pages + 2}")
        put(outbox, 51, 100, size=1000)
        assert not outbox.flush()
        assert "full" in str(outbox.trouble)
        assert "free space there" in str(outbox.trouble)
        assert seqs(outbox) == list(range(1, 101))  # what is in the file can be read
        remove(outbox, 1, 2, 60)
        put(outbox, 101, 160, size=1000)
        assert seqs(outbox) == [seq for seq in range(10, 161) if seq != 60]
        assert (len(outbox), outbox.dropped) == (150, 7)
        connection(outbox).execute("PRAGMA max_page_count=100000")
        outbox.tick(later(30))
        assert not well(outbox)
        retry(outbox)
        assert well(outbox)
        die(outbox)
        assert on_disk(path) == [seq for seq in range(10, 161) if seq != 60]


def test_a_disk_that_refuses_is_left_alone_for_a_while_and_then_asked_again_even_if_nothing_waits(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "outbox.db", write_every_seconds=0) as outbox:
        put(outbox, 1, 10)
        connection(outbox).execute("PRAGMA max_page_count=1")
        put(outbox, 11, 100, size=1000)
        remove(outbox, *range(1, 101))
        assert len(outbox) == 0
        assert not well(outbox)
        retry(outbox)
        assert well(outbox)


def test_writes_that_fail_halfway_cost_nothing_once_they_succeed(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 10, size=1000)
        with disk_that_ends_at((tmp_path / "outbox.db-wal").stat().st_size + 2000):
            put(outbox, 11, 30, size=1000)
            assert "disk I/O error" in str(outbox.trouble)
            assert seqs(outbox)[-20:] == list(range(11, 31))
        retry(outbox)
        assert well(outbox)
        assert seqs(outbox) == list(range(1, 31))
        die(outbox)
        assert on_disk(path) == list(range(1, 31))


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with disk_that_ends_at(0):
        outbox = Outbox(SqliteFile(path, write_every_seconds=0), max_events=10)
        put(outbox, 1, 5)
        assert not well(outbox)
    retry(outbox)
    assert well(outbox)
    assert on_disk(path) == [1, 2, 3, 4, 5]
    outbox.close()


def test_another_program_that_locks_the_file_only_delays(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 3)
        with closing(sqlite3.connect(path, isolation_level=None)) as visitor:
            visitor.execute("BEGIN IMMEDIATE")
            put(outbox, 4, 6)
            assert "locked" in str(outbox.trouble)
            assert seqs(outbox) == [1, 2, 3, 4, 5, 6]
            visitor.execute("ROLLBACK")
        retry(outbox)
        assert on_disk(path) == [1, 2, 3, 4, 5, 6]


def test_another_program_that_deletes_events_does_not_make_the_ring_smaller_for_good(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, max_events=5, write_every_seconds=0) as outbox:
        put(outbox, 1, 5)
        with closing(sqlite3.connect(path, isolation_level=None)) as visitor:
            visitor.execute("DELETE FROM events")
        put(outbox, 6, 11)
        assert seqs(outbox) == [7, 8, 9, 10, 11]
        assert outbox.dropped == 1
