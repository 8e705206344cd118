"""The loop of the previews: always the newest picture, at a limited rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import TypeVar

from fer_edge.runtime.mailbox import Closed, Mailbox

T = TypeVar("T")


def newest(mailbox: Mailbox[T], closing: Event, *, max_per_second: float, idle_seconds: float) -> Iterator[T | None]:
    """The newest item of a mailbox again and again, until that is closed or `closing` is set; None after `idle_seconds`
    without one."""
    while not closing.is_set():
        try:
            item = mailbox.get(idle_seconds)
        except Closed:
            return
        begun = time.monotonic()
        yield item
        if item is not None:
            closing.wait(max(0.0, begun + 1 / max_per_second - time.monotonic()))
