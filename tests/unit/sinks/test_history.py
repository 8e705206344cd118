"""sinks/history.py and minutes.py: what is kept of what was seen, exact, bounded, and readable while it is written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fer_edge.config import Config, State
from fer_edge.config import History as HistoryConfig
from fer_edge.errors import ReportError
from fer_edge.records import EventType, Update
from fer_edge.runtime.clock import STEADY_SECONDS, SteadyClock
from fer_edge.settings.control import Control
from fer_edge.sinks.history import DAY_SECONDS, HISTORY_FILE, HistorySink, HistoryTable, read_history, wal_bytes
from fer_edge.sinks.sqlite_file import SqliteFile
from fer_edge.testing.brokers import wait_for
from fer_edge.tracking.minutes import EventRow, Minute
from tests.support.face_events import FRAME, IDENTITY, face_event, face_state


class File:
    """A history in a file, with a clock of its own."""

    def __init__(self, path: Path, *, keep_days: int = 30, max_mb: int = 50) -> None:
        self.path, self.now_s = path, 1_000_000_000.0
        self.history = HistoryTable(HistoryConfig(keep_days=keep_days, max_mb=max_mb), lambda: self.now_s)
        self.disk = SqliteFile(path, write_every_seconds=3600)
        self.disk.add(self.history)

    def add(self, begin_s: float, **fields: float) -> None:
        event = EventRow(begin_s + 1, "run", 1, "start", "fear", None, 0.2)
        self.history.add(Minute(begin_s=int(begin_s), **fields), [event])  # type: ignore[arg-type]

    def read(self) -> tuple[list[Minute], list[EventRow]]:
        return read_history(self.path, since_s=0, until_s=2e9)


def test_written_read_and_added_to_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    for watched_s in (10.0, 20.0):
        file = File(path)
        file.add(file.now_s // 60 * 60, watched_s=watched_s, visitors=1)
        assert file.disk.flush()
        file.disk.close()
    found, events = file.read()
    assert [(minute.watched_s, minute.visitors) for minute in found] == [(30.0, 2)]
    assert len(events) == 2
    begin_s = found[0].begin_s
    assert read_history(path, since_s=begin_s + 60, until_s=2e9) == ([], [])
    assert len(read_history(path, since_s=begin_s, until_s=begin_s + 1)[0]) == 1
    assert path.stat().st_mode & 0o007 == 0, "not for everybody"


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    file = File(tmp_path / "history.db", keep_days=2)
    begin_s = file.now_s // 60 * 60
    file.add(begin_s)
    file.disk.flush()
    file.now_s += 1.9 * DAY_SECONDS
    file.add(begin_s + DAY_SECONDS)
    file.disk.flush()
    assert len(file.read()[0]) == 2
    file.now_s += 0.2 * DAY_SECONDS
    file.add(begin_s + 2 * DAY_SECONDS)
    file.disk.flush()
    found, events = file.read()
    assert [minute.begin_s - begin_s for minute in found] == [DAY_SECONDS, 2 * DAY_SECONDS]
    assert len(events) == 2
    file.disk.close()


def test_the_file_stays_within_its_bound(tmp_path: Path) -> None:
    file = File(tmp_path / "history.db", keep_days=3660, max_mb=1)
    begin_s = file.now_s
    for number in range(20_000):
        file.add((begin_s // 60 + number) * 60, watched_s=60.0)
        file.now_s = begin_s + number * 60
        if number % 500 == 0:
            file.disk.flush()
    file.disk.close()
    found, events = file.read()
    assert found[-1].begin_s == (begin_s // 60 + 19_999) * 60, "the newest stay"
    assert 2000 < len(found) < 20_000
    assert events[0].at_s >= found[0].begin_s
    assert file.path.stat().st_size < 1.2e6


class Clocks:
    """A wall clock that can jump, and whether it is synchronised."""

    def __init__(self) -> None:
        self.mono_s, self.ahead_s, self.synced = 0.0, 1_000_000_000.0, True

    def steady(self) -> SteadyClock:
        return SteadyClock(lambda: self.mono_s + self.ahead_s, lambda: self.mono_s, lambda: self.synced)


def test_a_clock_is_relied_on_after_an_hour_in_sync_and_without_a_jump() -> None:
    clocks = Clocks()
    clock = clocks.steady()

    def after(seconds: float) -> bool:
        clocks.mono_s += seconds
        return clock.now() is not None

    assert not after(0)
    assert not after(STEADY_SECONDS - 1)
    assert after(1)
    clocks.ahead_s += 1.0  # it is being corrected
    assert after(10)
    clocks.ahead_s += 40 * DAY_SECONDS
    assert not after(10)
    clocks.ahead_s -= 40 * DAY_SECONDS
    assert not after(15)
    assert not after(STEADY_SECONDS - 1)
    assert after(1)
    clocks.synced = False
    assert not after(10)
    clocks.synced = True
    assert not after(STEADY_SECONDS - 1)


def test_a_wrong_clock_takes_nothing_with_it_and_its_rows_are_set_aside(tmp_path: Path) -> None:
    clocks, path = Clocks(), tmp_path / "history.db"
    history, disk = (
        HistoryTable(HistoryConfig(keep_days=30), clocks.steady().now),
        SqliteFile(path, write_every_seconds=0),
    )
    disk.add(history)

    def live(seconds: int) -> None:
        """A minute every ten seconds, which is quicker than life."""
        for _ in range(0, seconds, 10):
            clocks.mono_s += 10
            begin_s = int((clocks.mono_s + clocks.ahead_s) // 60 * 60)
            history.add(
                Minute(begin_s=begin_s, watched_s=10.0), [EventRow(begin_s, "r", 1, "start", None, "dark", 0.2)]
            )
            assert disk.flush()

    live(4200)
    clocks.ahead_s += 40 * DAY_SECONDS
    live(600)
    clocks.ahead_s -= 40 * DAY_SECONDS
    live(600)
    minutes, moments = read_history(path, since_s=0, until_s=2e9)
    assert sum(minute.watched_s for minute in minutes) == 5400
    live(4200)
    minutes, moments = read_history(path, since_s=0, until_s=2e9)
    assert sum(minute.watched_s for minute in minutes) == 9000, "all but what the wrong clock dated"
    assert len(moments) == 900
    with closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("SELECT source, count(*) FROM misdated GROUP BY source").fetchall()) == {
            "minutes": 11,
            "events": 60,
        }
    disk.close()


def test_what_a_wrong_clock_dated_goes_first_and_takes_nothing_with_it_where_room_is_short(tmp_path: Path) -> None:
    file = File(tmp_path / "history.db", keep_days=3660, max_mb=1)
    begin_s = int(file.now_s // 60 * 60)
    file.add(4_000_000_020)  # 2096
    for number in range(8000):
        file.add(begin_s + number * 60, watched_s=60.0)
        file.now_s = begin_s + number * 60
        if number % 500 == 0:
            file.disk.flush()
            assert len(file.read()[0]) > number * 0.3
    file.disk.close()
    assert file.read()[0][-1].begin_s == begin_s + 7999 * 60


def test_the_file_and_what_stands_beside_it_stay_within_the_bound(tmp_path: Path) -> None:
    config = HistoryConfig(keep_days=3660, max_mb=2)
    history = HistoryTable(config, lambda: None)
    disk, largest = SqliteFile(tmp_path / "history.db", write_every_seconds=0, wal_bytes=wal_bytes(config)), 0
    disk.add(history)
    for number in range(600):
        for step in range(20):
            begin_s = 1_000_000_020 + (number * 20 + step) * 60
            history.add(Minute(begin_s=begin_s), [EventRow(begin_s, "r", 1, "start", None, "dark", 0.2)] * 5)
        disk.flush()
        largest = max(largest, sum(file.stat().st_size for file in tmp_path.glob("history.db*")))
    disk.close()
    assert largest < 2.1e6
    assert len(read_history(tmp_path / "history.db", since_s=0, until_s=2e9)[0]) > 500


def sink_of(folder: Path) -> tuple[HistorySink, Path]:
    config = Config(history=HistoryConfig(enabled=True), state=State(folder=str(folder)))
    return HistorySink(config, IDENTITY, Control(config)), folder / IDENTITY.device_id / HISTORY_FILE


def test_the_sink_keeps_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, path = sink_of(tmp_path)
    before, mono_ns = time.time(), time.monotonic_ns()
    sink.start()
    monkeypatch.setattr("fer_edge.sinks.history.time.monotonic_ns", lambda: mono_ns)
    sink.submit(Update(FRAME, faces=(face_state("happiness"),), events=(face_event(1, event_type=EventType.START),)))
    mono_ns += 50_000_000
    sink.submit(Update(FRAME, faces=(face_state("happiness"),)))
    sink.close(5.0)
    sink.close(5.0)
    found, events = read_history(path, since_s=before - 60, until_s=time.time() + 1)
    assert sum(minute.shown_s["happiness"] for minute in found) == pytest.approx(0.05)
    assert [(event.run, event.kind) for event in events] == [(IDENTITY.boot_id, "start")]
    assert before <= events[0].at_s <= time.time()


def test_a_disk_that_refuses_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / IDENTITY.device_id).write_text("a file where a folder should be")
    sink, _ = sink_of(tmp_path)
    sink.start()
    for _ in range(3):
        sink.submit(Update(FRAME, events=(face_event(1, event_type=EventType.START),)))
    wait_for(lambda: any("history.db" in line for line in caplog.messages), "it is told")
    sink.close(5.0)
    assert sum("history.db" in line for line in caplog.messages) == 1


def test_no_history_and_no_database(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with pytest.raises(ReportError, match=r"history\.db: there is no history; set history\.enabled: true"):
        read_history(path, since_s=0, until_s=1)
    path.write_bytes(b"no database at all, but long enough to look like one" * 40)
    with pytest.raises(ReportError, match=r"history\.db: cannot read the history: file is not a database"):
        read_history(path, since_s=0, until_s=1)


def test_it_is_read_while_it_is_written(tmp_path: Path) -> None:
    file = File(tmp_path / "history.db")
    file.add(600)
    file.now_s = 700
    file.disk.flush()
    with closing(sqlite3.connect(file.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM minutes")
        assert len(file.read()[0]) == 1
        other.rollback()
    file.disk.close()


def test_a_copy_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    file = File(tmp_path / "history.db")
    file.add(600)
    file.now_s = 700
    file.disk.close()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(file.path, folder))
        copy.chmod(0o444)
        Path(folder).chmod(0o555)
        with nobody():
            assert len(read_history(copy, since_s=0, until_s=1000)[0]) == 1
        assert list(Path(folder).iterdir()) == [copy]


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's right to write everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_events_of_zones_are_kept_in_the_table_as_it_was(tmp_path: Path) -> None:
    row = EventRow(65.0, "run", 1, "leave", None, "turned", 2.5, zone="front-door")
    table, disk = HistoryTable(HistoryConfig()), SqliteFile(tmp_path / HISTORY_FILE, write_every_seconds=0)
    disk.add(table)
    table.add(None, [row, row._replace(kind="end", zone="")])
    disk.flush()
    disk.close()
    _, found = read_history(tmp_path / HISTORY_FILE, since_s=0, until_s=100)
    assert found == [row, row._replace(kind="end", zone="")]
