"""The JSON Lines sink: whole lines or none, whatever the disk does."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fer_edge.config import Config, Jsonl
from fer_edge.contract.encode import event_payload
from fer_edge.errors import SinkError
from fer_edge.records import Update
from fer_edge.runtime.line_file import LineFile
from fer_edge.settings.control import Control
from fer_edge.sinks import jsonl
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.testing.brokers import SECONDS, wait_for
from tests.support.face_events import FRAME, IDENTITY, events, face_event
from tests.support.full_disk import disk_that_ends_at
from tests.support.paths import ROOT
from tests.support.threads import runs, wait_for_end_of


@contextmanager
def running(path: Path | str, *, close_seconds: float = 5.0, **settings: Any) -> Iterator[JsonlSink]:
    config = Config(jsonl=Jsonl(path=str(path), **settings))
    sink = JsonlSink(config, IDENTITY, Control(config))
    sink.start()
    try:
        yield sink
    finally:
        sink.close(close_seconds)


def numbers(*paths: Path) -> list[int]:
    """The sequence numbers in the files; every line must be a whole event."""
    return [json.loads(line)["seq"] for path in paths for line in path.read_bytes().splitlines()]


def logged(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def test_a_line_is_the_mqtt_message(tmp_path: Path) -> None:
    path, event = tmp_path / "events.jsonl", face_event(1)
    with running(path) as sink:
        sink.submit(Update(FRAME, events=(event,)))
        wait_for(lambda: path.read_bytes().endswith(b"\n"), "the line, flushed while the sink runs")
    line = msgspec.json.decode(path.read_bytes())
    expected = msgspec.json.decode(msgspec.json.encode(event_payload(event, IDENTITY)))
    assert {**line, "ts": ""} == {**expected, "ts": ""}  # the time is reckoned anew, to the microsecond
    assert list(line) == list(expected)


def test_a_restart_appends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for first in (1, 11):
        with running(path) as sink:
            sink.submit(events(first, first + 9))
    assert numbers(path) == list(range(1, 21))
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0  # not for everybody


def test_files_rotate_by_size_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with running(path, max_bytes=2048, backups=2) as sink:
        sink.submit(events(1, 40))
    files = [tmp_path / "events.jsonl.2", tmp_path / "events.jsonl.1", path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(0 < file.stat().st_size <= 2048 for file in files)
    kept = numbers(*files)
    assert kept == list(range(kept[0], 41))


def test_without_backups_the_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with running(path, max_bytes=2048, backups=0) as sink:
        sink.submit(events(1, 40))
    assert [file.name for file in tmp_path.iterdir()] == ["events.jsonl"]
    assert path.stat().st_size <= 2048
    assert numbers(path)[-1] == 40


def test_an_event_larger_than_the_limit_gets_a_file_of_its_own(tmp_path: Path) -> None:
    file = LineFile(str(tmp_path / "lines"), max_bytes=10, backups=1)
    for line in (b"short\n", b"much too long for it\n", b"last\n"):
        file.write(line)
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"last\n"
    assert (tmp_path / "lines.1").read_bytes() == b"much too long for it\n"


@pytest.mark.parametrize(
    "where", ["folder-that-is-not-there/events.jsonl", "a-file/events.jsonl", ".", "/proc/events.jsonl"]
)
def test_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path, where: str) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(SinkError, match="cannot open for appending") as raised, running(tmp_path / where):
        pass
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_stops_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match="Permission denied"), running(tmp_path / "events.jsonl"):
        pass


def test_a_full_disk_leaves_no_torn_line_and_loses_nothing_once_there_is_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(jsonl, "RETRY_SECONDS", 0.02)
    path = tmp_path / "events.jsonl"
    with running(path) as sink:
        sink.submit(events(1, 1))
        wait_for(lambda: path.stat().st_size, "the first line")
        with disk_that_ends_at(path.stat().st_size + 100):
            sink.submit(events(2, 20))
            wait_for(lambda: logged(caplog, "cannot write to"), "a word in the log")
            assert numbers(path) == [1]
        wait_for(lambda: logged(caplog, "again (0 events dropped"), "the recovery in the log")
    assert numbers(path) == list(range(1, 21))
    assert logged(caplog, "cannot write to") == 1


def test_dev_full_costs_the_oldest_lines_and_never_the_daemon(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "RETRY_SECONDS", 0.02)
    with running("/dev/full") as sink:
        sink.submit(events(1, 1))
        wait_for(lambda: logged(caplog, "No space left on device"), "a word in the log")
        for first in range(1, 2002, 100):
            sink.submit(events(first, first + 99))
    assert logged(caplog, "No space left on device") == 1
    assert logged(caplog, "events could not be written to /dev/full") == 1


def test_after_a_torn_line_the_next_one_stands_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":1}\n{"seq":2,"cut by a power fail')
    file = LineFile(str(path), max_bytes=10_000, backups=0)
    file.write(b'{"seq":3}\n')
    file.write(b'{"seq":4}\n')
    file.close()
    assert path.read_bytes().splitlines()[2:] == [b'{"seq":3}', b'{"seq":4}']


def test_a_pipe_that_took_half_a_line_gets_a_newline_first() -> None:
    """What was written into a pipe cannot be taken back."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    file = LineFile(f"/proc/self/fd/{writer}", max_bytes=1024, backups=0)
    os.set_blocking(file.open(), False)
    with pytest.raises(BlockingIOError):
        file.write(b"x" * 1_000_000 + b"\n")
    os.set_blocking(reader, False)
    with suppress(BlockingIOError):
        while os.read(reader, 65536):
            pass
    file.write(b"whole\n")
    assert os.read(reader, 100) == b"\nwhole\n"
    for descriptor in (reader, writer):
        os.close(descriptor)
    file.close()


