"""`fer_edge.camera.v4l2`: what the device says, and what OpenCV does not say."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import cv2
import pytest

from fer_edge.camera import v4l2
from fer_edge.camera.v4l2 import CAPABILITY, V4l2Camera, device_path
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from tests.support.fake_v4l2 import Webcam


@pytest.fixture
def webcam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Webcam:
    return Webcam(tmp_path, monkeypatch)


def camera_at(path: Path | str, **more: Any) -> V4l2Camera:
    return V4l2Camera(CameraConfig(backend="v4l2", source=str(path), **more))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "/dev/video0"),
        ("0", "/dev/video0"),
        ("12", "/dev/video12"),
        ("/dev/video3", "/dev/video3"),
        ("/dev/v4l/by-id/usb-x-index0", "/dev/v4l/by-id/usb-x-index0"),
    ],
)
def test_what_a_source_means(source: str, expected: str) -> None:
    assert device_path(source) == Path(expected)


def test_a_missing_device(tmp_path: Path) -> None:
    with pytest.raises(
        CameraError, match=r"video9 does not exist; video devices found: .*; is the camera plugged in\?"
    ):
        camera_at(tmp_path / "video9").open()


def test_no_permission(webcam: Webcam, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fer_edge.camera.v4l2.os.open", refuse)
    with pytest.raises(CameraError, match=r"video7: no permission; .* group video \(`sudo usermod -aG video USER`\)"):
        camera_at(webcam.node).open()


def test_another_reason_is_passed_on(webcam: Webcam, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("fer_edge.camera.v4l2.os.open", refuse)
    with pytest.raises(CameraError, match="video7 cannot be opened: Too many open files"):
        camera_at(webcam.node).open()


def test_a_file_is_not_a_device(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.touch()
    with pytest.raises(CameraError, match=r"video\.mp4 is a file, not a device; .* camera\.backend: stream"):
        camera_at(path).open()


def test_a_device_that_is_no_camera() -> None:
    with pytest.raises(CameraError, match="/dev/null is not a camera"):
        camera_at(os.devnull).open()


@pytest.mark.parametrize(
    ("capabilities", "device_caps", "expected"),
    [
        (0x84A00001, 0x04200001, True),  # a webcam's picture node
        (0x84A00001, 0x04A00000, False),  # its metadata node: the device captures, this node does not
        (0x84204000, 0x04204000, False),  # a Pi's H.264 decoder
        (0x84201000, 0x04201000, True),  # several planes
        (0x04000001, 0, True),  # an old driver that does not tell nodes apart
    ],
)
def test_what_the_kernel_calls_a_camera(
    capabilities: int, device_caps: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = CAPABILITY.pack(b"uvcvideo", b"Webcam", b"usb-1", 0x060101, capabilities, device_caps)
    monkeypatch.setattr("fer_edge.camera.v4l2.fcntl.ioctl", lambda *_: answer)
    assert len(answer) == 104
    assert v4l2._captures(0) is expected


def test_a_camera_that_is_in_use(webcam: Webcam) -> None:
    webcam.taken = True
    with pytest.raises(CameraError, match=r"video7 cannot be opened: another program uses it, .*fuser"):
        camera_at(webcam.node).open()


def test_it_asks_for_mjpeg_size_and_rate(webcam: Webcam, caplog: pytest.LogCaptureFixture) -> None:
    camera_at(webcam.node, width=640, height=480, fps=15.0).open()
    [capture] = webcam.captures
    assert capture.properties == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 640,
        cv2.CAP_PROP_FRAME_HEIGHT: 480,
        cv2.CAP_PROP_FPS: 15,
        cv2.CAP_PROP_BUFFERSIZE: 2,
    }
    assert list(capture.properties)[2] == cv2.CAP_PROP_FOURCC, "the format comes before rate and buffers"
    assert caplog.messages == []


def test_it_says_what_it_is(webcam: Webcam) -> None:
    camera = camera_at(webcam.node, fps=15.0)
    camera.open()
    assert camera.title == f"{webcam.node}, MJPG at 15 fps"


def test_another_rate_is_said(webcam: Webcam, caplog: pytest.LogCaptureFixture) -> None:
    webcam.rate = 10.0
    camera_at(webcam.node, width=640, height=480, fps=15.0).open()
    assert caplog.messages == [f"{webcam.node}: delivers 10 frames per second instead of 15"]


def test_another_size_is_said(webcam: Webcam, caplog: pytest.LogCaptureFixture) -> None:
    camera = camera_at(webcam.node, width=700, height=500)
    camera.open()
    assert caplog.messages == [f"{webcam.node}: delivers 640x480 instead of 700x500"]
    assert camera.read().width == 640


def test_a_silent_camera_is_a_timeout(webcam: Webcam) -> None:
    camera = camera_at(webcam.node)
    camera.open()
    webcam.silent = True
    with pytest.raises(CameraTimeout, match="video7 delivered no frame within 1 s"):
        camera.read()
    webcam.silent = False
    assert camera.read().seq == 0


def test_an_unplugged_camera_is_lost_and_comes_back(webcam: Webcam) -> None:
    camera = camera_at(webcam.node)
    camera.open()
    before = camera.read()
    webcam.unplug()
    with pytest.raises(CameraError, match=r"video7 is gone: was the camera unplugged\?"):
        camera.read()
    camera.close()
    with pytest.raises(CameraError, match="does not exist"):
        camera.open()
    webcam.plug_in()
    camera.open()
    assert camera.read().seq == before.seq + 1


def test_a_driver_that_fails(webcam: Webcam) -> None:
    camera = camera_at(webcam.node)
    camera.open()
    webcam.failing = True
    with pytest.raises(CameraError, match="stopped delivering") as caught:
        camera.read()
    assert not isinstance(caught.value, CameraTimeout)


@pytest.mark.parametrize("offset_s", [0.0, -3600.0, 1.7e9])
def test_only_a_monotonic_stamp_is_believed(offset_s: float, webcam: Webcam) -> None:
    camera = camera_at(webcam.node)
    camera.open()
    webcam.clock_offset_s = offset_s
    before = time.monotonic_ns()
    frame = camera.read()
    assert before - 1_000_000 <= frame.taken_ns <= time.monotonic_ns()


@pytest.mark.parametrize(("seconds", "expected"), [(5.9, "5"), (0.2, "1")])
def test_the_wait_is_set_in_whole_seconds(
    seconds: float, expected: str, webcam: Webcam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT")
    camera_at(webcam.node, timeout_seconds=seconds).open()
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == expected
