"""The labelled sets: reading, checking, and which picture is on which side. All pictures become gray.

| set                                            | here                        | kept from training              |
| FER+ (`ferplus.npz`, or the folder it is from) | `read_ferplus` -> FerPlus   | PublicTest, a twentieth of rest |
| photos with boxes (`crowd_faces.zip`)          | `read_crowd` -> Photos      | a third                         |
| photos with pseudo-boxes (`photos/`)           | `read_people` -> Photos     |                                 |
| varied photos with pseudo-boxes (`photos2/`)   | `read_varied` -> Photos     | folds 0 and 1                   |
| its photos without faces                       | `read_varied_empty`         | a fifth a role (`kept_empty`)   |
| more of both (`photos3/`, `label_photos`)      | `read_more`                 | nothing                         |
| one face each, masked or bare (`masks/`)       | `read_masks`                | a sixth                         |
| photos without faces (`scenes.zip`, ...)       | `read_pictures`             | a tenth of `scenes.zip`         |
| stills with 68 points (`landmarks68.zip`)      | `read_stills` -> Stills     | a fifth of the people           |
| varied photos (`photos2/`)                     | `negatives.read_varied`     | folds 0 and 1, a fifth of rest  |
| faces labelled by a mesh (`mesh/`)             | `mesh_faces.read_all`       | a fifth of the groups, folds    |

A zip may be unpacked: its folder is read the same way. Coordinates are px, the first pixel's centre at 0.5.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.records import LABELS
from quantize.data.alike import difference_hash, first_of_each
from quantize.files.arrays import DAMAGED, read_arrays

TRAIN = 0  # value of FER+'s own `split` column
VOTE_COLUMNS = len(LABELS) + 2  # the eight expressions, "unknown", "NF" (no face)
FER_SIDE = 48  # px
MOSAIC_GRID = 20  # one mosaic is 20 x 20 faces, row by row
POSITIVE = 0.6  # pseudo-boxes of this score are faces, lower ones are neither faces nor background
LEAST_LABELLED = 0.04  # of the short side: in the varied photos smaller faces are labelled in part only
FOLDS = range(10)  # of the varied photos
HELD_OUT_FOLDS = (0, 1)

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Item = TypeVar("Item")


class DataError(ValueError):
    """The set on disk is not what this toolkit expects; the message is one line."""


@dataclass(frozen=True, slots=True)
class FerPlus:
    """The set as published, in its order."""

    images: Image  # u8[N,48,48] gray
    split: NDArray[np.uint8]  # u8[N], 0 = Training, else a test split
    votes: NDArray[np.uint8]  # u8[N,10], ten annotators over VOTE_COLUMNS


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture with every face in it."""

    name: str
    image: Image  # u8[H,W] gray
    boxes: Floats  # f32[n,4] x0,y0,x1,y1 px; forehead to chin, without the ears
    points: Floats  # f32[n,5,2] px: eyes, nose, mouth corners, left of the picture first; NaN where unknown
    sure: NDArray[np.bool_]  # [n]; the others are neither faces nor background
    covered: tuple[str, ...]  # [n] the set's label of a mask, "" where it has none

    @property
    def shares(self) -> Floats:
        """How high each face is, in the picture's short side: f32[n]."""
        return (self.boxes[:, 3] - self.boxes[:, 1]) / np.float32(min(self.image.shape))


@dataclass(frozen=True, slots=True)
class Still:
    """One face."""

    name: str
    image: Image  # u8[H,W] gray
    points: Floats  # f32[68,2] px

    @property
    def person(self) -> str:
        """Who it is: the name up to the last `_`; the set holds everybody twice, once with `b_` in front."""
        return self.name.rsplit("_", 1)[0].removeprefix("b_")


# --- files ---------------------------------------------------------------------------------------------------


