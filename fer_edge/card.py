"""Model cards: NAME.json beside NAME.tflite says what a model is, and must be consistent in itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from fer_edge.errors import ModelError
from fer_edge.records import LABELS, Floats

Role = Literal["detector", "landmarks", "expression"]


class TensorCard(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output. int8 values q stand for (q - zero_point) * scale."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "int8", "uint8"]
    name: str = ""
    scale: float = 1.0
    zero_point: int = 0


class InputCard(TensorCard, frozen=True, kw_only=True):
    """The input, NHWC: pixel 0 is fed as `low`, pixel 255 as `high`."""

    layout: Literal["NHWC"] = "NHWC"
    color: Literal["gray", "rgb"]
    low: float
    high: float


class SsdCard(msgspec.Struct, frozen=True, kw_only=True):
    """How a detector's outputs become boxes (Liu et al. 2016, arXiv:1512.02325; with one anchor size, as
    BlazeFace has it, Bazarevsky et al. 2019, arXiv:1907.05047)."""

    strides: tuple[int, ...]  # of the grids, in input px
    per_cell: tuple[int, ...]  # anchors in a cell of each grid
    offset: float  # of an anchor in its cell, 0..1
    keypoints: int
    overlap: float  # IoU from which boxes are one face


class PointsCard(msgspec.Struct, frozen=True, kw_only=True):
    """Where the 68 landmarks are among a model's points, and how its crop is cut."""

    count: int
    dims: int
    index68: tuple[int, ...]
    box_scale: float  # crop side / longer side of the detector's box
    points_scale: float  # crop side / longer side of the 68 points' bounding box
    points_shift: float  # of the crop's centre, downwards, in that longer side


class TemplateCard(msgspec.Struct, frozen=True, kw_only=True):
    """Where eyes and mouth lie in an aligned crop, 0..1 of its side."""

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    mouth: tuple[float, float]

    def points(self) -> Floats:
        """f32[3,2]."""
        return np.array([self.left_eye, self.right_eye, self.mouth], np.float32)


class FetchCard(msgspec.Struct, frozen=True, kw_only=True):
    """The public package that holds a model which is not in the repository."""

    package: str
    version: str
    member: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """NAME.json, the part that is needed to run; the rest (training, metrics) is for people."""

    card: Literal[1]
    name: str
    role: Role
    file: str
    sha256: str
    bytes: int
    input: InputCard
    outputs: tuple[TensorCard, ...]
    license: str
    labels: tuple[str, ...] = ()
    temperature: float = 1.0
    template: TemplateCard | None = None
    ssd: SsdCard | None = None
    points: PointsCard | None = None
    fetch: FetchCard | None = None


def models_folder(configured: str | None = None) -> Path:
    """Where models are: config's folder, else beside the installed package, else in the source checkout."""
    if configured:
        return Path(configured)
    package = Path(__file__).resolve().parent
    return next((folder for folder in (package / "models", package.parent / "models") if folder.is_dir()), package)


def read_card(folder: Path, name: str) -> Card:
    """Read NAME.json. Raises ModelError."""
    path = folder / f"{name}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Card)
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise ModelError(
            f"{path}: cannot read the model card: {error.strerror}; cards in this folder: {known}"
        ) from None
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path}: not a model card: {error}; restore the file from the release") from None


def check_role(card: Card, where: Path) -> None:
    """A card must carry what its role needs, and that must fit its own tensors."""
    needed = {"detector": card.ssd, "landmarks": card.points, "expression": card.template}[card.role]
    if needed is None:
        raise ModelError(f"{where}: a {card.role} card needs {_NEEDS[card.role]!r}; restore the file from the release")
    of_role = {"detector": _ssd_errors, "landmarks": _points_errors, "expression": _label_errors}[card.role]
    wrong = _shape_errors(card) or of_role(card)  # the second rely on what the first have checked
    if wrong:
        raise ModelError(f"{where}: {'; '.join(wrong)}; restore the file from the release")


def _shape_errors(card: Card) -> list[str]:
    channels = 1 if card.input.color == "gray" else 3
    wrong = []
    if len(card.input.shape) != 4 or card.input.shape[3] != channels or min(card.input.shape) < 1:
        wrong.append(
            f"input shape expected [1, height, width, {channels}] for {card.input.color}, got {card.input.shape}"
        )
    if card.input.low >= card.input.high:
        wrong.append(f"input low expected below high, got {card.input.low:g} and {card.input.high:g}")
    outputs = {"detector": 2, "landmarks": 2, "expression": 1}[card.role]
    if len(card.outputs) != outputs:
        wrong.append(f"{outputs} outputs expected, got {len(card.outputs)}")
    return wrong


def _ssd_errors(card: Card) -> list[str]:
    ssd, (_, height, width, _) = card.ssd, card.input.shape
    assert ssd is not None  # check_role refuses a detector without it
    if len(ssd.strides) != len(ssd.per_cell) or min((*ssd.strides, *ssd.per_cell), default=0) < 1:
        return [f"ssd: strides and per_cell expected positive and in pairs, got {ssd.strides} and {ssd.per_cell}"]
    anchors = sum((height // s) * (width // s) * n for s, n in zip(ssd.strides, ssd.per_cell, strict=True))
    expected = [(1, anchors, 4 + 2 * ssd.keypoints), (1, anchors, 1)]
    found = [output.shape for output in card.outputs]
    return [] if found == expected else [f"ssd: its anchors make outputs {expected}, got {found}"]


def _points_errors(card: Card) -> list[str]:
    points = card.points
    assert points is not None  # check_role refuses a landmarks model without it
    wrong = []
    if points.dims < 2 or points.count * points.dims != math.prod(card.outputs[0].shape):
        wrong.append(f"points: {points.count} x {points.dims} do not make an output of {card.outputs[0].shape}")
    if len(points.index68) != 68 or not all(0 <= index < points.count for index in points.index68):
        wrong.append(f"points: index68 expected 68 numbers below {points.count}, got {len(points.index68)}")
    if min(points.box_scale, points.points_scale) <= 0:
        wrong.append("points: box_scale and points_scale expected above 0")
    return wrong


def _label_errors(card: Card) -> list[str]:
    wrong = []
    if card.labels != LABELS or card.outputs[0].shape[-1] != len(LABELS):
        wrong.append(f"labels expected {', '.join(LABELS)}, got {', '.join(card.labels) or 'none'}")
    if card.temperature <= 0:
        wrong.append(f"temperature expected above 0, got {card.temperature:g}")
    if card.template and len(np.unique(card.template.points(), axis=0)) < 3:
        wrong.append("template expected three different points")
    return wrong


_NEEDS = {"detector": "ssd", "landmarks": "points", "expression": "template"}
