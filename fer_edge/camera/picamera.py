"""The Raspberry Pi's own camera, by picamera2.

Two streams of one size come from the image processor at no cost to the CPU: main in colour, which is copied only where
a consumer needs colours, and lores as YUV420, whose Y plane is the gray picture that the networks read.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from concurrent.futures import CancelledError
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np

from fer_edge.camera import FrameMaker
from fer_edge.camera.orientation import Orientation
from fer_edge.camera.picontrols import controls_for, set_sensor_hdr
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame, Image

log = logging.getLogger(__name__)

OTHER_WAYS = "or set camera.backend to v4l2 (USB webcam), stream (RTSP, HTTP), or replay with source: demo"

BUFFERS = 4  # fewer drop frames while we copy one; each takes main + lores from the CMA heap
CLOSE_SECONDS = 5.0  # libcamera needs well under one
CANCEL_SECONDS = 1.0
MOST_DIGITS = 10  # of a camera's number; Python refuses to read thousands
LIBRARY_ERRORS = (RuntimeError, OSError, IndexError)  # what picamera2 and libcamera's bindings raise

# "RGB888" is named from the high byte down: in memory it is BGR. A Pi's cameras deliver it; NV12 is all that
# libcamera's virtual camera offers, which stands in for them on machines that are no Pi.
COLOUR_FORMATS = ("RGB888", "NV12")
GRAY_FORMATS = ("YUV420", "NV12")  # both begin with the Y plane


class PiCamera:
    """Reads the camera `config.source`: its number in `rpicam-hello --list-cameras`, or nothing for the first."""

    live = True
    colour = True

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._orientation = Orientation.of(config)
        self._maker = FrameMaker(self._orientation)
        self.title = config.source
        self._library: Any = None
        self._camera: Any = None
        self._main: dict[str, Any] = {}  # the colour stream as the camera delivers it
        self._closing: Thread | None = None

    def open(self) -> None:
        """Start the camera.

        Raises CameraError: picamera2 is missing, there is no such camera, another program uses it, or it does not
        deliver the size or lacks a control that config asks for.
        """
        if self._closing is not None and self._closing.is_alive():
            raise CameraError("the camera has hung since it was closed: only a restart of fer-edge frees it")
        self._library = _import("picamera2")
        cameras = _cameras(self._library)
        number = _number(self._config.source, cameras)
        model = str(cameras[number].get("Model", "unknown"))
        set_sensor_hdr(number, model, on=self._config.hdr == "sensor")
        try:
            self._camera = _made(self._library.Picamera2, number)
        except LIBRARY_ERRORS as error:
            raise CameraError(_why_not(number, error)) from None
        try:
            self._start()
        except LIBRARY_ERRORS as error:
            self.close()
            if isinstance(error, CameraError):  # one of our own: it names a key
                raise
            raise CameraError(f"camera {number} cannot be started: {_root(error)}") from None
        self.title = f"{number} ({model}{_mode(self._camera.camera_configuration())})"

    def read(self) -> Frame:
        """Return the next frame. Raises CameraTimeout when none comes, CameraError when the library fails."""
        if self._camera is None:
            raise CameraError("the camera is not open")
        request = self._request()
        try:
            gray = self._gray(request)
            image = self._image(request) if self.colour else None
            taken_ns = _taken_ns(request.get_metadata().get("SensorTimestamp"))
        except LIBRARY_ERRORS as error:
            raise CameraError(f"the camera delivered a frame that cannot be read: {_root(error)}") from None
        finally:
            request.release()  # at once: the camera stalls when all its buffers are out
        if image is None:
            return self._maker.make_gray(gray, taken_ns=taken_ns)
        return self._maker.make(image, gray=gray, taken_ns=taken_ns)

    def close(self) -> None:
        """Stop the camera, or give up after CLOSE_SECONDS: libcamera can hang for ever, until the process
        exits."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        self._closing = Thread(target=_close, args=(camera,), name="picamera2-close", daemon=True)
        self._closing.start()
        self._closing.join(CLOSE_SECONDS)
        if self._closing.is_alive():
            log.error("the camera did not stop within %g s: libcamera hangs and is abandoned", CLOSE_SECONDS)

    def _request(self) -> Any:
        """Take the next completed request, which must be released."""
        try:
            job = self._camera.capture_request(wait=False)
            try:
                return self._camera.wait(job, timeout=self._config.timeout_seconds)
            except TimeoutError:
                # else it stays queued, and takes a buffer that nobody releases
                self._camera.cancel_all_and_flush()
            return self._camera.wait(job, timeout=CANCEL_SECONDS)  # it may have finished just before
        except (TimeoutError, CancelledError):
            limit = self._config.timeout_seconds
            raise CameraTimeout(f"the camera delivered no frame within {limit:g} s: is its cable loose?") from None
        except LIBRARY_ERRORS as error:
            raise CameraError(f"the camera was lost: {_root(error)}") from None

    def _start(self) -> None:
        """Configure, set what config asks for, and start."""
        camera, libcamera = self._camera, _import("libcamera")
        hflip, vflip = self._orientation.before_turning
        self._main = _configure(
            camera, self._config, libcamera, transform=libcamera.Transform(hflip=hflip, vflip=vflip)
        )
        # now its limits are those of the mode that was chosen
        camera.set_controls(controls_for(self._config, camera, libcamera.controls))
        got = camera.camera_configuration()["transform"]
        mirrored = (bool(got.hflip), bool(got.vflip)) == (hflip, vflip)  # webcams cannot: then it is up to us
        self._maker.orientation = Orientation(self._orientation.quarter) if mirrored else self._orientation
        camera.start()

    def _gray(self, request: Any) -> Image:
        width, height = self._main["size"]
        with self._library.MappedArray(request, "lores", write=False) as lores:
            # rows are padded to what the hardware likes; below the Y plane follow U and V
            gray: Image = lores.array[:height, :width].copy()
        return gray

    def _image(self, request: Any) -> Image:
        image: Image = request.make_array("main")
        return image if self._main["format"] == "RGB888" else nv12_to_bgr(image, self._main["size"])


