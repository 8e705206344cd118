"""What a file is that is not read as expected, by its first bytes and in a few words: a film where a picture is
expected, a picture of a kind that is not read, sound, text, a device."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Literal, NamedTuple

from fer_edge.camera import shown
from fer_edge.camera.picture_size import is_heif
from fer_edge.errors import CameraError

STDIN = "/dev/stdin"
HEAD_BYTES = 4096
RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw")
MOST_CONTROL_SHARE = 0.02  # of a text's characters

Role = Literal["picture", "film", "other"]


class FileKind(NamedTuple):
    """What a file holds."""

    words: str
    """With an article, such as `a PNG picture`."""
    role: Role
    """`other`: neither a picture nor a film that is read."""


RAW_KIND = FileKind("a raw picture", "other")
EMPTY = FileKind("empty", "other")
TEXT = FileKind("a text file", "other")
KINDS: tuple[tuple[bytes, FileKind], ...] = (
    (rb"....ftypcrx|II[*]\x00....CR|FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\x00", RAW_KIND),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", FileKind("a JPEG XL picture", "other")),
    (rb"8BPS", FileKind("a Photoshop picture (PSD)", "other")),
    (rb"gimp xcf", FileKind("a GIMP picture (XCF)", "other")),
    (rb"%PDF|%!PS", FileKind("a PDF or PostScript document", "other")),
    (rb"\x00\x00[\x01\x02]\x00[^\x00]\x00", FileKind("an icon (ICO)", "other")),
    (rb"v/1\x01", FileKind("an OpenEXR picture", "other")),
    (rb"\s*(?:<\?xml.*|<!--.*|<!DOCTYPE svg.*)?<svg", FileKind("an SVG drawing", "other")),
    (rb"(?i:\s*<!doctype html|\s*<html)", FileKind("a web page", "other")),
    (rb"\xff\xd8\xff", FileKind("a JPEG picture", "picture")),
    (rb"\x89PNG\r\n\x1a\n", FileKind("a PNG picture", "picture")),
    (rb"GIF8[79]a", FileKind("a GIF", "picture")),
    (rb"BM.{12}[\x0c\x28\x38\x40\x6c\x7c]\x00\x00\x00", FileKind("a BMP picture", "picture")),
    (rb"P[1-6][ \t\r\n][ \t\r\n\d#]", FileKind("a PNM picture", "picture")),
    (rb"RIFF....WEBP", FileKind("a WebP picture", "picture")),
    (rb"II\*\x00|MM\x00\*", FileKind("a TIFF picture", "picture")),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", FileKind("a JPEG 2000 picture", "picture")),
    (rb"....ftyp(?:M4[AB] |F4A )|ID3|fLaC|RIFF....WAVE|#!AMR|\xff[\xe2-\xff].{2}", FileKind("sound alone", "other")),
    (rb"OggS.{24,60}(?:Opus|\x01vorbis|Speex)", FileKind("sound alone", "other")),
    (rb"....(?:ftyp|moov|mdat|wide|free|skip|pnot|styp|moof)", FileKind("a film (MP4 or QuickTime)", "film")),
    (rb"\x1a\x45\xdf\xa3", FileKind("a film (Matroska or WebM)", "film")),
    (rb"RIFF....AVI ", FileKind("a film (AVI)", "film")),
    (rb"FLV\x01", FileKind("a film (Flash)", "film")),
    (rb"OggS", FileKind("a film (Ogg)", "film")),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", FileKind("a film (Windows Media)", "film")),
    (rb"\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47", FileKind("a film (MPEG transport stream)", "film")),
    (rb"\x00\x00\x01[\xba\xb3]|\x00{0,1}\x00\x00\x01[\x09\x27\x40\x46\x67]", FileKind("a film (MPEG)", "film")),
    (rb"PK\x03\x04|\x1f\x8b\x08|7z\xbc\xaf|Rar!", FileKind("an archive", "other")),
)
EXPECTED = "expected a film or a picture"
READ_PICTURES = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF, JPEG 2000 or PNM"


def file_kind(path: str | Path) -> FileKind | None:
    """What a file holds; None where that is not known, and where it is no regular file or cannot be read."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    return RAW_KIND if Path(path).suffix.lower() in RAW else kind_of(head)


def kind_of(head: bytes) -> FileKind | None:
    """By a file's first bytes, at least 512 of them where it has as many."""
    if not head:
        return EMPTY
    if head[4:12] != b"ftypcrx " and is_heif(head):
        return FileKind("a HEIC or AVIF picture", "picture")
    for pattern, kind in KINDS:
        if re.match(pattern, head[:HEAD_BYTES], re.DOTALL):
            return kind
    return TEXT if _is_text(head) else None


def not_a_picture(kind: FileKind | None) -> str:
    """Why a file cannot be decoded as a picture, as far as that is known; completes `cannot be decoded`."""
    if kind is None or kind.role == "picture":
        return ""
    if kind.role == "film":
        return f": it is {kind.words}; films are read by camera.backend: stream"
    return ": it is empty" if kind is EMPTY else f": it is {kind.words}, which is not read; expected {READ_PICTURES}"


def not_a_film(kind: FileKind | None) -> str:
    """Why a file cannot be read as a video, as far as that is known; completes `cannot be read as a video`."""
    if kind is None or kind.role == "film":
        return ": it is damaged, truncated or of a kind that is not read"
    if kind.role == "picture":
        return f": it is {kind.words}; pictures are read by camera.backend: replay"
    return ": it is empty" if kind is EMPTY else f": it is {kind.words}, which is not read; {EXPECTED}"


def check_film(path: str) -> None:
    """Raises CameraError where a path is nothing that can be read as a film: a folder, a device, a terminal."""
    if os.path.isdir(path):
        raise CameraError(
            f"camera.source {shown(path)} is a folder; for a folder of pictures use camera.backend: replay"
        )
    if not os.path.exists(path):
        raise CameraError(f"camera.source {shown(path)} does not exist")
    if not os.access(path, os.R_OK):
        raise CameraError(f"camera.source {shown(path)}: no permission to read it")
    mode = os.stat(path).st_mode
    if path == STDIN and os.isatty(0):
        raise CameraError("standard input is a terminal; expected a film, such as: fer-edge analyze - < FILM")
    if path != STDIN and (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        raise CameraError(
            f"camera.source {shown(path)} is a device; expected a film. A webcam is read by camera.backend: v4l2"
        )


def _is_text(head: bytes) -> bool:
    try:
        text = head[: HEAD_BYTES - 4].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(head), HEAD_BYTES) - 8:
            return False
        text = head[: error.start].decode()
    controls = sum(not (each.isprintable() or each in "\r\n\t\f") for each in text)
    return controls <= MOST_CONTROL_SHARE * len(text)
