"""`fer_edge.camera.v4l2` over the kernel's own V4L2, whose driver vivid plays a webcam with bars of colour.

`test_pi_v4l2.py` runs this in a machine with a kernel of its own; elsewhere it skips.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from fer_edge.camera.capture import CaptureThread
from fer_edge.camera.v4l2 import V4l2Camera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame
from tests.support.brokers import wait_for

DRIVER, DEVICE = Path("/sys/bus/platform/drivers/vivid"), "vivid.0"
if not DRIVER.exists():
    pytest.skip("wants the driver vivid: run ./scripts/test-pi v4l2", allow_module_level=True)

NODE = Path("/dev/video0")
BARS = [(1, 1, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (1, 0, 0), (0, 0, 0)]
"""From left to right: which of blue, green and red are bright."""

# from <linux/videodev2.h>
VIDIOC_QUERYCTRL, VIDIOC_S_CTRL = 0xC0445624, 0xC008561C
QUERY, CONTROL = struct.Struct("II32siiiiI8x"), struct.Struct("Ii")
NEXT = 0x80000000


@pytest.fixture
def camera() -> Iterator[V4l2Camera]:
    camera = V4l2Camera(CameraConfig(backend="v4l2", fps=30.0, timeout_seconds=1.0))
    camera.open()
    yield camera
    camera.close()


def read(camera: V4l2Camera, count: int) -> list[Frame]:
    return [camera.read() for _ in range(count)]


def set_control(name: str, value: int) -> None:
    """Set one of the driver's controls by its name."""
    descriptor, number = os.open(NODE, os.O_RDWR), 0
    try:
        while True:
            number, _, found, *_ = QUERY.unpack(
                fcntl.ioctl(descriptor, VIDIOC_QUERYCTRL, QUERY.pack(number | NEXT, 0, b"", 0, 0, 0, 0, 0))
            )
            if found.rstrip(b"\0").decode() == name:
                fcntl.ioctl(descriptor, VIDIOC_S_CTRL, CONTROL.pack(number, value))
                return
    finally:
        os.close(descriptor)


def unplug() -> None:
    (DRIVER / "unbind").write_text(DEVICE)


def plug_in() -> None:
    (DRIVER / "bind").write_text(DEVICE)
    wait_for(NODE.exists, "the device is there")


def test_it_shows_the_bars(camera: V4l2Camera) -> None:
    frame = camera.read()
    assert frame.image.shape == (480, 640, 3)
    row = frame.image[400, 40::80]
    assert [tuple(int(channel > 90) for channel in pixel) for pixel in row] == BARS
    assert (np.diff(frame.gray[400, 40::80].astype(int)) < 0).all(), "each is darker than the one before"


def test_it_says_what_was_negotiated(camera: V4l2Camera) -> None:
    assert camera.title.startswith("/dev/video0 (vivid-000-vid-cap), ")
    assert camera.title.endswith(" at 30 fps")


@pytest.mark.parametrize(
    ("asked", "got", "words"),
    [
        ((1280, 720, 15.0), (1280, 720), []),
        ((700, 500, 15.0), (640, 480), ["/dev/video0: delivers 640x480 instead of 700x500"]),
        ((640, 480, 13.0), (640, 480), ["/dev/video0: delivers 15 frames per second instead of 13"]),
    ],
)
def test_sizes_and_rates_that_it_lacks_are_said(
    asked: tuple[int, int, float], got: tuple[int, int], words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    width, height, fps = asked
    camera = V4l2Camera(CameraConfig(backend="v4l2", width=width, height=height, fps=fps))
    camera.open()
    frame = camera.read()
    camera.close()
    assert (frame.width, frame.height) == got
    assert caplog.messages == words


def test_frames_have_the_drivers_times(camera: V4l2Camera) -> None:
    before = time.monotonic_ns()
    frames = read(camera, 30)
    assert all(one.taken_ns < other.taken_ns for one, other in pairwise(frames))
    assert before - 10**9 < frames[0].taken_ns
    assert frames[-1].taken_ns < time.monotonic_ns()


def test_a_device_that_is_silent_is_a_timeout(camera: V4l2Camera) -> None:
    set_control("Percentage of Dropped Buffers", 100)
    try:
        begun = time.monotonic()
        with pytest.raises(CameraTimeout, match=r"/dev/video0 delivered no frame within \d+ s"):
            read(camera, 4)  # some may be full already
        assert time.monotonic() - begun < 10
    finally:
        set_control("Percentage of Dropped Buffers", 0)
    camera.close()
    camera.open()
    camera.read()


def test_a_device_that_is_unplugged_is_an_error(camera: V4l2Camera) -> None:
    camera.read()
    unplug()
    try:
        with pytest.raises(CameraError, match="/dev/video0 is gone: was the camera unplugged"):
            read(camera, 4)
        camera.close()
        with pytest.raises(CameraError, match="/dev/video0 does not exist; video devices found: none"):
            camera.open()
    finally:
        plug_in()
    camera.open()
    assert camera.read().seq > 0


def test_the_daemon_brings_it_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = V4l2Camera(CameraConfig(backend="v4l2", fps=30.0, timeout_seconds=1.0))
    camera.open()
    feed = CaptureThread(lambda: camera)
    feed.start(Event())
    first = feed.mailbox.get(5)
    unplug()
    wait_for(lambda: feed.away, "the camera is away")
    plug_in()
    wait_for(lambda: "the camera is back" in caplog.messages, "the camera is back", seconds=60)
    feed.mailbox.get(5)  # this may have waited since before
    frame = feed.mailbox.get(5)
    feed.close()
    assert first
    assert frame
    assert frame.seq > first.seq


def test_a_second_opener_hears_why(camera: V4l2Camera) -> None:
    camera.read()
    with pytest.raises(CameraError, match=r"/dev/video0 cannot be opened: another program uses it"):
        V4l2Camera(CameraConfig(backend="v4l2")).open()
