"""The detector on varied natural photos from elsewhere: by itself, and the whole daemon.

Protocol: as in `quantize.evaluate.detector`, on the folds of `photos2` that are kept from training, whose boxes are
those that two other detectors agree on at high resolution; what only one of them sees, and what is smaller than 8 % of
the short side, is neither right nor wrong. False positives are counted on these photos and, apart, on those without
faces. The daemon is measured as `fer-edge analyze --still` runs it: tiles, landmarks and all limits of the default
configuration, its boxes being those around the landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Floats, Image
from fer_edge.vision.detector import Detector
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data.locate import located
from quantize.data.sets import HELD_OUT_FOLDS, Photo, read_masks, read_varied, read_varied_empty
from quantize.evaluate.detector import COUNTED, LARGE, LOWEST_SCORE
from quantize.evaluate.presence import EYES_TOGETHER
from quantize.metrics import Bools, Matched, average_precision, curve, match

VERY_LARGE = 0.32
HEIGHTS = ((0.08, 0.12), (0.12, 0.16), (0.16, 0.32), (0.32, 10.0))  # of the picture's short side
FACING = 0.40  # of a box's width, from which the eyes of a facing face lie apart
DARK, BRIGHT = 60, 180  # mean gray level

Find = Callable[[Image], tuple[Floats, Floats]]
"""Gray picture -> boxes f32[n,4] x0,y0,x1,y1 px and scores f32[n]."""


@dataclass(frozen=True, slots=True)
class VariedFigures:
    """The figures from one pass over the photos."""

    set: str
    images: int
    faces: int  # that count
    ap: float | None  # None: not measured
    ap_16_32: float | None  # of the faces of 16 to 32 % of the short side
    recall: float  # at the thresholds in use, as are the next three
    recall_16: float  # of faces of 16 % and more
    fp_per_image: float
    empty_images: int
    fp_per_empty_image: float
    kinds: dict[str, KindFigures]


@dataclass(frozen=True, slots=True)
class KindFigures:
    """How many faces of one kind are found at the thresholds in use."""

    faces: int
    recall: float


def read(data: Path, *, folds: Collection[int] = HELD_OUT_FOLDS) -> tuple[list[Photo], list[Image]]:
    """Read photos with faces and photos u8[H,W] without, both kept from training. Raises DataError."""
    where = located("varied", data)
    return read_varied(where, folds=folds), read_varied_empty(where, held_out=True)


def measure(find: Find, photos: Sequence[Photo], empty: Sequence[Image], *, every: Find | None = None) -> VariedFigures:
    """Measure what finds faces on photos and on pictures u8[H,W] without faces; `every` finds them down to the lowest
    scores, for the average precision."""
    known = [_counted(photo, COUNTED) for photo in photos]
    sure = [match(*find(photo.image), photo.boxes, counted) for photo, counted in zip(photos, known, strict=True)]
    ranked = [every(photo.image) for photo in photos] if every else []
    return VariedFigures(
        set="photos2: photos kept from training",
        images=len(photos),
        faces=sum(int(counted.sum()) for counted in known),
        ap=_precision(ranked, photos, COUNTED, np.inf),
        ap_16_32=_precision(ranked, photos, LARGE, VERY_LARGE),
        recall=_recall(sure, known),
        recall_16=_recall(sure, [_counted(photo, LARGE) for photo in photos]),
        fp_per_image=sum(each.wrong() for each in sure) / max(len(photos), 1),
        empty_images=len(empty),
        fp_per_empty_image=sum(len(find(image)[0]) for image in empty) / max(len(empty), 1),
        kinds=_by_kind(sure, photos, known),
    )


def _by_kind(matched: Sequence[Matched], photos: Sequence[Photo], known: Sequence[Bools]) -> dict[str, KindFigures]:
    """Recall by height, turn of the head and light of the face, of those that count."""
    kinds = [kinds_of(photo) for photo in photos]
    chosen = {
        name: [counted & own[name] for counted, own in zip(known, kinds, strict=True)] for name in (kinds or [{}])[0]
    }
    counts = {name: int(sum(each.sum() for each in which)) for name, which in chosen.items()}
    return {name: KindFigures(counts[name], _recall(matched, which)) for name, which in chosen.items() if counts[name]}


def kinds_of(photo: Photo) -> dict[str, Bools]:
    """Which of a photo's faces are of each kind, bool[n]. A face is the further turned the closer its eyes lie
    together, in its box's width; light is the box's mean gray level."""
    shares, boxes = photo.shares, photo.boxes
    apart = np.abs(photo.points[:, 1, 0] - photo.points[:, 0, 0]) / np.maximum(boxes[:, 2] - boxes[:, 0], 1e-6)
    light = np.array([_light(photo.image, box) for box in boxes])
    return {
        **{
            f"height {low:.0%} to {high:.0%}" if high < 1 else f"height from {low:.0%}": (shares >= low)
            & (shares < high)
            for low, high in HEIGHTS
        },
        "facing, eyes 40 % of the width apart and more": apart >= FACING,
        "half turned": (apart >= EYES_TOGETHER) & (apart < FACING),
        "turned far, eyes less than 28 % apart": apart < EYES_TOGETHER,
        "dark, mean level below 60": light < DARK,
        "bright, from 180": light >= BRIGHT,
    }


def _light(image: Image, box: Floats) -> float:
    x0, y0, x1, y1 = np.maximum(np.rint(box), 0).astype(int)
    part = image[y0:y1, x0:x1]
    return float(part.mean()) if part.size else np.nan


def of_masks(model: Model, data: Path) -> dict[str, float]:
    """The share of pictures of one face, "masked" and "bare", in which the detector finds one; nothing where the set is
    missing."""
    find = detector_finds(daemon_stages.detector(model))
    pictures = read_masks(data / "masks", held_out=True)
    return {word: float(np.mean([len(find(image)[0]) > 0 for image in own])) for word, own in pictures.items() if own}


def _counted(photo: Photo, least: float, most: float = np.inf) -> Bools:
    """Which of a photo's boxes are faces of these heights."""
    return np.asarray(photo.sure & (photo.shares >= least) & (photo.shares < most))


