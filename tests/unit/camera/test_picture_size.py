"""What pictures announce in their headers, and what their decoders would make room for."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.camera.folder import HEIF, SUFFIXES
from fer_edge.camera.picture_size import announced_pixels
from fer_edge.camera.replay import read_picture
from fer_edge.errors import CameraError

HEAVY = (".gif", ".jp2")
BY_HEADER = [suffix for suffix in SUFFIXES if suffix not in (".avif", *HEIF)]


def encoded(suffix: str, width: int = 60, height: int = 40) -> bytes:
    gray = np.full((height, width), 90, np.uint8)
    picture = gray if suffix == ".pgm" else np.full((height, width, 3), 90, np.uint8)
    return cv2.imencode(suffix, picture)[1].tobytes()


@pytest.mark.parametrize("suffix", BY_HEADER)
def test_every_kind_that_is_read_tells_its_size(suffix: str, tmp_path: Path) -> None:
    data = encoded(suffix)
    assert announced_pixels(data) == 60 * 40 * (2 if suffix in HEAVY else 1)
    (tmp_path / f"a{suffix}").write_bytes(data)
    assert read_picture(tmp_path / f"a{suffix}").shape == (40, 60, 3)


def test_webp_in_its_three_forms() -> None:
    lossy, lossless = (
        encoded(".webp"),
        cv2.imencode(".webp", np.full((40, 60, 3), 90, np.uint8), [64, 101])[1].tobytes(),
    )
    extended = (
        b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + (59).to_bytes(3, "little") + bytes([39, 0, 0])
    )
    assert {each[12:16] for each in (lossy, lossless, extended)} >= {b"VP8X", lossless[12:16]}
    assert [announced_pixels(each) for each in (lossy, lossless, extended)] == [2400] * 3


def tiff(width: int, height: int, *more: tuple[int, int], order: str = "<") -> bytes:
    tags = [(256, width), (257, height), *more]
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4)


def jpeg2000(width: int, height: int, components: int) -> bytes:
    return b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 47, 0, width, height, *[0] * 6, components) + bytes(40)


def avif_that_lies() -> bytes:
    """Its container says 64 x 64."""
    data = encoded(".avif", 6000, 6000)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 64, 64) + data[at + 8 :]


def avif_that_boasts() -> bytes:
    """It has 64 x 64."""
    return encoded(".avif", 64, 64).replace(struct.pack(">II", 64, 64), struct.pack(">II", 40_000, 40_000))


BOMBS = {
    "gif": b"GIF89a" + struct.pack("<HH", 40_000, 40_000) + bytes(100),
    "jp2": jpeg2000(40_000, 40_000, 3),
    "jp2 of many components": jpeg2000(4000, 4000, 16_000),
    "tiff": tiff(40_000, 40_000),
    "tiff, big-endian": tiff(40_000, 40_000, order=">"),
    "tiff of a huge tile": tiff(16, 16, (322, 1 << 20), (323, 1 << 10)),
    "webp": b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\0\xff\x3f\0" + bytes(50),
    "pbm": b"P4 # a comment\n40000 40000\n" + bytes(50),
    "jpeg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + bytes(50),
}
READ = """
import os, resource, sys
import cv2  # before fer_edge could set its limit
from pathlib import Path
from fer_edge.camera.replay import read_picture
from fer_edge.errors import CameraError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_picture(path)
        print("was read")
    except CameraError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_no_kind_of_bomb_takes_memory_even_where_opencv_was_there_first(tmp_path: Path) -> None:
    """In a process of its own, where memory can be measured."""
    bombs = BOMBS | {"avif": avif_that_boasts(), "avif that lies": avif_that_lies()}
    for name, data in bombs.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV_IO")}
    environment["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(30_000_000)
    command = [sys.executable, "-c", READ, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, env=environment)
    *message, grown_kb = done.stdout.splitlines()
    assert len(message) == len(bombs)
    assert [each for each in message if not each.endswith("has more than 30000000 pixels; make it smaller")] == []
    assert int(grown_kb) < 60_000


@pytest.mark.parametrize(
    "data", [b"v/1\x01" + bytes(100), b"#?RADIANCE\n" + bytes(100), b"PF\n3 3\n-1\n", b"BM", b"\x89PNG\r\n\x1a\n", b""]
)
def test_no_other_decoder_is_reached(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(CameraError, match="cannot be decoded"):
        read_picture(tmp_path / "a.png")
