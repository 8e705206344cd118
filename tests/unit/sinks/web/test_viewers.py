"""web/viewers.py, renderer.py: many viewers, slow ones, and what each gets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from fer_edge.sinks.web.viewers import BEHIND, MOST_WANTED, Live, TooSlow, Viewer
from fer_edge.testing.brokers import wait_for
from tests.support.web_helpers import Page, Site, bright, event_of, serving, update_of

VIEWERS = 50
TAKEN = 10  # pictures


async def taken(viewer: Viewer) -> list[str | bytes]:
    """All that a viewer is to be sent now."""
    items: list[str | bytes] = []
    with contextlib.suppress(TimeoutError):
        while True:
            items.append(await asyncio.wait_for(viewer.next(), 0.01))
    return items


def test_of_events_each_comes_of_the_rest_the_newest() -> None:
    viewer = Viewer()
    for number in range(3):
        viewer.say(f"event {number}")
        viewer.show("faces", f"faces {number}")
        viewer.show("health", f"health {number}")
    assert asyncio.run(taken(viewer)) == ["event 0", "event 1", "event 2", "faces 2", "health 2"]


def test_what_waits_for_a_page_that_reads_nothing_is_bounded() -> None:
    """It may ask, and be answered, faster than it reads."""

    class Text(str):
        """One that can be counted while it is kept."""

    viewer, kept = Viewer(), []
    for number in range(3 * BEHIND):
        text = Text(number)
        kept.append(weakref.ref(text))
        viewer.say(text)
    del text
    assert sum(each() is not None for each in kept) == BEHIND + 1
    with pytest.raises(TooSlow):
        asyncio.run(viewer.next())


def test_a_picture_comes_only_to_who_has_room() -> None:
    live = Live(10)
    viewer, other = live.enter(), live.enter()
    assert viewer
    assert other
    assert looked(live) == (True, False)
    live.want(viewer)
    assert looked(live) == (True, True)
    live.frame("faces", b"one")
    live.frame("faces", b"two")
    assert asyncio.run(taken(viewer)) == ["faces", b"two"]
    assert asyncio.run(taken(other)) == ["faces"]
    for _ in range(5):
        live.want(viewer)
    assert viewer.wanted == MOST_WANTED
    live.leave(viewer)
    assert looked(live) == (True, False)
    live.leave(other)
    assert looked(live) == (False, False)


def looked(live: Live) -> tuple[bool, bool]:
    """Whether somebody looks, and whether somebody has room for a picture."""
    return live.watched, live.frame_requested


def test_who_is_too_far_behind_begins_anew() -> None:
    viewer = Viewer()
    for number in range(BEHIND + 1):
        viewer.say(str(number))
    with pytest.raises(TooSlow):
        asyncio.run(viewer.next())


def watch(page: Page, count: int) -> None:
    """Look like a browser: take so many pictures, asking for the next one after each."""
    page.say(type="next")
    page.say(type="next")
    for _ in range(count):
        page.picture()
        page.say(type="next")


def feed(site: Site, lookers: Sequence[threading.Thread], *, fps: float = 15.0) -> list[float]:
    """Submit updates like a camera of this rate while these look; how long each `submit` took, ms."""
    image = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    spent: list[float] = []
    seq = 0
    while any(thread.is_alive() for thread in lookers):
        begun = time.perf_counter()
        site.sink.submit(event_of(seq := seq + 1) if seq % 15 == 0 else update_of(image))
        spent.append((time.perf_counter() - begun) * 1e3)
        time.sleep(1 / fps)
    return spent


def test_fifty_viewers_share_one_encode(tmp_path: Path) -> None:
    with serving(tmp_path, images=True, max_fps=15.0) as site, ExitStack() as stack:
        pages = [stack.enter_context(site.page(compression=None)) for _ in range(VIEWERS)]
        for page in pages:
            page.receive("hello")
        threads = [threading.Thread(target=watch, args=(page, TAKEN)) for page in pages]
        for thread in threads:
            thread.start()
        spent = feed(site, threads)  # until everyone has seen it move
        drawn = site.sink.renderer.drawn
        assert TAKEN <= drawn <= len(spent)
        assert 5 * drawn < VIEWERS * TAKEN  # one encode for many
        assert statistics.median(spent) < 5
        with site.page() as late:  # the 51st is told
            assert late.closed() == 1013


def test_a_slow_viewer_slows_nobody(tmp_path: Path) -> None:
    with serving(tmp_path, images=True, max_fps=30.0) as site, site.page(compression=None) as quick:
        quick.receive("hello")
        with socket.create_connection(("127.0.0.1", site.sink.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lines = ("GET /live HTTP/1.1", f"Host: {site.host}", "Upgrade: websocket", "Connection: Upgrade")
            key = ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", "")
            slow.sendall("\r\n".join((*lines, *key)).encode())
            wait_for(lambda: len(site.sink.live) == 2, "both look")
            ask = b'{"type":"next"}'
            for _ in range(100):  # it asks for pictures and takes none of them
                slow.sendall(bytes((0x81, 0x80 | len(ask), 0, 0, 0, 0)) + ask)
            thread = threading.Thread(target=watch, args=(quick, 2 * TAKEN))
            thread.start()
            spent = feed(site, [thread], fps=20.0)
        assert max(spent) < 1000  # `submit` never waits for anybody: this is far below what a stuck page takes
        assert statistics.median(spent) < 5
        assert len(spent) / 4 <= 2 * TAKEN, "the other one sees most of them"
        quick.receive("health")


def test_an_update_is_not_drawn_twice_and_none_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, max_fps=2.0) as site, site.page() as page:
        page.receive("hello")
        for _ in range(10):
            site.sink.submit(update_of(bright()))
        page.receive("faces")
        assert site.sink.renderer.seen <= 2
