"""Text on pictures: glyphs with accents, drawn beforehand (`fonts/`), so that no font engine is needed.

OpenCV's own text has only ASCII before version 5.
"""

from __future__ import annotations

import unicodedata
from importlib.resources import files

import cv2
import msgspec
import numpy as np

from fer_edge.records import Image

CACHED = 200
"""Texts that are kept drawn: captions repeat from frame to frame."""


class Sheet(msgspec.Struct, frozen=True):
    """The glyphs of one size, rows in the picture."""

    px: int  # per em
    ascent: int  # px above the base line,
    descent: int  # and below
    glyphs: dict[str, tuple[int, int, int, int, float]]  # x, y, width, left bearing, advance; all px


class Font:
    """Draws text in any size. For one thread."""

    def __init__(self) -> None:
        folder = files("fer_edge.drawing") / "fonts"
        self._sheets = msgspec.json.decode((folder / "glyphs.json").read_bytes(), type=list[Sheet])
        encoded = np.frombuffer((folder / "glyphs.png").read_bytes(), np.uint8)
        self._picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
        self._cache: dict[tuple[str, int], Image] = {}

    def draw(self, text: str, px: int) -> Image:
        """A line of text as coverage u8[H,W], 255 where it is opaque; do not write to it.

        `px`: per em. Small text takes the size of the smallest glyphs, which are sharp only as they are. What has no
        glyph becomes a question mark.
        """
        key = (text, px)
        if key not in self._cache:
            if len(self._cache) >= CACHED:
                self._cache.clear()
            self._cache[key] = self._draw(unicodedata.normalize("NFC", text), px)
        return self._cache[key]

    def _draw(self, text: str, px: int) -> Image:
        small, large = self._sheets
        if px < 1.4 * small.px:
            return self._set(text, small)
        line, scale = self._set(text, large), px / large.px
        size = max(1, round(line.shape[1] * scale)), max(1, round(line.shape[0] * scale))
        return np.asarray(cv2.resize(line, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _set(self, text: str, sheet: Sheet) -> Image:
        """A line as its glyphs are."""
        height = sheet.ascent + sheet.descent
        glyphs = [sheet.glyphs.get(character, sheet.glyphs["?"]) for character in text]
        starts = np.concatenate(([0.0], np.cumsum([advance for *_, advance in glyphs])))
        line = np.zeros((height, int(np.ceil(starts[-1])) + 2), np.uint8)
        for start, (x, y, width, left, _) in zip(starts, glyphs, strict=False):
            at = max(0, round(float(start)) + left)
            width = min(width, line.shape[1] - at)
            part = line[:, at : at + width]
            np.maximum(part, self._picture[y : y + height, x : x + width], out=part)
        return line
