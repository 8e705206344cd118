"""The rows of `rows.py` as records, for Python; and a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, overload

import numpy as np

from fer_edge.commands.analyze.lines import AnalyzedFrame
from fer_edge.commands.analyze.rows import COLUMNS, extra, fields_of, load_arro3, row
from fer_edge.errors import ReportError
from fer_edge.records import LABELS, Box, Floats
from fer_edge.runtime.count_text import counted

NUMPY = {"int32": "Int32", "int64": "Int64", "string": "string", "bool": "boolean"}
"""Pandas' types that know what is missing, by Arrow's; floats are NaN."""


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A face in a frame. Coordinates are pixels of that frame."""

    source: str  # the film's, or a picture's own file; empty for an array
    frame: int  # counts from 0 within its source
    t_s: float  # since its source began
    width: int  # of the frame
    height: int
    track_id: int | None  # the same while a face stays in view; None for pictures
    x0: float  # the face, forehead to chin
    y0: float
    x1: float
    y1: float
    score: float  # 0..1: that there is a face
    expression: str | None  # None: see reason
    confidence: float  # its probability, 0 without one
    reason: str | None  # why there is no expression: too_small, turned, blurred, dark, bright, uncertain
    yaw_deg: float  # positive: the nose points to the right of the picture
    pitch_deg: float  # positive: the nose points down
    roll_deg: float  # positive: the head leans clockwise
    height_px: float  # eyebrows to chin
    blur: float  # 0..1
    brightness: float  # 0..1
    neutral: float | None  # probabilities; None where the face could not be judged
    happiness: float | None
    surprise: float | None
    sadness: float | None
    anger: float | None
    disgust: float | None
    fear: float | None
    contempt: float | None
    landmarks: Floats = field(compare=False, repr=False)  # f32[68,2] px, in the order of iBUG 300-W

    def cell(self, column: str) -> Any:
        """A column's value for it."""
        return getattr(self, column)

    @property
    def box(self) -> Box:
        """The face, forehead to chin."""
        return Box(self.x0, self.y0, self.x1, self.y1)

    @property
    def probabilities(self) -> dict[str, float]:
        """By expression; empty where the face could not be judged."""
        return {label: getattr(self, label) for label in LABELS if getattr(self, label) is not None}


@dataclass(frozen=True, slots=True)
class WatchedFaceRow(FaceRow):
    """A face in a frame, where config has zones or switches signals on."""

    more: Mapping[str, str | bool | float | None] = field(default_factory=dict)  # by column: docs/analyze.md#rows

    def cell(self, column: str) -> Any:
        """See FaceRow.cell."""
        return self.more[column] if column in self.more else getattr(self, column)


def face_rows(look: AnalyzedFrame, columns: Mapping[str, str] = COLUMNS) -> list[FaceRow]:
    """A frame's faces."""
    return [_face_row(look, number, columns) for number in range(len(look.line.faces))]


def _face_row(look: AnalyzedFrame, number: int, columns: Mapping[str, str]) -> FaceRow:
    own: dict[str, Any] = dict(zip(COLUMNS, row(look, number), strict=True))
    own["landmarks"] = np.asarray(look.line.faces[number].landmarks, np.float32)
    names = [name for name in columns if name not in COLUMNS]
    if not names:
        return FaceRow(**own)
    return WatchedFaceRow(**own, more={name: extra(look, number, name) for name in names})


class FaceTable(Sequence[FaceRow]):
    """Faces in their order; a sequence that cannot be changed."""

    def __init__(
        self, rows: Iterable[FaceRow], *, trouble: str | None = None, columns: Mapping[str, str] = COLUMNS
    ) -> None:
        self._rows = tuple(rows)
        self.trouble = trouble
        """What could not be read of the source, None: nothing."""
        self.columns = columns
        """Names and Arrow types, as `analyze --csv` and `--parquet` have them."""

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> FaceRow: ...
    @overload
    def __getitem__(self, index: slice) -> FaceTable: ...
    def __getitem__(self, index: int | slice) -> FaceRow | FaceTable:
        if not isinstance(index, slice):
            return self._rows[index]
        return FaceTable(self._rows[index], trouble=self.trouble, columns=self.columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FaceTable) and self._rows == other._rows

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"FaceTable of {counted(len(self), 'row')}"

    def to_arrow(self) -> Any:
        """An Arrow table with the columns and types of `analyze --parquet`: arro3's, which pyarrow, polars and DuckDB
        take as it is (`pyarrow.table(faces.to_arrow())`). Raises SinkError where arro3 is missing."""
        core, _ = load_arro3("to_arrow")
        fields = fields_of(core, self.columns)
        arrays = [core.Array(self._column(each.name), each.type) for each in fields]
        return core.Table.from_arrays(arrays, schema=core.Schema(fields))

    def to_pandas(self) -> Any:
        """A pandas DataFrame with the same columns. Raises ReportError where pandas is missing."""
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ReportError(f"to_pandas needs pandas: pip install pandas ({error})") from None
        types = {name: NUMPY.get(kind, kind) for name, kind in self.columns.items()}
        return pandas.DataFrame({name: pandas.array(self._column(name), dtype=types[name]) for name in types})

    def _column(self, name: str) -> list[Any]:
        return [each.cell(name) for each in self._rows]
