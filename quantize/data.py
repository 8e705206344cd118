"""FER+ in memory: loading and checking, which rows count, soft labels, and the variation of training pictures.

The set is either one `ferplus.npz`, or a folder with `ferplus_images.zip` (mosaics) and `ferplus_labels.npz`.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.image import normalise

LABELS: Final = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
CLASSES: Final = len(LABELS)
SIDE: Final = 48  # px, of the square crop
# What black and white become at the network's input. 127/128 and not 1: the int8 input then has the scale
# 1/128 and the zero point 0, so pixel - 128 is its exact value. With 1.0 every pixel would fall half-way
# between two int8 steps.
LOW: Final = -1.0
HIGH: Final = 127 / 128

TRAIN, PUBLIC_TEST = 0, 1  # values of the set's own `split` column
HELD_OUT_ONE_IN: Final = 20  # of the training pictures, kept from training to choose and to calibrate
VOTE_COLUMNS: Final = CLASSES + 2  # the eight expressions, "unknown", "NF" (no face)
MOSAIC_GRID: Final = 20  # one mosaic is 20 x 20 faces, row by row

Images = NDArray[np.uint8]  # u8[N,48,48], gray
Floats = NDArray[np.float32]
Array = NDArray[Any]


class DataError(ValueError):
    """The set on disk is not what this toolkit expects; the message is one line."""


@dataclass(frozen=True, slots=True)
class FerPlus:
    """The set as published, in its order."""

    images: Images  # u8[N,48,48] gray
    split: NDArray[np.uint8]  # u8[N], 0 = Training, 1 = PublicTest
    votes: NDArray[np.uint8]  # u8[N,10], ten annotators over VOTE_COLUMNS


@dataclass(frozen=True, slots=True)
class Examples:
    """Pictures to learn from."""

    images: Images  # u8[N,48,48] gray
    targets: Floats  # f32[N,8], each row sums to 1


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures to measure on: only those the annotators agree about."""

    images: Images  # u8[N,48,48] gray
    labels: NDArray[np.intp]  # [N], index into LABELS


# --- loading -------------------------------------------------------------------------------------------------


def load(path: Path) -> FerPlus:
    """Read the whole set, from the .npz file or from the folder with the mosaics."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected ferplus.npz or the folder it is made from")
    try:
        arrays = _read_folder(path) if path.is_dir() else _read_npz(path)
        votes, split, images = arrays["ferplus_votes"], arrays["split"], arrays["images"]
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as FER+: {error}") from error
    _check(path, images=images, split=split, votes=votes)
    return FerPlus(images=images.astype(np.uint8), split=split.astype(np.uint8), votes=votes.astype(np.uint8))


def _read_npz(path: Path) -> dict[str, Array]:
    with np.load(path) as archive:
        return {name: archive[name] for name in ("images", "split", "ferplus_votes")}


def _read_folder(folder: Path) -> dict[str, Array]:
    with np.load(folder / "ferplus_labels.npz") as archive:
        arrays = {name: archive[name] for name in ("split", "ferplus_votes")}
    with zipfile.ZipFile(folder / "ferplus_images.zip") as archive:
        mosaics = [_read_mosaic(archive.read(name)) for name in sorted(archive.namelist())]
    # The last mosaic is padded with empty faces.
    arrays["images"] = np.concatenate(mosaics)[: len(arrays["split"])]
    return arrays


def _read_mosaic(encoded: bytes) -> Array:
    mosaic = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mosaic is None:
        raise ValueError("a mosaic is not a picture")
    grid = mosaic.reshape(MOSAIC_GRID, SIDE, MOSAIC_GRID, SIDE)  # face row, y, face column, x
    return grid.transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)


def _check(path: Path, *, images: Array, split: Array, votes: Array) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path}: images: expected u8[N,{SIDE},{SIDE}], got {images.dtype}{list(images.shape)}")
    if votes.shape != (len(images), VOTE_COLUMNS):
        raise DataError(f"{path}: votes: expected [{len(images)},{VOTE_COLUMNS}], got {list(votes.shape)}")
    if split.shape != (len(images),) or not np.isin(split, (TRAIN, PUBLIC_TEST)).all():
        raise DataError(f"{path}: split: expected {len(images)} values 0 or 1, got {list(split.shape)}")
    if not {TRAIN, PUBLIC_TEST} <= set(split.tolist()):
        raise DataError(f"{path}: split: both Training (0) and PublicTest (1) rows are needed")


# --- what a label means --------------------------------------------------------------------------------------


def clean(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Drop the votes that a single annotator gave: FER+ treats them as noise."""
    return np.where(votes < 2, 0, votes).astype(np.int64)


