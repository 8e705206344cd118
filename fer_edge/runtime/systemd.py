"""The dialogue with systemd (sd_notify(3)): ready, alive, stopping. Silent where systemd does not ask.

In a container, whose health check asks a file instead: $FER_EDGE_ALIVE_FILE is touched.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

from fer_edge.runtime.say_once import one_line

ALIVE_SECONDS = 5.0  # between two touches of the file


class Notifier:
    """Talks to $NOTIFY_SOCKET. `alive` feeds the watchdog, at most as often as it needs it."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path  # a leading @ is the abstract namespace
        self._pause = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 4
        self._fed = -1e9
        self._ready = False
        self._file = os.environ.get("FER_EDGE_ALIVE_FILE")
        self._touched = -1e9

    def alive(self, status: str = "Watching") -> None:
        """A step on a new frame was finished, or the camera is waited for: READY=1 the first time, WATCHDOG=1 from
        then on."""
        if not self._ready:
            self._ready = True
            self._send(f"READY=1\nSTATUS={one_line(status)}")
        if self._pause and time.monotonic() - self._fed >= self._pause:
            self._fed = time.monotonic()
            self._send("WATCHDOG=1")
        if self._file and time.monotonic() - self._touched >= ALIVE_SECONDS:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):  # then the health check fails, as it should
                Path(self._file).touch()

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={one_line(text)}")

    def stopping(self) -> None:
        """The daemon is stopping."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.connect(self._address)
                channel.sendall(message.encode())
            except OSError:
                return  # systemd is gone: nobody to notify
