"""HEIC and AVIF pictures: the primary picture of an ISO/IEC 23008-12 file, its tiles put together, cut, turned and
mirrored as the file specifies. FFmpeg's libraries decode the tiles, one at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import av.codec
import numpy as np

from fer_edge.camera.orientation import Orientation
from fer_edge.records import Image

CODECS = {b"hvc1": ("hevc", b"hvcC", 23), b"av01": ("libdav1d", b"av1C", 4)}
"""By the kind of item: the decoder, where its configuration is, and where that begins to be the decoder's own."""
MOST_BOXES = 100_000


class NoHeif(ValueError):
    """It is damaged, or of an unsupported kind; the message names it."""


class TooManyPixels(ValueError):
    """It is larger than there is memory for."""


class Grid(NamedTuple):
    """How tiles lie: row by row, the last ones cut at the picture's width and height in px."""

    rows: int
    columns: int
    width: int
    height: int


def decode_heif(data: bytes, *, most_pixels: int) -> Image:
    """The primary picture u8[H,W,3] BGR, upright, without alpha.

    Raises:
        NoHeif: it cannot be decoded.
        TooManyPixels: it has more than `most_pixels`.

    """
    try:
        return _File(data, most_pixels).picture()
    except (struct.error, IndexError, KeyError, av.FFmpegError) as error:
        if isinstance(error, (av.error.OverflowError, av.error.ArgumentError)):
            raise TooManyPixels from None
        raise NoHeif("cannot be decoded") from None


