"""The picture that is kept of an event: whole or cut out, with the faces that it is not about made unrecognisable."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from fer_edge.config import Pictures
from fer_edge.records import Box, Frame, Image, Track

QUALITY = 85  # of the JPEG
LONGEST_PX = 1280  # of its sides
AROUND = 0.6  # of a face's height, on each side of one that is cut out
BLURRED_AROUND = 0.3  # of a face's size, on each side of one that is blurred: hair and ears identify people too
BLURRED_CELLS = 6  # so many values in each direction are left of it


def event_picture(frame: Frame, tracks: Sequence[Track], subjects: Collection[int], config: Pictures) -> bytes | None:
    """A JPEG of a frame; None where it cannot be encoded.

    Args:
        frame: what the camera saw.
        tracks: every face in it, those that were just lost too.
        subjects: the ids of those that the event is about.
        config: section `pictures`.

    """
    image = frame.image.copy()
    for track in tracks if config.blur_others else ():
        if track.id not in subjects:
            _blur(image, track.box)
    boxes = [track.box for track in tracks if track.id in subjects]
    if config.show == "face" and boxes:
        image = _cut_out(image, boxes)
    done, jpeg = cv2.imencode(".jpg", _shrunk(image), (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return jpeg.tobytes() if done else None


def _blur(image: Image, box: Box) -> None:
    """Leave nothing of a face but BLURRED_CELLS by BLURRED_CELLS values."""
    x, y = BLURRED_AROUND * box.width, BLURRED_AROUND * box.height
    part = _part(image, Box(box.x0 - x, box.y0 - y, box.x1 + x, box.y1 + y))
    if part.size:
        cells = cv2.resize(part, (BLURRED_CELLS, BLURRED_CELLS), interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(cells, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _cut_out(image: Image, boxes: Sequence[Box]) -> Image:
    around = AROUND * max(box.height for box in boxes)
    whole = Box(
        min(box.x0 for box in boxes) - around,
        min(box.y0 for box in boxes) - around,
        max(box.x1 for box in boxes) + around,
        max(box.y1 for box in boxes) + around,
    )
    part = _part(image, whole)
    return part if part.size else image


def _part(image: Image, box: Box) -> Image:
    """What of a box lies within the picture; a view."""
    height, width = image.shape[:2]
    left, right = np.clip((int(box.x0), int(np.ceil(box.x1))), 0, width)
    top, bottom = np.clip((int(box.y0), int(np.ceil(box.y1))), 0, height)
    return image[top:bottom, left:right]


def _shrunk(image: Image) -> Image:
    scale = LONGEST_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
