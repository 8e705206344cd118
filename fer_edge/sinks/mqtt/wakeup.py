"""Ending another thread's wait for the network."""

from __future__ import annotations

import contextlib
import select
import socket


class WakePipe:
    """Ends another thread's wait for the network."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def set(self) -> None:
        """End the wait, now or the next time. Never blocks."""
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Be ready to wait again."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def fileno(self) -> int:
        """For select()."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close the sockets."""
        self._reader.close()
        self._writer.close()

    def wait(self, timeout: float) -> None:
        """Wait until it is set, at most `timeout` seconds."""
        select.select([self], [], [], timeout)
        self.clear()
