"""What every output of a run can do, and files of lines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fer_edge.commands.analyze.checkpoint import pack, unpack
from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.drawing.painter import Painter
from fer_edge.errors import SinkError
from fer_edge.records import Image, Update
from fer_edge.runtime.line_file import LineFile

STDOUT = "-"


class Output:
    """One thing that a run writes; what an output does not need to know it leaves out. Methods raise OSError where
    something cannot be written, `check` SinkError where less is there than was kept."""

    where: str
    """For messages."""

    def check(self, kept: bytes) -> None:
        """Whether `start` will find what it needs."""

    def start(self, kept: bytes | None) -> None:
        """Open: empty, or as it was when `kept` was returned; what came later is cut off."""

    def begin(self, source: str, number: int) -> None:
        """A source begins, the first of them with number 0; or it continues where `start` points."""

    def write(self, look: AnalyzedFrame) -> None:
        """A frame of it."""

    def section(self) -> None:
        """A section of frames is over: what waits for that can be written."""

    def end(self, update: Update, trouble: str | None) -> None:
        """The source is over; `update` holds the ends of its faces. `trouble`: why it was not read to its end, or what
        was left out."""

    def kept(self) -> bytes:
        """Write all to the disk; returns what `start` needs to continue from here."""
        return b""

    def make(self, stopped: str | None) -> None:
        """Make what is made of all that was written so far. `stopped`: a note that this is not all there is."""

    def finish(self) -> None:
        """The run is complete: it will not be resumed."""

    def close(self) -> None:
        """Release everything. May be called at any time, and twice."""


class Lines(Output):
    """Lines of text, written whole or not at all."""

    def __init__(self, path: str, first: bytes = b"") -> None:
        """`first`: a line that stands above all."""
        self.where, self._first = path, first
        self._file = LineFile(path, max_bytes=sys.maxsize, backups=0)

    def check(self, kept: bytes) -> None:
        """See `Output.check`."""
        check_size(Path(self.where), unpack(kept, int))

    def start(self, kept: bytes | None) -> None:
        """See `Output.start`."""
        if self.where != STDOUT:
            cut(Path(self.where), unpack(kept, int) if kept else 0)
        self._file.open()
        if not kept:
            self.put(self._first)

    def put(self, lines: bytes) -> None:
        """Append lines."""
        if lines:
            self._file.write(lines)

    def kept(self) -> bytes:
        """See `Output.kept`."""
        return pack(synced(Path(self.where)))

    def close(self) -> None:
        """See `Output.close`."""
        self._file.close()


def marked(look: AnalyzedFrame, painter: Painter) -> Image:
    """A frame with its faces marked, u8[H,W,3] BGR; the painter's own until it paints the next one."""
    assert look.update.frame is not None
    return painter.paint(look.update.frame, look.shown)


def check_size(path: Path, size: int) -> None:
    """Raises SinkError where a file has fewer than `size` bytes, or is not there."""
    if not path.is_file() or path.stat().st_size < size:
        raise SinkError(f"{path}: is shorter than the run left it; start over without --resume")


def cut(path: Path, size: int) -> None:
    """Make a file `size` bytes long. Raises OSError."""
    with path.open("ab") as file:
        if path.is_file():  # a device has no length
            file.truncate(size)


def synced(path: Path) -> int:
    """The size of a file, in bytes, when all of it is on the disk. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return file.seek(0, os.SEEK_END)
