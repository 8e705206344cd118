"""Packets of a live stream, read by a thread of their own so that nothing waits in the network's buffers: the decoder
takes them as it can, and what it cannot keep up with is left out up to the next key frame."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from threading import Condition, Thread
from typing import Any, NamedTuple

LONGEST_LAG_NS = 500_000_000
MOST_PACKETS = 300


class Arrived(NamedTuple):
    """A packet and when it came, by time.monotonic_ns()."""

    packet: Any
    at_ns: int


class LivePackets:
    """Reads ahead. `take` never returns what is older than LONGEST_LAG_NS where a key frame came since."""

    def __init__(self, reader: Any) -> None:
        """`reader`: an AvReader; closed by the thread when it ends."""
        self._reader = reader
        self._waiting: deque[Arrived] = deque()
        self._changed = Condition()
        self.over = False
        self._error: Exception | None = None
        self._stop = False
        self._broken = False  # packets were skipped: continue at a key frame
        self.skipped = 0
        """Packets skipped because the decoder was too slow."""
        self._thread = Thread(target=self._main, name="stream", daemon=True)
        self._thread.start()

    def take(self, timeout_seconds: float) -> Arrived | None:
        """The next packet; None at the end of the stream.

        Raises TimeoutError where none came in time, and what reading failed with."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self.over, timeout_seconds):
                raise TimeoutError
            self._catch_up()
            if self._waiting:
                return self._waiting.popleft()
            if self._error:
                raise self._error
            return None

    def behind(self, at_ns: int) -> bool:
        """Whether what came at `at_ns` is old, and something newer waits."""
        with self._changed:
            return bool(self._waiting) and time.monotonic_ns() - at_ns > LONGEST_LAG_NS

    def close(self) -> None:
        """Stop reading; the thread releases the connection as soon as the network lets it."""
        with self._changed:
            self._stop = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(0.2)

    def _catch_up(self) -> None:
        """Leave out what lies before the newest key frame where the decoder is behind by too much."""
        if not self._waiting or time.monotonic_ns() - self._waiting[0].at_ns <= LONGEST_LAG_NS:
            return
        keys = [index for index, arrived in enumerate(self._waiting) if arrived.packet.is_keyframe]
        for _ in range(keys[-1] if keys else 0):
            self._waiting.popleft()
            self.skipped += 1

    def _main(self) -> None:
        try:
            self._read(self._reader.packets())
        except Exception as error:  # handed to the reader of packets, who knows what it means
            self._error = error
        finally:
            with self._changed:
                self.over = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stop)  # the decoder belongs to the container
            self._reader.close()

    def _read(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            with self._changed:
                if self._stop:
                    return
                self._put(Arrived(packet, time.monotonic_ns()))
                self._changed.notify_all()

    def _put(self, arrived: Arrived) -> None:
        if len(self._waiting) >= MOST_PACKETS:  # no key frame for long: memory is bounded all the same
            self.skipped += len(self._waiting)
            self._waiting.clear()
            self._broken = True
        if self._broken and not arrived.packet.is_keyframe:
            self.skipped += 1
            return
        self._broken = False
        self._waiting.append(arrived)
