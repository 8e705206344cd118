"""Labels of a face mesh, for pose and intensities.

    python -m quantize.data.mesh_labels --data data --teacher face_landmarker.task --yunet yunet.onnx

The teacher is MediaPipe's Face Landmarker (Kartynnik et al. 2019, arXiv:1907.06724; blendshapes: Grishchenko et al.
2023, arXiv:2309.05782), used to make labels only. Each set with faces becomes `mesh/SET.npz` in the data folder: gray
crops, and for each the teacher's outputs. `quantize.data.mesh_faces` reads them. `wild` is made from `muxspace`
in the data folder: the folder `images` of the repository muxspace/facial_expressions; `yawns` from stills of YawDD
(Abtahi et al. 2014), in the folder `dataset_noisy` of the repository Muneeb-Ahmed-Khan/Yawn-Detection.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ModelError
from fer_edge.runtime.atomic_file import FOR_ALL
from fer_edge.vision import transforms
from quantize.data.mesh_faces import CROP_SCALE, CROP_SIDE, HELD_OUT_FOLDS, SIXTY_EIGHT
from quantize.data.mesh_teacher import Picture, Seen, Teacher
from quantize.data.photo_teachers import YuNet
from quantize.data.scenes import five_of
from quantize.data.sets import (
    BOX,
    PERSONS_RIGHT_FIRST,
    DataError,
    Floats,
    Folder,
    numbers,
    read_people,
    read_stills,
)
from quantize.files.arrays import replace_arrays

MOST_PX = 320  # of the long side when the face is looked for
LEAST_SCORE = 0.5
YAWNS_LEARNED, YAWNS_KEPT = 400, 440  # numbers below, and from which on; those between are left out
LEAST_PX = 40.0  # height of a box from which on the teacher is asked
FIVE = ((33, 133), (362, 263), (1,), (61,), (291,))  # eyes, nose, corners of the mouth, by the mesh


# --- the sets ------------------------------------------------------------------------------------------------


class BoxTeacher:
    """YuNet, for pictures that come without boxes: the largest face."""

    def __init__(self, path: Path) -> None:
        self._find = YuNet(path)

    def __call__(self, picture: Picture) -> tuple[Floats, Floats] | None:
        """Box f32[4] and five points f32[5,2], px, of the largest face that is sure; None where there is none."""
        found = self._find(picture, min(MOST_PX, max(picture.shape[:2])))
        faces = found[found[:, 14] >= LEAST_SCORE]
        if not len(faces):
            return None
        largest = faces[np.argmax(faces[:, 3] - faces[:, 1])]
        return largest[:4], largest[4:14].reshape(5, 2)


def stills(data: Path, _: BoxTeacher) -> Iterator[Seen]:
    """`landmarks68`, each person a group; the five points from the labels."""
    folder = Folder(data / "landmarks68.zip")
    rows = folder.table("points68.csv", columns=("image",))
    for still, row in zip(read_stills(data / "landmarks68.zip"), rows, strict=True):
        points = still.points
        low, high = points.min(axis=0), points.max(axis=0)
        top = low[1] - 0.25 * (high[1] - low[1])
        box = np.array([low[0], top, high[0], high[1]], np.float32)
        yield Seen(still.name, still.person, _colour(folder, row["image"]), box, five_of(points))


def varied(data: Path, _: BoxTeacher) -> Iterator[Seen]:
    """`photos2`: each photo a group, by its fold."""
    columns = ("photo", "fold", "use", *BOX, *PERSONS_RIGHT_FIRST)
    rows = Folder(data / "photos2" / "labels.zip").table("faces.csv", columns=columns)
    folder = Folder(data / "photos2" / "people_and_scenes.zip")
    for row in rows:
        box = np.array(numbers(row, BOX, "photos2: faces.csv"), np.float32)
        if row["use"] == "pos" and box[3] - box[1] >= LEAST_PX:
            five = np.array(numbers(row, PERSONS_RIGHT_FIRST, "photos2: faces.csv", blank="nan"), np.float32)
            yield Seen(row["photo"], f"fold{row['fold']}", _colour(folder, row["photo"]), box, five.reshape(5, 2))


def sports(data: Path, _: BoxTeacher) -> Iterator[Seen]:
    """`photos`: each photo a group."""
    for photo in read_people(data / "photos"):
        for box, five, sure in zip(photo.boxes, photo.points, photo.sure, strict=True):
            if sure and box[3] - box[1] >= LEAST_PX:
                yield Seen(photo.name, photo.name, _bgr(photo.image), box, five)


def ages(data: Path, find: BoxTeacher) -> Iterator[Seen]:
    """`faces_unlabelled`: never learned from; fairness is measured on them."""
    folder = Folder(data / "faces_unlabelled.zip")
    yield from _found(((name, name, _colour(folder, name)) for name in folder.pictures()), find)


def wild(data: Path, find: BoxTeacher) -> Iterator[Seen]:
    """`muxspace`: pictures of LFW and of films, each person a group."""
    folder = Folder(data / "muxspace")
    pictures = ((name, person_of(name), _colour(folder, name)) for name in folder.pictures())
    yield from _found(pictures, find)


def yawns(data: Path, find: BoxTeacher) -> Iterator[Seen]:
    """`yawns`: stills of YawDD, in folders `yawn` and `no-yawn`, numbered person by person: the later ones are kept.
    Raises DataError."""
    folder = Folder(data / "yawns")
    for path in sorted((data / "yawns").glob("*/*.jpg")):
        name = f"{path.parent.name}/{path.name}"
        if not path.stem.isdecimal():
            raise DataError(f"{folder.path}: {name}: expected a number for a name")
        number = int(path.stem)
        if number not in range(YAWNS_LEARNED, YAWNS_KEPT):
            group = HELD_OUT_FOLDS[0] if number >= YAWNS_KEPT else f"yawns{number // 20}"
            yield from _found([(name, group, _colour(folder, name))], find)


def clips(data: Path, find: BoxTeacher) -> Iterator[Seen]:
    """`clips`: every fifteenth frame, each clip a group."""
    for path in sorted((data / "clips").glob("*.mkv")):
        film, at = cv2.VideoCapture(str(path)), 0
        while True:
            going, frame = film.read()
            if not going:
                break
            if at % 15 == 0:
                yield from _found([(f"{path.stem}_{at}", path.stem, np.asarray(frame, np.uint8))], find)
            at += 1


SETS: dict[str, Callable[[Path, BoxTeacher], Iterator[Seen]]] = {
    "stills": stills,
    "varied": varied,
    "sports": sports,
    "ages": ages,
    "wild": wild,
    "clips": clips,
    "yawns": yawns,
}


def person_of(name: str) -> str:
    """Who is in a picture: its name up to the last `_`, where a number follows; of other pictures, their name."""
    stem = Path(name).stem
    person, _, number = stem.rpartition("_")
    return person if number.isdecimal() else stem


def _found(pictures: Any, find: BoxTeacher) -> Iterator[Seen]:
    for name, group, picture in pictures:
        face = find(picture)
        if face:
            yield Seen(name, group, picture, *face)


def _colour(folder: Folder, name: str) -> Picture:
    content = folder.read(name)
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if picture is None:
        raise DataError(f"{folder.path}: {name}: not a picture")
    return np.asarray(picture, np.uint8)


def _bgr(gray: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)


# --- the labels ----------------------------------------------------------------------------------------------


def label(teacher: Teacher, faces: Iterator[Seen], set_name: str = "the set") -> dict[str, Any]:
    """Everything about every face, as `mesh_faces.read` expects it. Raises DataError where there is none."""
    rows: list[tuple[Any, ...]] = []
    fit = five_fit(teacher.shape)
    for seen in faces:
        mesh, logit = teacher(seen)
        points = mesh[list(SIXTY_EIGHT), :2]
        matrix = keep_matrix(points)
        gray = np.asarray(cv2.cvtColor(seen.picture, cv2.COLOR_BGR2GRAY), np.uint8)
        rows.append(
            (
                seen.name,
                seen.group,
                transforms.warp(gray, matrix, CROP_SIDE),
                transforms.transform(points, matrix),
                teacher.pose(mesh),
                teacher.blendshapes(mesh).astype(np.float16),
                logit,
                five_yaw(seen.five, fit),
                float(np.ptp(points[:, 1])),
                transforms.transform(seen.five, matrix),
                transforms.transform(seen.box.reshape(2, 2), matrix),
            )
        )
    names = (
        *("names", "groups", "crops", "points", "poses", "blendshapes", "presence", "five_yaw"),
        *("height_px", "five", "boxes"),
    )
    if not rows:
        raise DataError(f"{set_name}: no faces; expected pictures of people")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def keep_matrix(points: Floats) -> transforms.Matrix:
    """The matrix f64[2,3] from the picture to the crop that is kept, more than any crop of training needs, by the
    face's points f32[68,2]."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = ((low + high) / 2).tolist()
    return transforms.square_crop_matrix((x, y), CROP_SCALE * float((high - low).max()), 0.0, CROP_SIDE)


