"""health.py: what a board tells of its heat and its power supply."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fer_edge.board import health
from fer_edge.board.health import Health, HealthWatch, read_health
from fer_edge.testing.brokers import wait_for
from tests.support.boards import Board
from tests.support.threads import wait_for_end_of


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(tmp_path / "board", monkeypatch)


def test_another_machine_tells_nothing(board: Board) -> None:
    assert read_health() == Health(None, None)
    assert Health(None, None).words() == ""


@pytest.mark.parametrize("soc", ["soc", "soc@107c000000"])
def test_a_kernel_that_passes_the_bits_on(board: Board, soc: str) -> None:
    board.temperature("48312")
    board.throttled("50005", soc=soc)
    board.vcgencmd("echo throttled=0x1")
    assert read_health() == Health(48.312, 0x50005)
    assert board.calls == []  # a file is cheaper than a process


def test_nonsense_counts_as_unknown(board: Board) -> None:
    board.temperature("hot")
    board.throttled("")
    board.supply("?")
    board.vcgencmd("echo error=1")
    assert read_health() == Health(None, None)


def test_the_firmware_is_asked_where_the_file_is_missing(board: Board) -> None:
    board.vcgencmd("echo throttled=0x80008")
    assert read_health().throttled == 0x80008
    assert board.calls == ["get_throttled"]
    board.supply("1")
    assert read_health().throttled == 0x80009


@pytest.mark.parametrize("script", ["exit 1", "echo VCHI initialization failed", "exec sleep 60"])
def test_a_program_that_fails_or_hangs(board: Board, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(health, "VCGENCMD_SECONDS", 0.2)
    board.vcgencmd(script)
    board.supply("1")
    begun = time.monotonic()
    assert read_health().throttled == 1
    assert time.monotonic() - begun < 30


def test_without_the_device_the_program_is_not_tried(board: Board) -> None:
    board.vcgencmd("echo throttled=0x4")
    (board.folder / "dev" / "vcio").unlink()
    assert read_health().throttled is None
    assert board.calls == []


def test_the_program_is_asked_rarely(board: Board) -> None:
    now = [1000.0]
    board.vcgencmd("echo throttled=0x1")
    watch = HealthWatch(clock=lambda: now[0])
    for seconds in (0, 5, 10, 29):
        now[0] = 1000.0 + seconds
        watch.look()
        assert watch.latest.throttled == 1
    assert len(board.calls) == 1
    board.vcgencmd("echo throttled=0x0")
    now[0] = 1030.0
    watch.look()
    assert watch.latest.throttled == 0
    assert len(board.calls) == 2


def test_a_thread_keeps_looking_and_nobody_waits_for_it(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "EVERY_SECONDS", 0.01)
    board.temperature("50000")
    watch = HealthWatch()
    watch.start()
    wait_for(lambda: watch.latest.temperature_c == 50, "the first look")
    board.temperature("60000")
    wait_for(lambda: watch.latest.temperature_c == 60, "the next one")
    watch.close()


def test_a_failure_comes_to_light(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> float:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(health, "temperature_c", broken)
    watch = HealthWatch()
    watch.start()
    wait_for_end_of("health")
    with pytest.raises(RuntimeError, match="no such thing"):
        _ = watch.latest
    watch.close()


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, ""),
        (0x1, "under-voltage now"),
        (0x50005, "under-voltage, throttled now"),
        (0x50000, "under-voltage, throttled since the start"),
        (0x80006, "frequency capped, throttled now; soft temperature limit since the start"),
    ],
)
def test_bits_in_words(bits: int, words: str) -> None:
    assert Health(None, bits).words() == words


def test_no_files_left_does_not_end_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a folder needs a file descriptor, as reading a file does."""
    looks: list[None] = []

    def no_files() -> None:
        looks.append(None)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(health, "kernel_bits", no_files)
    monkeypatch.setattr(health, "EVERY_SECONDS", 0.01)
    watch = HealthWatch()
    watch.start()
    try:
        wait_for(lambda: len(looks) > 2, "it goes on looking")
        assert watch.latest == Health(None, None)
    finally:
        watch.close()
