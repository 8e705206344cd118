"""report/periods.py: which period, of which history."""

from __future__ import annotations

import csv
import io
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fer_edge.__main__ import main
from fer_edge.commands.report import periods
from fer_edge.commands.report.periods import ReportOptions, moment, report
from fer_edge.config import Config, Device, State
from fer_edge.config import History as HistoryConfig
from fer_edge.errors import ConfigError, ReportError
from fer_edge.runtime.time_text import clock_text
from fer_edge.sinks.history import HistoryTable
from fer_edge.sinks.sqlite_file import SqliteFile
from fer_edge.tracking.minutes import Minute
from tests.support.stories import DAY, event_row

NOW = 1_800_000_000.0


@pytest.mark.parametrize(("text", "ago_s"), [("30m", 1800), ("12h", 43_200), ("7d", 7 * DAY), ("2w", 14 * DAY)])
def test_times_ago(text: str, ago_s: int) -> None:
    assert moment(text, NOW, "--since") == NOW - ago_s


def test_times_by_date() -> None:
    assert moment("2026-11-01T08:30", NOW, "--since") == datetime(2026, 11, 1, 8, 30).timestamp()


@pytest.mark.parametrize(
    "text", ["tomorrow", "7", "-7d", "2026-13-01", "9999999d", "999999w", "0001-01-01", "1969-12-30", ""]
)
def test_no_time_at_all(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--since '.*': expected a time such as 7d, 12h, 2026-11-01"):
        moment(text, NOW, "--since")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A history of the last three hours, one face each half hour."""
    path, history = tmp_path / "history.db", HistoryTable(HistoryConfig())
    disk = SqliteFile(path, write_every_seconds=3600)
    disk.add(history)
    now_s = int(time.time())
    for ago_s in range(3 * 3600, 0, -1800):
        at_s = now_s - ago_s
        events = [event_row(at_s, "start", track=ago_s), event_row(at_s + 9, "end", track=ago_s, dwell_s=8.0)]
        history.add(Minute(begin_s=at_s // 60 * 60, watched_s=60.0, visitors=1, shown_s={"neutral": 8.0}), events)
    disk.close()
    return path


def test_the_command(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.html"
    assert (
        main(["report", "--file", str(kept), "--since", "95m", "--compare", "previous", "-o", str(out), "--csv", "-"])
        == 0
    )
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 6
    assert [row["begin"] for row in rows] == sorted(row["begin"] for row in rows)
    assert "compared with" in out.read_text()


def test_a_period_ends_now_at_the_latest(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    report(Config(), ReportOptions(file=kept, since="95m", until="9999-12-31", out=out))
    assert "9999" not in out.read_text()


def test_the_services_history_is_not_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    monkeypatch.setattr(periods, "SERVICE_FOLDER", tmp_path / "service")
    (tmp_path / "service").mkdir(0)
    before = os.geteuid()
    if not before:
        os.seteuid(65534)  # root may look everywhere
    try:
        with pytest.raises(ReportError, match=r"history\.db: belongs to the service; run the same command with sudo"):
            report(Config(device=Device(id="kitchen")), ReportOptions(csv="-"))
    finally:
        os.seteuid(before)


def test_a_period_begins_and_ends_with_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SqliteFile(tmp_path / "history.db", write_every_seconds=3600)
    disk.add(history := HistoryTable(HistoryConfig(), sure_now=lambda: NOW))
    for begin_s in range(int(NOW) - 300, int(NOW), 60):
        history.add(Minute(begin_s=begin_s, watched_s=60.0), [])
    disk.close()
    monkeypatch.setattr(time, "time", lambda: NOW + 42.0)
    report(Config(), ReportOptions(file=tmp_path / "history.db", since="3m", csv="-"))
    begins = [row["begin"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert begins == [clock_text(NOW - ago_s, wall=True) for ago_s in (180, 120, 60)]


def test_the_services_history_is_found(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `sudo fer-edge report` must, which systemd tells nothing of its folder."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(periods, "SERVICE_FOLDER", tmp_path / "service")
    config = Config(device=Device(id="kitchen"))
    (tmp_path / "service" / "kitchen").mkdir(parents=True)
    kept.rename(tmp_path / "service" / "kitchen" / "history.db")
    report(config, ReportOptions(since="95m", csv="-"))
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(ReportError, match=r"elsewhere/kitchen/history\.db: there is no history"):
        report(msgspec.structs.replace(config, state=State(folder="/elsewhere")), ReportOptions(csv="-"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"since": "1m", "until": "2m"}, r"--since 1m: expected a time before --until"),
        (
            {"since": "40w", "until": "39w"},
            r"history\.db: nothing between .*; it has minutes from \d.* to \d.*; choose another --since",
        ),
        ({"compare": "2020-01-01"}, r"history\.db: nothing between 2020-01-01 .*; choose another --compare"),
        ({"compare": "previous", "since": "26w"}, r"history\.db: nothing between .*; choose another --compare"),
        ({"csv": "/dev/null/a.csv"}, r"/dev/null/a\.csv: cannot write: File exists"),
    ],
)
def test_what_cannot_be_reported(kept: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, ReportError), match=words):
        report(Config(), ReportOptions(file=kept, out=kept.with_name("out.html"), **options))


def test_without_a_file_a_summary_is_shown(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--file", str(kept), "--since", "200m"]) == 0
    message = capsys.readouterr().out
    assert re.search(r"faces that came +6 *\n", message)
    assert "Half of 6 stays were about 8.0 s long" in message
    assert main(["report", "--file", str(kept), "--since", "95m", "--compare", "previous"]) == 0
    message = capsys.readouterr().out
    assert re.search(r"this period +compared with", message)
    assert re.search(r"faces that came +[+−]?\d.* +too little to say", message)
    assert all(len(line) < 90 for line in message.splitlines() if "." not in line)


@pytest.mark.parametrize(
    ("zone", "now", "text", "expected"),
    [
        ("Europe/Berlin", (2026, 11, 29, 3, 30), "today", (2026, 11, 29)),
        ("Europe/Berlin", (2026, 11, 29, 3, 30), "yesterday", (2026, 11, 28)),
        ("Europe/Berlin", (2026, 11, 29, 0, 0), "Yesterday", (2026, 11, 28)),
        ("Europe/Berlin", (2026, 11, 29, 12, 0), "sunday", (2026, 11, 29)),
        ("Europe/Berlin", (2026, 11, 29, 12, 0), "monday", (2026, 11, 23)),
        ("Europe/Berlin", (2026, 3, 30, 0, 30), "yesterday", (2026, 3, 29)),  # a day of 23 hours lies in between
        ("America/New_York", (2026, 11, 2, 1, 30), "yesterday", (2026, 11, 1)),  # one of 25
    ],
)
def test_days_by_name(
    zone: str, now: tuple[int, ...], text: str, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = [datetime(*when).timestamp() for when in (now, expected)]  # type: ignore[arg-type]
        assert moment(text, at[0], "--since") == at[1]
    finally:
        monkeypatch.undo()
        time.tzset()