def five_fit(shape: Floats) -> NDArray[np.float64]:
    """The matrix f64[3,5], by the straight face f32[468,3], that takes five points f[5,2] to rows of scale x rotation,
    as in `landmarks.pose`."""
    five = np.stack([shape[list(each)].mean(axis=0) for each in FIVE]) * np.array([1, -1, -1])
    return np.asarray(np.linalg.pinv(five - five.mean(axis=0)), np.float64)


def five_yaw(five: Floats, fit: NDArray[np.float64]) -> float:
    """Yaw in degrees by the five points f32[5,2] of a detector; NaN where they are unknown. `fit`: f64[3,5], see
    `five_fit`."""
    if not np.isfinite(five).all():
        return float("nan")
    first, second = (fit @ (five - five.mean(axis=0)).astype(np.float64)).T
    first, second = first / max(np.linalg.norm(first), 1e-9), second / max(np.linalg.norm(second), 1e-9)
    roll = np.arctan2(second[0], first[0])
    nose_x = -first[2] * np.cos(roll) - second[2] * np.sin(roll)
    return float(np.degrees(np.arctan2(nose_x, max(first[0] * second[1] - first[1] * second[0], 1e-6))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        "quantize.data.mesh_labels", description="Label faces by a mesh: pose, intensities."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets; mesh/ is written into it")
    parser.add_argument("--teacher", type=Path, required=True, help="MediaPipe's face_landmarker.task")
    parser.add_argument("--yunet", type=Path, required=True, help="YuNet's ONNX file, for pictures without boxes")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    options = parser.parse_args(arguments)
    try:
        teacher, find = Teacher(options.teacher), BoxTeacher(options.yunet)
        (options.data / "mesh").mkdir(exist_ok=True)
        for name in options.sets:
            labels = label(teacher, SETS[name](options.data, find), name)
            replace_arrays(options.data / "mesh" / f"{name}.npz", labels, compress=True, mode=FOR_ALL)
            print(f"{options.data / 'mesh' / name}.npz: {len(labels['names'])} faces", flush=True)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