class _File:
    def __init__(self, data: bytes, most_pixels: int) -> None:
        self._data, self._most = data, most_pixels
        meta = dict(_boxes(data, 0, len(data)))[b"meta"]
        self._meta = dict(_boxes(data, meta[0] + 4, meta[1]))
        self._kinds = dict(self._item_kinds())
        self._extents = dict(_locations(data[slice(*self._meta[b"iloc"])]))
        self._properties = self._item_properties()

    def picture(self) -> Image:
        """The primary item, as it is to be seen."""
        start, _ = self._meta[b"pitm"]
        (primary,) = struct.unpack_from(">I" if self._data[start] else ">H", self._data, start + 4)
        width, height = self._size(primary)
        if width * height > self._most:
            raise TooManyPixels
        image = self._put_together(primary) if self._kinds[primary] == b"grid" else self._decoded(primary)
        return self._seen(primary, image)

    def _seen(self, item: int, image: Image) -> Image:
        """Properties that transform are applied in the order in which they are named."""
        for kind, content in self._properties.get(item, ()):
            if kind == b"clap":
                image = _cut(image, content)
            elif kind == b"irot":  # quarter turns counterclockwise
                turns = content[0] & 3
                image = Orientation(turns in (1, 3), turns in (1, 2), turns in (1, 2))(image)
            elif kind == b"imir":
                sideways = bool(content[0] & 1)
                image = Orientation(False, sideways, not sideways)(image)
        return image

    def _put_together(self, item: int) -> Image:
        grid, tiles = _grid(self._content(item)), self._tiles(item)
        if grid.width * grid.height > self._most:
            raise TooManyPixels
        if len(tiles) < grid.rows * grid.columns:
            raise NoHeif("lacks tiles of its grid")
        width, height = self._size(tiles[0])
        if width * (grid.columns - 1) >= grid.width or height * (grid.rows - 1) >= grid.height:
            raise NoHeif("has a grid that is larger than its picture")
        image = np.zeros((grid.height, grid.width, 3), np.uint8)
        for number, tile in enumerate(tiles[: grid.rows * grid.columns]):
            y, x = number // grid.columns * height, number % grid.columns * width
            place = image[y : y + height, x : x + width]
            decoded = self._decoded(tile)
            if decoded.shape[0] < place.shape[0] or decoded.shape[1] < place.shape[1]:
                raise NoHeif("has a tile that is too small")
            place[:] = decoded[: place.shape[0], : place.shape[1]]
        return image

    def _decoded(self, item: int) -> Image:
        if self._kinds[item] not in CODECS:
            raise NoHeif(f"holds a picture of kind {self._kinds[item].decode('ascii', 'replace')}, which is not read")
        name, place, skipped = CODECS[self._kinds[item]]
        configuration: bytes = dict(self._properties[item])[place]
        context: Any = av.codec.CodecContext.create(name, "r")
        context.options = {"max_pixels": str(self._most)}
        context.thread_count = 1
        context.extradata = configuration if name == "hevc" else configuration[skipped:]
        frames = [*context.decode(av.Packet(self._content(item))), *context.decode(None)]
        if not frames or frames[0].is_corrupt:
            raise NoHeif("cannot be decoded")
        return np.asarray(frames[0].to_ndarray(format="bgr24"), np.uint8)

    def _size(self, item: int) -> tuple[int, int]:
        width, height = struct.unpack_from(">II", dict(self._properties[item])[b"ispe"], 4)
        return int(width), int(height)

    def _content(self, item: int) -> bytes:
        parts = []
        method, extents = self._extents[item]
        if sum(length for _, length in extents) > len(self._data):  # each may name the whole file, 65,535 times
            raise NoHeif("has parts that are longer than the file together")
        for start, length in extents:
            if method == 1:  # within `idat`
                begin, end = self._meta[b"idat"]
                parts.append(self._data[begin + start : min(end, begin + start + length)])
            else:
                parts.append(self._data[start : start + length])
            if len(parts[-1]) < length:
                raise NoHeif("is truncated")
        return b"".join(parts)

    def _item_kinds(self) -> Iterator[tuple[int, bytes]]:
        begin, end = self._meta[b"iinf"]
        for kind, (start, _) in _boxes(self._data, begin + (8 if self._data[begin] else 6), end):
            if kind == b"infe":
                wide = self._data[start] >= 3
                yield struct.unpack_from(">Ixx4s" if wide else ">Hxx4s", self._data, start + 4)

    def _item_properties(self) -> dict[int, list[tuple[bytes, bytes]]]:
        parts = dict(_boxes(self._data, *self._meta[b"iprp"]))
        known = [(kind, self._data[slice(*place)]) for kind, place in _boxes(self._data, *parts[b"ipco"])]
        return {
            item: [known[index - 1] for index in indices if 0 < index <= len(known)]
            for item, indices in _associations(self._data[slice(*parts[b"ipma"])])
        }

    def _tiles(self, item: int) -> tuple[int, ...]:
        begin, end = self._meta[b"iref"]
        letter = "I" if self._data[begin] else "H"
        for kind, (start, _) in _boxes(self._data, begin + 4, end):
            source, count = struct.unpack_from(f">{letter}H", self._data, start)
            if kind == b"dimg" and source == item:
                at = start + struct.calcsize(f">{letter}H")
                return struct.unpack_from(f">{count}{letter}", self._data, at)
        raise NoHeif("lacks tiles of its grid")


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The kind of each box and where its content begins and ends."""
    for _ in range(MOST_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        stop = start + size if size else end
        if (size and size < head) or stop > end:
            stop = end  # broken off: what there is
        yield kind, (start + head, stop)
        start = stop


def _locations(data: bytes) -> Iterator[tuple[int, tuple[int, list[tuple[int, int]]]]]:
    """Of `iloc`: by item, how its places are meant and where its parts lie."""
    version, sizes, at = data[0], struct.unpack_from(">H", data, 4)[0], 6
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_size = index_size if version else 0

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at])

    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # another file's, where it is not 0
        base = number(base_size)
        extents = []
        for _ in range(number(2)):
            number(index_size)
            extents.append((base + number(offset_size), number(length_size)))
        if at > len(data):
            raise NoHeif("is truncated")
        yield item, (method, extents)


def _associations(data: bytes) -> Iterator[tuple[int, list[int]]]:
    """Of `ipma`: the numbers of each item's properties, from 1."""
    version, flags = data[0], data[3]
    (count,), at = struct.unpack_from(">I", data, 4), 8
    for _ in range(count):
        item, entries = struct.unpack_from(">IB" if version else ">HB", data, at)
        at += 5 if version else 3
        wide = flags & 1
        found = struct.unpack_from(f">{entries}{'H' if wide else 'B'}", data, at)
        at += entries * (2 if wide else 1)
        yield item, [index & (0x7FFF if wide else 0x7F) for index in found]


def _grid(content: bytes) -> Grid:
    wide = content[1] & 1
    width, height = struct.unpack_from(">II" if wide else ">HH", content, 4)
    return Grid(content[2] + 1, content[3] + 1, width, height)


def _cut(image: Image, content: bytes) -> Image:
    """A clean aperture: width, height and how far its middle lies from the picture's, as fractions."""
    fractions = struct.unpack_from(">IIIIiIiI", content)
    width, height, x, y = (fractions[at] / max(1, fractions[at + 1]) for at in (0, 2, 4, 6))
    left = round((image.shape[1] - width) / 2 + x)
    top = round((image.shape[0] - height) / 2 + y)
    if width < 1 or height < 1 or left < 0 or top < 0:
        return image
    return np.ascontiguousarray(image[top : top + round(height), left : left + round(width)])
