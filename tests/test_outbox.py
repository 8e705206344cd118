"""The outbox and the open faces: what a restart, a crash and a bad disk cost."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from face_events import IDENTITY, face_event
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fer_edge.messages import event_payload
from fer_edge.payloads import EventPayload
from fer_edge.records import EventType
from fer_edge.sinks import disk as module
from fer_edge.sinks.disk import Disk
from fer_edge.sinks.openids import OpenFaces
from fer_edge.sinks.outbox import LATE, Outbox

NEVER = 3600.0  # seconds: nothing is written unless it is asked for
BOOT = "boot-1"


@contextmanager
def opened(path: Path, *, max_events: int = 1000, write_every_seconds: float = NEVER) -> Iterator[Outbox]:
    outbox = Outbox(Disk(path, write_every_seconds=write_every_seconds), max_events=max_events)
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
    assert outbox.disk._db is not None
    return outbox.disk._db


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


def test_events_come_out_in_order_whether_written_or_not(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db") as outbox:
        put(outbox, 1, 5)
        outbox.flush()
        put(outbox, 6, 10)
        assert seqs(outbox) == list(range(1, 11))
        assert seqs(outbox, 3) == [1, 2, 3]
        assert seqs(outbox, 7) == list(range(1, 8))
        assert seqs(outbox, 3, after=outbox.oldest(4)[3].id) == [5, 6, 7]
        assert seqs(outbox, 9, after=outbox.oldest(10)[9].id) == []
        assert outbox.oldest(0) == []
        assert len(outbox) == 10
    with opened(tmp_path / "outbox.db") as outbox:
        assert outbox.last_id == outbox.oldest(10)[-1].id
        put(outbox, 11, 12)
        assert seqs(outbox) == list(range(1, 13))


def test_removed_events_are_gone_wherever_they_were(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db") as outbox:
        put(outbox, 1, 5)
        outbox.flush()
        put(outbox, 6, 10)
        remove(outbox, 1, 3, 7)
        assert seqs(outbox) == [2, 4, 5, 6, 8, 9, 10]
        assert seqs(outbox, 2) == [2, 4]
        outbox.remove([1, 1, 3, 7, 99, -1])  # not here any more
        assert len(outbox) == 7
        outbox.flush()
        outbox.remove([1, 3, 7])
        assert len(outbox) == 7
    assert on_disk(tmp_path / "outbox.db") == [2, 4, 5, 6, 8, 9, 10]


@pytest.mark.parametrize("flush_at", [0, 4, 10, 12])
def test_a_full_ring_drops_the_oldest_and_counts_them(tmp_path: Path, flush_at: int) -> None:
    with opened(tmp_path / "outbox.db", max_events=10) as outbox:
        put(outbox, 1, flush_at)
        outbox.flush()
        put(outbox, flush_at + 1, 25)
        assert seqs(outbox) == list(range(16, 26))
        assert (len(outbox), outbox.dropped) == (10, 15)
    with opened(tmp_path / "outbox.db", max_events=10) as outbox:
        assert seqs(outbox) == list(range(16, 26))
        assert outbox.dropped == 0


def test_a_ring_that_became_smaller_drops_the_oldest_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db") as outbox:
        put(outbox, 1, 500)
    with opened(tmp_path / "outbox.db", max_events=10) as outbox:
        assert seqs(outbox) == list(range(491, 501))
        assert outbox.dropped == 490
    assert on_disk(tmp_path / "outbox.db") == list(range(491, 501))


def test_the_same_event_is_never_held_twice(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db") as outbox:
        put(outbox, 1, 2)
        assert not outbox.put(BOOT, 1, b"1 again")
        outbox.flush()
        assert not outbox.put(BOOT, 1, b"1 again")
        assert outbox.put("boot-2", 1, b"1")  # another run's first event
    with opened(tmp_path / "outbox.db") as outbox:
        assert not outbox.put(BOOT, 2, b"2 again")
        assert seqs(outbox) == [1, 2, 1]
        remove(outbox, 2)
        assert outbox.put(BOOT, 2, b"2")  # it does not wait any more, so this is news
        assert seqs(outbox) == [1, 1, 2]
    assert on_disk(tmp_path / "outbox.db") == [1, 1, 2]


def test_a_batch_is_written_when_its_oldest_event_has_waited_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=5.0) as outbox:
        put(outbox, 1, 3)
        outbox.tick(later(4.5))
        assert on_disk(path) == []
        outbox.tick(later(5.5))
        assert on_disk(path) == [1, 2, 3]
        remove(outbox, 1, 2)
        outbox.tick(later(4.5))
        assert on_disk(path) == [1, 2, 3]
        outbox.tick(later(5.5))
        assert on_disk(path) == [3]


def test_events_that_are_acknowledged_in_time_never_touch_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=5.0) as outbox, closing(sqlite3.connect(path)) as observer:
        version = "PRAGMA data_version"  # changes with every commit of somebody else
        before = observer.execute(version).fetchone(), {file: file.stat().st_size for file in tmp_path.iterdir()}
        put(outbox, 1, 1)
        for seq in range(2, 1000):  # there is always one on its way
            put(outbox, seq, seq)
            remove(outbox, seq - 1)
            outbox.tick(later(4.5))
        remove(outbox, 999)
        outbox.tick(later(100))
        assert outbox.flush()
        after = observer.execute(version).fetchone(), {file: file.stat().st_size for file in tmp_path.iterdir()}
        assert after == before
        put(outbox, 1000, 1000)
        outbox.flush()
        assert observer.execute(version).fetchone() != before[0]  # the observer does see


def test_without_a_batch_time_each_event_is_committed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, write_every_seconds=0) as outbox:
        put(outbox, 1, 2)
        assert on_disk(path) == [1, 2]
        remove(outbox, 1)
        assert on_disk(path) == [2]


def test_it_may_be_made_in_one_thread_and_used_in_another(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db") as outbox:
        put(outbox, 1, 2)
        thread = Thread(target=outbox.flush)
        thread.start()
        thread.join()
        put(outbox, 3, 3)
        assert seqs(outbox) == [1, 2, 3]


KILLED = """
import random, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from fer_edge.sinks.disk import Disk
from fer_edge.sinks.outbox import Outbox
outbox = Outbox(Disk(Path({path!r}), write_every_seconds=0.005), max_events=1_000_000)
boot_id, seq, acknowledged = sys.argv[1], 0, 0
while True:
    for _ in range(random.randint(1, 20)):
        seq += 1
        outbox.put(boot_id, seq, b"%d" % seq + b" " * random.randint(0, 3000))
    entries = outbox.oldest(random.randint(0, 5))
    outbox.remove(entry.id for entry in entries)
    flushed = outbox.flush()
    print(*(f"{{entry.boot_id}}:{{entry.seq}}" for entry in entries), seq, int(flushed), flush=True)
