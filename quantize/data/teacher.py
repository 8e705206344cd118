"""Stronger networks' outputs for the training pictures (`teacher.npz`), written once by `quantize.teachers`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.records import LABELS
from quantize.data.sets import DataError, Floats
from quantize.files.arrays import read_arrays


@dataclass(frozen=True, slots=True)
class Taught:
    """Probabilities f32[N,8], row by row as the sets are read."""

    ferplus: Floats  # of `ferplus.training`
    posed: Floats  # of the posed faces learned from
    natural: Floats  # of all natural faces


def read_teacher(path: Path, **counts: int) -> Taught:
    """Read the file. Raises DataError, also where a set does not have as many rows as given."""
    try:
        read = read_arrays(path, ("ferplus", "posed", "natural"))
        arrays = {name: array.astype(np.float32) for name, array in read.items()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a file of quantize.teachers: {error}") from None
    for name, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != len(LABELS):
            raise DataError(f"{path}: {name}: expected [N,{len(LABELS)}], got {list(array.shape)}")
    for name, count in counts.items():
        if len(arrays[name]) != count:
            raise DataError(f"{path}: {name}: expected {count} rows as in the set, got {len(arrays[name])}")
    return Taught(**arrays)
