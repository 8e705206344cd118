"""`fer_edge.camera.picamera`, over a fake that has picamera2's rules."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.camera import picamera
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.picamera import PiCamera
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.testing.libcamera import Transform
from fer_edge.testing.picamera2 import BLUE_GREEN_RED, GRAY, World, camera_of, install
from tests.support.threads import wait_for_end_of


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = install(monkeypatch)
    yield world
    assert world.outstanding == 0, "a request was not released"


@pytest.fixture
def camera(world: World) -> Iterator[PiCamera]:
    camera = camera_of()
    camera.open()
    yield camera
    camera.close()


@pytest.fixture
def impatient(world: World) -> Iterator[PiCamera]:
    camera = camera_of(timeout_seconds=0.4)
    camera.open()
    yield camera
    camera.close()


def test_colour_is_bgr_and_gray_is_the_y_plane_without_padding(camera: PiCamera) -> None:
    for number in (1, 2, 3):
        frame = camera.read()
        assert frame.image.shape == (60, 100, 3)
        assert frame.gray.shape == (60, 100)
        assert (frame.image == BLUE_GREEN_RED).all()
        assert (frame.gray == number).all()


def test_it_outlives_its_buffers(camera: PiCamera, world: World) -> None:
    frames = [camera.read() for _ in range(3 * picamera.BUFFERS)]
    assert [frame.gray[0, 0] for frame in frames] == list(range(1, len(frames) + 1))


def test_what_it_asks_for(world: World) -> None:
    camera = camera_of(width=640, height=480, fps=15.0)
    camera.open()
    camera.close()
    asked = dict(world.last_config)
    assert asked.pop("colour_space").name == "sYCC", "gray from 0 to 255"
    assert asked == {
        "main": {"size": (640, 480), "format": "RGB888"},
        "lores": {"size": (640, 480), "format": "YUV420"},
        "controls": {"FrameDurationLimits": (66667, 66667)},
        "transform": Transform(),
        "sensor": {"output_size": (1296, 972), "bit_depth": 10},
        "buffer_count": picamera.BUFFERS,
    }
    assert world.set_controls == {"FrameDurationLimits": (66667, 66667)}, "the rest is the camera's own business"
    assert camera.title == "0 (ov5647, sensor mode 1296x972 10 bit)"


def test_colours_that_nobody_looks_at_are_not_copied(camera: PiCamera, world: World) -> None:
    camera.colour = False
    frame = camera.read()
    assert world.colour_copies == 0
    assert (frame.image == 1).all(), "gray stands in"
    camera.colour = True
    assert (camera.read().image == BLUE_GREEN_RED).all()
    assert world.colour_copies == 1


def test_a_webcam_by_libcamera_has_no_frame_duration(world: World) -> None:
    world.controls = {}
    camera = camera_of()
    camera.open()
    assert camera.read().seq == 0
    camera.close()


def test_odd_sizes_are_evened_and_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    camera = camera_of(width=101, height=61)
    camera.open()
    assert camera.read().image.shape == (60, 100, 3)
    camera.close()
    assert caplog.messages == ["the camera delivers 100x60 instead of 101x61"]


def test_a_rate_that_it_lacks_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    camera = camera_of(fps=200.0)
    camera.open()
    camera.close()
    assert caplog.messages == ["the camera delivers 120 frames per second instead of 200"]


def test_streams_of_two_sizes_are_refused(world: World) -> None:
    world.lores_size = (96, 60)
    camera = camera_of()
    with pytest.raises(
        CameraError, match=r"camera 0 cannot be started: asked for .*\(96, 60\).*; try another camera\.width"
    ):
        camera.open()
    assert world.acquired == set(), "it was given back"


def test_a_stall_is_a_timeout_and_frames_come_again(impatient: PiCamera, world: World) -> None:
    impatient.read()
    world.stalled = True
    for _ in range(picamera.BUFFERS):  # abandoned jobs would take all buffers
        began = time.monotonic()
        with pytest.raises(CameraTimeout, match=r"no frame within 0\.4 s: is its cable loose\?"):
            impatient.read()
        assert time.monotonic() - began < 10
    world.stalled = False
    assert [impatient.read().seq for _ in range(2 * picamera.BUFFERS)] == list(range(1, 1 + 2 * picamera.BUFFERS))


def test_a_frame_that_comes_with_the_timeout_is_not_lost(impatient: PiCamera, world: World) -> None:
    world.stalled = world.finish_in_time = True
    assert impatient.read().seq == 0


def test_a_failing_library_is_an_error_in_one_line(camera: PiCamera, world: World) -> None:
    world.failure = RuntimeError("Camera frontend has timed out!")
    with pytest.raises(CameraError, match=r"^the camera was lost: Camera frontend has timed out!$"):
        camera.read()
    world.failure = None
    camera.close()
    camera.open()
    assert camera.read().seq == 0


def test_a_frame_that_cannot_be_read_is_released(camera: PiCamera, world: World) -> None:
    world.broken_metadata = True
    for _ in range(2 * picamera.BUFFERS):
        with pytest.raises(CameraError, match=r"a frame that cannot be read: no metadata"):
            camera.read()
    world.broken_metadata = False
    assert camera.read().seq == 0


@pytest.mark.parametrize("slept_s", [0, 3600])
def test_time_stamps_of_either_clock_become_monotonic(
    camera: PiCamera, world: World, slept_s: int, monkeypatch: Any
) -> None:
    boot_ns = time.clock_gettime_ns
    monkeypatch.setattr(
        "fer_edge.camera.picamera.time.clock_gettime_ns", lambda clock: boot_ns(clock) + slept_s * 10**9
    )
    for stamp in (lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns):
        world.stamp = stamp
        before = time.monotonic_ns()
        frame = camera.read()
        assert before - 50_000_000 < frame.taken_ns < time.monotonic_ns() + 50_000_000


def test_a_frame_without_a_stamp_was_taken_now(camera: PiCamera, world: World) -> None:
    world.stamp = lambda: None
    before = time.monotonic_ns()
    assert before < camera.read().taken_ns <= time.monotonic_ns()


def test_the_format_of_the_virtual_camera(world: World) -> None:
    world.formats = ("NV12", "NV12")
    camera = camera_of()
    camera.open()
    frame = camera.read()
    camera.close()
    assert frame.image.shape == (60, 100, 3)
    assert (frame.image == GRAY).all()
    assert (frame.gray == 1).all()


def test_nv12_of_the_full_range_becomes_bgr() -> None:
    for bgr in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (40, 90, 200)):
        y, v, u = cv2.cvtColor(np.full((2, 2, 3), bgr, np.uint8), cv2.COLOR_BGR2YCrCb)[0, 0]
        nv12 = np.array([[y, y, y, y], [y, y, y, y], [u, v, u, v]], np.uint8)
        assert np.abs(picamera.nv12_to_bgr(nv12, (4, 2)).astype(int) - bgr).max() <= 2, bgr


def test_a_format_that_cannot_be_used(world: World) -> None:
    world.formats = ("MJPEG", "YUV420")
    with pytest.raises(CameraError, match=r"cannot be started: .* in MJPEG .* for a webcam camera\.backend: v4l2"):
        camera_of().open()


@pytest.mark.parametrize(
    ("rotation", "asked"), [(180, Transform(True, True)), (90, Transform()), (270, Transform(True, True))]
)
def test_the_sensor_mirrors_where_it_can(rotation: int, asked: Transform, world: World) -> None:
    for world.flips in (True, False):
        camera = camera_of(rotation=rotation)
        camera.open()
        assert camera._maker.orientation == Orientation(  # what is left to turn in software
            rotation != 180, *((False, False) if world.flips else (asked.hflip, asked.vflip))
        )
        shape = (60, 100) if rotation == 180 else (100, 60)
        assert camera.read().gray.shape == shape
        camera.close()
        if world.flips:
            assert world.last_config["transform"] == asked


def test_libcamera_fails_to_start(world: World) -> None:
    world.failure = RuntimeError("Failed to start camera manager")
    with pytest.raises(CameraError, match="libcamera cannot list the cameras: Failed to start camera manager"):
        camera_of().open()


def test_no_camera(world: World) -> None:
    world.models = []
    with pytest.raises(CameraError, match="no camera is connected: check its cable"):
        camera_of().open()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1", "there is no such camera"),
        ("front", "expects a camera's number"),
        ("1" * 5000, "expects a camera's number"),  # Python does not read so long a number
    ],
)
def test_the_wrong_camera(source: str, words: str, world: World) -> None:
    with pytest.raises(CameraError, match=rf"camera\.source '{source}': .*{words}; found: 0 \(ov5647\)"):
        camera_of(source=source).open()


def test_the_second_camera(world: World) -> None:
    world.models = ["imx708", "imx219"]
    camera = camera_of(source="1")
    camera.open()
    assert world.acquired == {1}
    camera.close()


def test_a_camera_that_is_in_use(camera: PiCamera, world: World) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CameraError, match=r"camera 0 is in use by another program \(.*busy\): stop it"):
        camera_of().open()
    assert len(os.listdir("/proc/self/fd")) == descriptors, "the daemon tries again and again"


def test_another_reason_is_passed_on(world: World) -> None:
    world.acquired.add(0)

    def fail(self: Any, *_: object) -> None:
        reading, self.notifyme_w = os.pipe()
        self.notifymeread = os.fdopen(reading, "rb")
        raise IndexError("list index out of range")

    world_class = sys.modules["picamera2"].Picamera2
    world_class.__init__ = fail
    with pytest.raises(CameraError, match=r"camera 0 cannot be opened: list index out of range; see `rpicam-hello"):
        camera_of().open()


def test_picamera2_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    monkeypatch.setattr(sys, "prefix", "/somewhere/venv")
    with pytest.raises(CameraError, match=r"sudo apt install python3-picamera2.*--system-site-packages"):
        camera_of().open()
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)  # as the Debian package runs
    with pytest.raises(
        CameraError, match=r"sudo apt install python3-picamera2`.* Debian does not; or set camera.backend"
    ):
        camera_of().open()


def test_picamera2_does_not_fit_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")

    monkeypatch.setattr(picamera, "import_module", fail)
    with pytest.raises(
        CameraError, match=r"is incompatible with numpy in /.*/numpy \(numpy.dtype.*`pip uninstall numpy`"
    ):
        camera_of().open()


def test_a_close_that_hangs_is_given_up(
    camera: PiCamera, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(picamera, "CLOSE_SECONDS", 0.05)
    world.hang = Event()
    camera.read()
    camera.close()
    assert caplog.messages == ["the camera did not stop within 0.05 s: libcamera hangs and is abandoned"]
    with pytest.raises(CameraError, match="only a restart of fer-edge frees it"):
        camera.open()
    world.hang.set()
    wait_for_end_of("picamera2-close")
    camera.open()
    assert camera.read().seq == 1, "it came back after all"


def test_a_close_that_fails_is_logged(camera: PiCamera, world: World, caplog: pytest.LogCaptureFixture) -> None:
    device: Any = camera._camera  # only the one below can fail
    device.close()  # the thread behind it must not outlive the test

    def fail() -> None:
        raise RuntimeError("Unable to stop preview.")

    device.close = fail
    with caplog.at_level(logging.WARNING):
        camera.close()
    assert caplog.messages == ["the camera did not close cleanly"]
