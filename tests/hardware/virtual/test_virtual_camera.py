"""`fer_edge.camera.picamera` over the real picamera2 and libcamera, whose virtual cameras show pictures of our own.

`test_pi_camera.py` runs this in a machine of its own; elsewhere it skips.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.camera import picamera
from fer_edge.camera.capture import CaptureThread
from fer_edge.camera.picamera import PiCamera
from fer_edge.camera.picontrols import wanted
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame
from fer_edge.testing.brokers import wait_for
from tests.support.threads import wait_for_end_of

PICTURES = Path("/camera")
if not (PICTURES / "virtual.yaml").exists():
    pytest.skip("wants libcamera's virtual cameras: run ./scripts/test-pi camera", allow_module_level=True)

libcamera = pytest.importorskip("libcamera")

GRAYS, FACE = "0", "1"  # the numbers of the cameras
DIES = "ignore::pytest.PytestUnhandledThreadExceptionWarning"


Open = Callable[..., PiCamera]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens a camera, which is closed at the end."""
    cameras = []

    def open_one(source: str = FACE, **more: Any) -> PiCamera:
        cameras.append(camera_of(source, **more))
        cameras[-1].open()
        return cameras[-1]

    yield open_one
    for camera in cameras:
        camera.close()


def camera_of(source: str = FACE, **more: Any) -> PiCamera:
    return PiCamera(CameraConfig(backend="picamera2", source=source, **more))


def device(camera: PiCamera) -> Any:
    """The Picamera2 below: only there can it be seen what libcamera was asked for, and made to fail."""
    return camera._camera


def descriptors() -> int:
    gc.collect()  # picamera2's objects hold each other
    return len(os.listdir("/proc/self/fd"))


def picture() -> Any:
    return cv2.imread(str(PICTURES / "face/0.jpg"))


def read(camera: PiCamera, count: int) -> list[Frame]:
    return [camera.read() for _ in range(count)]


