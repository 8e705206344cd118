"""HEIF box by box: with wide numbers as large files have them, and with what is wrong in each place."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
import pytest

from fer_edge.camera import heif
from fer_edge.camera.heif import NoHeif, TooManyPixels, decode_heif
from fer_edge.records import Image

MOST = 1 << 20
LEVELS = (40, 120, 200, 250)  # gray, of the tiles


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


@cache
def avif(level: int) -> tuple[bytes, bytes]:
    """A gray picture of 64x64: its decoder's configuration and its data."""
    whole = cv2.imencode(".avif", np.full((64, 64, 3), level, np.uint8))[1].tobytes()
    at, data = whole.index(b"av1C"), whole.index(b"mdat")
    return whole[at + 4 : at - 4 + int.from_bytes(whole[at - 4 : at])], whole[data + 4 :]


@dataclass
class File:
    """A file of four tiles of 64x64, put together to a picture of 100x120; what is told of it may be wrong."""

    wide: bool = False  # numbers of 32 bits where 16 do
    kind: bytes = b"av01"  # of the tiles
    grid: tuple[int, int] = (100, 120)
    tile: tuple[int, int] = (64, 64)
    tiles: tuple[int, ...] = (2, 3, 4, 5)
    of: int = 1  # whose tiles they are
    more: list[tuple[bytes, bytes]] = field(default_factory=list)  # properties of the whole picture
    level: bytes | None = None  # instead of the tiles' data

    def number(self, value: int) -> bytes:
        return struct.pack(">I" if self.wide else ">H", value)

    def __bytes__(self) -> bytes:
        data = [self.level if self.level is not None else avif(level)[1] for level in LEVELS]
        flags = bytes([0, int(self.wide)])
        grid = flags + b"\1\1" + struct.pack(">II" if self.wide else ">HH", *self.grid)
        head = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1")
        length = len(head) + len(self._meta(0, data, grid)) + 8
        return head + self._meta(length, data, grid) + box(b"mdat", b"".join(data) + grid)

    def _meta(self, start: int, data: list[bytes], grid: bytes) -> bytes:
        version, items = bytes([int(self.wide)]) + bytes(3), [b"grid", *[self.kind] * len(data)]
        infos = b"".join(
            box(b"infe", bytes([3 if self.wide else 2, 0, 0, 0]) + self.number(item) + bytes(2) + kind + b"\0")
            for item, kind in enumerate(items, 1)
        )
        sizes = [box(b"ispe", bytes(4) + struct.pack(">II", *each)) for each in (self.tile, self.grid)]
        known = [box(b"av1C", avif(LEVELS[0])[0]), *sizes, *(box(*each) for each in self.more)]
        uses = {1: [3, *range(4, 4 + len(self.more)), 99]} | {item: [1, 2] for item in range(2, 6)}
        index = "H" if self.wide else "B"
        ipma = bytes([int(self.wide), 0, 0, int(self.wide)]) + struct.pack(">I", len(uses))
        for item, indices in uses.items():
            ipma += self.number(item) + struct.pack(f">B{len(indices)}{index}", len(indices), *indices)
        tiles = self.number(self.of) + struct.pack(">H", len(self.tiles)) + b"".join(map(self.number, self.tiles))
        places = [len(b"".join(data)), *(sum(map(len, data[:count])) for count in range(len(data)))]
        iloc = bytes([2 if self.wide else 0, 0, 0, 0, 0x44, 0x40]) + self.number(len(items))
        for item, (place, length) in enumerate(zip(places, (len(grid), *map(len, data)), strict=True), 1):
            method = bytes(2) if self.wide else b""
            iloc += self.number(item) + method + bytes(2) + struct.pack(">IHII", start, 1, place, length)
        return box(
            b"meta",
            bytes(4)
            + box(b"pitm", version + self.number(1))
            + box(b"iinf", version + self.number(len(items)) + infos + box(b"free", b""))
            + box(b"iref", version + box(b"thmb", self.number(9) + bytes(2)) + box(b"dimg", tiles))
            + box(b"iprp", box(b"ipco", b"".join(known)) + box(b"ipma", ipma))
            + box(b"iloc", iloc),
        )


def decoded(file: File | bytes, most: int = MOST) -> Image:
    return decode_heif(bytes(file), most_pixels=most)


@pytest.mark.parametrize("wide", [False, True])
def test_tiles_lie_where_they_belong(wide: bool) -> None:
    picture = decoded(File(wide=wide))
    assert picture.shape == (120, 100, 3)
    corners = [picture[y, x].mean() for y, x in ((5, 5), (5, 95), (115, 5), (115, 95))]
    assert np.allclose(corners, LEVELS, atol=3)