def test_rotation_that_fails_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "RETRY_SECONDS", 0.02)
    path, in_the_way = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    in_the_way.mkdir()
    (in_the_way / "file").touch()
    with running(path, max_bytes=2048, backups=1) as sink:
        sink.submit(events(1, 10))
        wait_for(lambda: logged(caplog, "cannot write to"), "a word in the log")
        (in_the_way / "file").unlink()
        in_the_way.rmdir()
    assert numbers(path)[-1] == 10


def test_stdout_gets_whole_lines_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with running("-") as sink:
        sink.submit(events(1, 3))
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "before"
    assert [json.loads(line)["seq"] for line in lines[1:]] == [1, 2, 3]


CLOSED = """
import logging, sys, time
sys.path.insert(0, {root!r})
from tests.support.face_events import IDENTITY, events
from fer_edge.config import Config, Jsonl
from fer_edge.settings.control import Control
from fer_edge.sinks.jsonl import JsonlSink
logging.basicConfig(stream=sys.stderr)
sink = JsonlSink(Config(jsonl=Jsonl(path="-")), IDENTITY, Control(Config()))
sink.start()
for number in range(1, 1000):
    sink.submit(events(number, number))
    time.sleep(0.002)
    if sink._gone:
        break
sink.submit(events(1, 1))
sink.close(2)
print("the daemon goes on", file=sys.stderr)
"""


def test_a_reader_that_leaves_stops_only_the_lines() -> None:
    script = CLOSED.format(root=str(ROOT))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stderr is not None
        daemon.stdout.readline()
        daemon.stdout.close()
        errors = daemon.stderr.read().decode()
        assert daemon.wait(SECONDS) == 0
    assert errors.count("stdout has no reader any more") == 1
    assert "the daemon goes on" in errors
    assert "Traceback" not in errors


def test_no_stdout_at_all_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SinkError, match="stdout is closed"), running("-"):
        pass


def test_a_reader_that_hangs_does_not_hold_up_submit_or_close(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    started = time.monotonic()
    with running(fifo, close_seconds=0.3) as sink:
        for first in range(1, 2002, 100):
            sink.submit(events(first, first + 99))
    assert time.monotonic() - started < 30
    assert logged(caplog, "events could not be written") == 1
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # the thread ends when somebody reads
    wait_for(lambda: _drain(reader) and not runs("jsonl"), "the thread's end")
    os.close(reader)
    sink._file.close()  # the sink left it to the thread that hung


def _drain(reader: int) -> bool:
    with suppress(BlockingIOError):
        os.read(reader, 1 << 20)
    return True


def test_closing_twice_or_unstarted_does_nothing(tmp_path: Path) -> None:
    JsonlSink(Config(), IDENTITY, Control(Config())).close(1)
    with running(tmp_path / "events.jsonl") as sink:
        sink.close(1)
        sink.submit(events(1, 1))
    assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_what_stops_the_thread_is_raised_by_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: LineFile, _line: bytes) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(LineFile, "write", fail)
    with running(tmp_path / "events.jsonl") as sink:
        sink.submit(events(1, 1))
        wait_for_end_of("jsonl")
        with pytest.raises(RuntimeError, match="a fault of ours"):
            sink.submit(events(2, 2))


@pytest.mark.parametrize("how", ["moved", "deleted", "folder deleted", "replaced"])
def test_a_file_that_is_taken_away_under_way_is_opened_again(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "logs" / "events.jsonl"
    path.parent.mkdir()
    with running(path) as sink:
        sink.submit(events(1, 3))
        wait_for(lambda: path.exists() and numbers(path) == [1, 2, 3], "the first lines")
        if how == "folder deleted":
            shutil.rmtree(path.parent)
        elif how == "deleted":
            path.unlink()
        else:
            path.rename(path.with_name("events.jsonl.1"))
            if how == "replaced":
                path.touch()
        sink.submit(events(4, 5))
        wait_for(lambda: path.exists() and numbers(path) == [4, 5], "the lines after that")
    assert logged(caplog, "was moved, deleted or replaced; continuing in a new file") == 1


def test_a_file_that_others_cut_off_may_grow_to_its_limit_again(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = LineFile(str(path), max_bytes=100, backups=1)
    file.write(b"x" * 89 + b"\n")
    os.truncate(path, 0)
    file.write(b"y" * 59 + b"\n")
    file.close()
    assert path.read_bytes() == b"y" * 59 + b"\n"
    assert not path.with_name("lines.1").exists()