def _import(name: str) -> Any:
    """Import picamera2, or libcamera's bindings that come with it. Raises CameraError."""
    try:
        return import_module(name)
    except ImportError as error:
        raise CameraError(f"camera.backend 'picamera2' needs {name} ({error}): {_advice()}; {OTHER_WAYS}") from None
    except ValueError as error:  # "numpy.dtype size changed": compiled for the system's numpy, found pip's
        raise CameraError(
            f"{name} is incompatible with numpy in {Path(np.__file__).parent} ({error}): `pip uninstall numpy` there, "
            "so that the system's is used"
        ) from None


def _advice() -> str:
    """How to get picamera2: from the system, which a virtual environment may hide."""
    advice = "`sudo apt install python3-picamera2`, which Raspberry Pi OS has and Debian does not"
    if sys.prefix == sys.base_prefix:
        return advice
    return f"{advice}, and a virtual environment made with --system-site-packages"


def _cameras(library: Any) -> list[dict[str, Any]]:
    try:
        cameras: list[dict[str, Any]] = library.Picamera2.global_camera_info()
    except LIBRARY_ERRORS as error:
        raise CameraError(f"libcamera cannot list the cameras: {_root(error)}") from None
    return cameras


def _number(source: str, cameras: list[dict[str, Any]]) -> int:
    found = ", ".join(f"{number} ({camera.get('Model', 'unknown')})" for number, camera in enumerate(cameras))
    if not cameras:
        raise CameraError(
            f"no camera is connected: check its cable, then see `rpicam-hello --list-cameras`; {OTHER_WAYS}"
        )
    if source and not (source.isdecimal() and len(source) < MOST_DIGITS):
        raise CameraError(f"camera.source {source!r}: backend picamera2 expects a camera's number; found: {found}")
    if int(source or 0) >= len(cameras):
        raise CameraError(f"camera.source {source!r}: there is no such camera; found: {found}")
    return int(source or 0)


def _made(kind: Any, number: int) -> Any:
    """A Picamera2. One that fails leaves a pipe open, which would add up while a camera is tried again and again."""
    camera = kind.__new__(kind)
    try:
        camera.__init__(number)
    except LIBRARY_ERRORS:
        camera.notifymeread.close()
        os.close(camera.notifyme_w)
        raise
    return camera


