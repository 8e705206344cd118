"""The expression model on FER+: its rows where one expression has more than half of the votes ("majority").

Where the folder has them, the gate looks at faces from elsewhere too: `posed.py`, `natural.py`. Intervals are those of
a bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_edge.records import LABELS, Floats
from fer_edge.vision.classifier import softmax
from fer_edge.vision.tflite import Model
from quantize import daemon_stages, metrics
from quantize.data.ferplus import Labelled, measuring
from quantize.data.locate import located
from quantize.data.sets import TRAIN, DataError, read_ferplus
from quantize.evaluate import natural, posed
from quantize.evaluate.natural import NaturalFigures
from quantize.evaluate.posed import PosedFigures
from quantize.metrics import Labels, PerClass

SPLITS = ("test", "heldout")


@dataclass(frozen=True, slots=True)
class ExpressionFigures:
    """A model's figures from one pass over a set."""

    set: str
    pictures: int
    temperature: float  # divides the logits
    accuracy: float
    macro_f1: float  # mean F1 over the expressions, rare ones counting as much as common ones
    ece: float  # expected calibration error, 15 equal bins of confidence
    intervals: dict[str, tuple[float, float]]  # 95 %, of the three figures above and of each expression's recall
    least_recall: float  # of the expressions, here and on posed faces
    per_class: dict[str, PerClass]
    posed: PosedFigures | None  # None: not measured
    natural: NaturalFigures | None
    confusion: list[list[int]]  # rows: true label; columns: predicted


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's outputs for a set."""

    logits: Floats  # f32[N,8]
    labels: Labels  # i[N]


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
    figures = measure(answers, temperature=model.card.temperature, name=name)
    return Result(chosen, answers, _elsewhere(figures, model, data) if split == "test" else figures)


def _elsewhere(figures: ExpressionFigures, model: Model, data: Path) -> ExpressionFigures:
    """Add the model's figures on other sets."""
    asked = posed.run(model, data) if posed.available(data) else None
    least = min(figures.least_recall, asked.least) if asked else figures.least_recall
    seen = natural.run(model, data) if natural.available(data) else None
    return replace(figures, posed=asked, natural=seen, least_recall=least)


def read(data: Path, *, split: str) -> tuple[Labelled, str]:
    """Read the evaluation set and its name. Raises DataError."""
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
    predicted = answers.logits.argmax(axis=1)
    table = metrics.confusion(answers.labels, predicted, classes=len(LABELS))
    present = np.unique(answers.labels)
    per_class = dict(zip(LABELS, metrics.per_class(table), strict=True))
    return ExpressionFigures(
        set=name,
        pictures=len(answers.labels),
        temperature=temperature,
        accuracy=metrics.accuracy(table),
        macro_f1=metrics.macro_f1(table),
        ece=metrics.calibration_error(softmax(answers.logits, temperature=temperature), answers.labels),
        intervals=_intervals(answers, temperature=temperature),
        least_recall=min(per_class[LABELS[label]].recall for label in present),
        per_class=per_class,
        posed=None,
        natural=None,
        confusion=table.tolist(),
    )


def _intervals(answers: Answers, *, temperature: float) -> dict[str, tuple[float, float]]:
    predicted, given = answers.logits.argmax(axis=1), softmax(answers.logits, temperature=temperature)

    def figures(rows: Labels) -> list[float]:
        table = metrics.confusion(answers.labels[rows], predicted[rows], classes=len(LABELS))
        error = metrics.calibration_error(given[rows], answers.labels[rows])
        recalls = [each.recall if each.count else float("nan") for each in metrics.per_class(table)]
        return [metrics.accuracy(table), metrics.macro_f1(table), error, *recalls]

    names = ("accuracy", "macro_f1", "ece", *(f"recall of {label}" for label in LABELS))
    found = zip(names, metrics.bootstrap(figures, range(len(predicted))), strict=True)
    return {name: interval for name, interval in found if not np.isnan(interval[0])}


def temperature_of(model: Model, data: Path) -> float:
    """Fit the temperature on the part of Training that is kept from training."""
    answers = answer(model, read(data, split="heldout")[0])
    return metrics.fit_temperature(answers.logits, answers.labels)


def table(figures: ExpressionFigures) -> list[str]:
    """Lay out for people."""
    spans = {name: f"({low:.3f} to {high:.3f})" for name, (low, high) in figures.intervals.items()}
    return [
        f"{figures.set}: {figures.pictures} pictures, temperature {figures.temperature:g}",
        f"accuracy {figures.accuracy:.4f} {spans['accuracy']}   macro F1 {figures.macro_f1:.4f} {spans['macro_f1']}   "
        f"calibration error {figures.ece:.4f} {spans['ece']}",
        f"{'':<10}{'precision':>10}{'recall':>10}{'F1':>10}{'pictures':>10}   predicted instead",
        *(_row(label, each, figures.confusion) for label, each in figures.per_class.items()),
        *(["", *posed.table(figures.posed)] if figures.posed else []),
        *(["", *natural.table(figures.natural)] if figures.natural else []),
    ]


def _row(label: str, each: PerClass, confusion: Sequence[Sequence[int]]) -> str:
    predicted = np.array(confusion[LABELS.index(label)])
    others = [
        f"{LABELS[index]} {predicted[index]}"
        for index in np.argsort(-predicted)
        if predicted[index] and LABELS[index] != label
    ]
    line = f"{label:<10}{each.precision:>10.3f}{each.recall:>10.3f}{each.f1:>10.3f}{each.count:>10}"
    return f"{line}   {', '.join(others[:3])}"
