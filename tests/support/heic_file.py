"""HEIC files as phones write them, from a picture: tiles, a grid, and how it is turned, put into boxes here."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from typing import Any

import av
import av.codec
import cv2
import numpy as np
import pytest

from fer_edge.records import Image

GRID, FIRST_TILE = 1, 2
PARAMETERS = (32, 33, 34)  # VPS, SPS, PPS


def heic(image: Image, *, tile: int = 0, turned: bytes = b"", brand: bytes = b"heic") -> bytes:
    """A file of one picture u8[H,W,3] BGR. `tile`: the side of its tiles, 0 for none. `turned`: boxes of properties
    that transform, such as `irot(1)`."""
    height, width = image.shape[:2]
    if not tile:
        return _file([_encoded(image)], (width, height), (width, height), turned, brand, grid=b"")
    rows, columns = -(-height // tile), -(-width // tile)
    padded = cv2.copyMakeBorder(
        image, 0, rows * tile - height, 0, columns * tile - width, cv2.BORDER_CONSTANT, value=(0, 0, 255)
    )
    tiles = [
        _encoded(np.ascontiguousarray(padded[y : y + tile, x : x + tile]))
        for y in range(0, rows * tile, tile)
        for x in range(0, columns * tile, tile)
    ]
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    return _file(tiles, (tile, tile), (width, height), turned, brand, grid=grid)


def irot(quarters: int) -> bytes:
    """Turned counterclockwise."""
    return _box(b"irot", bytes([quarters]))


def imir(axis: int) -> bytes:
    """0: top and bottom change places, 1: left and right do."""
    return _box(b"imir", bytes([axis]))


def clap(width: int, height: int) -> bytes:
    """Cut to the middle."""
    return _box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, 0, 1, 0, 1))


def _encoded(image: Image) -> tuple[bytes, bytes]:
    """A tile's hvcC and its picture."""
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV has no libx265")
    encoder: Any = av.codec.CodecContext.create("libx265", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1)
    encoder.options = {"x265-params": "log-level=none:pools=1:frame-threads=1:info=0", "crf": "10"}
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    stream = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])
    units = [unit for unit in re.split(b"\0\0\0?\1", stream) if unit]
    parameters = [unit for unit in units if unit[0] >> 1 in PARAMETERS]
    arrays = b"".join(struct.pack(">BHH", unit[0] >> 1, 1, len(unit)) + unit for unit in parameters)
    hvcc = bytes([1, *[0] * 20, 0xFF, len(parameters)]) + arrays
    return hvcc, b"".join(struct.pack(">I", len(unit)) + unit for unit in units if unit not in parameters)


def _file(
    tiles: list[tuple[bytes, bytes]],
    tile: tuple[int, int],
    size: tuple[int, int],
    turned: bytes,
    brand: bytes,
    *,
    grid: bytes,
) -> bytes:
    first = FIRST_TILE if grid else GRID
    items = ([(GRID, b"grid")] if grid else []) + [(first + number, b"hvc1") for number in range(len(tiles))]
    infos = b"".join(_box(b"infe", struct.pack(">IHH4sx", 2 << 24, item, 0, kind)) for item, kind in items)
    ipco = _box(b"hvcC", tiles[0][0]) + _ispe(*tile) + _ispe(*size) + turned
    turns = [0x80 | 4 + number for number in range(_count(turned))]
    of_tile = [0x81, 2]
    uses = {item: of_tile for item, _ in items} | {GRID: [3, *turns] if grid else [*of_tile, *turns]}
    ipma = struct.pack(">II", 0, len(uses)) + b"".join(
        struct.pack(">HB", item, len(indices)) + bytes(indices) for item, indices in uses.items()
    )
    references = struct.pack(f">HH{len(tiles)}H", GRID, len(tiles), *range(first, first + len(tiles)))

    def meta(start: int) -> bytes:
        places, at = [], start
        if grid:
            places.append(struct.pack(">HHHHII", GRID, 1, 0, 1, 0, len(grid)))
        for number, (_, data) in enumerate(tiles):
            places.append(struct.pack(">HHHHII", first + number, 0, 0, 1, at, len(data)))
            at += len(data)
        return _box(
            b"meta",
            bytes(4)
            + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + _box(b"pitm", struct.pack(">IH", 0, GRID))
            + _box(b"iinf", struct.pack(">IH", 0, len(items)) + infos)
            + (_box(b"iref", bytes(4) + _box(b"dimg", references)) if grid else b"")
            + _box(b"iprp", _box(b"ipco", ipco) + _box(b"ipma", ipma))
            + _box(b"idat", grid)
            + _box(b"iloc", struct.pack(">IHH", 1 << 24, 0x4400, len(places)) + b"".join(places)),
        )

    head = _box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    return head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", b"".join(data for _, data in tiles))


def _count(boxes: bytes) -> int:
    at = count = 0
    while at < len(boxes):
        at += int.from_bytes(boxes[at : at + 4])
        count += 1
    return count


def _ispe(width: int, height: int) -> bytes:
    return _box(b"ispe", struct.pack(">III", 0, width, height))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content