class Folder:
    """Files of a zip or of the folder it was unpacked to."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises DataError."""
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        try:
            self._zip = None if path.is_dir() else zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: expected a zip or a folder: {error}") from None
        self.path = path

    def read(self, name: str) -> bytes:
        """The content of one file. Raises DataError."""
        try:
            return (self.path / name).read_bytes() if self._zip is None else self._zip.read(name)
        except (*DAMAGED, OSError, KeyError) as error:
            raise DataError(f"{self.path}: {name}: cannot be read: {error}") from None

    def image(self, name: str) -> Image:
        """One picture in gray, u8[H,W]. Raises DataError."""
        return _gray(self.read(name), f"{self.path}: {name}")

    def pictures(self) -> list[str]:
        """Names of all pictures, sorted."""
        if self._zip is None:
            names = [each.relative_to(self.path).as_posix() for each in self.path.rglob("*") if each.is_file()]
        else:
            names = self._zip.namelist()
        return sorted(name for name in names if name.lower().endswith((".jpg", ".jpeg", ".png")))

    def table(self, name: str, *, columns: Sequence[str]) -> list[dict[str, str]]:
        """Rows of a CSV file that has these columns. Raises DataError."""
        try:
            rows = list(csv.DictReader(io.StringIO(self.read(name).decode())))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path}: {name}: expected a CSV table in UTF-8: {error}") from None
        missing = [column for column in columns if not rows or any(row.get(column) is None for row in rows)]
        if missing:
            raise DataError(f"{self.path}: {name}: expected rows with the columns {', '.join(missing)}")
        return rows


def _gray(encoded: bytes, where: str) -> Image:
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE) if encoded else None
    if picture is None:
        raise DataError(f"{where}: not a picture")
    return np.asarray(picture, np.uint8)


def numbers(row: dict[str, str], columns: Sequence[str], where: str, *, blank: str = "") -> list[float]:
    """Numbers of a table's row; `blank` stands for an empty cell, where one may be. Raises DataError."""
    try:
        return [float(row[column] or blank) for column in columns]
    except ValueError as error:
        raise DataError(f"{where}: {row}: {error}") from None


# --- FER+ ----------------------------------------------------------------------------------------------------


