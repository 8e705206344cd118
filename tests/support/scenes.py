"""A live page with made-up faces, as tests and screenshots look at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fer_edge.records import Box, FaceState, Frame, Update
from tests.support.drawings import STATS, backdrop, face
from tests.support.web_helpers import SECONDS, Site, serving

CALM = replace(STATS, throttled=0, rate_reason=None, temperature_c=50.0)
EVERY_SECONDS = 0.1
FACES = (
    (Box(60, 80, 200, 260), "happiness", 0.93),
    (Box(300, 90, 400, 220), "neutral", 0.6),
    (Box(480, 150, 530, 210), None, 0.9),
)
"""Two that are good to judge and one that is too small, in a picture of 640x360 px."""


def scene(count: int) -> Update:
    """A frame just taken, with so many faces of FACES."""
    frame: Frame = replace(backdrop(640, 360), taken_ns=time.monotonic_ns())
    return Update(frame, faces=tuple(_face(number, frame) for number in range(count)), stats=CALM)


def _face(number: int, frame: Frame) -> FaceState:
    box, label, value = FACES[number]
    return face(box, id_=number + 1, label=label, value=value, at_ns=frame.taken_ns)


@contextmanager
def fed(tmp_path: Path, *, count: int | None = 0, **settings: Any) -> Iterator[Site]:
    """A served page whose daemon sees so many faces, ten times a second; None: no picture at all."""
    stop = threading.Event()
    with serving(tmp_path, **settings) as site:

        def feed() -> None:
            while count is not None and not stop.wait(EVERY_SECONDS):
                site.sink.submit(scene(count))

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield site
        finally:
            stop.set()
            thread.join(SECONDS)
