"""notify.py over a real socket, as systemd listens on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.runtime.systemd import Notifier


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