def majority(votes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Name per row the index of the agreed expression, or -1 where the row does not count.

    Agreed is what holds more than half of the cleaned votes; it then also beats "unknown" and "NF".
    """
    cleaned = clean(votes)
    top = cleaned.argmax(axis=1)
    agreed = (2 * cleaned.max(axis=1) > cleaned.sum(axis=1)) & (top < CLASSES)
    return np.where(agreed, top, -1)


def soft_labels(votes: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the expressions' shares f32[N,8] of the cleaned votes, and which rows are fit to learn from.

    A row is fit when its expressions together outvote "unknown" and "NF"; the other rows are all zero.
    """
    cleaned = clean(votes)
    expressions = cleaned[:, :CLASSES]
    total = expressions.sum(axis=1)
    fit = total > cleaned[:, CLASSES:].sum(axis=1)
    shares = expressions / np.maximum(total, 1)[:, None]
    return (shares * fit[:, None]).astype(np.float32), fit


# --- which picture is on which side --------------------------------------------------------------------------


def digests(images: Images) -> list[str]:
    """Hash each picture: equal pictures, and only they, have equal hashes."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def duplicates_of(images: Images, others: Images) -> NDArray[np.bool_]:
    """Tell which of `images` are, byte for byte, among `others`."""
    known = set(digests(others))
    return np.array([digest in known for digest in digests(images)], dtype=np.bool_)


def held_out(images: Images) -> NDArray[np.bool_]:
    """Choose about one picture in twenty by content so that copies of it stay on one side."""
    return np.array([int(digest, 16) % HELD_OUT_ONE_IN == 0 for digest in digests(images)], dtype=np.bool_)


def _training_rows(data: FerPlus) -> tuple[Images, NDArray[np.uint8]]:
    """Take pictures and votes of the Training split without the copies of PublicTest pictures."""
    train = data.split == TRAIN
    images, votes = data.images[train], data.votes[train]
    leaked = duplicates_of(images, data.images[~train])
    return images[~leaked], votes[~leaked]


def training(data: FerPlus) -> Examples:
    """Pick what the network learns from."""
    images, votes = _training_rows(data)
    targets, fit = soft_labels(votes)
    keep = fit & ~held_out(images)
    return Examples(images[keep], targets[keep])


def measuring(data: FerPlus, split: str) -> Labelled:
    """Pick the rows of `split` that count under the majority protocol.

    The split is "publictest", or "heldout": the part of the training pictures that nothing learns from.
    """
    if split == "publictest":
        images, votes = data.images[data.split == PUBLIC_TEST], data.votes[data.split == PUBLIC_TEST]
    elif split == "heldout":
        images, votes = _training_rows(data)
        chosen = held_out(images)
        images, votes = images[chosen], votes[chosen]
    else:
        raise DataError(f"split: expected publictest or heldout, got {split!r}")
    labels = majority(votes)
    return Labelled(images[labels >= 0], labels[labels >= 0])


def to_input(images: Images) -> Floats:
    """Scale to LOW..HIGH, f32[N,48,48,1], by the same code as the daemon's."""
    return np.asarray(normalise(images, LOW, HIGH)[..., None], dtype=np.float32)


# --- varying a training picture ------------------------------------------------------------------------------
# The daemon cuts crops by landmarks, from faces that may be small, dark or blurred: crops arrive a little
# turned, moved and scaled, and softer than FER+. Each function takes u8[N,48,48] and returns the same.

MAX_TURN_DEGREES: Final = 12.0
MAX_SCALE: Final = 1.15
MAX_SHIFT_PX: Final = 4.0
MAX_GAMMA: Final = 1.5
MAX_CONTRAST: Final = 1.35
MAX_BRIGHTNESS: Final = 30.0  # gray levels
COARSE_SIDE_PX: Final = (20, 40)
ERASED_SIDE_PX: Final = (8, 18)
MAX_NOISE: Final = 8.0  # gray levels, standard deviation


def batches(examples: Examples, *, size: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Yield one epoch in random order: varied inputs f32[size,48,48,1] and targets f32[size,8].

    The pictures that do not fill a last batch are left out.
    """
    order = rng.permutation(len(examples.images))
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        yield to_input(augment(examples.images[rows], rng)), examples.targets[rows]


def augment(images: Images, rng: np.random.Generator) -> Images:
    """Draw a random view of each picture."""
    images = _coarsen(_move(images, rng), rng, share=0.2)
    images = _add_noise(_relight(images, rng), rng, share=0.3)
    return _erase(images, rng, share=0.2)


def _move(images: Images, rng: np.random.Generator) -> Images:
    """Mirror, turn, scale and shift around the middle, all in one resampling."""
    count = len(images)
    angle = np.radians(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES, count))
    scale = MAX_SCALE ** rng.uniform(-1, 1, count)
    mirror = rng.choice((-1.0, 1.0), count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    linear = scale[:, None, None] * turn
    linear[:, :, 0] *= mirror[:, None]  # mirror first, then turn
    middle = np.full(2, (SIDE - 1) / 2)
    shift = middle - linear @ middle + rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, (count, 2))
    matrices = np.concatenate([linear, shift[:, :, None]], axis=2)  # [N,2,3]
    moved = [_warp(image, matrix) for image, matrix in zip(images, matrices, strict=True)]
    return np.stack(moved)


def _warp(image: Images, matrix: NDArray[np.float64]) -> Images:
    size = (SIDE, SIDE)
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def _coarsen(images: Images, rng: np.random.Generator, *, share: float) -> Images:
    """Make some pictures look as if their face had been 20 to 40 px high."""
    images = images.copy()
    for row in np.flatnonzero(rng.random(len(images)) < share):
        side = int(rng.integers(*COARSE_SIDE_PX, endpoint=True))
        small = cv2.resize(images[row], (side, side), interpolation=cv2.INTER_AREA)
        images[row] = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return images


def _relight(images: Images, rng: np.random.Generator) -> Images:
    """Gamma, contrast and brightness, through one table of 256 gray levels per picture."""
    column = (len(images), 1)
    gamma, contrast = MAX_GAMMA ** rng.uniform(-1, 1, column), MAX_CONTRAST ** rng.uniform(-1, 1, column)
    brightness = rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, column)
    levels = 255 * (np.arange(256)[None] / 255) ** gamma  # [N,256]
    tables = np.clip((levels - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    return tables[np.arange(len(images))[:, None, None], images]


def _add_noise(images: Images, rng: np.random.Generator, *, share: float) -> Images:
    images = images.copy()
    rows = np.flatnonzero(rng.random(len(images)) < share)
    strength = rng.uniform(0, MAX_NOISE, (len(rows), 1, 1)).astype(np.float32)
    noisy = images[rows] + strength * rng.standard_normal((len(rows), SIDE, SIDE), dtype=np.float32)
    images[rows] = np.clip(noisy, 0, 255)
    return images


def _erase(images: Images, rng: np.random.Generator, *, share: float) -> Images:
    """Cover a part of some pictures with gray: a hand, a cup, hair."""
    images = images.copy()
    for row in np.flatnonzero(rng.random(len(images)) < share):
        height, width = rng.integers(*ERASED_SIDE_PX, size=2, endpoint=True)
        top, left = rng.integers(0, SIDE - height + 1), rng.integers(0, SIDE - width + 1)
        images[row, top : top + height, left : left + width] = rng.integers(0, 256)
    return images
