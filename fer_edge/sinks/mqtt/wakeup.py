"""Ending another thread's wait for the network."""

from __future__ import annotations

import contextlib
import math
import select
import socket
from collections.abc import Sequence
from typing import Protocol


class Waitable(Protocol):
    """What can be waited on."""

    def fileno(self) -> int:
        """Its file descriptor."""


def wait_ready(reading: Sequence[Waitable], timeout: float, *, writing: bool = False) -> dict[int, int]:
    """Wait, at most `timeout` seconds, until there is something to read; `writing`: or the first can be written to.

    Returns the events (poll(2)) of those that are ready, by file descriptor. Not select(2), which knows no descriptor
    above 1023: many open pages take those.
    """
    poll = select.poll()
    for number, each in enumerate(reading):
        poll.register(each.fileno(), select.POLLIN | (select.POLLOUT if writing and not number else 0))
    return dict(poll.poll(math.ceil(timeout * 1000)))


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
        """See `Waitable`."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close the sockets."""
        self._reader.close()
        self._writer.close()

    def wait(self, timeout: float) -> None:
        """Wait until it is set, at most `timeout` seconds."""
        wait_ready([self], timeout)
        self.clear()
