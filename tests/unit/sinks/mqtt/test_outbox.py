"""sinks/outbox.py: events that wait, in order, once, within bounds."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from fer_edge.sinks.mqtt.outbox import Outbox
from fer_edge.sinks.sqlite_file import SqliteFile
from tests.support.outbox_helpers import BOOT, NEVER, die, later, on_disk, opened, put, remove, seqs, well
from tests.support.paths import ROOT


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
sys.path.insert(0, {root!r})
from pathlib import Path
from fer_edge.sinks.sqlite_file import Disk
from fer_edge.sinks.mqtt.outbox import Outbox
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
    path = tmp_path / "outbox.db"
    script = KILLED.format(root=str(ROOT), path=str(path))
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
    outbox = Outbox(SqliteFile(path, write_every_seconds=NEVER), max_events=10)
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
