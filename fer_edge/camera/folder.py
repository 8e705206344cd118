"""A folder's content: pictures, films, and what is not read."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fer_edge.camera.file_kinds import RAW
from fer_edge.camera.picture_size import is_animated_webp, is_heif_film
from fer_edge.errors import CameraError
from fer_edge.runtime.count_text import counted

log = logging.getLogger(__name__)

HEIF = (".heic", ".heif", ".hif")
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    *HEIF,
)
"""Pictures. In a folder a GIF is a film: it may be one, and one of a single frame is read as a film just as well."""
ALSO_JPEG = (".jfif", ".jpe", ".mpo")
"""Other names of JPEG pictures; a stereo picture (MPO) is read as its first one."""
ANIMATED = (".avif", ".png", ".webp", *HEIF)
"""What may be a picture or a film."""
FILMS = (
    *(".3gp", ".apng", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".avifs", ".heics", ".heifs", ".ogv", ".webm", ".wmv"),
)
RAW_REFUSED = "raw pictures are not read here"
OTHER = (".jxl", ".psd", ".svg", ".pdf", ".xcf", ".exr", ".ico")
OTHER_REFUSED = "pictures of this kind are not read here"
DANGLING = "they are links to what is not there"
FILMS_ELSEWHERE = "films are sources of their own"


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key for natural order: picture 9 before picture 10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def folder_files(folder: Path) -> list[Path]:
    """A folder's files by name, links to nothing among them. Raises CameraError."""
    try:
        return sorted((path for path in folder.iterdir() if path.is_file() or _is_dangling(path)), key=natural)
    except OSError as error:
        raise CameraError(f"camera.source {folder} cannot be read: {error.strerror}") from None


def _is_dangling(path: Path) -> bool:
    """Whether it is a link to what is not there, or to itself."""
    return path.is_symlink() and not os.path.exists(path)


def is_listed(path: Path) -> bool:
    """Whether a folder's file is one of its pictures. `._NAME` is what macOS knows about a file."""
    listed = path.suffix.lower() in SUFFIXES + ALSO_JPEG and not path.name.startswith("._")
    return listed and not is_film(path) and not _is_dangling(path)


def is_film(path: Path) -> bool:
    """Whether a folder's file is a film: by its name, or as it is an animated picture."""
    suffix = path.suffix.lower()
    film = suffix in FILMS or (suffix in ANIMATED and is_animated(path))
    return film and not path.name.startswith("._") and not _is_dangling(path)


def is_animated(path: Path) -> bool:
    """Whether a PNG has an animation's header before its picture; whether a WebP, AVIF or HEIC declares itself a
    film."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    png = head.startswith(b"\x89PNG") and b"acTL" in head.split(b"IDAT")[0]
    return png or is_animated_webp(head) or is_heif_film(head)


def tell_left_out(folder: Path, found: Sequence[Path], *, with_films: bool) -> None:
    """Name the pictures and films that are not read, by kind. `with_films`: the films are."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for path in found:
        why = _why_left_out(path)
        if why and not (why == FILMS_ELSEWHERE and with_films):
            kinds[why].append(path.suffix.lower())
    for why, suffixes in kinds.items():
        shown, verb = " ".join(sorted(set(suffixes))), "is" if len(suffixes) == 1 else "are"
        log.warning("%s: %s (%s) %s left out: %s", folder, counted(len(suffixes), "file"), shown, verb, why)


def _why_left_out(path: Path) -> str | None:
    """Why a folder's pictures are without this file; None where they have it, or it is none of those."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return None
    if _is_dangling(path):
        return DANGLING if suffix in SUFFIXES + ALSO_JPEG + FILMS else None
    if is_film(path):
        return FILMS_ELSEWHERE
    return RAW_REFUSED if suffix in RAW else OTHER_REFUSED if suffix in OTHER else None
