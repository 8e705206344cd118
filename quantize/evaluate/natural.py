"""The expression model on natural faces (`natural.npz`) of people kept from training.

Protocol: a committee's answer stands in for the truth (`teacher.npz`: our earlier networks, one of others,
each as the mean over the face and its mirror image, and the weak guess where it can be believed), on as many faces of
each guess as there are, at most MOST, so that the set is not all smiles. This is agreement with networks of which some
have taught this one; it is no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.records import LABELS, Floats
from fer_edge.vision.tflite import Model
from quantize import daemon_stages, metrics
from quantize.data.cut_faces import crops_of
from quantize.data.natural import NATURAL, Natural, read_natural
from quantize.data.sets import DataError
from quantize.data.teacher import read_teacher
from quantize.metrics import Labels

MOST = 60  # faces of one guess
SEED = 23
TEACHER = "teacher.npz"
NEUTRAL = LABELS.index("neutral")


@dataclass(frozen=True, slots=True)
class NaturalFigures:
    """How far a network and the committee agree."""

    set: str
    pictures: int
    agreement: float
    interval: tuple[float, float]
    by_answer: dict[str, tuple[float, int]]  # by the committee's label: share that agrees, of how many
    neutral: float  # share that this model calls neutral, and the other one
    neutral_teacher: float


def available(data: Path) -> bool:
    """Whether a folder has the faces and the committee's labels."""
    return data.is_dir() and (data / NATURAL).exists() and (data / TEACHER).exists()


def run(model: Model, data: Path) -> NaturalFigures:
    """Measure a model. Raises DataError."""
    faces = read_natural(data / NATURAL)
    taught = read_teacher(data / TEACHER, natural=len(faces.names)).natural
    rows = balanced(faces)
    if not len(rows):
        raise DataError(f"{data / NATURAL}: expected faces of people kept from training, found none")
    predicted = daemon_stages.logits(model, crops_of(faces.canvases[rows])).argmax(axis=1)
    return measure(predicted, taught[rows])


def balanced(faces: Natural) -> Labels:
    """Rows i[n] of the people kept from training: at most MOST of each guess, always the same."""
    rng = np.random.default_rng(SEED)
    held_out = np.flatnonzero(faces.held_out())
    guesses = faces.guesses[held_out]
    groups = [rng.permutation(held_out[guesses == guess])[:MOST] for guess in range(len(LABELS))]
    return np.sort(np.concatenate(groups))


def measure(predicted: Labels, taught: Floats) -> NaturalFigures:
    """Compare predictions [N] with the committee's probabilities f32[N,8]."""
    other = taught.argmax(axis=1)
    agree = predicted == other
    (interval,) = metrics.bootstrap(lambda rows: [agree[rows].mean()], range(len(predicted)))
    return NaturalFigures(
        set="natural faces of people kept from training, balanced by weak guesses",
        pictures=len(predicted),
        agreement=float(agree.mean()),
        interval=interval,
        by_answer={LABELS[each]: (float(agree[other == each].mean()), int(sum(other == each))) for each in set(other)},
        neutral=float(np.mean(predicted == NEUTRAL)),
        neutral_teacher=float(np.mean(other == NEUTRAL)),
    )


def table(figures: NaturalFigures) -> list[str]:
    """Lay out for people."""
    low, high = figures.interval
    shares = [f"{label} {share:.2f} of {count}" for label, (share, count) in figures.by_answer.items()]
    return [
        f"{figures.set}: {figures.pictures} pictures; agreement with a committee of networks, no accuracy",
        f"{figures.agreement:.3f} ({low:.3f} to {high:.3f}); neutral: {figures.neutral:.2f}, by the committee "
        f"{figures.neutral_teacher:.2f}",
        "by the committee's label: " + ", ".join(shares),
    ]
