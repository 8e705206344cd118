"""Whether the clock can be believed, by the kernel, timesyncd or timedated; and what time it was."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.runtime import clock
from fer_edge.runtime.clock import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SYNCED_PAUSE_SECONDS,
    Timedated,
    clock_synced,
)
from fer_edge.testing.brokers import SECONDS, wait_for
from tests.support.threads import runs, wait_for_end_of

OK, ERROR, DENIED = 0, 5, -1  # of adjtimex(2)


@pytest.fixture(autouse=True)
def answers_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes long to start what answers here."""
    monkeypatch.setattr(clock, "ANSWER_SECONDS", SECONDS)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes adjtimex(2) answer so."""

    class Libc:
        answer = OK

        def __init__(self, _name: None) -> None:
            pass

        def adjtimex(self, _timex: object) -> int:
            return Libc.answer

    monkeypatch.setattr(ctypes, "CDLL", Libc)
    return lambda answer: setattr(Libc, "answer", answer)


@pytest.fixture
def timesyncd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that it makes; neither it nor its folder is there."""
    monkeypatch.setattr(clock, "TIMESYNC", tmp_path / "timesync/synchronized")
    return clock.TIMESYNC


def answering(answer: str, calls: Path) -> Timedated:
    """A timedated behind a command that answers so and notes each call."""
    script = f"open({str(calls)!r}, 'a').write('.'); print({answer!r})"
    return Timedated([sys.executable, "-c", script])


def test_the_kernel_is_believed(kernel: Callable[[int], None], timesyncd: Path) -> None:
    assert clock_synced() is True
    kernel(ERROR)
    assert clock_synced() is False
    timesyncd.parent.mkdir()
    timesyncd.touch()
    assert clock_synced() is True


def test_where_it_may_not_be_asked_timesyncd_is_believed(
    kernel: Callable[[int], None], timesyncd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_timedated", lambda: pytest.fail("timesyncd runs: nobody else need be asked"))
    kernel(DENIED)
    timesyncd.parent.mkdir()
    assert clock_synced() is False
    timesyncd.touch()
    assert clock_synced() is True


def test_without_timesyncd_timedated_is_asked(
    kernel: Callable[[int], None], timesyncd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timedated = answering("b true", tmp_path / "calls")
    monkeypatch.setattr(clock, "_timedated", lambda: timedated)
    kernel(DENIED)
    assert clock_synced() is False  # at once: the answer is not there yet
    wait_for(clock_synced, "timedated's answer")


def test_without_glibc_too(timesyncd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_libc(_name: None) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", no_libc)
    timesyncd.parent.mkdir()
    assert clock_synced() is False


def test_timedated_is_asked_seldom_and_never_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    calls = tmp_path / "calls"
    timedated, pauses = answering("b false", calls), []
    for _ in range(8):
        asked = len(calls.read_text()) if calls.exists() else 0
        timedated.synced()
        _answered(timedated)
        assert len(calls.read_text()) == asked + 1
        timedated.synced()
        assert len(calls.read_text()) == asked + 1  # not again so soon
        pauses.append(timedated.asks_again_at - now[0])
        now[0] = timedated.asks_again_at
    assert pauses == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_a_clock_that_is_synchronised_stays_so_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    timedated = answering("b true", tmp_path / "calls")
    assert timedated.synced() is False
    _answered(timedated)
    assert timedated.synced() is True
    now[0] = SYNCED_PAUSE_SECONDS
    timedated.command = ["/absent"]
    assert timedated.synced() is True  # the old answer, while the new one is on its way
    _answered(timedated)
    assert timedated.synced() is False
    assert timedated.asks_again_at == now[0] + FIRST_PAUSE_SECONDS


def test_one_that_does_not_answer_yet_holds_nothing_up(tmp_path: Path) -> None:
    question = tmp_path / "question"
    os.mkfifo(question)
    timedated = Timedated([sys.executable, "-c", f"open({str(question)!r}).read(); print('b true')"])
    assert not any(timedated.synced() for _ in range(1000))
    assert runs("clock"), "it is still being asked"
    question.write_text("answer now")
    _answered(timedated)
    assert timedated.synced() is True


def test_one_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "ANSWER_SECONDS", 0.2)
    timedated = Timedated([sys.executable, "-c", "import time; time.sleep(60)"])
    assert timedated.synced() is False
    _answered(timedated)
    assert timedated.synced() is False
    assert timedated.asks_again_at > time.monotonic()


def _answered(timedated: Timedated) -> None:
    wait_for_end_of("clock")
