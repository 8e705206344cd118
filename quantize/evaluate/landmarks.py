"""The landmarks model on stills with 68 points.

Protocol: the crop is an upright square around the bounding box of the true points, as many times as wide as the
model's card states. The error of a face is the mean distance of its points from the true ones, divided by the distance
of the true outer eye corners; 51 points are those without the outline of the jaw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_edge.config import Tracking
from fer_edge.records import Floats
from fer_edge.vision.landmarks import crop_around_points
from fer_edge.vision.tflite import Model
from quantize import daemon_stages, metrics
from quantize.data.locate import located
from quantize.data.sets import DataError, Still, held_out_stills, read_stills, side_of
from quantize.evaluate import landmark_heads, presence
from quantize.evaluate.landmark_heads import HeadsFigures
from quantize.evaluate.presence import PresenceFigures

PRESENT = Tracking().min_score  # from which the daemon takes a crop for a face
FAILED = 0.10  # an error above is useless
NAMES = {"all": "every still", "heldout": "the people kept from training", "train": "the people trained on"}


@dataclass(frozen=True, slots=True)
class LandmarksFigures:
    """A model's figures from one pass over a set."""

    set: str
    images: int
    people: int
    nme51: float  # mean error of the inner 51 points in distances of the outer eye corners
    nme68: float  # ... of all
    median51: float
    failed: float  # share of faces with an error over 0.10
    presence_recall: float  # share of faces that the daemon would take for faces
    heads: HeadsFigures | None = None  # the pose; None: no faces labelled by a mesh, or no such output
    presence: PresenceFigures | None = None  # on a detector's finds; None: no varied photos


@dataclass(frozen=True, slots=True)
class Placed:
    """A model's outputs for stills."""

    errors: Floats  # f32[N,68] in eye distances
    scores: Floats  # f32[N] 0..1

    @property
    def inner(self) -> Floats:
        """Mean errors f32[N] of the 51 points."""
        return np.asarray(self.errors[:, metrics.INNER].mean(axis=1), np.float32)


@dataclass(frozen=True, slots=True)
class Result:
    """One pass over a set."""

    stills: list[Still]
    placed: Placed
    figures: LandmarksFigures


def run(model: Model, data: Path, *, split: str) -> Result:
    """Measure a model on one side of a set. Raises DataError."""
    stills, name = read(data, split=split)
    placed = place(model, stills)
    figures = measure(placed, stills, name=name)
    if split == "heldout":
        heads, found = landmark_heads.measure(model, data), presence.measure(model, data)
        figures = replace(figures, heads=heads, presence=found)
    return Result(stills, placed, figures)


def read(data: Path, *, split: str) -> tuple[list[Still], str]:
    """Read the evaluation set and its name. Raises DataError."""
    where = located("landmarks", data)
    stills = side_of(read_stills(where), held_out_stills, split)
    if not stills:
        raise DataError(f"{where}: split {split!r}: no stills")
    return stills, f"{where.name}: {NAMES[split]}"


def place(model: Model, stills: Sequence[Still]) -> Placed:
    """Run a model over stills."""
    card = model.card.points
    assert card is not None  # tflite.py refuses a landmarks card without it
    found = []
    for still in stills:
        matrix = crop_around_points(still.points, card.points_scale, model.size[0])
        found.append(daemon_stages.landmarks(model, still.image, matrix))
    errors = metrics.point_errors(np.stack([each.points for each in found]), np.stack([s.points for s in stills]))
    return Placed(errors, np.array([each.score for each in found], np.float32))


def people(stills: Sequence[Still]) -> int:
    """How many people there are."""
    return len({still.person for still in stills})


def measure(placed: Placed, stills: Sequence[Still], *, name: str) -> LandmarksFigures:
    """Work out every figure."""
    inner = placed.inner
    return LandmarksFigures(
        set=name,
        images=len(inner),
        people=people(stills),
        nme51=float(inner.mean()),
        nme68=float(placed.errors.mean()),
        median51=float(np.median(inner)),
        failed=float(np.mean(inner > FAILED)),
        presence_recall=float(np.mean(placed.scores >= PRESENT)),
    )


def table(figures: LandmarksFigures) -> list[str]:
    """Lay out for people."""
    return [
        f"{figures.set}: {figures.images} stills of {figures.people} people; errors in eye distances",
        f"51 inner points {figures.nme51:.4f} (median {figures.median51:.4f})   68 points {figures.nme68:.4f}   "
        f"over {FAILED:g}: {figures.failed:.1%}",
        f"taken for a face (score from {PRESENT:g}): {figures.presence_recall:.1%}",
        *(landmark_heads.table(figures.heads) if figures.heads else []),
        *(presence.table(figures.presence) if figures.presence else []),
    ]
