"""USB webcams and everything else that is a /dev/video node, by OpenCV's V4L2 backend."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import struct
import time
from pathlib import Path

import cv2

from fer_edge.camera import FrameMaker, quiet_opencv
from fer_edge.camera.orientation import Orientation
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame
from fer_edge.runtime.count_text import counted

log = logging.getLogger(__name__)

# from <linux/videodev2.h>
VIDIOC_QUERYCAP = 0x80685600
CAPABILITY = struct.Struct("16s32s32sIII12x")  # driver, card, bus, version, capabilities, device_caps, reserved
CAP_VIDEO_CAPTURE = 0x00000001
CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
CAP_DEVICE_CAPS = 0x80000000

FPS_TOLERANCE = 0.02  # 30000/1001 counts as 30
STAMP_MAX_AGE_NS = 2_000_000_000  # an older stamp is not of the monotonic clock


class V4l2Camera:
    """Reads the camera `config.source`: a number, a path (`/dev/v4l/by-id/...` survives replugging), or
    nothing for /dev/video0.

    OpenCV waits for a frame in whole seconds and takes the wait from the first V4L2 camera of the process:
    `timeout_seconds` is rounded down, to at least 1 s. `OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT`, where it is set
    in the environment, overrides it.
    """

    live = True
    colour = True

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._device = device_path(config.source)
        self.title = str(self._device)
        self._maker = FrameMaker(Orientation.of(config))
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Open the device in the size and at the rate of the config, as near as it can.

        Raises CameraError: no such device, no permission, not a camera, or in use.
        """
        quiet_opencv()
        wait = str(max(1, int(self._config.timeout_seconds)))
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", wait)
        _check_device(self._device)
        capture = cv2.VideoCapture(str(self._device), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise CameraError(
                f"{self._device} cannot be opened: another program uses it, or it offers no format that OpenCV reads; "
                f"`fuser -v {self._device}` names its users"
            )
        self._set_up(capture)
        self._capture = capture

    def read(self) -> Frame:
        """Return the next frame. Raises CameraTimeout when the device is silent, CameraError when it is gone."""
        if self._capture is None:
            raise CameraError(f"{self._device} is not open")
        began = time.monotonic()
        ok, image = self._capture.read()
        if not ok:
            raise self._lost(time.monotonic() - began)
        return self._maker.make(image, taken_ns=_taken_ns(self._capture.get(cv2.CAP_PROP_POS_MSEC)))

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _set_up(self, capture: cv2.VideoCapture) -> None:
        config = self._config
        # first: raw YUYV of 640x480 and more does not fit through USB 2 at full rate, MJPEG does
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height)
        capture.set(cv2.CAP_PROP_FPS, config.fps)
        # the newest frame, not the oldest of four; with one buffer the driver has none to fill while we decode
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        width = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if (width, height) != (config.width, config.height):
            log.warning("%s: delivers %dx%d instead of %dx%d", self._device, width, height, config.width, config.height)
        fps = capture.get(cv2.CAP_PROP_FPS)
        if fps and abs(fps - config.fps) > FPS_TOLERANCE * config.fps:
            log.warning("%s: delivers %s per second instead of %g", self._device, counted(fps, "frame"), config.fps)
        self.title = f"{self._device}{_model(self._device)}, {_name(capture.get(cv2.CAP_PROP_FOURCC))} at {fps:g} fps"

    def _lost(self, seconds: float) -> CameraError:
        if not self._device.exists():
            return CameraError(f"{self._device} is gone: was the camera unplugged?")
        if seconds >= 0.9:  # OpenCV does not say why; at once means an error, the shortest wait is 1 s
            return CameraTimeout(f"{self._device} delivered no frame within {seconds:.0f} s")
        return CameraError(f"{self._device} stopped delivering frames: it was unplugged, or its driver failed")


def device_path(source: str) -> Path:
    """Return the node that `camera.source` means: "" is /dev/video0, a number N /dev/videoN, all else a path."""
    return Path(f"/dev/video{source or 0}") if not source or source.isdecimal() else Path(source)


def _check_device(path: Path) -> None:
    """Raise CameraError, with the reason, where `path` is not a camera that we may open."""
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise CameraError(_why_not(path, error)) from None
    try:
        if not stat.S_ISCHR(os.fstat(device).st_mode):
            raise CameraError(f"{path} is a file, not a device; for videos use camera.backend: stream")
        if not captures_video(device):
            raise CameraError(f"{path} is not a camera: it captures no video (codecs and metadata nodes look alike)")
    finally:
        os.close(device)


def _model(path: Path) -> str:
    """The driver's name of the device, in brackets; empty where it has none."""
    try:
        return f" ({Path('/sys/class/video4linux', path.resolve().name, 'name').read_text().strip()})"
    except OSError:
        return ""


def _name(fourcc: float) -> str:
    """A pixel format by its name, such as MJPG."""
    return int(fourcc).to_bytes(4, "little").decode("ascii", "replace")


def captures_video(device: int) -> bool:
    """Whether the device captures video, according to its driver (VIDIOC_QUERYCAP)."""
    try:
        answer = fcntl.ioctl(device, VIDIOC_QUERYCAP, bytes(CAPABILITY.size))
    except OSError:  # not a V4L2 device at all
        return False
    *_, capabilities, device_caps = CAPABILITY.unpack(answer)
    of_this_node = device_caps if capabilities & CAP_DEVICE_CAPS else capabilities
    return bool(of_this_node & (CAP_VIDEO_CAPTURE | CAP_VIDEO_CAPTURE_MPLANE))


def _why_not(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        found = ", ".join(sorted(str(node) for node in Path("/dev").glob("video*"))) or "none"
        return f"{path} does not exist; video devices found: {found}; is the camera plugged in?"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission; add the daemon's user to the group video (`sudo usermod -aG video USER`)"
    return f"{path} cannot be opened: {error.strerror}"


def _taken_ns(stamp_ms: float) -> int:
    """Return the driver's time stamp where it is of the monotonic clock, as uvcvideo's is; else now."""
    now_ns = time.monotonic_ns()
    stamp_ns = round(stamp_ms * 1e6)
    return stamp_ns if 0 <= now_ns - stamp_ns < STAMP_MAX_AGE_NS else now_ns
