"""The pictures on the disk: a folder of JPEGs, bounded in number, size and age; each file's name states what it shows.

They are about people, so where a clock is wrong or a file is damaged, one is deleted too early rather than too late.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, cast

from fer_edge.config import Pictures
from fer_edge.runtime.atomic_file import STRAY, replace_file

PICTURES_FOLDER = "pictures"
NAME = re.compile(r"(\d{13})\.(start|enter|alert)\.([a-zA-Z0-9_-]{0,64})\.(\d{1,12})\.jpg")
BEGIN, END = b"\xff\xd8\xff", b"\xff\xd9"  # of a JPEG
FOLDER_MODE = 0o750

Kind = Literal["start", "enter", "alert"]


class Picture(NamedTuple):
    """One of them."""

    at_s: float  # seconds of the epoch
    kind: Kind
    name: str  # of the alert or the zone; empty at a start
    track_id: int  # of the face; 0 of an alert, which may be about several
    path: Path

    @property
    def words(self) -> str:
        """What it is of."""
        if self.kind == "alert":
            return f"Alert {self.name} is on"
        return f"Face {self.track_id} " + (f"entered {self.name}" if self.kind == "enter" else "is here")


def pictures_in(folder: Path) -> list[Picture]:
    """All pictures of a folder, the newest first; no folder means none. Raises OSError where it cannot be read."""
    try:
        found = [picture for path in folder.iterdir() if (picture := _picture(path))]
    except FileNotFoundError:
        return []
    return sorted(found, reverse=True)


def picture_bytes(folder: Path, name: str) -> bytes | None:
    """The JPEG of that file name; None where it is no picture of ours, or damaged."""
    if not NAME.fullmatch(name):
        return None
    try:
        data = (folder / name).read_bytes()
    except OSError:
        return None
    return data if _whole(data) else None


def delete_pictures(folder: Path) -> int:
    """Delete all of them, what is left of unfinished ones too. Returns how many there were. Raises OSError."""
    found = pictures_in(folder)
    for path in (*(picture.path for picture in found), *_partials(folder)):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is none, or it holds something of others
        folder.rmdir()
    return len(found)


def _picture(path: Path) -> Picture | None:
    parts = NAME.fullmatch(path.name)
    if parts is None:
        return None
    ms, kind, name, track = parts.groups()
    return Picture(int(ms) / 1000, cast(Kind, kind), name, int(track), path)


def _partials(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if STRAY.fullmatch(path.name)] if folder.is_dir() else []


def _whole(data: bytes) -> bool:
    """Whether a JPEG has its beginning and its end: a power cut or a full disk leaves zeros, or half of it."""
    return data.startswith(BEGIN) and data.endswith(END)


class PictureRing:
    """Adds pictures and deletes those that are too many, too old or damaged. For one thread."""

    def __init__(self, folder: Path, config: Pictures, *, now_s: Callable[[], float] = time.time) -> None:
        """`now_s`: the wall clock."""
        self._folder, self._config, self._now_s = folder, config, now_s
        self._seen: dict[str, float] = {}  # file name -> since when this run knows it (monotonic seconds)
        self._checked: set[str] = set()  # those whose content was looked at

    def add(self, kind: Kind, jpeg: bytes, *, name: str = "", track_id: int = 0) -> None:
        """Keep a picture. Raises OSError."""
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        file = f"{max(0, round(self._now_s() * 1000)):013d}.{kind}.{name}.{track_id}.jpg"
        replace_file(self._folder / file, jpeg)
        self._checked.add(file)
        self.trim()

    def trim(self) -> None:
        """Delete what must not be kept any more. Raises OSError where that fails."""
        for path in _partials(self._folder):
            path.unlink(missing_ok=True)
        kept, size, full = 0, 0, False
        found = pictures_in(self._folder)
        for picture in found:
            size_of = picture.path.lstat().st_size
            gone = self._too_old(picture) or self._damaged(picture.path)
            full |= not gone and (kept == self._config.max_count or size + size_of > self._config.max_mb * 1e6)
            if gone or full:
                picture.path.unlink(missing_ok=True)
            else:
                kept, size = kept + 1, size + size_of
        names = {picture.path.name for picture in found}
        self._seen = {name: since for name, since in self._seen.items() if name in names}
        self._checked &= names

    def _too_old(self, picture: Picture) -> bool:
        """By the wall clock, or, whatever that shows, because this run has known it for so long. The date of one from
        the future is ignored."""
        keep_s = self._config.keep_hours * 3600
        age_s, now = self._now_s() - picture.at_s, time.monotonic()
        since = self._seen.setdefault(picture.path.name, now)
        return age_s >= keep_s or -age_s > keep_s or now - since >= keep_s

    def _damaged(self, path: Path) -> bool:
        if path.name in self._checked:
            return False
        self._checked.add(path.name)
        return path.is_symlink() or picture_bytes(self._folder, path.name) is None