def far_apart(one: Any, other: Any) -> float:
    """Mean difference of two pictures, 0..255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_it_shows_the_picture_in_its_colours_and_in_gray(opened: Open) -> None:
    camera = opened()
    frame, shown = camera.read(), picture()
    assert camera.title == "1 (face)"
    assert far_apart(frame.image, shown) < 3
    assert far_apart(frame.image, shown[:, :, ::-1]) > 20, "red and blue are where they belong"
    assert far_apart(frame.gray, cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY)) < 2


def test_both_streams_are_configured_as_asked(opened: Open) -> None:
    camera = opened()
    configuration = device(camera).camera_configuration()
    assert configuration["main"]["size"] == configuration["lores"]["size"] == (640, 480)
    assert "sYCC" in str(configuration["colour_space"])
    assert configuration["buffer_count"] == picamera.BUFFERS


def test_colours_that_nobody_looks_at_are_not_copied(opened: Open) -> None:
    camera = opened()
    camera.colour = False
    frame = camera.read()
    assert np.shares_memory(frame.image, frame.gray)
    assert far_apart(frame.gray, cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY)) < 2


def test_a_thousand_frames_come_in_order_and_starve_nobody(opened: Open) -> None:
    camera = opened(GRAYS, fps=200.0)
    before, stamps, shown = time.monotonic_ns(), [], set()
    held: deque[Frame] = deque(maxlen=2 * picamera.BUFFERS)
    for number in range(1000):
        frame = camera.read()
        assert frame.seq == number
        stamps.append(frame.taken_ns)
        held.append(frame)
        # the oldest is whole, and is what it was when the camera has long written over its memory
        low, high = (int(each) for each in (held[0].gray.min(), held[0].gray.max()))
        assert high - low <= 1
        assert np.abs(held[0].image[::100, ::100].astype(int) - low).max() <= 2
        shown.add(low)
    assert all(one < other for one, other in pairwise(stamps))
    assert before - 100_000_000 < stamps[0], "of the monotonic clock"
    assert stamps[-1] < time.monotonic_ns()
    assert len(shown) == 15


@pytest.mark.parametrize("rotation", [90, 270])
def test_a_quarter_turn(rotation: int, opened: Open) -> None:
    camera = opened(rotation=rotation)
    hflip, vflip = camera._orientation.before_turning  # what the sensor is asked for
    transform = device(camera).camera_configuration()["transform"]
    frame = camera.read()
    camera.close()
    assert (transform.hflip, transform.vflip) == (hflip, vflip), "as asked; virtual cameras accept it and do nothing"
    turned = np.rot90(picture(), -1)  # what the sensor would have mirrored, is not
    assert far_apart(frame.image, turned) < 3
    assert far_apart(frame.gray, cv2.cvtColor(np.ascontiguousarray(turned), cv2.COLOR_BGR2GRAY)) < 2


def test_libcamera_is_asked_to_mirror(opened: Open) -> None:
    camera = opened(rotation=180, hflip=True)
    transform = device(camera).camera_configuration()["transform"]
    camera.close()
    assert (bool(transform.hflip), bool(transform.vflip)) == (False, True)


def test_the_frame_rate_reaches_libcamera(opened: Open) -> None:
    camera = opened(fps=50.0)
    frames = read(camera, 51)
    camera.close()
    assert 0.95 < (frames[-1].taken_ns - frames[0].taken_ns) / 1e9 < 1.5


@pytest.mark.parametrize(
    ("key", "value"),
    [("exposure_us", 1000), ("gain", 2.0), ("awb", "daylight"), ("focus", "auto"), ("hdr", "night")],
)
def test_a_control_that_it_lacks_is_one_line(key: str, value: Any, opened: Open) -> None:
    camera = camera_of(**{key: value})
    with pytest.raises(
        CameraError, match=rf"^section camera, key {key}: the face has no \w+, only FaceD.*remove the key$"
    ):
        camera.open()
    opened()  # it was given back


EVERYTHING = {"exposure_us": 1000, "gain": 2.0, "focus": "manual", "focus_dioptres": 2.0}
AWB = ("incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy")


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING,
        {"focus": "auto"},
        *({"awb": mode} for mode in AWB),
        *({"hdr": mode} for mode in ("single-exposure", "multi-exposure", "night")),
    ],
)
def test_libcameras_bindings_take_every_value(settings: dict[str, Any], opened: Open) -> None:
    """No virtual camera has these controls, but names, enums and types are checked as for one that has."""
    request = device(opened()).camera.create_request(1)
    asked = wanted(CameraConfig(**settings), libcamera.controls)
    assert asked
    for _, name, value in asked:
        request.set_control(getattr(libcamera.controls, name), value)
        float(value)  # its range is checked so


def test_the_sensors_own_hdr_needs_another_camera() -> None:
    with pytest.raises(CameraError, match=r"only the Camera Module 3 \(imx708\) knows sensor, not the face"):
        camera_of(hdr="sensor").open()


def test_a_second_opener_hears_why(opened: Open) -> None:
    camera = opened()
    before = descriptors()
    for _ in range(5):
        with pytest.raises(
            CameraError, match=r"^camera 1 is in use by another program \(.*busy\): stop it; `fuser .*$"
        ):
            camera_of().open()
    assert descriptors() == before
    camera.read()
    opened(GRAYS).read()  # another camera is no trouble


def test_closing_and_opening_again_leaks_nothing() -> None:
    camera, seen = camera_of(), []
    for _ in range(15):
        camera.open()
        camera.read()
        camera.close()
        seen.append(descriptors())
    assert seen[-1] <= seen[4], seen
    assert threading.active_count() == 1


def fail(_request: Any) -> None:
    raise ValueError("a bug in a callback")


@pytest.mark.filterwarnings(DIES)
def test_a_listener_that_dies_is_a_timeout(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    camera = opened(timeout_seconds=0.5)
    camera.read()
    device(camera).pre_callback = fail
    device(camera)._preview.thread.join(5)  # picamera2 has no other way to wait for it
    assert "Exception during process_requests()" in caplog.messages, "the library's own words"
    begun = time.monotonic()
    with pytest.raises(CameraTimeout, match=r"no frame within 0\.5 s"):
        read(camera, 2)  # one may have been kept
    assert time.monotonic() - begun < 3
    camera.close()
    camera.open()
    assert far_apart(camera.read().image, picture()) < 3
    camera.close()


@pytest.mark.filterwarnings(DIES)
def test_the_daemon_brings_it_back(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = opened(timeout_seconds=0.5)
    feed = CaptureThread(lambda: camera)
    feed.start(Event())
    first = feed.mailbox.get(5)
    device(camera).pre_callback = fail
    wait_for(lambda: "the camera is back" in caplog.messages, "the camera is back")
    feed.mailbox.get(5)  # this may have waited since before
    frame = feed.mailbox.get(5)
    feed.close()
    assert first
    assert frame
    assert frame.seq > first.seq
    assert far_apart(frame.image, picture()) < 3


def test_a_close_that_hangs_is_given_up(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(picamera, "CLOSE_SECONDS", 0.3)
    camera, released = opened(), Event()
    device(camera).pre_callback = lambda _request: released.wait(20)  # picamera2 joins this thread without a limit
    begun = time.monotonic()
    camera.close()
    assert time.monotonic() - begun < 3
    assert "libcamera hangs and is abandoned" in caplog.messages[-1]
    with pytest.raises(CameraError, match="only a restart of fer-edge frees it"):
        camera.open()
    released.set()
    wait_for_end_of("picamera2-close")
    camera.open()
    camera.read()
    camera.close()


def test_what_is_asked_for_wrongly() -> None:
    with pytest.raises(CameraError, match=r"there is no such camera; found: 0 \(grays\), 1 \(face\)"):
        camera_of("7").open()
