"""Model cards: NAME.json beside NAME.tflite describes a model, and must be consistent in itself."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from fer_edge.errors import ModelError
from fer_edge.records import LABELS, Floats
from fer_edge.runtime.count_text import bytes_text, counted

Role = Literal["detector", "landmarks", "expression", "intensity"]
Count = Annotated[int, msgspec.Meta(gt=0)]
Scale = Annotated[float, msgspec.Meta(gt=0)]
LANDMARKS = 68
MAX_CARD_BYTES = 1_000_000


class TensorCard(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output. Values q that are not float32 stand for (q - zero_point) * scale (TensorFlow Lite 8-bit
    quantization specification)."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "int8", "uint8"]
    name: str = ""
    scale: Scale = 1.0
    zero_point: int = 0


class InputCard(TensorCard, frozen=True, kw_only=True):
    """The input, NHWC: pixel 0 is fed as `low`, pixel 255 as `high`."""

    layout: Literal["NHWC"] = "NHWC"
    color: Literal["gray", "rgb"]
    low: float
    high: float


class SsdCard(msgspec.Struct, frozen=True, kw_only=True):
    """How a detector's outputs become boxes: one shot (Liu et al. 2016, arXiv:1512.02325) without anchors (FCOS,
    Tian et al. 2019, arXiv:1904.01355). `detector.decode` explains what the outputs hold."""

    strides: tuple[int, ...]  # of the grids, in input px
    keypoints: int
    overlap: float  # IoU from which boxes are one face
    coding: Literal["distances", "yunet"] = "distances"  # of the outputs

    @property
    def depths(self) -> tuple[int, ...]:
        """Channels of a grid's outputs, in their order."""
        last = 2 * self.keypoints
        return (1, 4, last) if self.coding == "distances" else (1, 4, 1, last)


class PointsCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a landmarks model's outputs are offsets from, and how its crop is cut."""

    mean: tuple[tuple[float, float], ...]  # mean shape: x, y of the 68 points, 0..1 of the crop
    points_scale: float  # crop side / longer side of the 68 points' bounding box
    box_scale: float  # crop side / longer side of the detector's box
    box_shift: float  # of the crop's centre from the box's, towards the chin, in box heights

    def shape(self) -> Floats:
        """The mean shape f32[68,2]."""
        return np.array(self.mean, np.float32)


class PoseCard(msgspec.Struct, frozen=True, kw_only=True):
    """A landmarks model's third and fourth output: yaw, pitch and roll within the crop, and the natural logarithm of
    their mean error. Without this entry the pose is computed from the points."""

    unit_deg: Scale  # degrees that are 1 in the third output
    error_unit_deg: Scale  # degrees that are 0 in the fourth


class IntensitiesCard(msgspec.Struct, frozen=True, kw_only=True):
    """An intensity model's output: a logit for each of these."""

    names: tuple[str, ...]
    withheld: tuple[str, ...] = ()  # not good enough to be published

    def published(self) -> tuple[int, ...]:
        """Indices into the output of those that are published."""
        return tuple(index for index, name in enumerate(self.names) if name not in self.withheld)


class TemplateCard(msgspec.Struct, frozen=True, kw_only=True):
    """Where eyes and mouth lie in an aligned crop, 0..1 of its side."""

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    mouth: tuple[float, float]

    def points(self) -> Floats:
        """f32[3,2]."""
        return np.array([self.left_eye, self.right_eye, self.mouth], np.float32)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """NAME.json, the part that is needed to run; the rest (training, metrics) is for people."""

    card: Literal[1]
    name: str
    role: Role
    file: str
    sha256: str
    bytes: Count
    input: InputCard
    outputs: tuple[TensorCard, ...]
    license: str
    macs: Count | None = None  # multiplications of one run at the card's input size
    parameters: Count | None = None
    labels: tuple[str, ...] = ()
    temperature: float = 1.0  # divides the logits (Guo et al. 2017, arXiv:1706.04599)
    template: TemplateCard | None = None
    ssd: SsdCard | None = None
    points: PointsCard | None = None
    pose: PoseCard | None = None
    intensities: IntensitiesCard | None = None


def models_folder(configured: str | None = None) -> Path:
    """Where models are: config's folder, else beside the installed package, else in the source checkout."""
    if configured:
        return Path(configured)
    package = Path(__file__).resolve().parents[1]
    return next((folder for folder in (package / "models", package.parent / "models") if folder.is_dir()), package)


def read_card(folder: Path, name: str) -> Card:
    """Read NAME.json. Raises ModelError."""
    path = folder / f"{name}.json"
    try:
        card = msgspec.json.decode(_read_at_most(path, MAX_CARD_BYTES), type=Card)
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise ModelError(
            f"{path}: cannot read the model card: {error.strerror}; cards in this folder: {known}"
        ) from None
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path}: not a model card: {error}; restore the file from the release") from None
    if not is_plain_name(card.file):
        raise ModelError(
            f"{path}: file expected to be the name of a file beside the card, got {card.file[:100]!r}; "
            "restore the card from the release"
        )
    return card


def is_plain_name(name: str) -> bool:
    """Whether this names a file in the same folder, and nothing else: no path, no control characters."""
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()


