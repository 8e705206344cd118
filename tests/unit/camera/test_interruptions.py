"""camera/capture.py: pauses and losses that come one into the other."""

from __future__ import annotations

import time
from threading import Event

import pytest

import fer_edge.camera.capture as capture
from fer_edge.camera import LeftOut
from fer_edge.camera.capture import PAUSED, CaptureThread
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.testing.brokers import wait_for
from tests.support.threads import runs, wait_for_end_of
from tests.support.wobbly_camera import Wobbly, drain


def paused_from_the_start() -> tuple[Wobbly, CaptureThread]:
    """A camera of one frame that is not open yet."""
    camera = Wobbly(1)
    feed = CaptureThread(lambda: camera)
    feed.paused = True
    feed.start(Event(), wait=False)
    wait_for(lambda: feed.reason == PAUSED, "it is paused")
    return camera, feed


class TestPausesAndLosses:
    def test_one_that_is_lost_again_at_once_is_opened_again_too(self, no_pauses: None) -> None:
        camera = Wobbly(1, CameraTimeout("silent"), 1, CameraTimeout("silent again"), 1)
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        wait_for_end_of("camera")
        assert (camera.opened, camera.seq) == (2, 3)

    def test_one_that_comes_back_at_its_end_is_over(self, no_pauses: None) -> None:
        camera = Wobbly(1, CameraTimeout("silent"))
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        wait_for_end_of("camera")
        assert camera.closed == 3, "where it was lost, at its end, and with the thread"
        feed.raise_error()

    def test_a_pause_while_it_is_away_is_a_pause(self, no_pauses: None) -> None:
        camera = Wobbly(1, *[CameraError("gone")] * 1_000_000)
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        wait_for(lambda: feed.reason == "gone", "it is away")
        feed.paused = True
        wait_for(lambda: feed.reason == PAUSED, "it is paused")
        assert feed.waiting
        camera.script[:] = [1]
        feed.paused = False
        wait_for_end_of("camera")
        assert camera.seq == 2

    def test_a_pause_from_the_start_is_over_when_it_is_lifted(self) -> None:
        camera, feed = paused_from_the_start()
        assert camera.seq == 0
        feed.paused = False
        wait_for_end_of("camera")
        assert camera.seq == 1

    def test_a_stop_ends_a_pause_from_the_start(self) -> None:
        camera, feed = paused_from_the_start()
        feed.close()
        assert not runs("camera")
        assert camera.seq == 0

    def test_a_file_stays_open_while_it_is_paused(self) -> None:
        camera = Wobbly(3)
        camera.live = False
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        feed.paused = True
        frames = drain(feed)
        next(frames)
        wait_for(lambda: feed.reason == PAUSED, "it is paused")
        assert camera.closed == 0
        feed.paused = False
        list(frames)
        wait_for_end_of("camera")
        assert (camera.seq, camera.opened, camera.closed) == (3, 0, 1)


def test_what_the_camera_left_out_is_added_to_what_nobody_took() -> None:
    class Lossy(Wobbly):
        left_out = LeftOut(late=5, damaged=2)

    feed = CaptureThread(lambda: Lossy(3))
    assert feed.left_out == LeftOut()
    feed.start(Event())
    wait_for(lambda: feed.mailbox.dropped == 2, "two were overwritten")
    assert feed.left_out == LeftOut(late=7, damaged=2)
    assert feed.now_ns() >= next(drain(feed)).taken_ns
    feed.close()


def test_a_camera_that_takes_its_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "POLL_SECONDS", 0.001)

    def slow() -> Wobbly:
        time.sleep(0.02)
        return Wobbly(1)

    feed = CaptureThread(slow)
    feed.start(Event())
    assert feed.live
    assert len(list(drain(feed))) == 1
    feed.close()
