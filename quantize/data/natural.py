"""Natural faces with one person's guess each (`natural.npz`, made by `cut_natural.py`), and who is kept from training.

The guesses are weak (those of disgust mostly wrong) and most of the faces smile or do nothing. So what is learned is
the labels of a committee of teachers, in which a guess counts for a part where it is credible (`quantize.teachers`);
and a model is measured by how far it agrees with them on as many faces of each guess as there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.data.cut_faces import CANVAS
from quantize.data.sets import DataError, Image, chosen
from quantize.files.arrays import read_rows
from quantize.metrics import Labels

NATURAL = "natural.npz"
HELD_OUT_ONE_IN = 4  # people


@dataclass(frozen=True, slots=True)
class Natural:
    """Faces in the middle of canvases, with a guess each."""

    canvases: Image  # u8[N,64,64] gray
    guesses: Labels  # [N] index into LABELS
    names: tuple[str, ...]  # [N] of the pictures

    def held_out(self) -> NDArray[np.bool_]:
        """Choose about a quarter of the people by name, always the same ones on every machine: bool[N]."""
        return np.array([chosen(person_of(name).encode(), one_in=HELD_OUT_ONE_IN) for name in self.names], np.bool_)


def person_of(name: str) -> str:
    """Who is in a picture: its name up to the last `_`."""
    return name.rsplit("_", 1)[0]


def read_natural(path: Path) -> Natural:
    """Read the file. Raises DataError."""
    try:
        rows = read_rows(path, {"canvases": (CANVAS, CANVAS), "guesses": (), "names": ()})
        guesses = rows["guesses"].astype(np.intp)
        return Natural(rows["canvases"].astype(np.uint8, copy=False), guesses, tuple(map(str, rows["names"])))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a file of quantize.data.cut_natural: {error}") from None
