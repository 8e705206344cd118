"""mailbox.py: latest wins, or nothing is lost."""

from __future__ import annotations

from threading import Condition, Thread

import pytest

from fer_edge.runtime.mailbox import Closed, Mailbox, wait_for_any


def test_the_latest_wins_and_the_others_are_counted() -> None:
    box: Mailbox[int] = Mailbox()
    for item in (1, 2, 3):
        box.put(item)
    assert box.get(0) == 3
    assert box.dropped == 2
    assert box.get(0) is None


def test_waiting_loses_nothing() -> None:
    box: Mailbox[int] = Mailbox()

    def send() -> None:
        for item in range(100):
            box.put(item, wait=True)
        box.close()

    thread = Thread(target=send)
    thread.start()
    got: list[int | None] = []
    while len(got) < 100:
        got.append(box.get(5))
    with pytest.raises(Closed):
        box.get(5)
    thread.join()
    assert got == list(range(100))
    assert box.dropped == 0


def test_the_last_item_can_be_taken_after_closing_and_nothing_can_be_put() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.close()
    box.put(2)
    assert box.get(0) == 1
    with pytest.raises(Closed):
        box.get(0)


def test_closing_wakes_who_waits_to_put() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    thread = Thread(target=lambda: box.put(2, wait=True))
    thread.start()
    box.close()
    thread.join(5)
    assert not thread.is_alive()


def test_one_thread_waits_for_several_mailboxes() -> None:
    changed = Condition()
    first, second = Mailbox[str](changed), Mailbox[str](changed)
    assert wait_for_any([first, second], changed, 0.01) == []
    put = Thread(target=second.put, args=("news",))
    put.start()
    assert wait_for_any([first, second], changed, 30.0) == [second]
    put.join()
    assert second.get(0.0) == "news"
    first.close()
    assert wait_for_any([first, second], changed, 30.0) == [first]  # nothing will come: that is to be known, too
