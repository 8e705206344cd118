"""The expression model on posed faces (`ckplus48.zip`) of people kept from training.

Protocol: accuracy and recalls on the set's crops as they are, over all eight labels, though the set has no neutral
face. The same again with views that show more than the crop, whose edges are repeated there. Intervals are those of a
bootstrap that draws people, for frames of one person are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer_edge.records import LABELS, Floats, Image
from fer_edge.vision.tflite import Model
from quantize import daemon_stages, metrics
from quantize.data.locate import located
from quantize.data.posed import Posed, read_posed
from quantize.data.sets import SPLITS, DataError
from quantize.metrics import Labels

WIDER = (1.1, 1.2)  # times the crop's side
ALARMING = ("anger", "disgust", "sadness", "fear")  # an alert that misses these is none
NAMES = {
    "all": "everybody",
    "heldout": "the people kept from training",
    "train": "the people trained on",
}


@dataclass(frozen=True, slots=True)
class Recall:
    """How one expression is recognised."""

    recall: float
    interval: tuple[float, float]
    count: int


@dataclass(frozen=True, slots=True)
class PosedFigures:
    """A model's figures from one pass over a set."""

    set: str
    pictures: int
    people: int
    accuracy: float
    interval: tuple[float, float]
    wider: dict[str, float]  # accuracy by view
    alarming: float  # the least recall of ALARMING; 0 where the set lacks one
    least: float  # the least recall of all
    recalls: dict[str, Recall]


def available(data: Path) -> bool:
    """Whether a folder of sets has this one."""
    return located("posed", data) != data


def run(model: Model, data: Path, *, split: str = "heldout") -> PosedFigures:
    """Measure a model on one side of a set. Raises DataError."""
    where = located("posed", data)
    posed = _side(read_posed(where), split)
    if not len(posed.labels):
        raise DataError(f"{where}: split {split!r}: no faces")
    predicted = daemon_stages.logits(model, posed.images).argmax(axis=1)
    views = {f"{share - 1:.0%} wider": wider(posed.images, share) for share in WIDER}
    return measure(
        posed,
        predicted,
        wider={name: float(np.mean(_predicted(model, view) == posed.labels)) for name, view in views.items()},
        name=f"{where.name}: {NAMES[split]}",
    )


def _side(posed: Posed, split: str) -> Posed:
    return posed if split == SPLITS[0] else posed.side(held_out=split == "heldout")


def _predicted(model: Model, crops: Image) -> Labels:
    return np.asarray(daemon_stages.logits(model, crops).argmax(axis=1), np.intp)


def wider(crops: Image, share: float) -> Image:
    """Show `share` times as much as crops u8[N,S,S] do; their edges are repeated."""
    side = crops.shape[1]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), 0.0, 1 / share)
    views = [cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE) for crop in crops]
    return np.asarray(np.stack(views), np.uint8)


def measure(posed: Posed, predicted: Labels, *, wider: dict[str, float], name: str) -> PosedFigures:
    """Work out every figure from the predicted labels i[N]. `wider`: accuracy on wider crops, by name."""
    present = np.unique(posed.labels)

    def figures(rows: Labels) -> Sequence[float]:
        right, labels = predicted[rows] == posed.labels[rows], posed.labels[rows]
        return [right.mean(), *(_mean(right[labels == label]) for label in present)]

    values = figures(np.arange(len(predicted)))
    (interval, *intervals) = metrics.bootstrap(figures, posed.people)
    counts = np.bincount(posed.labels, minlength=len(LABELS))
    recalls = {
        LABELS[label]: Recall(float(value), own, int(counts[label]))
        for label, value, own in zip(present, values[1:], intervals, strict=True)
    }
    return PosedFigures(
        set=name,
        pictures=len(predicted),
        people=len(set(posed.people)),
        accuracy=float(values[0]),
        interval=interval,
        wider=wider,
        alarming=min(recalls[label].recall if label in recalls else 0.0 for label in ALARMING),
        least=min(each.recall for each in recalls.values()),
        recalls=recalls,
    )


def _mean(right: Floats) -> float:
    return float(right.mean()) if len(right) else float("nan")


def table(figures: PosedFigures) -> list[str]:
    """Lay out for people."""
    low, high = figures.interval
    views = "   ".join(f"{name} {value:.3f}" for name, value in figures.wider.items())
    return [
        f"{figures.set}: {figures.pictures} pictures of {figures.people} people",
        f"accuracy {figures.accuracy:.3f} ({low:.3f} to {high:.3f})   {views}",
        f"{'':<10}{'recall':>8}  {'95 %':<16}{'pictures':>9}",
        *(_row(label, each) for label, each in figures.recalls.items()),
    ]


def _row(label: str, each: Recall) -> str:
    low, high = each.interval
    return f"{label:<10}{each.recall:>8.3f}  {f'{low:.3f} to {high:.3f}':<16}{each.count:>9}"
