"""A smile and raised brows beside the face's own calm state, by person.

A person's calm state is the quantile that the daemon takes, here of the person's other pictures; what is reported of a
picture beside that is compared with the mesh's difference from its own calm state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.tracking.signals.memory import CALM_QUANTILE
from quantize.data.mesh_faces import INTENSITIES
from quantize.data.sets import DataError, Floats
from quantize.evaluate import intensity, worsened
from quantize.evaluate.eyes_mouth import Reader

NAMES = ("smile", "brow_raise")
LEAST_OTHERS = 3  # pictures of a person


@dataclass(frozen=True, slots=True)
class OverCalmFigures:
    """One intensity under one condition."""

    condition: str
    faces: int
    people: int
    correlation: float
    error: float  # mean absolute one


def measure(models: Path, data: Path) -> list[OverCalmFigures]:
    """By height and light. Raises DataError without labelled faces."""
    reader, faces = Reader(models), intensity.clear(worsened.kept(data))
    counts = {group: (faces.groups == group).sum() for group in set(faces.groups.tolist())}
    several = [counts[group] > LEAST_OTHERS and not group.startswith("fold") for group in faces.groups.tolist()]
    if not any(several):
        raise DataError(f"{data / 'mesh'}: expected more than {LEAST_OTHERS} faces of somebody, found them of nobody")
    faces = faces.pick(np.array(several, np.bool_))
    found = []
    for light, heights in worsened.LIGHTS.items():
        for px in heights:
            values, _ = reader(faces, worsened.worse(faces.crops, px, light))
            for name in NAMES:
                wanted = over_calm(faces.intensities[:, list(INTENSITIES).index(name)], faces.groups)
                got = over_calm(values[:, reader.names.index(name)], faces.groups)
                figures = float(np.corrcoef(wanted, got)[0, 1]), float(np.abs(wanted - got).mean())
                condition = f"{name}_over_calm, {worsened.name(px, light)}"
                found.append(OverCalmFigures(condition, len(faces), len(set(faces.groups.tolist())), *figures))
    return found


def over_calm(values: Floats, groups: Sequence[str] | np.ndarray[tuple[int], np.dtype[np.str_]]) -> Floats:
    """Values f32[N] less the calm state by the other values of the same group."""
    less = np.empty(len(values))
    for row, group in enumerate(groups):
        same = np.asarray(groups) == group
        same[row] = False
        less[row] = values[row] - np.quantile(values[same], CALM_QUANTILE)
    return less.astype(np.float32)


def table(figures: Sequence[OverCalmFigures]) -> list[str]:
    """Lay out for people."""
    return ["beside the own calm state, by person", *(_row(each) for each in figures)]


def _row(each: OverCalmFigures) -> str:
    return (
        f"{each.condition:<36} {each.faces} faces of {each.people} people; "
        f"correlation {each.correlation:.3f}, mean error {each.error:.3f}"
    )
