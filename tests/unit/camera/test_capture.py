"""feed.py: the camera thread."""

from __future__ import annotations

import time
from functools import partial
from threading import Event

import pytest

import fer_edge.camera.capture as feed_module
from fer_edge.camera import is_live_source, open_camera
from fer_edge.camera.capture import PAUSED, CaptureThread
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Image
from fer_edge.testing.brokers import wait_for
from tests.support.threads import runs, wait_for_end_of
from tests.support.wobbly_camera import Wobbly, drain

DEMO = CameraConfig(backend="replay", source="demo", pace="max")


class TestFeed:
    def test_a_file_loses_no_frame_and_ends(self, astronaut: Image) -> None:
        feed = CaptureThread(partial(open_camera, DEMO))
        feed.start(Event())
        sequence = [frame.seq for frame in drain(feed)]
        assert sequence == list(range(180))
        assert feed.mailbox.dropped == 0
        feed.raise_error()
        feed.close()

    def test_a_live_camera_overwrites_and_counts(self) -> None:
        camera = Wobbly(50)
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        wait_for(lambda: camera.closed > 0, "what shall happen")
        assert [frame.seq for frame in drain(feed)] == [49]
        assert feed.mailbox.dropped == 49

    @pytest.mark.parametrize("colour", [True, False])
    def test_it_tells_the_camera_whether_anybody_looks_at_colours(self, colour: bool) -> None:
        camera = Wobbly(3)
        feed = CaptureThread(lambda: camera)
        feed.colour = colour
        feed.start(Event())
        wait_for(lambda: camera.closed > 0, "what shall happen")
        assert camera.coloured == [colour] * 3

    def test_a_lost_live_camera_is_opened_again(self, no_pauses: None, caplog: pytest.LogCaptureFixture) -> None:
        camera = Wobbly(1, CameraTimeout("silent"), CameraError("still unplugged"), 1)
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        wait_for_end_of("camera")
        assert camera.opened == 2
        assert camera.seq == 2
        assert not feed.away
        assert "silent; all faces are ended" in caplog.text
        feed.raise_error()

    def test_a_damaged_file_is_the_end(self) -> None:
        camera = Wobbly(1, CameraError("damaged"))
        camera.live = False
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        assert len(list(drain(feed))) == 1
        with pytest.raises(CameraError, match="damaged"):
            feed.raise_error()

    @pytest.mark.parametrize("script", [(10**9,), (1, *[CameraError("gone")] * 10_000)], ids=["reading", "away"])
    def test_closing_ends_the_thread_and_the_camera(
        self, no_pauses: None, script: tuple[int | CameraError, ...]
    ) -> None:
        camera = Wobbly(*script)
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        wait_for(lambda: camera.seq > 0, "what shall happen")
        feed.close()
        assert not runs("camera")
        assert camera.closed

    def test_a_camera_that_hangs_is_left_behind(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(feed_module, "JOIN_SECONDS", 0.05)
        released, camera = Event(), Wobbly(5)
        monkeypatch.setattr(camera, "read", lambda: released.wait(20) and None)
        feed = CaptureThread(lambda: camera)
        feed.start(Event())
        feed.close()
        assert "does not respond" in caplog.text
        released.set()
        wait_for_end_of("camera")

    def test_a_camera_that_cannot_be_opened_raises_at_the_start(self) -> None:
        def fail() -> Wobbly:
            raise CameraError("no such camera")

        feed = CaptureThread(fail)
        with pytest.raises(CameraError, match="no such camera"):
            feed.start(Event())
        feed.close()

    def test_a_stop_does_not_wait_for_a_camera_that_takes_its_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "JOIN_SECONDS", 0.05)
        released, stop = Event(), Event()

        def slow() -> Wobbly:
            released.wait(20)
            raise CameraTimeout("did not answer")

        feed = CaptureThread(slow)
        stop.set()
        begun = time.monotonic()
        feed.start(stop)
        feed.close()
        assert time.monotonic() - begun < 10
        released.set()
        wait_for_end_of("camera")


