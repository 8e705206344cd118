"""Where a film's container is damaged within, so that frames are missing that FFmpeg never saw: Matroska (`matroska`),
FLV, AVI, MPEG-TS and fragmented MP4, walked by the heads of their parts. Films of a varying rate have
gaps too; only a damaged container makes them losses."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fer_edge.camera.matroska import Damage, matroska_damage

ANYWHERE = Damage(0.0, None)
TS_SYNC, TS_PACKETS = b"\x47", 5000
FLV_TAGS = (8, 9, 18)
AVI_CHUNK = re.compile(rb"[0-9A-Za-z]{2}(?:dc|db|wb|tx|sb|pc|iv)|ix\d\d|JUNK|LIST|idx1|RIFF")
BOX_KIND = re.compile(rb"[ -~\xa9]{4}")


def damaged_places(path: str | Path) -> list[Damage]:
    """Where frames may be missing; empty for a whole film, one that is cut at its end, and other kinds."""
    try:
        if not os.path.isfile(path):  # a FIFO may be read only once
            return []
        with open(path, "rb") as file:
            return _damage(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return []


def _damage(file: BinaryIO, size: int) -> list[Damage]:
    head = file.read(16)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return matroska_damage(file, size)
    if head.startswith(b"FLV"):
        whole = _flv_is_whole(file, size)
    elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        whole = _avi_is_whole(file, size)
    elif head[:1] == TS_SYNC or head[4:5] == TS_SYNC:
        whole = _ts_is_whole(file)
    else:
        whole = head[4:8] != b"ftyp" or _mp4_is_whole(file, size)
    return [] if whole else [ANYWHERE]


def _flv_is_whole(file: BinaryIO, size: int) -> bool:
    """Tag after tag, each followed by its length."""
    at, tag = 9, 0
    while at + 15 <= size:
        head = _read(file, at, 15)
        if int.from_bytes(head[:4]) != tag or head[4] & 0x1F not in FLV_TAGS:
            return False
        tag = 11 + int.from_bytes(head[5:8])
        at += 4 + tag
    return True


def _avi_is_whole(file: BinaryIO, size: int) -> bool:
    """Chunk after chunk, those in the list of frames included."""
    at = 12
    while at + 12 <= size:
        head = _read(file, at, 12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] in (b"LIST", b"RIFF") and head[8:12] in (b"movi", b"rec ", b"AVI ", b"AVIX"):
            at += 12
            continue
        if not AVI_CHUNK.match(head):
            return head[:4] == bytes(4) and not any(_read(file, at, size - at)[:4096])  # filled up
        at += 8 + length + length % 2
    return True


def _ts_is_whole(file: BinaryIO) -> bool:
    """Each packet begins with the same byte; an incomplete one at the end does too."""
    length, at = (188, 0) if _read(file, 0, 189)[188:] == TS_SYNC else (192, 4)
    file.seek(0)
    while data := file.read(length * TS_PACKETS):
        if (np.frombuffer(data, np.uint8)[at::length] != TS_SYNC[0]).any():
            return False
    return True


def _mp4_is_whole(file: BinaryIO, size: int) -> bool:
    """Of a fragmented one, box after box. Others have an index, and no heads between their frames."""
    at, fragmented = 0, False
    while at + 8 <= size:
        head = _read(file, at, 16)
        length = int.from_bytes(head[:4])
        length = int.from_bytes(head[8:16]) if length == 1 else length or size - at
        if length < 8 or not BOX_KIND.fullmatch(head[4:8]):
            return not fragmented
        fragmented = fragmented or head[4:8] == b"moof"
        at += length
    return True


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(min(size, 1 << 16))
