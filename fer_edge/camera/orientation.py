"""How a camera is mounted: its picture is rotated and mirrored before it is processed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Camera as CameraConfig
from fer_edge.records import Image

FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}  # OpenCV's codes, by (hflip, vflip)


@dataclass(frozen=True, slots=True)
class Orientation:
    """A quarter turn clockwise or none, and then mirroring: that makes all the ways in which a picture can lie."""

    quarter: bool = False
    hflip: bool = False
    """Left becomes right."""
    vflip: bool = False
    """Top becomes bottom."""

    @classmethod
    def of(cls, config: CameraConfig) -> Orientation:
        """What config asks for: turned clockwise by `rotation` degrees, then mirrored."""
        half = config.rotation >= 180  # half a turn is both flips
        return cls(config.rotation in (90, 270), config.hflip != half, config.vflip != half)

    @property
    def before_turning(self) -> tuple[bool, bool]:
        """The same mirroring (hflip, vflip) for somebody who mirrors before the quarter turn, as a sensor does."""
        return (self.vflip, self.hflip) if self.quarter else (self.hflip, self.vflip)

    def __call__(self, image: NDArray[np.uint8]) -> Image:
        """The picture u8[H,W] or u8[H,W,3] as it should lie: itself, or a copy."""
        if self.quarter:
            image = _u8(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE))
        flip = FLIPS.get((self.hflip, self.vflip))
        return image if flip is None else _u8(cv2.flip(image, flip))


def _u8(image: cv2.typing.MatLike) -> Image:
    return image.astype(np.uint8, copy=False)
