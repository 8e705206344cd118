"""Which threads there are."""

from __future__ import annotations

import threading

from fer_edge.testing.brokers import wait_for


def runs(name: str) -> bool:
    """Whether a thread of this name is at work (docs/architecture.md lists the names)."""
    return any(thread.name == name and thread.is_alive() for thread in threading.enumerate())


def wait_for_end_of(name: str) -> None:
    wait_for(lambda: not runs(name), f"the end of the thread {name}")