def _precision(
    ranked: Sequence[tuple[Floats, Floats]], photos: Sequence[Photo], least: float, most: float
) -> float | None:
    if not ranked:
        return None
    counted = [_counted(photo, least, most) for photo in photos]
    matched = [match(*found, photo.boxes, own) for found, photo, own in zip(ranked, photos, counted, strict=True)]
    return average_precision(curve(matched, faces=sum(int(own.sum()) for own in counted)))


def _recall(matched: Sequence[Matched], which: Sequence[Bools]) -> float:
    found = [each.found[own] for each, own in zip(matched, which, strict=True)]
    return sum(int(each.sum()) for each in found) / max(sum(map(len, found)), 1)


# --- what finds faces ----------------------------------------------------------------------------------------


def of_model(model: Model, data: Path, *, folds: Collection[int] = HELD_OUT_FOLDS) -> VariedFigures:
    """Measure a detector by itself, in the daemon's code. Raises DataError."""
    sure, every = daemon_stages.detector(model), daemon_stages.detector(model, min_score=LOWEST_SCORE)
    return measure(detector_finds(sure), *read(data, folds=folds), every=detector_finds(every))


def of_daemon(pipeline: Pipeline, data: Path, *, folds: Collection[int] = HELD_OUT_FOLDS) -> VariedFigures:
    """Measure a detector in the daemon, as `analyze --still` runs it. Raises DataError."""
    return measure(daemon_finds(pipeline), *read(data, folds=folds))


def detector_finds(detector: Detector) -> Find:
    """The daemon's detector alone, as a `Find`: u8[H,W] -> f32[n,4], f32[n]."""

    def find(image: Image) -> tuple[Floats, Floats]:
        faces = detector(daemon_stages.frame_of(image))
        return arrays([face.box for face in faces], [face.score for face in faces])

    return find


def daemon_finds(pipeline: Pipeline) -> Find:
    """The whole daemon on a single picture, as a `Find`: u8[H,W] -> f32[n,4], f32[n]."""

    def find(image: Image) -> tuple[Floats, Floats]:
        tracks = pipeline.look(daemon_stages.frame_of(image)).tracks
        return arrays([track.box for track in tracks], [1.0] * len(tracks))

    return find


def arrays(boxes: Sequence[Box], scores: Sequence[float]) -> tuple[Floats, Floats]:
    """Boxes f32[n,4] x0,y0,x1,y1 and scores f32[n] as they are matched."""
    corners: list[Any] = [(box.x0, box.y0, box.x1, box.y1) for box in boxes]
    return np.array(corners, np.float32).reshape(-1, 4), np.array(scores, np.float32)


def table(figures: VariedFigures) -> list[str]:
    """Lay out for people."""
    precision = f"average precision {_number(figures.ap)}   of faces from 16 to 32 %: {_number(figures.ap_16_32)}"
    return [
        f"{figures.set}: {figures.images} photos, {figures.faces} faces of at least {COUNTED:.0%} of the short side",
        precision,
        f"at the default threshold: recall {figures.recall:.4f}   of faces from {LARGE:.0%}: {figures.recall_16:.4f}   "
        f"false positives per photo {figures.fp_per_image:.3f}",
        f"{figures.empty_images} photos without faces: {figures.fp_per_empty_image:.3f} false positives per photo",
        *(f"{name:<46}{each.faces:>6} faces   recall {each.recall:.3f}" for name, each in figures.kinds.items()),
    ]


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
