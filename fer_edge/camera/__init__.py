"""Where frames come from: one interface, and a backend for each kind of source (config.BACKENDS).

A backend is used by one thread only, the camera thread. It is named in config and used or fails: there is no
silent second choice.
"""

from __future__ import annotations

import os
import re
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.camera.orientation import Orientation
from fer_edge.config import BACKENDS
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame, Image

LOG_ERRORS_ONLY = 2  # LOG_LEVEL_ERROR, a name that OpenCV 4 keeps from Python


class Camera(Protocol):
    """A source of frames. It is made with its config section and opens nothing until `open`."""

    live: bool
    """True: a frame that is not read in time is gone, and a lost source may come back.
    False: every frame waits until it is read, and the source has an end."""
    colour: bool
    """Whether any consumer needs colours. False: a backend that can save the work leaves `Frame.image` gray. May be set
    at any time, for the frames that are read from then on."""
    title: str
    """What was opened, for people: its model, mode and rate as far as they are known."""

    def open(self) -> None:
        """Make the source ready. Raises CameraError when it cannot be; may be called again after `close`."""

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end of the source.

        Blocks for at most config's `timeout_seconds`, then raises CameraTimeout. Raises CameraError when
        the source is lost; `close` and `open` may then bring it back. `seq` and `taken_ns` keep rising
        meanwhile. The arrays belong to the caller: a backend copies them out of the memory that it shares with a
        driver, and releases that before it returns.
        """

    def close(self) -> None:
        """Release the source. Never raises; may be called twice."""


class LeftOut(NamedTuple):
    """Frames that a source had but did not deliver, since the start."""

    late: int = 0
    """Overtaken by newer ones, because this machine is too slow."""
    damaged: int = 0
    """They could not be decoded."""


@runtime_checkable
class LossyCamera(Protocol):
    """A source that decodes what it is sent."""

    @property
    def left_out(self) -> LeftOut:
        """What it left out, over all connections. For any thread."""


class Recording(Camera, Protocol):
    """A source with an end, as `analyze` reads it."""

    frames: int | None
    """How many frames there are, as far as that is known."""
    damaged: int
    """How many pictures or frames could not be read, at least 1 for a film that breaks off; rises while it is read."""
    trouble: str | None
    """What could not be read of it, as a report states it; complete at the end."""
    note: str | None
    """What is left out of it though nothing is wrong; complete at the end."""
    picture: Path | None
    """The file of the last frame, where each has its own."""


def open_camera(config: CameraConfig) -> Camera:
    """Make the backend that config names and open it.

    Raises:
        CameraError: its library is missing, or the source cannot be opened.

    """
    module, name = BACKENDS[config.backend].split(":")
    try:
        camera: Camera = getattr(import_module(module), name)(config)
    except ImportError as error:
        raise CameraError(
            f"camera.backend {config.backend!r} cannot be loaded: {error}; is its package installed?"
        ) from None
    camera.open()
    return camera


def is_live_source(config: CameraConfig) -> bool:
    """Whether config names a camera, which may not be there yet, rather than a recording."""
    url = "://" in config.source.removeprefix("file://")
    return config.backend in ("picamera2", "v4l2") or (config.backend == "stream" and url)


PRIVATE_NAMES = r"[\w.-]*?(?:user|usr|login|pass|pwd|psw|auth|token|key|secret|session|sign)[\w.-]*?|pw"
PRIVATE_IN_PATH = re.compile(
    rf"((?:^|[/&;_,#]|%2[36bcf]|%5f)(?:{PRIVATE_NAMES})(?:[=:]|%3[ad]))(?:(?!%26)[^&/;?#])*", re.IGNORECASE
)
ADDRESS_START = re.compile(r"([a-z][a-z0-9+.-]*:/{1,2}|)(?=[^/])", re.IGNORECASE)
USER_AND_HOST = re.compile(r"[^/]*:.*@[^/]", re.DOTALL)


def shown(source: str) -> str:
    """A source as it may be shown and logged: without the user, the passwords and the query of an address. Many
    cameras have their password in the path (`/user=admin&password=...&stream=0.sdp`). Typing errors are masked too: an
    address with one slash, or none at all and a user before its host."""
    found = ADDRESS_START.match(source)
    start = found[0] if found else ""
    if not start and (not USER_AND_HOST.match(source) or os.path.lexists(source)):
        return source
    rest = re.sub(r".*@", "***@", source[len(start) :], count=1, flags=re.DOTALL)
    return start + PRIVATE_IN_PATH.sub(r"\1***", re.sub(r"\?.*", "?***", rest, flags=re.DOTALL))


class FrameMaker:
    """Numbers a backend's frames from 0 without gaps and keeps their times strictly rising, over `close` and
    `open` too: a backend makes one for its whole life. It also rotates and mirrors the pictures."""

    def __init__(self, orientation: Orientation) -> None:
        self.orientation = orientation
        """What is still to be done to the pictures that come in."""
        self._seq = 0
        self._last_ns = -1

    def start_ns(self) -> int:
        """Return the time at which a file starts: now, or after the last frame, whose time may lie ahead of the
        clock where a file is read faster than it was filmed."""
        return max(time.monotonic_ns(), self._last_ns + 1)

    def make(self, image: NDArray[Any], *, taken_ns: int, gray: Image | None = None) -> Frame:
        """Return the next frame, from arrays that nothing else refers to.

        Args:
            image: u8[H,W,3] BGR; u8[H,W], u8[H,W,1] and u8[H,W,4] are made BGR.
            taken_ns: moved to just after the previous frame where it is not later.
            gray: u8[H,W]; made from the image where there is none.

        """
        bgr = _as_bgr(image)
        if gray is None:
            gray = _as_u8(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))
        return self._next(self.orientation(bgr), self.orientation(gray), taken_ns)

    def make_gray(self, gray: Image, *, taken_ns: int) -> Frame:
        """The same without colours: the frame's image is a view of `gray`, u8[H,W], that cannot be written to."""
        gray = self.orientation(gray)
        return self._next(np.broadcast_to(gray[:, :, None], (*gray.shape, 3)), gray, taken_ns)

    def _next(self, image: Image, gray: Image, taken_ns: int) -> Frame:
        frame = Frame(self._seq, max(taken_ns, self._last_ns + 1), image, gray)
        self._seq += 1
        self._last_ns = frame.taken_ns
        return frame


def _as_bgr(image: NDArray[Any]) -> Image:
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return _as_u8(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    if channels == 4:
        return _as_u8(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR))
    return _as_u8(image)


def _as_u8(array: NDArray[Any]) -> Image:
    return np.ascontiguousarray(array, dtype=np.uint8)


def quiet_opencv() -> None:
    """Keep OpenCV and its FFmpeg from writing to stderr: their findings are raised in one line.

    Must run before the first capture is made. What the user has set in the environment stays in force.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # OpenCV 4 has it at the top, OpenCV 5 beside its levels
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
        set_level(LOG_ERRORS_ONLY)