"""


def test_kill_9_costs_nothing_that_was_flushed(tmp_path: Path) -> None:
    path, here = tmp_path / "outbox.db", Path(__file__).parent
    script = KILLED.format(paths=[str(here), str(here.parent)], path=str(path))
    flushed: list[tuple[str, int]] = []  # in order
    acknowledged: set[tuple[str, int]] = set()  # and flushed
    for boot_id in ("a", "b", "c", "d"):
        with subprocess.Popen([sys.executable, "-c", script, boot_id], stdout=subprocess.PIPE) as daemon:
            assert daemon.stdout is not None
            lines = [daemon.stdout.readline()]  # it runs
            time.sleep(random.uniform(0, 0.2))
            daemon.kill()
            lines += [line for line in daemon.stdout if line.endswith(b"\n")]
        words = [line.decode().split() for line in lines]
        assert all(flag == "1" for *_, flag in words)
        names = [name.split(":") for *gone, _, _ in words for name in gone]
        acknowledged |= {(boot, int(seq)) for boot, seq in names}
        flushed += [(boot_id, seq) for seq in range(1, int(words[-1][-2]) + 1)]
        with opened(path, max_events=1_000_000) as outbox:
            assert well(outbox)
            found = [(entry.boot_id, entry.seq) for entry in outbox.oldest(1_000_000)]
            assert [int(entry.payload) for entry in outbox.oldest(1_000_000)] == [seq for _, seq in found]
        assert len(found) == len(set(found))
        assert not acknowledged & set(found)
        # the kill may have come after a commit that was not printed any more
        more = len([name for name in found if name[0] == boot_id and name > flushed[-1]])
        flushed += [(boot_id, flushed[-1][1] + number) for number in range(1, more + 1)]
        expected = [name for name in flushed if name not in acknowledged]
        unprinted = expected[: len(expected) - len(found)]  # removed by that same commit: the oldest
        assert found == expected[len(unprinted) :]
        assert len(unprinted) <= 5
        acknowledged |= set(unprinted)


def test_an_acknowledgement_that_was_not_written_means_twice_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(Disk(path, write_every_seconds=NEVER), max_events=10)
    put(outbox, 1, 3)
    outbox.flush()
    put(outbox, 4, 4)
    remove(outbox, 1, 2)
    die(outbox)
    with opened(path) as outbox:
        assert seqs(outbox) == [1, 2, 3]


def test_a_power_cut_leaves_whole_batches(tmp_path: Path) -> None:
    """The end of what was not synced is missing: cut anywhere, the file opens and holds the batches up to there."""
    path, copy = tmp_path / "outbox.db", tmp_path / "copy.db"
    log, copied_log = tmp_path / "outbox.db-wal", tmp_path / "copy.db-wal"
    with opened(path) as outbox:
        sizes = []
        for batch in range(10):
            put(outbox, 10 * batch + 1, 10 * batch + 10, size=500)
            outbox.flush()
            sizes.append(log.stat().st_size)
        random.seed(1)
        for cut in [0, 1, *sizes, *(random.randint(0, sizes[-1]) for _ in range(40))]:
            shutil.copy(path, copy)
            copied_log.write_bytes(log.read_bytes()[:cut])
            with opened(copy) as survivor:
                assert well(survivor)
                whole = sum(size <= cut for size in sizes)
                assert seqs(survivor) == list(range(1, 10 * whole + 1))
            for file in tmp_path.glob("copy.db*"):
                file.unlink()


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
        outbox = Outbox(Disk(path, write_every_seconds=0), max_events=10)
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


@contextmanager
def disk_that_ends_at(size: int) -> Iterator[None]:
    """The system refuses to write beyond `size` bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
        outbox = Outbox(Disk(path, write_every_seconds=0), max_events=10)
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


