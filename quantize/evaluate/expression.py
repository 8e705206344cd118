"""The expression model on FER+: its rows where one expression has more than half of the votes ("majority")."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fer_edge.records import Floats
from fer_edge.vision.classifier import softmax
from fer_edge.vision.tflite import Model
from quantize import daemon_stages, metrics
from quantize.data.ferplus import Labelled, measuring
from quantize.data.locate import located
from quantize.data.sets import LABELS, TRAIN, DataError, read_ferplus
from quantize.metrics import Labels, PerClass

SPLITS: Final = ("test", "heldout")


@dataclass(frozen=True, slots=True)
class ExpressionFigures:
    """What one pass over a set says of a model."""

    set: str
    pictures: int
    temperature: float
    accuracy: float
    macro_f1: float  # mean F1 over the expressions, rare ones counting as much as common ones
    ece: float  # expected calibration error, 15 equal bins of confidence
    per_class: dict[str, PerClass]
    confusion: list[list[int]]  # rows: what is right; columns: what was said


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's answers to a set."""

    logits: Floats  # f32[N,8]
    labels: Labels  # [N]


@dataclass(frozen=True, slots=True)
class Result:
    """One pass over a set."""

    chosen: Labelled
    answers: Answers
    figures: ExpressionFigures


def run(model: Model, data: Path, *, split: str) -> Result:
    """Measure a model on one side of a set. Raises DataError."""
    chosen, name = read(data, split=split)
    answers = answer(model, chosen)
    return Result(chosen, answers, measure(answers, temperature=model.card.temperature, name=name))


def read(data: Path, *, split: str) -> tuple[Labelled, str]:
    """Read what is measured on, and its name. Raises DataError."""
    where = located("expression", data)
    ferplus = read_ferplus(where)
    chosen = measuring(ferplus, split)
    if not len(chosen.labels):
        raise DataError(f"{where}: split {split!r}: no picture of which the annotators agree on an expression")
    sides = "" if (ferplus.split == TRAIN).all() else " outside Training"
    side = {"test": f"all rows{sides}", "heldout": "the part of Training that nothing learns from"}[split]
    return chosen, f"FER+ ({where.name}): {side}, majority"


def answer(model: Model, chosen: Labelled) -> Answers:
    """Run a model over a set."""
    return Answers(daemon_stages.logits(model, chosen.images), chosen.labels)


def measure(answers: Answers, *, temperature: float, name: str) -> ExpressionFigures:
    """Work out every figure."""
    table = metrics.confusion(answers.labels, answers.logits.argmax(axis=1), classes=len(LABELS))
    return ExpressionFigures(
        set=name,
        pictures=len(answers.labels),
        temperature=temperature,
        accuracy=metrics.accuracy(table),
        macro_f1=metrics.macro_f1(table),
        ece=metrics.calibration_error(softmax(answers.logits, temperature=temperature), answers.labels),
        per_class=dict(zip(LABELS, metrics.per_class(table), strict=True)),
        confusion=table.tolist(),
    )


def temperature_of(model: Model, data: Path) -> float:
    """Fit the temperature on the part of Training that nothing learns from."""
    answers = answer(model, read(data, split="heldout")[0])
    return metrics.fit_temperature(answers.logits, answers.labels)


def table(figures: ExpressionFigures) -> list[str]:
    """Lay out for people."""
    return [
        f"{figures.set}: {figures.pictures} pictures, temperature {figures.temperature:g}",
        f"accuracy {figures.accuracy:.4f}   macro F1 {figures.macro_f1:.4f}   calibration error {figures.ece:.4f}",
        f"{'':<10}{'precision':>10}{'recall':>10}{'F1':>10}{'pictures':>10}   said instead",
        *(_row(label, each, figures.confusion) for label, each in figures.per_class.items()),
    ]


def _row(label: str, each: PerClass, confusion: Sequence[Sequence[int]]) -> str:
    said = np.array(confusion[LABELS.index(label)])
    others = [f"{LABELS[index]} {said[index]}" for index in np.argsort(-said) if said[index] and LABELS[index] != label]
    line = f"{label:<10}{each.precision:>10.3f}{each.recall:>10.3f}{each.f1:>10.3f}{each.count:>10}"
    return f"{line}   {', '.join(others[:3])}"
