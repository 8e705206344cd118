"""GIFs with parts that are taken away again as told; nothing in them is compressed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from fer_edge.records import Image

KEEP, CLEAR, RESTORE = 1, 2, 3
CLEAR_CODE, END_CODE, CODE_BITS = 256, 257, 9
CODES_PER_CLEAR = 250  # before codes would grow wider


class GifPart(NamedTuple):
    """A frame: gray u8[H,W], where it lies, and what becomes of it before the next one (KEEP, CLEAR, RESTORE)."""

    gray: Image
    x: int
    y: int
    disposal: int


def gif(width: int, height: int, parts: Sequence[GifPart]) -> bytes:
    """A film of five frames a second."""
    palette = bytes(value for level in range(256) for value in (level,) * 3)
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + palette
    return head + b"".join(map(_part, parts)) + b";"


def _part(part: GifPart) -> bytes:
    high, wide = part.gray.shape[:2]
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", part.disposal << 2, 20, 0, 0)
    place = b"\x2c" + struct.pack("<HHHHB", part.x, part.y, wide, high, 0)
    return control + place + b"\x08" + _blocks(_packed(part.gray.tobytes()))


def _packed(pixels: bytes) -> bytes:
    codes: list[int] = []
    for at in range(0, len(pixels), CODES_PER_CLEAR):
        codes += [CLEAR_CODE, *pixels[at : at + CODES_PER_CLEAR]]
    bits = "".join(format(code, f"0{CODE_BITS}b")[::-1] for code in [*codes, END_CODE])
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def _blocks(data: bytes) -> bytes:
    blocks = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
