"""How a command ends: its exit code, its last line, and what a daemon does when it is told to."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_edge.__main__ import JournalFormatter, main
from fer_edge.commands import arguments as command_arguments
from fer_edge.commands import run as run_module
from fer_edge.config import Config
from fer_edge.daemon import Signals
from fer_edge.errors import Interrupted


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """`run` takes signals over; the tests' own handling comes back after each test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command that ends with this."""

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("fer_edge.commands.analyze.command.analyze", fail)
    return main(["analyze", "demo"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Interrupted("3 of 9 files were read"), 130, "fer-edge: 3 of 9 files were read\n"),
        (OSError(errno.ENOSPC, "No space left"), 1, "fer-edge: standard output: No space left\n"),
        (OSError(errno.ENOSPC, "No space left", "rows.csv"), 1, "fer-edge: rows.csv: No space left\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_ends_a_command_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert failing(error, monkeypatch) == code
    assert capsys.readouterr().err == line


def test_who_reads_no_more_gets_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert failing(BrokenPipeError(), monkeypatch) == 0
        out.write("what was still in the buffer")
    assert (tmp_path / "out").read_text() == ""


def test_a_missing_stderr_is_opened_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.dup(2)
    monkeypatch.setattr(sys, "stderr", None)
    try:
        assert failing(Interrupted("to nobody"), monkeypatch) == 130
        assert os.readlink("/proc/self/fd/2") == os.devnull
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_an_error_in_the_journal_has_its_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.yaml").write_text("camera: {fsp: 3}\n")
    with (tmp_path / "journal").open("w+") as journal:
        stream = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stream.st_dev}:{stream.st_ino}")
        monkeypatch.setattr(sys, "stderr", journal)
        assert main(["run", "-c", str(tmp_path / "bad.yaml")]) == os.EX_CONFIG
        assert main(["check", "-c", str(tmp_path / "bad.yaml")]) == 1
        journal.seek(0)
        lines = journal.read().splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"<3>fer-edge: {tmp_path}/bad.yaml:1: section camera, key fsp") for line in lines)


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.CRITICAL, 3), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_lines_of_the_log_have_the_journal_s_priorities(level: int, priority: int) -> None:
    record = logging.LogRecord("fer_edge", level, __file__, 1, "the camera\nis %s", ("away",), None)
    line = JournalFormatter("%(message)s").format(record)
    assert line.startswith(f"<{priority}>the camera")
    assert "\n" not in line


class Daemon:
    """Stands for the daemon: gets signals, and says whether it is to be started again."""

    def __init__(self, *numbers: int, again: bool) -> None:
        self._numbers, self._again = numbers, again
        self.seen: list[tuple[bool, bool]] = []  # a reload, a stop

    def __call__(self, _: Config, signals: Signals, *, path: Path | None) -> bool:
        for number in self._numbers:
            os.kill(os.getpid(), number)
            self.seen.append((signals.reload, signals.stop.is_set()))
        return self._again


def test_signals_reload_and_stop_and_after_a_stop_nothing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    daemon = Daemon(*numbers, again=False)
    monkeypatch.setattr(run_module, "run_daemon", daemon)
    assert main(["run"]) == 0
    assert daemon.seen == [(True, False), *[(True, True)] * 4]


def test_a_restart_is_systemd_s_where_it_started_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "run_daemon", Daemon(again=True))
    monkeypatch.setenv("INVOCATION_ID", "0123")
    assert main(["run"]) == os.EX_TEMPFAIL


def test_elsewhere_the_daemon_starts_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, ...]] = []

    def execute(*command: Any) -> None:
        started.append(command)
        raise SystemExit

    monkeypatch.setattr(run_module, "run_daemon", Daemon(again=True))
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    monkeypatch.setattr(os, "execv", execute)
    monkeypatch.setattr(sys, "argv", ["fer-edge", "run", "-c", "my.yaml"])
    with pytest.raises(SystemExit):
        main(["run"])
    assert started == [(sys.executable, [sys.executable, "-m", "fer_edge", "run", "-c", "my.yaml"])]


def test_which_configuration_is_used_and_which_is_not_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(run_module, "run_daemon", Daemon(again=False))
    monkeypatch.setattr(command_arguments, "DEFAULT_CONFIG", tmp_path / "etc" / "config.yaml")
    (tmp_path / "config.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 0
    found, note = caplog.messages
    assert found == "configuration: defaults, as there is no file"
    assert "./config.yaml is not used" in note
