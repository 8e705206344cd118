"""A webcam without a webcam: a device node, and what OpenCV's V4L2 capture does with it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.camera import v4l2


class Webcam:
    """The device, and what a test may do to it. Its node is a link to a character device that anyone may open."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = folder / "video7"
        self.silent = False
        self.failing = False
        self.taken = False  # another program streams from it
        self.sizes = [(320, 240), (640, 480), (1280, 720)]
        self.rate: float | None = None  # the only one that it knows; None: any
        self.clock_offset_s = 0.0
        self.captures: list[FakeCapture] = []
        self.plug_in()
        # the real check asks the kernel's driver
        monkeypatch.setattr(v4l2, "captures_video", lambda _device: True)
        monkeypatch.setattr("fer_edge.camera.v4l2.cv2.VideoCapture", lambda *args: FakeCapture(self, *args))
        monkeypatch.setenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")

    def plug_in(self) -> None:
        self.node.symlink_to(os.devnull)

    def unplug(self) -> None:
        self.node.unlink()


class FakeCapture:
    """cv2.VideoCapture as its V4L2 backend behaves: it never raises, and returns only True or False."""

    def __init__(self, webcam: Webcam, path: str, backend: int) -> None:
        assert backend == cv2.CAP_V4L2
        assert path == str(webcam.node)
        self._webcam = webcam
        self._open = webcam.node.exists() and not webcam.taken
        self.properties: dict[int, float] = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}
        self._count = 0
        webcam.captures.append(self)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._open

    def set(self, key: int, value: float) -> bool:
        self.properties[key] = value
        return self._open

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return (time.monotonic() + self._webcam.clock_offset_s) * 1000
        if key == cv2.CAP_PROP_FPS and self._webcam.rate:
            return self._webcam.rate
        width, height = self._size()
        sizes = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height}
        return float(sizes.get(key, self.properties.get(key, 0.0)))

    def read(self) -> tuple[bool, NDArray[Any] | None]:
        if not self._open or self._webcam.failing or not self._webcam.node.exists():
            return False, None
        if self._webcam.silent:
            time.sleep(1)  # the shortest that OpenCV can wait
            return False, None
        time.sleep(0.005)
        self._count += 1
        width, height = self._size()
        return True, np.full((height, width, 3), self._count % 256, np.uint8)

    def release(self) -> None:
        self._open = False

    def _size(self) -> tuple[int, int]:
        """Drivers choose the nearest size that the device has."""
        wanted = self.properties[cv2.CAP_PROP_FRAME_WIDTH]
        return min(self._webcam.sizes, key=lambda size: abs(size[0] - wanted))
