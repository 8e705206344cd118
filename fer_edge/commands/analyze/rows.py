"""Readings as a table: one row a face a frame, as CSV and as Parquet.

Parquet needs arro3-io (extra `analyze`): a tenth of pyarrow's size, and it makes the file of the CSV piece by piece,
so that hours of film need no more memory than minutes.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.config import Config
from fer_edge.errors import SinkError
from fer_edge.records import LABELS
from fer_edge.runtime.atomic_file import FOR_ALL, create_beside
from fer_edge.tracking.signals import enabled_signals

COLUMNS = {
    "source": "string",  # a picture's own file, where it has one
    "frame": "int64",  # counts from 0 within its source
    "t_s": "float64",  # since the beginning of its source
    "width": "int32",  # of the frame, px
    "height": "int32",
    "track_id": "int32",  # null with --still
    "x0": "float32",  # the face's box, px of the frame
    "y0": "float32",
    "x1": "float32",
    "y1": "float32",
    "score": "float32",  # 0..1: that there is a face
    "expression": "string",  # null: none, see reason
    "confidence": "float32",  # its smoothed probability, 0 without one
    "reason": "string",  # why there is no expression
    "yaw_deg": "float32",
    "pitch_deg": "float32",
    "roll_deg": "float32",
    "height_px": "float32",  # eyebrows to chin
    "blur": "float32",  # 0..1
    "brightness": "float32",  # 0..1
    **dict.fromkeys(LABELS, "float32"),  # smoothed probabilities; null where the face could not be judged
}
"""Name -> Arrow type."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text must not begin with in a CSV file; an apostrophe goes before it."""

NEVER_NULL = {"source", "frame", "t_s", "width", "height"}
GROUP_ROWS = 100_000
PARQUET = {"compression": "zstd(3)", "max_row_group_size": GROUP_ROWS, "created_by": "fer-edge"}


ZONES = "zones"
ZONES_APART = ";"


def columns_of(config: Config) -> dict[str, str]:
    """COLUMNS, and one for each signal that config switches on: whether it is on, or of a level its value; and the
    zones that a face is in, where there are any. They are null with --still."""
    signals = {signal.name: "float32" if signal.has_value else "bool" for signal in enabled_signals(config)}
    return COLUMNS | ({ZONES: "string"} if config.zones else {}) | signals


def header(columns: Mapping[str, str] = COLUMNS) -> bytes:
    """The first line."""
    return _csv([list(columns)])


def rows(look: AnalyzedFrame, columns: Mapping[str, str] = COLUMNS) -> bytes:
    """A frame's lines: none where it shows no face."""
    more = [name for name in columns if name not in COLUMNS]
    return _csv([row(look, number) + [extra(look, number, name) for name in more] for number in range(len(look.shown))])


def extra(look: AnalyzedFrame, number: int, column: str) -> str | bool | float | None:
    """The value of a column that is not among COLUMNS, for a face of a frame."""
    face = look.line.faces[number]
    if column == ZONES:
        return ZONES_APART.join(face.zones) if face.zones else None
    signal = face.signals.get(column) if isinstance(face.signals, dict) else None
    if signal is None:
        return None
    value = signal.on if isinstance(signal.value, msgspec.UnsetType) else signal.value
    return None if isinstance(value, msgspec.UnsetType) else value


def row(look: AnalyzedFrame, number: int) -> list[Any]:
    """A face of a frame, in the order of COLUMNS."""
    line, face, track = look.line, look.line.faces[number], look.shown[number].track
    pose, quality = track.landmarks.pose, track.quality
    measured = [pose.yaw_deg, pose.pitch_deg, pose.roll_deg, quality.height_px]
    return [
        *(line.source, line.frame, line.t_s, line.width, line.height),
        *(face.track_id, *face.box, face.score, face.expression, face.confidence, face.reason),
        *(round(value, 1) for value in measured),
        *(round(quality.blur, 3), round(quality.brightness, 3)),
        *(face.probabilities.get(label) for label in LABELS),
    ]


def _csv(table: list[list[Any]]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([_inert(cell) for cell in row] for row in table)
    return file.getvalue().encode()


def _inert(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection): file names are chosen by others. What is
    true or false as Arrow reads it."""
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def load_arro3(wanted_by: str = "--parquet") -> tuple[Any, Any]:
    """arro3's core and io. Raises SinkError where they are missing."""
    try:
        return import_module("arro3.core"), import_module("arro3.io")
    except ImportError as error:
        raise SinkError(f"{wanted_by} needs arro3-io: pip install 'fer-edge[analyze]' ({error})") from None


def fields_of(core: Any, columns: Mapping[str, str]) -> list[Any]:
    """The columns for arro3."""
    return [
        core.Field(name, getattr(core.DataType, kind)(), nullable=name not in NEVER_NULL)
        for name, kind in columns.items()
    ]


def write_parquet(table: Path, target: Path, columns: Mapping[str, str] = COLUMNS) -> None:
    """Make a Parquet file of a CSV file, in one step. Raises OSError."""
    core, arrow = load_arro3()
    fields = fields_of(core, columns)
    descriptor, partial = create_beside(target, mode=FOR_ALL)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            careful = _Careful(file)
            arrow.write_parquet(arrow.read_csv(table, core.Schema(fields), has_header=True), careful, **PARQUET)
            if careful.error:
                raise careful.error
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


class _Careful(io.RawIOBase):
    """A file that keeps its first error and then swallows all, for arro3 ends the process's thread on one."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        """See io.IOBase."""
        return True

    def write(self, data: Any) -> int:
        """See io.RawIOBase.write."""
        rest = memoryview(data)
        try:
            while self.error is None and rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self.error = error
        return len(data)
