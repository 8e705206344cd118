"""Where an evaluation set is, and whether a model was trained on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from quantize.data import mesh_faces
from quantize.data.sets import TRAIN, FerPlus, Folder, read_ferplus
from quantize.files import cards


@dataclass(frozen=True, slots=True)
class Place:
    """How to know a set."""

    table: str  # the file that makes a folder this set; "" for none
    names: tuple[str, ...]  # the set within a folder of sets


PLACES = {
    "expression": Place("ferplus_labels.npz", ("ferplus.npz",)),
    "detector": Place("boxes.csv", ("crowd_faces.zip", "crowd_faces")),
    "landmarks": Place("points68.csv", ("landmarks68.zip", "landmarks68")),
    "groups": Place("", ("faces_unlabelled.zip", "faces_unlabelled")),
    "posed": Place("labels.csv", ("ckplus48.zip", "ckplus48")),
    "varied": Place("labels.zip", ("photos2",)),
    "scenes": Place("", ("scenes.zip", "scenes", "photos/scenes.zip", "photos/scenes")),
}


def located(kind: str, data: Path) -> Path:
    """The set: `data` itself, or within a folder of sets."""
    place = PLACES[kind]
    if not data.is_dir() or (place.table and (data / place.table).exists()):
        return data
    return next((data / name for name in place.names if (data / name).exists()), data)


def labels_sha256(role: str, data: Path) -> str:
    """Name a set by its labels: the same for a zip and its folder. Raises DataError."""
    if role == "intensity":
        return mesh_faces.labels_sha256(data)
    where = located(role, data)
    labels = _votes(read_ferplus(where)) if role == "expression" else Folder(where).read(PLACES[role].table)
    return hashlib.sha256(labels).hexdigest()


def _votes(data: FerPlus) -> bytes:
    return data.split.tobytes() + data.votes.tobytes()


def learned_from(role: str, data: Path, *, split: str, model: Path) -> bool | None:
    """Whether a side of a set holds pictures that a model was trained on; None where its card does not say."""
    known = cards.read(model.with_suffix(".json")).get("training", {}).get("labels_sha256")
    if split == "heldout":
        return False
    if known is None:
        return None
    if role == "expression" and (read_ferplus(located(role, data)).split != TRAIN).any():
        return False  # its other rows are measured on
    return bool(known == labels_sha256(role, data))
