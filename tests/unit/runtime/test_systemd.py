"""systemd.py over a real socket, as systemd listens on it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.runtime.systemd import Notifier
from tests.support.paths import ROOT


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "40000")
        yield listener


def received(listener: socket.socket) -> list[str]:
    listener.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(listener.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_ready_once_then_the_watchdog_is_fed(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    notifier = Notifier()
    notifier.alive()
    assert received(systemd) == ["READY=1\nSTATUS=Watching", "WATCHDOG=1"]
    notifier.alive()
    assert received(systemd) == []  # a quarter of the watchdog's time has not passed
    now[0] += 0.011
    notifier.alive()
    assert received(systemd) == ["WATCHDOG=1"]


def test_status_and_stopping(systemd: socket.socket) -> None:
    notifier = Notifier()
    notifier.status("The camera is away")
    notifier.stopping()
    assert received(systemd) == ["STATUS=The camera is away", "STOPPING=1"]


def test_a_status_of_several_lines_is_one(systemd: socket.socket) -> None:
    """systemd would take another line for an assignment of its own."""
    notifier = Notifier()
    notifier.alive("No picture\nWATCHDOG=trigger")
    notifier.status("No picture\nMAINPID=1")
    assert [message.count("\n") for message in received(systemd)] == [1, 0, 0]


def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0fer-edge-test")
        monkeypatch.setenv("NOTIFY_SOCKET", "@fer-edge-test")
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        Notifier().alive()
        assert received(listener) == ["READY=1\nSTATUS=Watching"]


def test_silent_where_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().alive()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    Notifier().stopping()


def test_a_container_s_health_check_asks_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "alive"
    monkeypatch.setenv("FER_EDGE_ALIVE_FILE", str(file))

    def health() -> subprocess.CompletedProcess[str]:
        script = ROOT / "systemd/container/healthy"
        return subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)

    before = health()
    assert (before.returncode, before.stdout.startswith("fer-edge has not finished a step")) == (1, True)
    notifier = Notifier()
    notifier.alive()
    assert health().returncode == 0
    os.utime(file, (1_000_000_000, 1_000_000_000))
    notifier.alive()  # too soon to touch it again
    assert health().returncode == 1


def test_a_file_that_cannot_be_touched_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_ALIVE_FILE", "/nowhere/alive")
    Notifier().alive()
