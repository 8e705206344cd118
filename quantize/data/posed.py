"""Posed faces with one label and a person each (`ckplus48.zip`), and which people are kept from training.

The set's crops are tight, there are no neutral ones, and up to three near-equal frames of a sequence: only a split by
person keeps the two sides apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import LABELS
from quantize.data.sets import FER_SIDE, DataError, Folder, Image, chosen
from quantize.metrics import Labels

COLUMNS = ("file", "person", "expression")
HELD_OUT_ONE_IN = 3  # people


@dataclass(frozen=True, slots=True)
class Posed:
    """Posed faces: people who were asked for an expression."""

    images: Image  # u8[N,48,48] gray
    labels: Labels  # [N] index into LABELS
    people: tuple[str, ...]  # [N]

    def side(self, *, held_out: bool) -> Posed:
        """The people kept from training, or the others."""
        which = held_out_people(self.people) == held_out
        people = tuple(person for person, wanted in zip(self.people, which, strict=True) if wanted)
        return Posed(self.images[which], self.labels[which], people)


def read_posed(path: Path) -> Posed:
    """Read `labels.csv` (file, person, expression) and the pictures in `faces/`. Raises DataError."""
    folder = Folder(path)
    rows = folder.table("labels.csv", columns=COLUMNS)
    labels = [_label(row["expression"], path) for row in rows]
    images = [_image(folder, f"faces/{row['file']}") for row in rows]
    return Posed(np.stack(images), np.array(labels, np.intp), tuple(row["person"] for row in rows))


def _label(name: str, path: Path) -> int:
    if name not in LABELS:
        raise DataError(f"{path}: labels.csv: expected one of {', '.join(LABELS)}, got {name!r}")
    return LABELS.index(name)


def _image(folder: Folder, name: str) -> Image:
    image = folder.image(name)
    if image.shape != (FER_SIDE, FER_SIDE):
        height, width = image.shape
        raise DataError(f"{folder.path}: {name}: expected {FER_SIDE}x{FER_SIDE} px, got {width}x{height}")
    return image


def held_out_people(people: tuple[str, ...]) -> NDArray[np.bool_]:
    """Choose about a third of the people by name, always the same ones on every machine: bool[N]."""
    return np.array([chosen(person.encode(), one_in=HELD_OUT_ONE_IN) for person in people], np.bool_)
