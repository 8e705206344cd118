"""What a picture file is and how many pixels it announces, from its header alone: checked before memory is allocated.

OpenCV looks too, but by a limit that it reads when it is imported. A kind that is not known here is not decoded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

PIXELS_OF_HEAVY = 2
"""GIF and JPEG 2000 take twice the memory of others while they are decoded."""

ANIMATED_WEBP = 2  # of the flags in VP8X
SEQUENCE_BRANDS = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")


def announced_pixels(data: bytes) -> int | None:
    """Pixels that decoding a whole file makes room for; None where the header is of no kind that is read here, or is
    damaged. HEIC and AVIF are decoded within a limit (`heif`)."""
    for starts, size in KINDS:
        if re.match(starts, data, re.DOTALL):
            try:
                return size(data)
            except (struct.error, ValueError, LookupError):
                return None
    return None


def is_heif(data: bytes) -> bool:
    """Whether a file is one by its major brand or a compatible one."""
    (length,) = struct.unpack(">I", data[:4]) if data[4:8] == b"ftyp" else (0,)
    brands = data[8:12] + data[16 : min(length, 256)]
    return any(brands[at : at + 4] in HEIF_BRANDS for at in range(0, len(brands), 4))


def is_heif_film(data: bytes) -> bool:
    """Whether it is a sequence first of all, and no still picture with one beside it."""
    return data[4:8] == b"ftyp" and data[8:12] in SEQUENCE_BRANDS


FILM_BEHIND = re.compile(rb"\x00\x00\x00[\x08-\xff]ftyp[\w ]{4}")


def has_film_beside(data: bytes) -> bool:
    """Whether a still HEIC, AVIF or JPEG has a film or a sequence in its file too, as phones write live and motion
    photos and bursts."""
    at = jpeg_frame(data)[0]
    if at:
        return FILM_BEHIND.search(data, at) is not None
    return is_heif(data) and not is_heif_film(data) and bool({b"moov", b"mpvd"} & set(_top_boxes(data)))


def _top_boxes(data: bytes) -> Iterator[bytes]:
    """The kinds of a file's boxes (ISO/IEC 14496-12)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8]
        size = int.from_bytes(data[at + 8 : at + 16]) if size == 1 else size
        if size < 8:
            return
        at += size


def is_animated_webp(data: bytes) -> bool:
    """By the first 21 bytes."""
    return data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > 20 and bool(data[20] & ANIMATED_WEBP)


def jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Byte offset of a JPEG's frame header (SOFn, ITU-T T.81), height and width in px; zeros for anything else."""
    at = 2
    while data.startswith(b"\xff\xd8") and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # tables, reserved, arithmetic coding
            return at, int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0, 0, 0


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or a PNG lacks its end: OpenCV would fill the rest of a JPEG with gray silently."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    at = jpeg_frame(data)[0]
    return at > 0 and data.find(b"\xff\xd9", at) < 0


def _jpeg(data: bytes) -> int | None:
    _, height, width = jpeg_frame(data)
    return height * width or None


def _png(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width * height)


def _gif(data: bytes) -> int:
    width, height = struct.unpack_from("<HH", data, 6)
    return int(width * height) * PIXELS_OF_HEAVY


def _bmp(data: bytes) -> int:
    (head,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if head == 12 else "<ii", data, 18)
    return abs(int(width * height))


def _pnm(data: bytes) -> int:
    fields = re.sub(rb"#[^\n]*\n", b"", data[:4096]).split(maxsplit=3)
    return int(fields[1]) * int(fields[2])


def _webp(data: bytes) -> int:
    kind = data[12:16]
    if kind == b"VP8X":
        return (1 + int.from_bytes(data[24:27], "little")) * (1 + int.from_bytes(data[27:30], "little"))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return int(1 + (bits & 0x3FFF)) * int(1 + (bits >> 14 & 0x3FFF))
    width, height = struct.unpack_from("<HH", data, 26)
    return int(width & 0x3FFF) * int(height & 0x3FFF)


WIDTH, HEIGHT, SAMPLES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 277, 322, 323


def _tiff(data: bytes) -> int:
    """Of the first picture, which is the one that is decoded: its area or its tiles', whichever is more."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags: dict[int, int] = {}
    for number in range(count):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * number)
        (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 10 + 12 * number)
        tags[tag] = max(int(value), tags.get(tag, 0))
    width, height = max(tags[WIDTH], tags.get(TILE_WIDTH, 0)), max(tags[HEIGHT], tags.get(TILE_HEIGHT, 0))
    return int(width * height) * max(1, tags.get(SAMPLES, 1) // 4)


def _jpeg2000(data: bytes) -> int:
    """By the code stream, which is what is decoded; a component each counts, above four."""
    at = data.index(b"\xff\x4f\xff\x51") + 4
    width, height, x, y = struct.unpack_from(">IIII", data, at + 4)
    (components,) = struct.unpack_from(">H", data, at + 36)
    return int(max(0, width - x) * max(0, height - y) * max(1, components // 4)) * PIXELS_OF_HEAVY


KINDS: tuple[tuple[bytes, Callable[[bytes], int | None]], ...] = (
    (rb"\xff\xd8", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"GIF8[79]a", _gif),
    (rb"BM", _bmp),
    (rb"P[1-6]\s", _pnm),
    (rb"RIFF....WEBPVP8[ LX]", _webp),
    (rb"II\*\x00|MM\x00\*", _tiff),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", _jpeg2000),
)
