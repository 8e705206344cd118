"""What FER+ votes mean, and which of its pictures are on which side; numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import LABELS
from quantize.data.sets import TRAIN, DataError, FerPlus, Floats, Image, chosen

CLASSES = len(LABELS)
HELD_OUT_ONE_IN = 20  # of the training pictures, kept from training to choose and to calibrate


@dataclass(frozen=True, slots=True)
class Examples:
    """Pictures to learn from."""

    images: Image  # u8[N,48,48] gray
    targets: Floats  # f32[N,8], each row sums to 1


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures to measure on: only those the annotators agree about."""

    images: Image  # u8[N,48,48] gray
    labels: NDArray[np.intp]  # [N], index into LABELS


# --- what a label means --------------------------------------------------------------------------------------


def clean(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Drop the votes u8[N,10] that a single annotator gave: FER+ treats them as noise (Barsoum et al. 2016)."""
    return np.where(votes < 2, 0, votes).astype(np.int64)


def majority(votes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The index of the agreed expression for each row of votes u8[N,10], or -1 where the row does not count: i[N].

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


def duplicates_of(images: Image, others: Image) -> NDArray[np.bool_]:
    """Which of `images` are, byte for byte, among `others`: bool[N]."""
    known = {image.tobytes() for image in others}
    return np.array([image.tobytes() in known for image in images], np.bool_)


def held_out(images: Image) -> NDArray[np.bool_]:
    """Choose about one picture u8[N,48,48] in twenty, by content so that copies of it stay on one side: bool[N]."""
    return np.array([chosen(image.tobytes(), one_in=HELD_OUT_ONE_IN) for image in images], np.bool_)


def training_rows(data: FerPlus) -> tuple[Image, NDArray[np.uint8]]:
    """Pictures u8[N,48,48] and votes u8[N,10] of the Training split without the copies of test pictures."""
    train = data.split == TRAIN
    images, votes = data.images[train], data.votes[train]
    leaked = duplicates_of(images, data.images[~train])
    return images[~leaked], votes[~leaked]


def training(data: FerPlus) -> Examples:
    """Select the network's training pictures."""
    return _examples(data, heldout=False)


def held_out_votes(data: FerPlus) -> Examples:
    """Select the held-out pictures of the Training split, with the shares of their votes."""
    return _examples(data, heldout=True)


def _examples(data: FerPlus, *, heldout: bool) -> Examples:
    images, votes = training_rows(data)
    targets, fit = soft_labels(votes)
    keep = fit & (held_out(images) == heldout)
    if not keep.any():
        raise DataError("FER+: no picture of the Training split (0) is fit to learn from")
    return Examples(images[keep], targets[keep])


def measuring(data: FerPlus, split: str) -> Labelled:
    """Pick the rows that count under the majority protocol.

    The split is "test" (all rows outside Training; all rows where the set has no others), or "heldout": the part of
    the training pictures that are kept from training.
    """
    if split == "heldout":
        images, votes = training_rows(data)
        which = held_out(images)
        images, votes = images[which], votes[which]
    else:
        test = data.split != TRAIN
        which = test if test.any() else ~test
        images, votes = data.images[which], data.votes[which]
    labels = majority(votes)
    return Labelled(images[labels >= 0], labels[labels >= 0])
