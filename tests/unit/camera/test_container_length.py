"""How much of a film's file is missing, by what each container says of its own length."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from fer_edge.camera.container_length import (
    ASF,
    ASF_FILE_PROPERTIES,
    LONGEST_OGG_PAGE,
    MOST_BYTES,
    missing_bytes,
)
from fer_edge.camera.matroska import EBML_HEAD as EBML
from fer_edge.camera.matroska import Damage, matroska_damage, matroska_end

SEGMENT = b"\x18\x53\x80\x67"


def box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I", size) + kind


def long_box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4sQ", 1, kind, size)


def ogg_page(*lengths: int) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(lengths), *lengths])


def asf(size: int, *, broadcast: bool = False) -> bytes:
    return ASF + bytes(20) + ASF_FILE_PROPERTIES + bytes(24) + struct.pack("<Q40xI", size, int(broadcast))


def flv(size: float) -> bytes:
    return b"FLV\x01" + bytes(20) + b"filesize\0" + struct.pack(">d", size)


def riff(*sizes: int) -> bytes:
    return b"".join(b"RIFF" + struct.pack("<I", size) + bytes(size + size % 2) for size in sizes)


PACKET = b"G" + bytes(187)
LATE_PACKET = bytes(4) + PACKET

FILES = {
    "whole mp4": (box(b"ftyp", 12) + bytes(4) + box(b"mdat", 20) + bytes(12), 0),
    "cut mp4": (box(b"ftyp", 12) + bytes(4) + box(b"mdat", 20) + bytes(2), 10),
    "large mp4": (long_box(b"mdat", 100), 84),
    "mp4 whose last box goes to the end": (box(b"ftyp", 12) + bytes(4) + box(b"mdat", 0) + bytes(50), 0),
    "mp4 with a length that no film has": (box(b"ftyp", 12) + bytes(4) + long_box(b"mdat", MOST_BYTES), 0),
    "mp4 with rubbish behind it": (box(b"ftyp", 12) + bytes(4) + box(b"\xff\xfe\xfd\xfc", 500), 0),
    "flv": (flv(100.0), 59),
    "flv without a length": (b"FLV\x01" + bytes(40), 0),
    "flv cut within its length": (flv(100.0)[:-1], 0),
    "flv with a length that is no number": (flv(float("nan")), 0),
    "flv with a negative length": (flv(-5.0), 0),
    "whole ogg": (ogg_page(3, 4) + bytes(7), 0),
    "cut ogg": (ogg_page(3, 4) + bytes(5), 2),
    "ogg cut within a page's head": (ogg_page(3) + bytes(3) + b"OggS" + bytes(9), 1),
    "ogg cut within a page's lengths": (ogg_page(3) + bytes(3) + ogg_page(5, 5, 5)[:-1], 11),
    "ogg whose last page was lost": (ogg_page() + bytes(LONGEST_OGG_PAGE + 10), 0),
    "asf": (asf(500), 500 - len(asf(500))),
    "asf of a broadcast": (asf(500, broadcast=True), 0),
    "asf without properties": (ASF + bytes(200), 0),
    "asf cut within its properties": (asf(500)[:-1], 0),
    "transport stream": (PACKET * 3, 0),
    "cut transport stream": (PACKET * 3 + PACKET[:100], 88),
    "cut camcorder's transport stream": (LATE_PACKET * 3 + LATE_PACKET[:100], 92),
    "no transport stream": (b"G" + bytes(1000), 0),
    "avi": (riff(20, 11), 0),
    "cut avi": (riff(20, 11)[:-5], 4),  # one padding byte may be left out
    "avi written to a pipe": (b"RIFF" + b"\xff" * 4 + bytes(20), 0),
    "avi of no length": (b"RIFF" + bytes(4) + bytes(20), 0),
    "matroska": (EBML + b"\x81\0" + SEGMENT + b"\x8a" + bytes(4), 6),
    "matroska without a segment": (EBML + b"\x81\0" + bytes(20), 0),
    "matroska cut before its header's length": (EBML, 0),
    "matroska with an impossible length": (EBML + b"\0" + SEGMENT, 0),
    "matroska written live": (EBML + b"\x81\0" + SEGMENT + b"\xff" + bytes(20), 0),
    "what is no film": (b"hello, world: no container", 0),
    "nothing": (b"", 0),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_lacks_by_its_own_word(name: str, tmp_path: Path) -> None:
    data, lacking = FILES[name]
    path = tmp_path / "film"
    path.write_bytes(data)
    assert missing_bytes(path) == lacking


def test_what_cannot_be_read_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_bytes(tmp_path) == 0
    assert missing_bytes(tmp_path / "nowhere") == 0
    path = tmp_path / "film"
    path.write_bytes(b"")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    assert missing_bytes(path) == 0


def element(kind: int, content: bytes, *, size: bytes | None = None) -> bytes:
    name = kind.to_bytes((kind.bit_length() + 7) // 8)
    return name + (bytes([0x80 | len(content)]) if size is None else size) + content


UNKNOWN = b"\xff"
HEADER = element(0x1A45DFA3, b"")
PICTURES, SOUND = (element(0xAE, element(0xD7, bytes([kind])) + element(0x83, bytes([kind]))) for kind in (1, 2))
TRACKS = element(0x1654AE6B, PICTURES + SOUND)
SCALE = element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40"))  # a millisecond


def block(at_ms: int, *, track: int = 1, content: bytes = b"picture") -> bytes:
    return element(0xA3, bytes([0x80 | track]) + at_ms.to_bytes(2) + b"\0" + content)


def cluster(*inside: bytes, size: bytes | None = None) -> bytes:
    return element(0x1F43B675, element(0xE7, b"\0") + b"".join(inside), size=size)


def damage(*inside: bytes, cut: int = 0) -> list[Damage]:
    """Of a segment that was written live, with these elements behind its head."""
    data = HEADER + element(0x18538067, SCALE + TRACKS + b"".join(inside), size=UNKNOWN)
    data = data[: len(data) - cut]
    return matroska_damage(io.BytesIO(data), len(data))


WHOLE = (cluster(block(40)), cluster(block(80)), cluster(block(120)))
GROUP = element(0xA0, block(80).replace(b"\xa3", b"\xa1", 1))
HOLE = [Damage(0.04, 0.12)]


@pytest.mark.parametrize(
    ("middle", "found"),
    [
        (cluster(block(80)), []),
        (cluster(GROUP), []),
        (cluster(element(0xA0, element(0xFB, b"\x01"))), HOLE),  # a group without a block
        (cluster(block(80, track=2)), []),
        (cluster(block(80, track=3)), HOLE),  # whose track nobody announced
        (cluster(element(0xA3, b"\0\0\0\0")), HOLE),  # a track that is no number
        (cluster(b"\x42\x42\x80"), HOLE),  # a kind that no cluster has
        (cluster(b"\0\0"), HOLE),  # none at all
        (cluster(block(80)[:-4]), HOLE),  # longer than its cluster
        (element(0x12345678, b"rubbish"), HOLE),  # a kind that no segment has
        (element(0x1254C367, bytes(9), size=UNKNOWN), HOLE),  # tags without a length
        (element(0xEC, bytes(9)), []),
    ],
)
def test_a_hole_is_between_the_pictures_around_it(middle: bytes, found: list[Damage]) -> None:
    assert damage(WHOLE[0], middle, WHOLE[2]) == found


def test_a_hole_at_the_end_is_open() -> None:
    assert damage(WHOLE[0], element(0x12345678, b"rubbish that nothing follows")) == [Damage(0.04, None)]


@pytest.mark.parametrize("cut", range(1, len(WHOLE[2])))
def test_a_film_that_is_cut_at_its_end_has_no_hole(cut: int) -> None:
    assert damage(*WHOLE, cut=cut) == []


def test_a_cluster_written_live_ends_where_the_next_one_begins() -> None:
    live = [cluster(block(at_ms), size=UNKNOWN) for at_ms in (40, 80)]
    assert damage(*live, element(0x1C53BB6B, b"")) == []
    data = HEADER + element(0x18538067, TRACKS + live[0], size=UNKNOWN)
    assert matroska_end(io.BytesIO(data), len(data)) == len(data)
    assert matroska_end(io.BytesIO(data[:-3]), len(data) - 3) == len(data), "the last block says how long it is"


def test_headers_that_are_too_long_or_broken_are_passed_over() -> None:
    odd = element(0x1549A966, element(0x2AD7B1, b"\x01", size=b"\x8f"))  # a number that is longer than its header
    data = HEADER + element(0x18538067, odd + TRACKS + WHOLE[0] + WHOLE[1], size=UNKNOWN)
    assert matroska_damage(io.BytesIO(data), len(data)) == []
    long = element(0x1254C367, b"", size=b"\x08" + (1 << 21).to_bytes(4)) + bytes(1 << 21)
    data = HEADER + element(0x18538067, long + TRACKS + WHOLE[0], size=UNKNOWN)
    assert matroska_damage(io.BytesIO(data), len(data)) == []
