"""Decides when the detector runs: on the whole frame, and on one tile of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Frame
from fer_edge.vision.detector import TILES


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """When the detector looked, as far as the next frames ask."""

    last_ns: int | None
    closer_ns: int | None
    tile: int
    thumb: NDArray[np.int16] | None  # i16[30,40] gray levels


class DetectionSchedule:
    """Says when the detector shall look at a frame.

    While faces are followed it looks every `every_seconds`; every `idle_every_seconds` while nobody is there or
    somebody is missing; at once when a face is lost; and when something moves outside the known faces (at most
    every `idle_every_seconds`). Beside that it looks closer at one tile of the picture every `closer_every_seconds`.
    """

    THUMB = (40, 30)  # px; coarse enough that sensor noise averages out

    def __init__(self, config: DetectorConfig) -> None:
        self.configure(config)
        self._last_ns: int | None = None
        self._closer_ns: int | None = None
        self._tile = 0
        self._thumb: NDArray[np.int16] | None = None

    def configure(self, config: DetectorConfig) -> None:
        """Take over other pauses."""
        self._config = config

    def snapshot(self) -> ScheduleSnapshot:
        """All that was learned from frames."""
        return ScheduleSnapshot(self._last_ns, self._closer_ns, self._tile, self._thumb)

    def restore(self, memory: ScheduleSnapshot) -> None:
        """Go on from there."""
        self._last_ns, self._closer_ns = memory.last_ns, memory.closer_ns
        self._tile, self._thumb = memory.tile, memory.thumb

    def should_detect(self, frame: Frame, known: Sequence[Box], *, lost: bool, missing: bool) -> bool:
        """Whether to detect in this frame.

        Args:
            frame: the new frame.
            known: boxes of the faces that were followed into it.
            lost: a face of the frame before is not among them.
            missing: a face that was lost earlier is still waited for.

        """
        since = None if self._last_ns is None else (frame.taken_ns - self._last_ns) / 1e9
        config = self._config
        pause = config.idle_every_seconds if missing or not known else config.every_seconds
        if (
            since is None
            or lost
            or since >= pause
            or (since >= config.idle_every_seconds and self._moved(frame, known))
        ):
            self._last_ns, self._thumb = frame.taken_ns, self._thumbnail(frame)
            return True
        return False

    def next_tile(self, frame: Frame) -> int | None:
        """Which of TILES parts of this frame to look at closer; None: none."""
        pause_ns = self._config.closer_every_seconds * 1e9
        if not pause_ns or (self._closer_ns is not None and frame.taken_ns - self._closer_ns < pause_ns):
            return None
        self._closer_ns, self._tile = frame.taken_ns, (self._tile + 1) % TILES
        return self._tile

    def _moved(self, frame: Frame, known: Sequence[Box]) -> bool:
        """Whether any cell outside the known faces changed by `motion` since the detector looked."""
        if self._thumb is None or self._config.motion >= 1:
            return False
        change = np.abs(self._thumbnail(frame) - self._thumb)
        across, down = self.THUMB[0] / frame.width, self.THUMB[1] / frame.height
        for box in known:
            x0, x1 = int((box.x0 - 0.3 * box.width) * across), int((box.x1 + 0.3 * box.width) * across) + 1
            y0, y1 = int((box.y0 - 0.3 * box.height) * down), int((box.y1 + 0.3 * box.height) * down) + 1
            change[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 0
        return bool(change.max() >= 255 * self._config.motion)

    def _thumbnail(self, frame: Frame) -> NDArray[np.int16]:
        small = cv2.resize(frame.gray, self.THUMB, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.int16)
