"""Hard negatives: a detector's false positives, and what is beside the faces of people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Box
from fer_edge.vision.landmarks import crop_around_box
from quantize import daemon_stages
from quantize.data import sets
from quantize.data.sets import FOLDS, HELD_OUT_FOLDS, Floats, Image, Photo, kept_empty, pick, read_empty

MISTAKEN_SCORE = 0.1  # of the detector, from which on
LEAST_TEMPTING = 0.1  # added to a presence of 0..1
TRIES = 12  # for a place beside the faces
LEAST_PX = 16.0  # height of what is cut out
APART = 0.3  # how much every box is widened, in its size: nothing of a face is in the crop


def read_varied(folder: Path, *, split: str) -> tuple[list[Photo], list[Image]]:
    """Read `photos2` for the landmarks: photos of people, the smallest faces too, and pictures u8[H,W] without faces of
    one side, "train" or "heldout"; none where there is no such folder. Raises DataError."""
    if not folder.exists():
        return [], []
    if split == "heldout":
        people = sets.read_varied(folder, folds=HELD_OUT_FOLDS, least=0.0)
        return people, read_empty(folder, lambda name: kept_empty(name, "landmarks"))
    return sets.read_varied(folder, folds=set(FOLDS) - set(HELD_OUT_FOLDS), least=0.0), learned_empty(folder)


def learned_empty(folder: Path) -> list[Image]:
    """The photos u8[H,W] of `photos2` without faces on which no role is measured. Raises DataError."""
    return read_empty(folder, lambda name: not (kept_empty(name, "detector") or kept_empty(name, "landmarks")))


def mistakes(detector: Path, scenes: Sequence[Image], people: Sequence[Photo] = ()) -> list[tuple[Image, Floats]]:
    """What a detector takes for faces in pictures without any, and in photos of people away from every box: pictures
    u8[H,W] and boxes f32[4]."""
    find = daemon_stages.detector(daemon_stages.open_model(detector, "detector"), min_score=MISTAKEN_SCORE)
    empty = np.empty((0, 4), np.float32)
    pictures = [(scene, empty) for scene in scenes] + [(photo.image, photo.boxes) for photo in people]
    found = [
        (picture, _numbers(face.box), faces)
        for picture, faces in pictures
        for face in find(daemon_stages.frame_of(picture))
        if face.box.height >= LEAST_PX
    ]
    return [(picture, box) for picture, box, faces in found if not touches(box, faces)]


def temptation(landmarks: Path, mistakes: Sequence[tuple[Image, Floats]]) -> NDArray[np.float64]:
    """How likely each mistake is to be drawn f64[N]: the more a landmarks model takes it for a face, the more often."""
    model = daemon_stages.open_model(landmarks, "landmarks")
    card, side = model.card.points, model.size[0]
    assert card is not None  # tflite.py refuses a landmarks card without it
    matrices = [crop_around_box(Box(*box.tolist()), card, side) for _, box in mistakes]
    pairs = zip(mistakes, matrices, strict=True)
    scores = np.array([daemon_stages.landmarks(model, picture, matrix).score for (picture, _), matrix in pairs])
    return np.asarray((scores + LEAST_TEMPTING) / np.sum(scores + LEAST_TEMPTING), np.float64)


def _numbers(box: Box) -> Floats:
    return np.array([box.x0, box.y0, box.x1, box.y1], np.float32)


def touches(box: Floats, faces: Floats) -> bool:
    """Whether a box f32[4] has anything in common with widened faces f32[n,4]."""
    size = np.tile(faces[:, 2:] - faces[:, :2], 2) * APART * np.array([-1, -1, 1, 1])
    wide = faces + size
    across = (box[0] < wide[:, 2]) & (box[2] > wide[:, 0])
    return bool((across & (box[1] < wide[:, 3]) & (box[3] > wide[:, 1])).any())


def body(photo: Photo, rng: np.random.Generator) -> Floats | None:
    """A box f32[4] near a face of a photo that no face reaches into: necks, chests, hands, other things; None where
    there is no room."""
    height, width = photo.image.shape
    for _ in range(TRIES):
        x0, y0, x1, y1 = photo.boxes[rng.integers(len(photo.boxes))].tolist()
        side = max(LEAST_PX, (y1 - y0) * math.exp(rng.uniform(-0.4, 0.8)))
        x = (x0 + x1) / 2 + (y1 - y0) * rng.normal(0, 1.5)
        y = (y0 + y1) / 2 + (y1 - y0) * rng.triangular(-1.5, 1.5, 5)
        box = np.array([x - 0.4 * side, y - side / 2, x + 0.4 * side, y + side / 2], np.float32)
        inside = 0 < x < width and 0 < y < height
        if inside and not touches(box, photo.boxes):
            return box
    return None


def photos_with_room(photos: Sequence[Photo]) -> list[Photo]:
    """Photos that have a box at all."""
    which: NDArray[np.bool_] = np.array([len(photo.boxes) > 0 for photo in photos], np.bool_)
    return pick(photos, which)