def _configure(camera: Any, config: CameraConfig, libcamera: Any, *, transform: Any) -> dict[str, Any]:
    """Set up both streams; return what the main stream has become: its size (width, height) and format."""
    size = (config.width, config.height)
    camera.configure(
        camera.create_video_configuration(
            main={"size": size, "format": "RGB888"},
            lores={"size": size, "format": "YUV420"},  # the same size, or its aspect would differ
            controls=_frame_duration(camera, config.fps),
            colour_space=libcamera.ColorSpace.Sycc(),  # Y from 0 to 255 as in the gray that the networks know
            transform=transform,
            buffer_count=BUFFERS,
        )
    )
    streams = camera.camera_configuration()
    main: dict[str, Any] = streams["main"]
    lores: dict[str, Any] = streams["lores"]
    if main["size"] != lores["size"] or main["format"] not in COLOUR_FORMATS or lores["format"] not in GRAY_FORMATS:
        raise RuntimeError(
            f"asked for {size} in RGB888 and YUV420, it offers {main['size']} in {main['format']} and {lores['size']} "
            f"in {lores['format']}; try another camera.width and height, and for a webcam camera.backend: v4l2"
        )
    if main["size"] != size:
        log.warning("the camera delivers %dx%d instead of %dx%d", *main["size"], *size)
    shortest_us = camera.camera_controls.get("FrameDurationLimits", (0,))[0]  # in this size
    if shortest_us > round(1e6 / config.fps):
        log.warning("the camera delivers %.4g frames per second instead of %g", 1e6 / shortest_us, config.fps)
    return main


def _frame_duration(camera: Any, fps: float) -> dict[str, Any]:
    """The control for a steady frame rate. A webcam that libcamera serves has none, and picamera2 refuses it then."""
    if "FrameDurationLimits" not in camera.camera_controls:
        return {}
    period_us = round(1e6 / fps)
    return {"FrameDurationLimits": (period_us, period_us)}


def _mode(configuration: dict[str, Any]) -> str:
    """How a Pi's camera reads its sensor; other cameras do not say."""
    sensor = configuration.get("sensor")
    if not sensor:
        return ""
    width, height = sensor["output_size"]
    return f", sensor mode {width}x{height} {sensor['bit_depth']} bit"


def nv12_to_bgr(nv12: Image, size: tuple[int, int]) -> Image:
    """u8[H*3/2,W], Y above interleaved U and V, to u8[H,W,3]; all of the full range (OpenCV's own NV12 is limited to
    16..235). `size`: width and height, px."""
    width, height = size
    chroma = cv2.resize(nv12[height:].reshape(height // 2, width // 2, 2), size)
    merged = cv2.merge([nv12[:height], chroma[:, :, 1], chroma[:, :, 0]])  # the order is Y, V (Cr), U (Cb)
    return cv2.cvtColor(merged, cv2.COLOR_YCrCb2BGR).astype(np.uint8, copy=False)


def _why_not(number: int, error: BaseException) -> str:
    reason = _root(error)
    if "acquire" in reason or "busy" in reason.lower():
        return f"camera {number} is in use by another program ({reason}): stop it; `fuser -v /dev/media*` names it"
    return f"camera {number} cannot be opened: {reason}; see `rpicam-hello --list-cameras`"


def _root(error: BaseException) -> str:
    """Return the root cause: picamera2 wraps libcamera's errors in its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _close(camera: Any) -> None:
    try:
        camera.close()
    except Exception:  # the top of a thread, and nothing is lost: the camera is given up anyway
        log.warning("the camera did not close cleanly", exc_info=True)


def _taken_ns(stamp_ns: int | None) -> int:
    """Return a sensor's time stamp as monotonic time. libcamera documents boot time, drivers mostly stamp with the
    monotonic clock; the two differ by the time that the machine slept, which puts a boot-time stamp into the future."""
    now_ns = time.monotonic_ns()
    if stamp_ns is None:
        return now_ns
    if stamp_ns > now_ns:
        stamp_ns -= time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now_ns
    return stamp_ns
