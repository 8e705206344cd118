"""A one-slot hand-off between two threads."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The mailbox was closed and is empty: nothing will come any more."""


class Mailbox(Generic[T]):
    """Holds the newest item. `put` replaces one that nobody took and counts it as dropped, or, with
    `wait=True`, waits until the slot is free, so that nothing is lost."""

    def __init__(self, changed: Condition | None = None) -> None:
        """`changed`: what several mailboxes share of which one thread waits for any (`wait_for_any`)."""
        self._changed = changed or Condition()
        self._item: T | None = None
        self._closed = False
        self.dropped = 0

    def put(self, item: T, *, wait: bool = False) -> None:
        """Leave an item; after `close` it is let go."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._item is None or self._closed)
            if self._closed:
                return
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def get(self, timeout: float) -> T | None:
        """The item, or None after `timeout` seconds without one. Raises Closed when no more can come."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._closed:
                raise Closed
            return item

    @property
    def ready(self) -> bool:
        """Whether `get` would return at once: there is an item, or none can come any more."""
        return self._item is not None or self._closed

    @property
    def empty(self) -> bool:
        """Whether nothing waits in it."""
        return self._item is None

    def close(self) -> None:
        """No more items: wakes everyone; one that is still in the slot can be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def wait_for_any(boxes: Sequence[Mailbox[T]], changed: Condition, timeout: float) -> list[Mailbox[T]]:
    """Those of some mailboxes that are ready, as soon as one is; none after `timeout` seconds. They were made with
    `changed`."""
    with changed:
        changed.wait_for(lambda: any(box.ready for box in boxes), timeout)
        return [box for box in boxes if box.ready]
