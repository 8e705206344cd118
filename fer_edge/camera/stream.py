"""Video files, RTSP and HTTP streams, as far as OpenCV's FFmpeg reads them.

A URL (anything with `://`) is a live camera: its end, or a break, is a CameraError and the daemon connects
again. A file has an end; `camera.pace` says whether it runs in real time or as fast as it is read.
Frames come in the size that the source has; `camera.width`, `height` and `fps` play no part.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from fer_edge.camera import FrameMaker, quiet_opencv, shown
from fer_edge.camera.orientation import Orientation
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame

log = logging.getLogger(__name__)

TRUNCATED_BELOW = 0.9  # of the promised frames; containers without an index only estimate their number


class StreamCamera:
    """Reads `config.source`, a video file or a URL."""

    colour = True

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._source = config.source.removeprefix("file://")
        self._is_url = "://" in self._source
        self.title = shown(self._source)  # passwords stay out of messages
        self._maker = FrameMaker(Orientation.of(config))
        self._capture: cv2.VideoCapture | None = None
        self._clock = _FileClock(0, period_ns=1)
        self._count = 0  # frames since the start of the file
        self.live = self._is_url
        self.frames: int | None = None
        """How many frames the file promises; None where it does not, for a URL, and with `loop`."""
        self.damaged = 0
        """How often the file ended early."""
        self.picture: Path | None = None  # frames of a film have no files of their own

    def open(self) -> None:
        """Connect, or open the file. Raises CameraError (CameraTimeout: a URL that does not answer)."""
        quiet_opencv()
        if not self._is_url:
            _check_file(self._source)
        self._start(self._maker.start_ns())

    def read(self) -> Frame | None:
        """Return the next frame; None at the end of a file.

        Raises CameraError when a URL's stream ended or broke, CameraTimeout when it is silent.
        """
        capture = self._capture
        if capture is None:
            raise CameraError(f"{self.title} is not open")
        began = time.monotonic()
        ok, image = capture.read()
        if self._is_url:
            if not ok:
                raise self._lost(time.monotonic() - began)
            return self._maker.make(image, taken_ns=time.monotonic_ns())
        if ok:
            return self._paced(image, capture)
        self._check_end(capture)
        return self._restart() if self._config.loop else None

    def close(self) -> None:
        """Disconnect."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _start(self, start_ns: int) -> None:
        limit_ms = max(1, round(self._config.timeout_seconds * 1000))
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
        began = time.monotonic()
        capture = cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise self._refused(time.monotonic() - began)
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._clock = _FileClock(start_ns, period_ns=round(1e9 / (fps if 0 < fps <= 1000 else self._config.fps)))
        self._count = 0
        self._capture = capture
        promised = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = promised if promised > 0 and not self._is_url and not self._config.loop else None

    def _paced(self, image: NDArray[Any], capture: cv2.VideoCapture) -> Frame:
        step_ns = self._clock.step_ns(capture.get(cv2.CAP_PROP_POS_MSEC))
        if self._config.pace == "real":  # a gap in a recording must not look like a camera that hangs
            step_ns = min(step_ns, round(self._config.timeout_seconds * 1e9))
        taken_ns = self._clock.advance(step_ns)
        if self._config.pace == "real":
            time.sleep(max(0, taken_ns - time.monotonic_ns()) / 1e9)
        self._count += 1
        return self._maker.make(image, taken_ns=taken_ns)

    def _check_end(self, capture: cv2.VideoCapture) -> None:
        """Complain where a file gave its last frame early."""
        if self._count == 0:
            raise CameraError(f"{self.title} holds no picture that can be decoded; does it play elsewhere?")
        promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # of a film whose rate varies the number is made of its length: then so much of that was seen
        seen = max(self._count, self._clock.position_s * capture.get(cv2.CAP_PROP_FPS))
        if seen < TRUNCATED_BELOW * promised:
            self.damaged += 1
            log.warning("%s: ended after %d of %d frames, truncated or damaged", self.title, self._count, promised)

    def _restart(self) -> Frame | None:
        # opened anew: not every container can seek back to its start
        next_ns = self._clock.advance(self._clock.period_ns)
        self.close()
        self._start(next_ns)
        return self.read()

    def _refused(self, seconds: float) -> CameraError:
        if not self._is_url:
            return CameraError(
                f"{self.title} cannot be read as a video: it is damaged, truncated or of an unknown kind"
            )
        if seconds >= 0.9 * self._config.timeout_seconds:
            return CameraTimeout(f"{self.title} did not answer within {self._config.timeout_seconds:g} s")
        return CameraError(f"{self.title} cannot be opened: check the address, the password and that it is a video")

    def _lost(self, seconds: float) -> CameraError:
        if seconds >= 0.9 * self._config.timeout_seconds:
            return CameraTimeout(f"{self.title} sent no frame within {self._config.timeout_seconds:g} s")
        return CameraError(f"{self.title}: the stream ended or the connection was lost")


class _FileClock:
    """When each frame of a file is due. Steps come from the file's time stamps; where those stand still or run
    backwards (some containers have none), from its frame rate."""

    def __init__(self, start_ns: int, *, period_ns: int) -> None:
        self.period_ns = period_ns
        self._due_ns = start_ns
        self._position_ms: float | None = None

    @property
    def position_s(self) -> float:
        """Of the last frame in the file; 0 where that has no times."""
        return (self._position_ms or 0.0) / 1e3

    def step_ns(self, position_ms: float) -> int:
        """Time from the frame before to the one at `position_ms` of the file; 0 for the first."""
        before, self._position_ms = self._position_ms, position_ms
        if before is None:
            return 0
        return round((position_ms - before) * 1e6) if position_ms > before else self.period_ns

    def advance(self, step_ns: int) -> int:
        """Move on, to the monotonic time that is returned."""
        self._due_ns += step_ns
        return self._due_ns


def _check_file(path: str) -> None:
    if os.path.isdir(path):
        raise CameraError(f"camera.source {path} is a folder; for a folder of pictures use camera.backend: replay")
    if not os.path.exists(path):
        raise CameraError(f"camera.source {path} does not exist")
    if not os.access(path, os.R_OK):
        raise CameraError(f"camera.source {path}: no permission to read it")
