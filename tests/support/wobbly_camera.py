"""A live camera that fails as its script says."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from fer_edge.camera.capture import CaptureThread
from fer_edge.errors import CameraError
from fer_edge.records import Frame
from fer_edge.runtime.mailbox import Closed


class Wobbly:
    """A live camera that fails as its script says: a number of frames, then an error, again and again."""

    live = True
    colour = True
    title = "wobbly"

    def __init__(self, *script: int | CameraError) -> None:
        self.script, self.opened, self.closed = list(script), 0, 0
        self.seq = 0
        self.coloured: list[bool] = []

    def open(self) -> None:
        self.opened += 1
        if self.script and isinstance(self.script[0], CameraError) and self.opened > 1:
            raise self.script.pop(0)  # type: ignore[misc]

    def read(self) -> Frame | None:
        if not self.script:
            return None
        first = self.script[0]
        if isinstance(first, CameraError):
            self.script.pop(0)
            raise first
        self.script[0] = first - 1
        if first <= 1:
            self.script.pop(0)
        self.seq += 1
        self.coloured.append(self.colour)
        return Frame(self.seq - 1, time.monotonic_ns(), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))

    def close(self) -> None:
        self.closed += 1


def drain(feed: CaptureThread) -> Iterator[Frame]:
    while True:
        try:
            frame = feed.mailbox.get(5)
        except Closed:
            return
        if frame:
            yield frame
