"""Pictures with their faces marked, under the names that people know them by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from fer_edge.commands.analyze.checkpoint import pack, unpack
from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.commands.analyze.output import Output, marked, synced
from fer_edge.config import Zone
from fer_edge.drawing.painter import Painter

JPEG = (".jpg", ".jpeg")


@dataclass(slots=True)
class Drawn:
    """What stands in the folder; all that is needed to go on."""

    names: list[bytes] = field(default_factory=list)  # of pictures, and of films' folders
    source: int = -1  # which one is being read
    film: bytes | None = None  # its folder, where it is a film
    frames: int = 0  # of that film


class Pictures(Output):
    """Every frame with its faces marked, as a JPEG of its own: a picture under its own name, those of a film numbered.
    Where there are several sources, a film has a folder of its own. Of two that share a name, the second gets a number.
    """

    def __init__(self, folder: Path, zones: Mapping[str, Zone], *, several: bool) -> None:
        """`several`: whether there are more sources than one."""
        self.where, self._folder, self._several = str(folder), folder, several
        self._painter = Painter(zones=zones)
        self._drawn, self._source, self._unsynced = Drawn(), "", list[Path]()
        self._taken: set[str] = set()

    def start(self, kept: bytes | None) -> None:
        """See `Output.start`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._drawn = unpack(kept, Drawn) if kept else Drawn()
        self._taken = {os.fsdecode(name).casefold() for name in self._drawn.names}

    def begin(self, source: str, number: int) -> None:
        """See `Output.begin`."""
        self._source = Path(source).name or "film"
        if number != self._drawn.source:
            self._drawn.source, self._drawn.film, self._drawn.frames = number, None, 0

    def write(self, look: AnalyzedFrame) -> None:
        """See `Output.write`."""
        _, jpeg = cv2.imencode(".jpg", marked(look, self._painter))
        path = self._folder / (self._free(_as_jpeg(look.picture)) if look.picture else self._next_of_film())
        path.write_bytes(jpeg.tobytes())  # cv2.imwrite would not say what is wrong
        self._unsynced.append(path)

    def kept(self) -> bytes:
        """See `Output.kept`."""
        for path in self._unsynced:
            synced(path)
        self._unsynced.clear()
        return pack(self._drawn)

    def _next_of_film(self) -> str:
        drawn, name = self._drawn, f"{self._drawn.frames:06d}.jpg"
        drawn.frames += 1
        if not self._several:
            return name
        if drawn.film is None:
            drawn.film = os.fsencode(self._free(self._source))
            (self._folder / os.fsdecode(drawn.film)).mkdir(exist_ok=True)
        return os.path.join(os.fsdecode(drawn.film), name)

    def _free(self, name: str) -> str:
        """A name that nothing has yet; disks that ignore case are allowed for."""
        stem, suffix = os.path.splitext(name)
        number, free = 1, name
        while free.casefold() in self._taken:
            number += 1
            free = f"{stem}-{number}{suffix}"
        self._taken.add(free.casefold())
        self._drawn.names.append(os.fsencode(free))
        return free


def _as_jpeg(picture: Path) -> str:
    """A picture's name, as that of a JPEG."""
    return picture.name if picture.suffix.lower() in JPEG else f"{picture.stem}.jpg"
