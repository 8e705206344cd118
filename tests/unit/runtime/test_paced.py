"""runtime/paced.py: the loop of what shows pictures."""

from __future__ import annotations

from threading import Event

from fer_edge.runtime.mailbox import Mailbox
from fer_edge.runtime.paced import newest


class Waits(Event):
    """An event that notes how long it is waited for, and wakes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return self.is_set()


def test_the_newest_is_taken_and_then_waited_for_the_rest_of_its_time() -> None:
    mailbox, closing = Mailbox[int](), Waits()
    loop = newest(mailbox, closing, max_per_second=0.01, idle_seconds=0.01)
    mailbox.put(1)
    mailbox.put(2)
    assert next(loop) == 2
    assert next(loop) is None  # nothing new; and for nothing no time is spent
    assert len(closing.seconds) == 1
    assert 50 < closing.seconds[0] <= 100


def test_it_ends_with_the_mailbox_or_where_it_is_told() -> None:
    mailbox, closing = Mailbox[int](), Event()
    mailbox.close()
    assert not [*newest(mailbox, closing, max_per_second=1, idle_seconds=60)]
    closing.set()
    assert not [*newest(Mailbox[int](), closing, max_per_second=1, idle_seconds=60)]
