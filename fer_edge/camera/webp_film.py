"""Animated WebP, which FFmpeg does not read: each frame is a WebP of its own and is laid on what was shown before."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from fer_edge.camera.decoded_picture import PictureMaker
from fer_edge.records import Image
from fer_edge.runtime.count_text import bytes_text

DISPOSED, NOT_BLENDED = 1, 2
MOST_BYTES = 300_000_000  # it is held in memory as a whole


class Part(NamedTuple):
    """One frame: where on the canvas it lies, in px, how long it is shown, and its picture."""

    x: int
    y: int
    width: int
    height: int
    milliseconds: int
    flags: int
    chunks: bytes


class TooLarge(ValueError):
    """It, or its pictures, take more memory than there is; the message says how much."""


class WebpReader:
    """An animated WebP as an AvReader gives films."""

    format = "webp_anim"

    def __init__(self, path: str, *, most_px: int) -> None:
        """Raises OSError, and TooLarge."""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise TooLarge(f"has {bytes_text(size)}, expected at most {MOST_BYTES} in an animated WebP")
            self._data = file.read()
        self._width = 1 + int.from_bytes(self._data[24:27], "little")
        self._height = 1 + int.from_bytes(self._data[27:30], "little")
        if self._width * self._height > most_px:
            raise TooLarge(f"has pictures of {self._width} x {self._height} px, expected at most {most_px} pixels")
        self._parts = list(_parts(self._data))
        self.bad = 0
        self.picture = PictureMaker()
        self.frames: int | None = len(self._parts)
        self.seconds: float | None = sum(part.milliseconds for part in self._parts) / 1e3
        self.fps = len(self._parts) / self.seconds if self.seconds else None

    def frames_of_file(self) -> Iterator[tuple[Image, float | None]]:
        """Every picture u8[H,W,3] BGR and its time in seconds; where nothing was drawn it is black."""
        canvas = np.zeros((self._height, self._width, 3), np.uint8)
        shown_ms = 0
        for part in self._parts:
            drawn = _drawn(canvas, part)
            if drawn:
                yield canvas.copy(), shown_ms / 1e3
            else:
                self.bad += 1
            shown_ms += part.milliseconds
            if part.flags & DISPOSED:
                _place(canvas, part)[:] = 0

    def close(self) -> None:
        """Forget it."""
        self._data, self._parts = b"", []


def _place(canvas: Image, part: Part) -> Image:
    return canvas[part.y : part.y + part.height, part.x : part.x + part.width]


def _drawn(canvas: Image, part: Part) -> bool:
    """Lay a frame on the canvas; whether it could be decoded."""
    place = _place(canvas, part)
    try:
        image = cv2.imdecode(np.frombuffer(part.chunks, np.uint8), cv2.IMREAD_UNCHANGED) if place.size else None
    except cv2.error:  # its own header announces more pixels than OpenCV allows
        return False
    if image is None or image.shape[:2] != place.shape[:2]:
        return False
    if image.shape[2] == 3:
        place[:] = image
    else:
        alpha = image[:, :, 3:] / 255.0
        below = 0.0 if part.flags & NOT_BLENDED else place * (1 - alpha)
        place[:] = (image[:, :, :3] * alpha + below).round()
    return True


def _parts(data: bytes) -> Iterator[Part]:
    for kind, content in _chunks(data, 12):
        if kind == b"ANMF" and len(content) > 16:
            x, y, width, height, duration = (int.from_bytes(content[at : at + 3], "little") for at in range(0, 15, 3))
            place = 2 * x, 2 * y, width + 1, height + 1
            yield Part(*place, duration, content[15], _still(content[16:], width, height))


def _still(chunks: bytes, width: int, height: int) -> bytes:
    """A frame's chunks as a file of their own."""
    alpha = chunks[:4] == b"ALPH"
    head = struct.pack("<4sII", b"VP8X", 10, 16) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    body = b"WEBP" + (head if alpha else b"") + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
