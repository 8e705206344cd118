"""What the queueing sinks share: a bounded queue and a thread whose failure is raised."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar

from fer_edge.runtime.part_name import in_context

log = logging.getLogger(__name__)

T = TypeVar("T")


class Backlog(Generic[T]):
    """First in, first out, at most `size` items. When it is full the oldest item goes, counted in `dropped`."""

    def __init__(self, size: int) -> None:
        self._changed = Condition()
        self._items: deque[T] = deque()
        self._size = size
        self._woken = False
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Append an item. True: the oldest one went for it."""
        with self._changed:
            self._items.append(item)
            self._changed.notify()
            return self._trim()

    def put_back(self, items: Sequence[T]) -> None:
        """Return items that were taken to the front, in the order in which they were taken."""
        with self._changed:
            self._items.extendleft(reversed(items))
            self._trim()

    def _trim(self) -> bool:
        over = max(0, len(self._items) - self._size)
        for _ in range(over):
            self._items.popleft()
        self.dropped += over
        return over > 0

    def get(self, timeout: float = 0.0) -> T | None:
        """The oldest item; None where none came within `timeout` seconds or `wake` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._woken, timeout)
            return self._items.popleft() if self._items else None

    def wake(self) -> None:
        """From now on `get` does not wait."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)


class Worker:
    """A sink's thread. What stops it, if not its own end, is kept and raised by `check`."""

    def __init__(self, name: str, target: Callable[[], None]) -> None:
        # daemon: a write that the system never finishes must not keep the process from ending
        self._thread = Thread(target=in_context(self._run), name=name, daemon=True)
        self._target = target
        self._failure: Exception | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._thread.ident is not None

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        if self._failure:
            raise self._failure

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end, at most `timeout` seconds. True: it has ended, or never ran."""
        if self.started:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._target()
        except Exception as error:  # the top of a thread: main gets it
            self._failure = error
            log.error("the %s sink has stopped: %r", self._thread.name, error)
