"""`fer-edge watch` on a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.errors import SinkError
from fer_edge.testing.brokers import Mosquitto, Recorder, wait_for
from tests.support.watch_views import event, lines, screen_of


def test_an_offline_device_is_forgotten_by_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[str] = []

    def forget(device: str) -> int:
        if device == "cellar":
            raise SinkError("the daemon of cellar runs")
        forgotten.append(device)
        return 7

    screen = screen_of(width=60, forget=forget)
    monkeypatch.setattr("fer_edge.commands.watch.keys.Keys.there", True)
    screen.show("fer-edge/hall/availability", b"online")
    assert lines(screen)[-1] == "Ctrl-C ends"
    for name in ("attic", "cellar"):
        screen.show(f"fer-edge/{name}/availability", b"offline")

    def press(keys: str) -> str:
        monkeypatch.setattr(screen.keys, "pressed", lambda: keys)
        screen.tick()
        monkeypatch.setattr(screen.keys, "pressed", lambda: "")
        return lines(screen)[-1]

    assert press("") == "Ctrl-C ends   f forgets an offline device"
    assert press("y") == "Ctrl-C ends   f forgets an offline device"
    assert press("f") == "Ctrl-C ends   Forget attic for good? y yes, f next, n no"
    assert press("f") == "Ctrl-C ends   Forget cellar for good? y yes, f next, n no"
    assert press("n") == "Ctrl-C ends   f forgets an offline device"
    press("fy")
    wait_for(lambda: "attic is forgotten: 7 topics removed" in lines(screen)[-1], "it is done")
    press("ffy")
    wait_for(lambda: "cellar is not forgotten: the daemon" in lines(screen)[-1], "it is refused")
    assert forgotten == ["attic"]


def as_in_a_shell() -> None:
    """Give a new process its terminal, and Ctrl-C, which is ignored in what a script has put into the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """`fer-edge watch` in a pseudo terminal."""

    def __init__(self, *arguments: str) -> None:
        master, slave = pty.openpty()
        self._master, self.output = master, ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fer_edge", "watch", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            preexec_fn=as_in_a_shell,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )
        os.close(slave)

    def wait(self, wanted: str, seconds: float = 20.0) -> None:
        limit = time.monotonic() + seconds
        while wanted not in self.output:
            assert time.monotonic() < limit, self.output
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.output += os.read(self._master, 65536).decode(errors="replace")
                except OSError:  # it has ended
                    break
        assert wanted in self.output

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self._master)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def test_on_a_real_terminal(mosquitto: Mosquitto) -> None:
    with Recorder(mosquitto.port) as daemon:
        daemon.publish("fer-edge/kitchen/availability", "online", retain=True)
        terminal = Terminal("--host", "127.0.0.1", "--port", str(mosquitto.port), "--until-offline")
        try:
            terminal.wait("kitchen is online")
            daemon.publish("fer-edge/kitchen/event", event(1))
            terminal.wait("#7 update: happiness")
            daemon.publish("fer-edge/kitchen/availability", "offline", retain=True)
            terminal.wait("1 event from 1 device")
            assert terminal.process.wait(10) == 0
        finally:
            terminal.close()
    entered, left = terminal.output.index("\x1b[?1049h"), terminal.output.index("\x1b[?1049l")
    assert entered < left < terminal.output.index("1 event from"), "the terminal is given back before the last word"
    assert "\x1b[?25h" in terminal.output[entered:], "with its cursor"


def test_a_device_is_forgotten_on_a_real_terminal(mosquitto: Mosquitto) -> None:
    with Recorder(mosquitto.port) as daemon:
        daemon.publish("fer-edge/attic/availability", "offline", retain=True)
        daemon.publish("fer-edge/attic/state", '{"faces": 2}', retain=True)
        terminal = Terminal("--host", "127.0.0.1", "--port", str(mosquitto.port))
        try:
            terminal.wait("f forgets an offline device")
            assert "2 faces" not in terminal.output
            terminal.press("f")
            terminal.wait("Forget attic for good?")
            terminal.press("y")
            terminal.wait("attic is forgotten: 3 topics removed")  # with its entities
            terminal.press("\x03")
            terminal.wait("no events from no devices")
            assert terminal.process.wait(20) == 0
        finally:
            terminal.close()