def _read_at_most(path: Path, size: int) -> bytes:
    """A file that is expected to be small. Raises OSError, also where it is not, or is no file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if found.st_size > size:
        raise OSError(errno.EFBIG, f"{bytes_text(found.st_size)}, expected at most {size}")
    return path.read_bytes()


def check_role(card: Card, where: Path) -> None:
    """A card must carry what its role needs, and that must fit its own tensors. Raises ModelError."""
    needed = {
        "detector": card.ssd,
        "landmarks": card.points,
        "expression": card.template,
        "intensity": card.intensities,
    }[card.role]
    if needed is None:
        raise ModelError(f"{where}: role {card.role!r} needs {_NEEDS[card.role]!r}; restore the file from the release")
    of_role = {
        "detector": _ssd_errors,
        "landmarks": _points_errors,
        "expression": _label_errors,
        "intensity": _intensity_errors,
    }[card.role]
    wrong = _input_errors(card) or of_role(card) or _output_errors(card)  # each relies on what those before checked
    if wrong:
        raise ModelError(f"{where}: {'; '.join(wrong)}; restore the file from the release")


def _input_errors(card: Card) -> list[str]:
    channels, shape = 1 if card.input.color == "gray" else 3, card.input.shape
    wrong = []
    if len(shape) != 4 or min(shape) < 1 or (shape[0], shape[3]) != (1, channels):
        wrong.append(f"input shape expected [1, height, width, {channels}] for {card.input.color}, got {shape}")
    elif card.role != "detector" and shape[1] != shape[2]:
        wrong.append(f"input shape expected square, got {shape}")
    if card.input.low >= card.input.high:
        wrong.append(f"input low expected below high, got {card.input.low:g} and {card.input.high:g}")
    return wrong


def output_shapes(card: Card, *, width: int, height: int) -> tuple[tuple[int, ...], ...]:
    """The shapes that a card's outputs must have for an input of this size, in order."""
    if card.role == "expression":
        return ((1, len(LABELS)),)
    if card.role == "landmarks":
        return (1, 2 * LANDMARKS), (1, 1), *(((1, 3), (1, 1)) if card.pose else ())
    if card.role == "intensity":
        assert card.intensities is not None  # check_role refuses an intensity model without it
        return ((1, len(card.intensities.names)),)
    assert card.ssd is not None  # check_role refuses a detector without it
    ssd = card.ssd
    return tuple((1, height // stride, width // stride, depth) for stride in ssd.strides for depth in ssd.depths)


def _output_errors(card: Card) -> list[str]:
    _, height, width, _ = card.input.shape
    expected, found = output_shapes(card, width=width, height=height), tuple(output.shape for output in card.outputs)
    names = [output.name for output in card.outputs]
    if len(found) != len(expected):
        return [f"{counted(len(expected), 'output')} expected, got {len(found)}"]
    if len(names) > 1 and (len(set(names)) < len(names) or not all(names)):
        return [f"output names expected to be unique, got {', '.join(map(repr, names))}"]
    return [
        f"output {number} ({name or 'no name'}) expected as {list(should)}, got {list(shape)}"
        for number, (name, should, shape) in enumerate(zip(names, expected, found, strict=True), 1)
        if should != shape
    ]


def _ssd_errors(card: Card) -> list[str]:
    ssd, (_, height, width, _) = card.ssd, card.input.shape
    assert ssd is not None  # check_role refuses a detector without it
    wrong, rising = [], sorted(set(ssd.strides))
    if not rising or rising[0] < 1 or ssd.strides != tuple(rising):
        return [f"ssd: strides expected above 0 and rising, got {list(ssd.strides)}"]
    if any(size % stride for size in (width, height, rising[-1]) for stride in rising):
        wrong.append(f"ssd: strides expected to divide {width}x{height} and the largest, got {list(ssd.strides)}")
    if ssd.keypoints < 2:
        wrong.append(f"ssd: keypoints expected at least 2 (the eyes), got {ssd.keypoints}")
    if not 0 < ssd.overlap <= 1:
        wrong.append(f"ssd: overlap expected above 0 and at most 1, got {ssd.overlap:g}")
    return wrong


def _points_errors(card: Card) -> list[str]:
    points = card.points
    assert points is not None  # check_role refuses a landmarks model without it
    wrong = []
    if len(points.mean) != LANDMARKS:
        wrong.append(f"points: mean expected {LANDMARKS} pairs x, y, got {len(points.mean)}")
    elif not all(0 <= value <= 1 for pair in points.mean for value in pair):
        wrong.append("points: mean expected within 0 to 1 of the crop")
    for name, value in (("points_scale", points.points_scale), ("box_scale", points.box_scale)):
        if value <= 0:
            wrong.append(f"points: {name} expected above 0, got {value:g}")
    if abs(points.box_shift) > 1:
        wrong.append(f"points: box_shift expected within -1 to 1 box heights, got {points.box_shift:g}")
    return wrong


def _intensity_errors(card: Card) -> list[str]:
    intensities = card.intensities
    assert intensities is not None  # check_role refuses an intensity model without it
    names, strangers = intensities.names, sorted(set(intensities.withheld) - set(intensities.names))
    wrong = _template_errors(card.template) if card.template else ["template expected, got none"]
    if not names or not all(names) or len(set(names)) < len(names):
        wrong.append(f"intensities: names expected to be unique, got {', '.join(map(repr, names)) or 'none'}")
    if strangers:
        wrong.append(f"intensities: withheld expected among the names, got also {', '.join(strangers)}")
    return wrong


def _label_errors(card: Card) -> list[str]:
    wrong = []
    if card.labels != LABELS:
        wrong.append(f"labels expected {', '.join(LABELS)}, got {', '.join(card.labels) or 'none'}")
    if card.temperature <= 0:
        wrong.append(f"temperature expected above 0, got {card.temperature:g}")
    return wrong + (_template_errors(card.template) if card.template else [])


def _template_errors(template: TemplateCard) -> list[str]:
    three = len({template.left_eye, template.right_eye, template.mouth}) == 3
    return [] if three else ["template expected three different points"]


_NEEDS = {"detector": "ssd", "landmarks": "points", "expression": "template", "intensity": "intensities"}
