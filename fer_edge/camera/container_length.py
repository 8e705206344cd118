"""Whether a film's file is as long as its container states, which a film's rate and duration do not show."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from fer_edge.camera.matroska import EBML_HEAD, matroska_end

BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot")
TS_SYNC = b"\x47"
OGG, LONGEST_OGG_PAGE = b"OggS", 65_307
ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
ASF_FILE_PROPERTIES = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"
RIFF_UNKNOWN = (0, 0xFFFFFFFF)  # as written to a pipe
MOST_BYTES = 2**53  # a longer film is none: its length is damaged


def missing_bytes(path: str | Path) -> int:
    """How many bytes a Matroska, MP4, QuickTime, AVI, FLV, Ogg, ASF or MPEG-TS file lacks at its end; 0 for other
    kinds, for whole files and where the length was never filled in."""
    try:
        if not os.path.isfile(path):  # a FIFO may be read only once
            return 0
        with open(path, "rb") as file:
            return max(0, _promised(file) - os.fstat(file.fileno()).st_size)
    except OSError:
        return 0


def _promised(file: BinaryIO) -> int:
    head = file.read(12)
    file.seek(0)
    if head.startswith(EBML_HEAD):
        return matroska_end(file, os.fstat(file.fileno()).st_size)
    if head[:4] == b"RIFF":
        return _riff_end(file)
    if head[:3] == b"FLV":
        return _flv_end(file)
    if head[:4] == OGG:
        return _ogg_end(file)
    if head.startswith(ASF):
        return _asf_end(file)
    if head[0:1] == TS_SYNC or head[4:5] == TS_SYNC:
        return _ts_end(file)
    return _mp4_end(file) if head[4:8] in BOXES else 0


def _mp4_end(file: BinaryIO) -> int:
    """ISO/IEC 14496-12: box after box; a size of 1 means that 64 bits follow, of 0 that the box goes to the end."""
    end = 0
    while len(head := file.read(16)) >= 8:
        size = int.from_bytes(head[:4])
        if size == 1:
            size = int.from_bytes(head[8:16])
        if not 8 <= size < MOST_BYTES or not head[4:8].isascii():
            break
        end += size
        file.seek(end)
    return end


def _flv_end(file: BinaryIO) -> int:
    """By `filesize` in its first tag, a number of AMF: 0 and 64 bits of floating point."""
    _, found, rest = file.read(4096).partition(b"filesize\0")
    size = struct.unpack(">d", rest[:8])[0] if found and len(rest) >= 8 else 0.0
    return int(size) if 0 < size < MOST_BYTES else 0


def _ogg_end(file: BinaryIO) -> int:
    """By its last page (RFC 3533), whose header ends in the lengths of what it holds."""
    start = max(0, os.fstat(file.fileno()).st_size - LONGEST_OGG_PAGE)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(OGG)
    if at < 0 or at + 27 > len(tail):
        return start + len(tail) + (at >= 0)
    return start + at + 27 + tail[at + 26] + sum(tail[at + 27 : at + 27 + tail[at + 26]])


def _asf_end(file: BinaryIO) -> int:
    """By its file properties; what is broadcast has no length."""
    _, found, rest = file.read(65_536).partition(ASF_FILE_PROPERTIES)
    if not found or len(rest) < 76:
        return 0
    size, flags = int.from_bytes(rest[24:32], "little"), int.from_bytes(rest[72:76], "little")
    return 0 if flags & 1 else size


def _ts_end(file: BinaryIO) -> int:
    """A multiple of its packets: 188 bytes, 192 with times before each (camcorders)."""
    head = file.read(5 + 2 * 192)
    for length, at in ((188, 0), (192, 4)):
        if all(head[at + length * number : at + length * number + 1] == TS_SYNC for number in range(3)):
            return -(-os.fstat(file.fileno()).st_size // length) * length
    return 0


def _riff_end(file: BinaryIO) -> int:
    """An AVI of more than 1 GB has several RIFF chunks (OpenDML)."""
    end = 0
    while len(head := file.read(8)) == 8 and head[:4] == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        if size in RIFF_UNKNOWN:
            return 0
        end += 8 + size + size % 2
        file.seek(end)
    return end - 1 if end else 0  # the last padding byte may be left out
