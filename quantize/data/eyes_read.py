"""Eyes that a person has read from the pictures, closed or open: `mesh/eyes_read.csv` in the data folder.

The mesh's own intensity does not distinguish closed eyes from narrow ones: of the faces that it has at 0.5 and more,
half are open to a reader. So those that the mesh or a model thought closed were read once more. The file has a line for
each: `crop_sha256_16`, the first 16 hexadecimal digits of the SHA-256 of the crop's pixels, and `eyes`: closed, open or
unclear. Faces that are not in it count as open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.data.mesh_faces import INTENSITIES, SWAPPED, MeshFaces
from quantize.data.sets import Floats, Folder, Image

FILE = "eyes_read.csv"
CLOSED_LABEL, OPEN_LABEL = 0.95, 0.3  # at least, at most: what an intensity becomes where it was read
EYES = [list(INTENSITIES).index(name) for name in SWAPPED]


def read_eyes(data: Path) -> Mapping[str, str]:
    """What was read, by the crop's name; empty where there is no file. Raises DataError."""
    if not (data / "mesh" / FILE).exists():
        return {}
    rows = Folder(data / "mesh").table(FILE, columns=("crop_sha256_16", "eyes"))
    return {row["crop_sha256_16"]: row["eyes"] for row in rows}


def crop_name(crop: Image) -> str:
    """The name of a crop u8[H,W] in the file: the beginning of its SHA-256."""
    return hashlib.sha256(crop.tobytes()).hexdigest()[:16]


def read_as(faces: MeshFaces, read: Mapping[str, str], unread: str = "open") -> NDArray[np.str_]:
    """`closed`, `open` or `unclear` for each face: str[N]."""
    return np.array([read.get(crop_name(crop), unread) for crop in faces.crops], np.str_)


def was_read(faces: MeshFaces, read: Mapping[str, str]) -> NDArray[np.bool_]:
    """Of which faces it is known, by reading, whether the eyes are closed: bool[N]."""
    return np.isin(read_as(faces, read, unread=""), ("closed", "open"))


def corrected(faces: MeshFaces, read: Mapping[str, str]) -> Floats:
    """The intensities f32[N,10], with those of the eyes as they were read."""
    wanted, how = faces.intensities.copy(), read_as(faces, read, unread="")
    for column in EYES:
        wanted[how == "closed", column] = np.maximum(wanted[how == "closed", column], CLOSED_LABEL)
        wanted[how == "open", column] = np.minimum(wanted[how == "open", column], OPEN_LABEL)
    return wanted