def read_ferplus(path: Path) -> FerPlus:
    """Read the whole set from the .npz file, or from `ferplus_images.zip` and its labels. Raises DataError."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected ferplus.npz or the folder it is made from")
    try:
        arrays = _read_mosaics(path) if path.is_dir() else read_arrays(path, ("images", "split", "ferplus_votes"))
        votes, split, images = arrays["ferplus_votes"], arrays["split"], arrays["images"]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as FER+: {error}") from error
    if images.dtype != np.uint8 or images.shape[1:] != (FER_SIDE, FER_SIDE):
        found = f"{images.dtype}{list(images.shape)}"
        raise DataError(f"{path}: images: expected u8[N,{FER_SIDE},{FER_SIDE}], got {found}")
    if votes.shape != (len(images), VOTE_COLUMNS):
        raise DataError(f"{path}: votes: expected [{len(images)},{VOTE_COLUMNS}], got {list(votes.shape)}")
    if split.shape != (len(images),):
        raise DataError(f"{path}: split: expected {len(images)} values, got {list(split.shape)}")
    return FerPlus(images=images, split=split.astype(np.uint8), votes=votes.astype(np.uint8))


def _read_mosaics(path: Path) -> dict[str, Any]:
    arrays = read_arrays(path / "ferplus_labels.npz", ("split", "ferplus_votes"))
    folder = Folder(path / "ferplus_images.zip")
    mosaics = []
    for name in folder.pictures():
        grid = folder.image(name).reshape(MOSAIC_GRID, FER_SIDE, MOSAIC_GRID, FER_SIDE)  # face row, y, face column, x
        mosaics.append(grid.transpose(0, 2, 1, 3).reshape(-1, FER_SIDE, FER_SIDE))
    arrays["images"] = np.concatenate(mosaics)[: len(arrays["split"])]  # the last one is padded with empty faces
    return arrays


# --- photos --------------------------------------------------------------------------------------------------

BOX = ("x0", "y0", "x1", "y1")
PERSONS_RIGHT_FIRST = tuple(
    f"{part}_{axis}" for part in ("eye_r", "eye_l", "nose", "mouth_r", "mouth_l") for axis in "xy"
)  # the person's right is the left of the picture


def read_crowd(path: Path) -> list[Photo]:
    """Read photos in which people drew the boxes (`crowd_faces.zip`: `boxes.csv` and its pictures)."""
    folder = Folder(path)
    rows = folder.table("boxes.csv", columns=("image", *BOX))
    return [_photo(folder, name, own, "boxes.csv") for name, own in _by_image(rows)]


def read_people(photos: Path) -> list[Photo]:
    """Read photos in which a detector drew the boxes (`photos/`: `faces.csv`, `people.zip`)."""
    rows = Folder(photos).table("faces.csv", columns=("image", *BOX, *PERSONS_RIGHT_FIRST, "score"))
    folder = Folder(photos / "people.zip")
    by_image = dict(_by_image(rows))
    return [_photo(folder, name, by_image.get(name.removeprefix("people/"), []), name) for name in folder.pictures()]


def read_varied(photos: Path, *, folds: Collection[int] = FOLDS, least: float = LEAST_LABELLED) -> list[Photo]:
    """Read the photos of some folds in which two detectors drew the boxes (`photos2/`: `labels.zip`,
    `people_and_scenes.zip`); faces below `least` of the short side are not sure."""
    columns = ("photo", *BOX, *PERSONS_RIGHT_FIRST, "score", "fold")
    rows = Folder(photos / "labels.zip").table("faces.csv", columns=columns)
    wanted = [row | {"image": row["photo"]} for row in rows if row["fold"] in set(map(str, folds))]
    folder = Folder(photos / "people_and_scenes.zip")
    found = [_photo(folder, name, own, "faces.csv") for name, own in _by_image(wanted)]
    return [replace(photo, sure=photo.sure & (photo.shares >= least)) for photo in found]


def read_varied_empty(photos: Path, *, held_out: bool) -> list[Image]:
    """Read the photos u8[H,W] without faces beside them, kept from training to measure the detector, or the others."""
    return read_empty(photos, lambda name: kept_empty(name, "detector") == held_out)


def kept_empty(name: str, role: str) -> bool:
    """Whether a photo without faces is kept to measure a role: of the names the file's decides for the detector and the
    whole daemon, the path for the landmarks. What one is measured on, neither learns (`negatives.learned_empty`)."""
    return chosen((Path(name).name if role == "detector" else name).encode(), one_in=5)


def read_empty(photos: Path, wanted: Callable[[str], bool]) -> list[Image]:
    """Read the photos u8[H,W] without faces whose names are wanted."""
    rows = Folder(photos / "labels.zip").table("negatives.csv", columns=("photo",))
    folder = Folder(photos / "people_and_scenes.zip")
    return [folder.image(row["photo"]) for row in rows if wanted(row["photo"])]


def read_more(photos: Path) -> tuple[list[Photo], list[Image]]:
    """Read further photos to train on, with faces and without, u8[H,W] (`photos3/`, made by
    `quantize.data.label_photos`); nothing where there is no such folder."""
    if not photos.is_dir():
        return [], []
    return read_varied(photos), read_empty(photos, lambda _: True)


def read_masks(folder: Path, *, held_out: bool) -> dict[str, list[Image]]:
    """Read pictures u8[H,W] that each show one face, "masked" or "bare", of one side (`masks/`: the folders `with_mask`
    and `without_mask` of the repository chandrikadeb7/Face-Mask-Detection); none where there is no such folder."""
    found: dict[str, list[Image]] = {"masked": [], "bare": []}
    for word, name in (("masked", "with_mask"), ("bare", "without_mask")):
        if (folder / name).is_dir():
            own = Folder(folder / name)
            wanted = (each for each in own.pictures() if chosen(own.read(each), one_in=6) == held_out)
            found[word] = [own.image(each) for each in wanted]
    return found


def read_pictures(path: Path) -> list[Image]:
    """Read all pictures of a zip or folder in gray, u8[H,W]. Raises DataError."""
    folder = Folder(path)
    return [folder.image(name) for name in folder.pictures()]


def _by_image(rows: list[dict[str, str]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    grouped: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        grouped.setdefault(row["image"], []).append(row)
    return iter(grouped.items())


def _photo(folder: Folder, name: str, rows: list[dict[str, str]], table: str) -> Photo:
    where = f"{folder.path}: {table}"
    pointed = bool(rows) and PERSONS_RIGHT_FIRST[0] in rows[0]
    points = [numbers(row, PERSONS_RIGHT_FIRST, where, blank="nan") if pointed else [np.nan] * 10 for row in rows]
    return Photo(
        name=name,
        image=folder.image(name),
        boxes=np.array([numbers(row, BOX, where) for row in rows], np.float32).reshape(-1, 4),
        points=np.array(points, np.float32).reshape(-1, 5, 2),
        sure=np.array([numbers({"score": "1"} | row, ("score",), where)[0] >= POSITIVE for row in rows], np.bool_),
        covered=tuple(row.get("covered", "") for row in rows),
    )


# --- stills --------------------------------------------------------------------------------------------------


def read_stills(path: Path) -> list[Still]:
    """Read stills with 68 points each (`landmarks68.zip`: `points68.csv` and its pictures)."""
    folder = Folder(path)
    columns = [f"{axis}{index}" for index in range(68) for axis in "xy"]
    rows = folder.table("points68.csv", columns=("image", *columns))
    return [
        Still(
            name=Path(row["image"]).stem,
            image=folder.image(row["image"]),
            points=np.array(numbers(row, columns, f"{path}: points68.csv"), np.float32).reshape(68, 2),
        )
        for row in rows
    ]


# --- which picture is on which side --------------------------------------------------------------------------


def chosen(text: bytes, *, one_in: int) -> bool:
    """Choose about one in so many by content, for ever and on every machine the same."""
    return int(hashlib.sha256(text).hexdigest(), 16) % one_in == 0


def held_out_photos(photos: Sequence[Photo]) -> NDArray[np.bool_]:
    """Choose a third of the photos, bool[N]; photos of the same thing stay together, on the side of the first one."""
    leaders = first_of_each(np.array([difference_hash(photo.image) for photo in photos]).reshape(-1, 256))
    return np.array([chosen(Path(photos[leader].name).name.encode(), one_in=3) for leader in leaders], np.bool_)


def held_out_stills(stills: Sequence[Still]) -> NDArray[np.bool_]:
    """Choose the stills of a fifth of the people: bool[N]."""
    return np.array([chosen(still.person.encode(), one_in=5) for still in stills], np.bool_)


def held_out_scenes(scenes: Sequence[Image]) -> NDArray[np.bool_]:
    """Choose a tenth of the pictures u8[H,W] without faces: bool[N]."""
    return np.array([chosen(scene.tobytes(), one_in=10) for scene in scenes], np.bool_)


def pick(items: Sequence[Item], which: NDArray[np.bool_]) -> list[Item]:
    """The items that a mask bool[N] chooses."""
    return [item for item, wanted in zip(items, which, strict=True) if wanted]


SPLITS = ("all", "heldout", "train")


def side_of(items: Sequence[Item], held_out: Callable[[Sequence[Item]], NDArray[np.bool_]], split: str) -> list[Item]:
    """One side of a set: "heldout", "train", or "all" of it; `held_out` gives the mask bool[N] of the first."""
    which = np.ones(len(items), np.bool_) if split == "all" else held_out(items)
    return pick(items, which if split in ("all", "heldout") else ~which)
