"""Expressions through the whole daemon: detect, place landmarks, align, classify.

Protocol: each FER+ face that counts ("majority", outside Training) is enlarged to 48, 96 and 160 px and put somewhere
into a picture without faces of 320 x 240, 480 x 360 or 640 x 480 px, the same for every model. The daemon's own
pipeline looks at it as at a single frame. Its answer is that for the face whose middle is nearest to that of the
picture, if it lies within it; a face that is not found counts as wrong. Nothing is smoothed, and nothing abstains: how
often the daemon would abstain is counted apart. The same faces as ready crops are the yardstick. Faces of which
Training holds a copy are left out, and the pictures without faces are the tenth that is kept from training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer_edge.config import Config, Models, Quality
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Image, Track
from fer_edge.vision.quality import assess
from quantize import daemon_stages
from quantize.data.ferplus import Labelled, duplicates_of
from quantize.data.locate import located
from quantize.data.sets import TRAIN, DataError, held_out_scenes, pick, read_ferplus, read_pictures
from quantize.evaluate import expression

SIDES_PX = (48, 96, 160)
FRAMES = ((320, 240), (480, 360), (640, 480))  # width, height
SEED = 11
ANYTHING = Quality(
    min_height_px=1,
    max_yaw_deg=90,
    max_pitch_deg=90,
    max_pose_error_deg=90,
    max_blur=1,
    min_brightness=0,
    max_brightness=1,
)


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """The figures of faces of one size."""

    found: float
    accuracy: float  # of all faces, those not found counting as wrong
    accuracy_found: float  # of those found
    gap_points: float  # percentage points below the ready crops
    abstained: float  # share of those found that the daemon would not classify
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """The figures of the three models together from one pass."""

    set: str
    faces: int
    ready_crops: float  # accuracy
    sizes: dict[str, SizeFigures]


@dataclass(frozen=True, slots=True)
class Answer:
    """The daemon's result for one face."""

    label: int | None  # index into the labels; None: not found
    reason: str | None  # why the daemon would abstain


def measure(models: Path, data: Path, scenes: Path, *, faces: int | None = None) -> EndToEnd:
    """Measure the published models. Raises DataError or ModelError."""
    chosen, name = expression.read(data, split="test")
    chosen = _some(_unseen(chosen, data), faces)
    empty = backgrounds(scenes)
    classifier = daemon_stages.open_model(models / "expression.tflite", "expression")
    ready = float(np.mean(daemon_stages.logits(classifier, chosen.images).argmax(axis=1) == chosen.labels))
    pipeline = Pipeline(Config(models=Models(folder=str(models)), quality=ANYTHING))
    sizes = {}
    for side in SIDES_PX:
        rng = np.random.default_rng((SEED, side))
        answers = [_answer(pipeline, *pasted(image, empty, side, rng)) for image in chosen.images]
        sizes[f"{side} px"] = size_figures(answers, chosen, ready)
    return EndToEnd(name, len(chosen.labels), ready, sizes)


def backgrounds(scenes: Path) -> list[Image]:
    """Pictures u8[H,W] without faces: those kept from training, or all where none is. Raises DataError."""
    pictures = read_pictures(located("scenes", scenes))
    if not pictures:
        raise DataError(f"{scenes}: expected pictures without faces, found none")
    return pick(pictures, held_out_scenes(pictures)) or pictures


def _unseen(chosen: Labelled, data: Path) -> Labelled:
    """Leave out the faces that Training holds too: detector and landmarks may have learned them."""
    ferplus = read_ferplus(located("expression", data))
    keep = ~duplicates_of(chosen.images, ferplus.images[ferplus.split == TRAIN])
    if not keep.any():
        raise DataError(f"{data}: expected faces of which Training holds no copy, found none")
    return Labelled(chosen.images[keep], chosen.labels[keep])


def _some(chosen: Labelled, count: int | None) -> Labelled:
    if count is None or count >= len(chosen.labels):
        return chosen
    if count < 1:
        raise DataError(f"--faces: expected at least 1, got {count}")
    rows = np.sort(np.random.default_rng(SEED).choice(len(chosen.labels), count, replace=False))
    return Labelled(chosen.images[rows], chosen.labels[rows])


def pasted(image: Image, scenes: list[Image], side: int, rng: np.random.Generator) -> tuple[Image, Box]:
    """Put a face u8[48,48] into a scene; the frame, and where it is."""
    width, height = FRAMES[rng.integers(len(FRAMES))]
    frame = _filling(scenes[rng.integers(len(scenes))], width, height)
    left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    frame[top : top + side, left : left + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    return frame, Box(left, top, left + side, top + side)


def _filling(scene: Image, width: int, height: int) -> Image:
    """The middle of a scene, as large as the frame."""
    scale = max(width / scene.shape[1], height / scene.shape[0])
    size = max(width, round(scene.shape[1] * scale)), max(height, round(scene.shape[0] * scale))
    large = cv2.resize(scene, size, interpolation=cv2.INTER_LINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.array(large[top : top + height, left : left + width], np.uint8)


def _answer(pipeline: Pipeline, picture: Image, where: Box) -> Answer:
    frame = daemon_stages.frame_of(picture)
    track = nearest(pipeline.look(frame).tracks, where)
    if track is None or track.expression is None:
        return Answer(None, None)
    reason = assess(pipeline.classifier.crop(frame, track.landmarks), track.landmarks, Quality()).reason
    return Answer(int(track.expression.probabilities.argmax()), reason and str(reason))


def nearest(tracks: tuple[Track, ...], where: Box) -> Track | None:
    """The face whose middle is nearest to that of a box, if it is within it."""

    def away(track: Track) -> float:
        (x, y), (own_x, own_y) = where.center, track.box.center
        return max(abs(x - own_x), abs(y - own_y)) / (where.width / 2)

    best = min(tracks, key=away, default=None)
    return best if best is not None and away(best) < 1 else None


def size_figures(answers: list[Answer], chosen: Labelled, ready: float) -> SizeFigures:
    """What one face size comes to."""
    found = sum(each.label is not None for each in answers)
    right = sum(each.label == label for each, label in zip(answers, chosen.labels, strict=True))
    reasons = [each.reason for each in answers if each.reason]
    return SizeFigures(
        found=found / len(answers),
        accuracy=right / len(answers),
        accuracy_found=right / max(found, 1),
        gap_points=100 * (ready - right / len(answers)),
        abstained=len(reasons) / max(found, 1),
        reasons={reason: reasons.count(reason) for reason in sorted(set(reasons))},
    )


def table(figures: EndToEnd) -> list[str]:
    """Lay out for people."""
    return [
        f"{figures.set}: {figures.faces} faces; as ready crops {figures.ready_crops:.4f} right",
        f"{'in a scene':<12}{'found':>8}{'right':>8}{'of found':>10}{'gap, points':>13}{'would abstain':>15}",
        *(_row(size, each) for size, each in figures.sizes.items()),
    ]


def _row(size: str, each: SizeFigures) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in each.reasons.items())
    shares = f"{each.found:>8.3f}{each.accuracy:>8.3f}{each.accuracy_found:>10.3f}{each.gap_points:>13.1f}"
    return f"{size:<12}{shares}{each.abstained:>15.3f}  {reasons}".rstrip()