def test_a_camera_that_opens_and_fails_at_once_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(feed_module, "FIRST_PAUSE_SECONDS", 0.01)
    pauses: list[float] = []

    class Pausing(Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return super().wait(0.001)

    broken = Broken(fails=5)
    feed = CaptureThread(lambda: broken)
    feed._stop = Pausing()  # to see the pauses without waiting for them
    feed.start(Event())
    wait_for(lambda: "the camera is back" in caplog.messages, "the camera is back")
    feed.close()
    assert pauses[:5] == [0.01, 0.02, 0.04, 0.08, 0.16]
    assert caplog.messages.count("the camera is back") == 1


class Broken(Wobbly):
    """Gives a frame, then opens well and fails to read a number of times, then sends for ever."""

    def __init__(self, *, fails: int) -> None:
        super().__init__(1, *[CameraError("no frame")] * fails, 1 << 30)

    def open(self) -> None:
        self.opened += 1


class TestACameraThatIsNotThere:
    def test_it_is_waited_for_at_the_start_as_it_is_later(
        self, no_pauses: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        camera, absent, plugged = Wobbly(2), ["no camera is connected"] * 3, Event()

        def open_it() -> Wobbly:
            if absent:
                raise CameraError(absent.pop())
            plugged.wait(10)
            return camera

        feed = CaptureThread(open_it, live=True)
        feed.start(Event())  # raises nothing
        wait_for(lambda: not absent, "three attempts")
        assert (feed.away, feed.waiting, feed.live) == (True, True, True)
        assert feed.reason == "no camera is connected"
        plugged.set()
        wait_for_end_of("camera")
        assert (feed.away, feed.reason, camera.seq) == (False, "", 2)
        assert "no camera is connected; waiting for it" in caplog.text
        feed.close()

    def test_one_that_opens_and_gives_nothing_is_not_back(
        self, no_pauses: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        mute, opened = Broken(fails=3), Event()
        mute.script.pop(0)  # it has never given a frame

        def open_it() -> Broken:
            if not opened.is_set():
                opened.set()
                raise CameraError("no camera is connected")
            mute.open()
            return mute

        feed = CaptureThread(open_it, live=True)
        feed.start(Event())
        wait_for(lambda: mute.seq > 0, "a frame")
        wait_for(lambda: not feed.away, "it is back")
        feed.close()
        assert (mute.opened, mute.closed) == (4, 4), "the one that sends is closed at the end"
        assert caplog.messages.count("the camera is back") == 1
        assert "trying to open it again" not in caplog.text, "it was never there"

    def test_a_stop_ends_the_waiting(self, no_pauses: None) -> None:
        def fail() -> Wobbly:
            raise CameraError("no camera is connected")

        feed = CaptureThread(fail, live=True)
        feed.start(Event())
        feed.close()
        assert not runs("camera")
        feed.raise_error()

    def test_a_recording_that_is_not_there_is_not_waited_for(self) -> None:
        assert is_live_source(CameraConfig(backend="picamera2"))
        assert is_live_source(CameraConfig(backend="stream", source="rtsp://there/1"))
        assert not is_live_source(CameraConfig(backend="stream", source="film.mp4"))
        assert not is_live_source(CameraConfig(backend="stream", source="file:///film.mp4"))
        assert not is_live_source(DEMO)

    def test_a_pause_closes_the_camera_and_its_end_opens_it_again(self, no_pauses: None) -> None:
        camera = Wobbly(1_000_000_000)
        feed = CaptureThread(lambda: camera, live=True)
        feed.start(Event())
        wait_for(lambda: camera.seq > 0, "a picture")
        feed.paused = True
        wait_for(lambda: camera.closed == 1, "it is closed")
        assert (feed.away, feed.waiting, feed.reason) == (True, True, PAUSED)
        seen = camera.seq
        feed.paused = False
        wait_for(lambda: camera.seq > seen, "another picture")
        assert (feed.away, feed.reason, camera.opened) == (False, "", 1)
        feed.close()

    def test_a_camera_that_is_paused_at_the_start_stays_closed(self) -> None:
        opened: list[int] = []
        feed = CaptureThread(lambda: opened.append(1) or Wobbly(1), live=True)  # type: ignore[func-returns-value]
        feed.paused = True
        feed.start(Event())
        assert feed.reason == PAUSED
        assert not opened
        feed.close()
