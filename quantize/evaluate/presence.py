"""The landmarks' presence for a detector's candidates, in photos kept from training: faces and false positives.

The detector is the one that comes with fer-edge, on whole pictures, from the daemon's candidate score and least size
on. What counts as none lies in pictures without faces or touches no box of a photo of people, doubtful ones included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.config import Detector as DetectorConfig
from fer_edge.config import Tracking
from fer_edge.records import Box, Face
from fer_edge.vision.landmarks import fuse_scores, region
from fer_edge.vision.model_card import models_folder
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data import negatives
from quantize.data.sets import Floats, Image, Photo

SAME_IOU = 0.5  # of a find with a box that is its face
EYES_TOGETHER = 0.28  # of a box's width, below which a face is turned far


@dataclass(frozen=True, slots=True)
class PresenceFigures:
    """Shares are of finds that the daemon would take for faces: by presence alone, and by both models' scores."""

    faces: int
    turned: int  # of these, turned far
    others: int  # finds that are none
    face_presence: float
    turned_presence: float
    false_presence: float
    faces_confirmed: float
    turned_confirmed: float
    false_confirmed: float


@dataclass(frozen=True, slots=True)
class Find:
    """The detector's candidates, and their true kind."""

    picture: Image  # u8[H,W] gray
    face: Face
    kind: str  # "face", "turned", "other"


def measure(model: Model, data: Path) -> PresenceFigures | None:
    """All figures; None where there are no varied photos."""
    people, scenes = negatives.read_varied(data / "photos2", split="heldout")
    found = list(finds(people, scenes))
    if not found:
        return None
    card, side = model.card.points, model.size[0]
    assert card is not None  # tflite.py refuses a landmarks card without it
    answers = [daemon_stages.landmarks(model, each.picture, region(each.face, card, side)) for each in found]
    return count([each.kind for each in found], [each.face.score for each in found], [each.score for each in answers])


def finds(people: Sequence[Photo], scenes: Sequence[Image]) -> Iterator[Find]:
    """The detector's candidates in photos and in `scenes`, u8[H,W] without faces, that are clearly faces, or clearly
    none."""
    config = DetectorConfig()
    model = daemon_stages.open_model(models_folder() / "detector.tflite", "detector")
    find = daemon_stages.detector(model, min_score=config.candidate_score)
    nobody = Photo("", np.zeros((1, 1), np.uint8), *_nobody(), ())
    for photo, picture in [*((photo, photo.image) for photo in people), *((nobody, scene) for scene in scenes)]:
        for face in find(daemon_stages.frame_of(picture)):
            kind = kind_of(face.box, photo)
            if kind and face.box.height >= config.min_face_px:
                yield Find(picture, face, kind)


def _nobody() -> tuple[Floats, Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    return np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.bool_)


def kind_of(box: Box, photo: Photo) -> str | None:
    """The kind: "face", "turned" (a face whose eyes lie close together), "other"; None where that is doubtful."""
    numbers = np.array([box.x0, box.y0, box.x1, box.y1], np.float32)
    if not negatives.touches(numbers, photo.boxes):
        return "other"
    overlaps = [box.iou(Box(*own)) for own in photo.boxes.tolist()]
    best = int(np.argmax(overlaps))
    if overlaps[best] < SAME_IOU or not photo.sure[best]:
        return None
    apart = abs(float(photo.points[best, 1, 0] - photo.points[best, 0, 0]))
    width = float(photo.boxes[best, 2] - photo.boxes[best, 0])
    return "turned" if apart < EYES_TOGETHER * width else "face"  # NaN, where no points are known, is no less


def count(kinds: Sequence[str], scores: Sequence[float], presences: Sequence[float]) -> PresenceFigures:
    """Compute every figure; turned faces are faces too."""
    kind, presence = np.array(kinds), np.array(presences)
    present = presence >= Tracking().min_score
    fused = np.array([fuse_scores(score, own) for score, own in zip(scores, presences, strict=True)])
    confirmed = present & (fused >= DetectorConfig().min_score)
    faces, turned, others = kind != "other", kind == "turned", kind == "other"
    return PresenceFigures(
        faces=int(faces.sum()),
        turned=int(turned.sum()),
        others=int(others.sum()),
        face_presence=_share(present[faces]),
        turned_presence=_share(present[turned]),
        false_presence=_share(present[others]),
        faces_confirmed=_share(confirmed[faces]),
        turned_confirmed=_share(confirmed[turned]),
        false_confirmed=_share(confirmed[others]),
    )


def _share(which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return float(which.mean()) if which.size else float("nan")


def table(figures: PresenceFigures) -> list[str]:
    """Lay out for people."""
    return [
        f"what the detector finds in photos kept from training: {figures.faces} faces ({figures.turned} turned far), "
        f"{figures.others} others",
        f"taken for faces by presence: {figures.face_presence:.1%}, turned {figures.turned_presence:.1%}, "
        f"others {figures.false_presence:.1%}; by both scores: {figures.faces_confirmed:.1%}, "
        f"{figures.turned_confirmed:.1%}, {figures.false_confirmed:.2%}",
    ]
