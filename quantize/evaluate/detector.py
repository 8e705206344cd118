"""The detector on photos in which people drew boxes.

Protocol: a face counts if its box is at least 8 % of the picture's short side high; smaller ones are ignored: to find
one is neither right nor wrong. A box finds a face from an IoU of 0.5 on (`metrics.match`). The average precision takes
boxes from a score of 0.02 on; recall and false positives are those of the daemon's default threshold. Pictures go
through the daemon's own detector (size of input, letterbox, decoding, suppression), without its limits on count and
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.vision.detector import Detector
from fer_edge.vision.tflite import Model
from quantize import daemon_stages, metrics
from quantize.data.locate import located
from quantize.data.sets import Photo, held_out_photos, read_crowd, side_of
from quantize.metrics import Bools, Curve, Matched

COUNTED = 0.08  # of the picture's short side
LARGE = 0.16
LOWEST_SCORE = 0.02
NAMES = {"all": "every photo", "heldout": "the third kept from training", "train": "the two thirds trained on"}


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """A model's figures from one pass over a set."""

    set: str
    images: int
    faces: int  # that count
    ap: float
    threshold: float  # the daemon's default; the next three are at it
    recall: float
    recall_16: float  # of faces of 16 % of the short side or more
    fp_per_image: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One photo and its detections."""

    photo: Photo
    ranked: Matched  # all boxes down to LOWEST_SCORE, for the curve
    daemon: Matched  # the boxes at the default threshold

    @property
    def counted(self) -> Bools:
        """Which faces count: bool[m]."""
        return self.photo.shares >= COUNTED


@dataclass(frozen=True, slots=True)
class Result:
    """One pass over a set."""

    findings: list[Finding]
    figures: DetectorFigures


def run(model: Model, data: Path, *, split: str) -> Result:
    """Measure a model on one side of a set. Raises DataError."""
    photos, name = read(data, split=split)
    findings = find(model, photos)
    return Result(findings, measure(findings, name=name))


def read(data: Path, *, split: str) -> tuple[list[Photo], str]:
    """Read the evaluation set and its name. Raises DataError."""
    where = located("detector", data)
    return side_of(read_crowd(where), held_out_photos, split), f"{where.name}: {NAMES[split]}"


def find(model: Model, photos: Sequence[Photo]) -> list[Finding]:
    """Run a model over photos."""
    lowest, default = daemon_stages.detector(model, min_score=LOWEST_SCORE), daemon_stages.detector(model)
    findings = []
    for photo in photos:
        ranked, daemon = (_matched(each, photo) for each in (lowest, default))
        findings.append(Finding(photo, ranked, daemon))
    return findings


def _matched(detector: Detector, photo: Photo) -> Matched:
    faces = detector(daemon_stages.frame_of(photo.image))
    boxes = np.array([(f.box.x0, f.box.y0, f.box.x1, f.box.y1) for f in faces], np.float32).reshape(-1, 4)
    scores = np.array([face.score for face in faces], np.float32)
    return metrics.match(boxes, scores, photo.boxes, photo.shares >= COUNTED)


def measure(findings: Sequence[Finding], *, name: str) -> DetectorFigures:
    """Work out every figure."""
    large = [each.photo.shares >= LARGE for each in findings]
    return DetectorFigures(
        set=name,
        images=len(findings),
        faces=int(sum(each.counted.sum() for each in findings)),
        ap=metrics.average_precision(curve(findings)),
        threshold=daemon_stages.DEFAULT_THRESHOLD,
        recall=recall(findings, [each.counted for each in findings]),
        recall_16=recall(findings, large),
        fp_per_image=sum(each.daemon.wrong() for each in findings) / max(len(findings), 1),
    )


def curve(findings: Sequence[Finding]) -> Curve:
    """Precision against recall, over all thresholds."""
    return metrics.curve([each.ranked for each in findings], faces=int(sum(each.counted.sum() for each in findings)))


def recall(findings: Sequence[Finding], which: Sequence[Bools]) -> float:
    """Share of the chosen faces (bool[m] for each photo) that the daemon finds at its default threshold."""
    found = [each.daemon.found[chosen] for each, chosen in zip(findings, which, strict=True)]
    return sum(int(each.sum()) for each in found) / max(sum(map(len, found)), 1)


def table(figures: DetectorFigures) -> list[str]:
    """Lay out for people."""
    return [
        f"{figures.set}: {figures.images} photos, {figures.faces} faces of at least {COUNTED:.0%} of the short side",
        f"average precision {figures.ap:.4f} (IoU {metrics.OVERLAP:g})",
        f"at score {figures.threshold:g}: recall {figures.recall:.4f}   of faces from {LARGE:.0%}: "
        f"{figures.recall_16:.4f}   false positives per photo {figures.fp_per_image:.3f}",
    ]