def test_the_file_stays_small_however_much_goes_through(tmp_path: Path) -> None:
    payload = b"x" * 1000
    with opened(tmp_path / "outbox.db", max_events=1000) as outbox:
        for seq in range(50_000):
            outbox.put(BOOT, seq, payload)
            if seq % 300 == 0:
                outbox.remove(entry.id for entry in outbox.oldest(100))
                outbox.flush()
        assert len(outbox) == 1000
        sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
        assert sizes["outbox.db"] < 3_000_000
        assert sizes["outbox.db-wal"] < 6_000_000


def test_an_empty_file_becomes_small_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path, max_events=5000) as outbox:
        put(outbox, 1, 3000, size=1000)
    assert path.stat().st_size > 3_000_000
    with opened(path, max_events=5000) as outbox:
        remove(outbox, *range(1, 3001))
    assert path.stat().st_size < 50_000


def face(track_id: int, event_type: EventType, seq: int = 1, **changes: Any) -> EventPayload:
    return event_payload(face_event(seq, track_id=track_id, event_type=event_type, **changes), IDENTITY)


def faces_on_disk(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [track for (track,) in db.execute("SELECT track_id FROM open_faces ORDER BY rowid")]


def test_faces_that_a_crash_left_open_are_known_after_it(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(Disk(path, write_every_seconds=NEVER), max_events=10)
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
    outbox = Outbox(Disk(path, write_every_seconds=NEVER), max_events=10)
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


def test_a_face_that_another_version_wrote_differently_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        faces.note(face(1, EventType.START))
        faces.note(face(2, EventType.START))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("""UPDATE open_faces SET payload = '{"v": 99}' WHERE track_id = 1""")
    with opened(path) as outbox:
        faces = OpenFaces(outbox.disk)
        assert [payload.track_id for payload in faces.left_over()] == [2]
        faces.clear_left_over()
    assert faces_on_disk(path) == []


class Model(RuleBasedStateMachine):
    """Whatever is done, the outbox holds what a plain list would."""

    @initialize(max_events=st.integers(1, 12), write_every_seconds=st.sampled_from([0.0, NEVER]))
    def begin(self, max_events: int, write_every_seconds: float) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.max_events, self.write_every_seconds = max_events, write_every_seconds
        self.waiting: list[tuple[str, int]] = []
        self.written: list[tuple[str, int]] = []
        self.full = False
        self.dropped = 0
        self.open()

    def open(self) -> None:
        path = self.folder / "outbox.db"
        self.outbox = Outbox(Disk(path, write_every_seconds=self.write_every_seconds), max_events=self.max_events)
        self.dropped, self.full = 0, False

    def wrote(self) -> None:
        if not self.full:
            self.written = list(self.waiting)

    def changed(self) -> None:
        if self.write_every_seconds == 0:
            self.wrote()

    @rule(boot_id=st.sampled_from("ab"), seq=st.integers(1, 15))
    def put(self, boot_id: str, seq: int) -> None:
        news = (boot_id, seq) not in self.waiting
        assert self.outbox.put(boot_id, seq, b"%d" % seq + b" " * 1000) == news
        if news:
            self.waiting.append((boot_id, seq))
            over = max(0, len(self.waiting) - self.max_events)
            self.dropped += over
            del self.waiting[:over]
            self.changed()

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(self.waiting))) if self.waiting else set()
        self.outbox.remove([entry.id for entry in self.outbox.oldest(99) if (entry.boot_id, entry.seq) in gone])
        self.waiting = [name for name in self.waiting if name not in gone]
        self.changed()

    @rule()
    def flush(self) -> None:
        assert self.outbox.flush()
        self.wrote()

    @rule()
    def tick(self) -> None:
        self.outbox.tick(later(NEVER + 1))
        self.wrote()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.wrote()
        self.open()

    @rule()
    def kill(self) -> None:
        die(self.outbox)
        self.waiting = list(self.written)
        self.open()

    @rule(count=st.integers(0, 15), data=st.data())
    def read_on(self, count: int, data: st.DataObject) -> None:
        skip = data.draw(st.integers(0, len(self.waiting)))
        after = self.outbox.oldest(skip)[-1].id if skip else 0
        found = [(entry.boot_id, entry.seq) for entry in self.outbox.oldest(count, after)]
        assert found == self.waiting[skip : skip + count]

    @invariant()
    def holds_the_same(self) -> None:
        entries = self.outbox.oldest(99)
        assert [(entry.boot_id, entry.seq) for entry in entries] == self.waiting
        assert all(left.id < right.id for left, right in pairwise(entries))
        assert (len(self.outbox), self.outbox.dropped) == (len(self.waiting), self.dropped)
        assert well(self.outbox)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            shutil.rmtree(self.folder)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=30, stateful_step_count=30)