def clap(*numbers: int) -> tuple[bytes, bytes]:
    return b"clap", struct.pack(">IIIIiIiI", *numbers)


@pytest.mark.parametrize(
    ("aperture", "shape"),
    [
        (clap(60, 1, 80, 1, 0, 1, 0, 1), (80, 60)),
        (clap(60, 0, 80, 0, 0, 0, 0, 0), (80, 60)),  # no fraction has a denominator of 0
        (clap(0, 1, 80, 1, 0, 1, 0, 1), (120, 100)),
        (clap(200, 1, 80, 1, 0, 1, 0, 1), (120, 100)),
        (clap(60, 1, 80, 1, -90, 1, 0, 1), (120, 100)),
        (clap(60, 1, 80, 1, 0, 1, -90, 1), (120, 100)),
    ],
)
def test_an_aperture_that_is_none_is_passed_over(aperture: tuple[bytes, bytes], shape: tuple[int, int]) -> None:
    assert decoded(File(more=[(b"pasp", bytes(8)), aperture])).shape[:2] == shape


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (File(tiles=(2, 3, 4)), "lacks tiles of its grid"),
        (File(of=8), "lacks tiles of its grid"),
        (File(tiles=(2, 3, 4, 77)), "cannot be decoded"),
        (File(kind=b"jpeg"), "holds a picture of kind jpeg, which is not read"),
        (File(kind=b"\xff\xfe\xfd\xfc"), "which is not read"),
        (File(grid=(64, 120)), "has a grid that is larger than its picture"),
        (File(grid=(100, 64)), "has a grid that is larger than its picture"),
        (File(grid=(190, 120), tile=(96, 64)), "has a tile that is too small"),
        (File(grid=(100, 190), tile=(64, 96)), "has a tile that is too small"),
        (File(level=b""), "cannot be decoded"),
        (File(level=bytes(50)), "cannot be decoded"),
    ],
)
def test_what_is_wrong_is_one_clause(file: File, why: str) -> None:
    with pytest.raises(NoHeif, match=why):
        decoded(file)


def test_a_file_that_is_cut_in_its_last_part() -> None:
    with pytest.raises(NoHeif, match="is truncated"):
        decoded(bytes(File())[:-1])


def test_more_pixels_than_there_is_memory_for() -> None:
    with pytest.raises(TooManyPixels):
        decoded(File(), most=100 * 120 - 1)
    small = bytes(File()).replace(struct.pack(">II", 100, 120), struct.pack(">II", 10, 12))
    with pytest.raises(TooManyPixels):
        decoded(small, most=100 * 120 - 1)  # its grid says so only
    tiles = bytes(File(tile=(8, 8), grid=(12, 12)))
    with pytest.raises((TooManyPixels, NoHeif)):
        decoded(tiles, most=64 * 64 - 1)  # they say so themselves


def test_boxes_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytes(File())
    meta = whole.index(b"meta") - 4
    size = int.from_bytes(whole[meta : meta + 4])
    large = struct.pack(">I4sQ", 1, b"free", 24) + bytes(8)
    last = whole[:meta] + bytes(4) + whole[meta + 4 :]  # 0: to the end
    assert decoded(last).shape == (120, 100, 3)
    behind = whole + large + struct.pack(">I", 3) + b"odd!"
    assert decoded(behind).shape == (120, 100, 3)
    endless = whole[:meta] + struct.pack(">I", size + 10_000) + whole[meta + 4 :]
    assert decoded(endless).shape == (120, 100, 3)
    monkeypatch.setattr(heif, "MOST_BOXES", 1)
    with pytest.raises(NoHeif, match="cannot be decoded"):
        decoded(whole)


@pytest.mark.parametrize("kind", [b"pitm", b"iinf", b"iref", b"iprp", b"ipco", b"ipma", b"iloc", b"ispe", b"av1C"])
def test_a_box_that_is_not_there(kind: bytes) -> None:
    with pytest.raises(NoHeif, match="cannot be decoded"):
        decoded(bytes(File()).replace(kind, b"xxxx"))


def test_places_that_are_cut_off() -> None:
    whole = bytes(File())
    at = whole.index(b"iloc")
    with pytest.raises(NoHeif, match="is truncated"):
        decoded(whole[: at + 10] + b"\xff" + whole[at + 11 :])  # far more items than there are
