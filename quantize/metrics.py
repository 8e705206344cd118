"""The figures, as plain arithmetic on arrays; every share is 0..1.

Expression: accuracy, F1, calibration error. Detector: precision/recall curve and its area. Landmarks: error in eye
distances. Sets and protocols are with the roles: `evaluate/expression.py` and its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats
from fer_edge.vision.classifier import softmax

ECE_BINS = 15
TEMPERATURES = np.arange(0.30, 3.005, 0.01)
BIAS_ROUNDS = 50
OVERLAP = 0.5  # IoU from which a box has found a face
INNER = slice(17, 68)  # of the 68 points, those without the outline of the jaw
EYE_CORNERS = (36, 45)  # the outer ones

ROUNDS = 1000  # of the bootstrap
BOOTSTRAP_SEED = 17

Labels = NDArray[np.intp]
Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]


# --- expressions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PerClass:
    """How one expression is recognised."""

    precision: float
    recall: float
    f1: float
    count: int  # pictures with this expression


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equal width over the confidence 0..1; a bin without pictures holds zeros."""

    confidence: Doubles  # f64[bins] mean
    accuracy: Doubles  # f64[bins]
    count: Labels  # i[bins] pictures


def confusion(labels: Labels, predicted: Labels, *, classes: int) -> Labels:
    """Counts i[classes,classes]: rows are true labels, columns predicted ones."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def accuracy(table: Labels) -> float:
    """Accuracy of a confusion matrix i[classes,classes]."""
    return _share(int(np.trace(table)), int(table.sum()))


def per_class(table: Labels) -> list[PerClass]:
    """Precision, recall and F1 of each class of a confusion matrix i[classes,classes]; 0 where nothing is divided by
    nothing."""
    hits, predicted, counts = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    return [
        PerClass(_share(hit, all_predicted), _share(hit, count), _share(2 * hit, all_predicted + count), int(count))
        for hit, all_predicted, count in zip(hits, predicted, counts, strict=True)
    ]


def macro_f1(table: Labels) -> float:
    """Mean F1 of a confusion matrix i[classes,classes], rare classes counting as much as common ones; a class neither
    true nor predicted is left out."""
    concerned = (table.sum(axis=0) + table.sum(axis=1)) > 0
    return float(np.mean([each.f1 for each, counts in zip(per_class(table), concerned, strict=True) if counts]))


def reliability(probabilities: Floats, labels: Labels, *, bins: int = ECE_BINS) -> Reliability:
    """Sort predictions f32[N,K] by confidence into bins; their edges belong to the bin below."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    own = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.intp)
    count = np.bincount(own, minlength=bins)
    means = [np.bincount(own, values, bins) / np.maximum(count, 1) for values in (confidence, right)]
    return Reliability(means[0], means[1], count)


def calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Average the gap between confidence and accuracy over 15 bins, weighted by their pictures (Guo et al. 2017,
    arXiv:1706.04599); probabilities f32[N,classes], labels i[N]."""
    bins = reliability(probabilities, labels)
    return float((np.abs(bins.confidence - bins.accuracy) * bins.count).sum() / max(len(labels), 1))


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Find the temperature, to two decimals, under which the true labels i[N] of logits f32[N,classes] are most likely
    (Guo et al. 2017)."""
    best = min(TEMPERATURES, key=lambda each: _surprise(logits, labels, temperature=float(each)))
    return round(float(best), 2)


def fit_biases(logits: Floats, shares: Floats, *, rows: Sequence[int]) -> Floats:
    """What is to be added to logits f32[N,K] for the classes in `rows` to come, in the mean, to the probabilities that
    they have in `shares` f32[N,K] (bias correction, Alexandari et al. 2020, arXiv:1901.06852; 0 for the others, and
    for a class that `shares` do not have)."""
    biases = np.zeros(logits.shape[1], np.float32)
    wanted = shares.mean(axis=0)
    present = [row for row in rows if wanted[row] > 0]
    for _ in range(BIAS_ROUNDS):
        given = softmax(logits + biases, temperature=1.0).mean(axis=0)
        biases[present] += np.log(wanted[present] / given[present])
    return biases


def _surprise(logits: Floats, labels: Labels, *, temperature: float) -> float:
    given = softmax(logits, temperature=temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, 1e-12)).mean())


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0


# --- how sure figures are ------------------------------------------------------------------------------------


def bootstrap(
    figures: Callable[[Labels], Sequence[float]], groups: Sequence[Hashable], *, rounds: int = ROUNDS
) -> list[tuple[float, float]]:
    """The 95 % intervals of figures, by percentiles over samples drawn with replacement (Efron and Tibshirani 1993).

    Args:
        figures: works out the figures of some rows i[n]; NaN where rows have none.
        groups: [N] what each row belongs to; groups are drawn whole: pictures of one person are not independent.
        rounds: how many samples are drawn.

    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    own = np.array([numbers[group] for group in groups])
    members = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own))[:-1])
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    draws = (rng.integers(len(members), size=len(members)) for _ in range(rounds))
    drawn = np.array([figures(np.concatenate([members[each] for each in draw])) for draw in draws])
    return [_middle(column[~np.isnan(column)]) for column in drawn.T]


def _middle(values: Doubles) -> tuple[float, float]:
    """Where the middle 95 % of values lie; NaN where there are none."""
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, (2.5, 97.5)).tolist()
    return low, high


# --- boxes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matched:
    """One picture's boxes against its faces."""

    scores: Floats  # f32[n]
    right: Bools  # bool[n] the box found a face that counts
    asked: Bools  # bool[n] False: it found a face that does not count, which is neither right nor wrong
    found: Bools  # bool[m] the face was found

    def wrong(self) -> int:
        """How many boxes are on no face."""
        return int(np.sum(self.asked & ~self.right))


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision against recall: value i is for taking the i+1 best boxes of the whole set."""

    precision: Doubles  # f64[n]
    recall: Doubles  # f64[n]
    scores: Floats  # f32[n] of the last box taken


def overlaps(boxes: Floats, faces: Floats) -> Floats:
    """Intersection over union f32[n,m] of boxes f32[n,4] and f32[m,4], x0,y0,x1,y1 each."""
    low, high = np.maximum(boxes[:, None, :2], faces[None, :, :2]), np.minimum(boxes[:, None, 2:], faces[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas, others = (np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=1) for each in (boxes, faces))
    return np.asarray(shared / np.maximum(areas[:, None] + others[None] - shared, 1e-9), np.float32)


def match(boxes: Floats, scores: Floats, faces: Floats, counted: Bools) -> Matched:
    """Give each box, best first, the free face that it overlaps most, as COCO's protocol does (Lin et al. 2014).

    A face that counts is found once: a second box on it is wrong. A box that found no such face, but lies on a face
    that does not count, is neither right nor wrong, as often as it happens.

    Args:
        boxes: f32[n,4] x0,y0,x1,y1.
        scores: f32[n].
        faces: f32[m,4].
        counted: [m], which faces count.

    """
    shares = overlaps(boxes, faces)
    right, asked, found = np.zeros(len(boxes), np.bool_), np.ones(len(boxes), np.bool_), np.zeros(len(faces), np.bool_)
    for box in np.argsort(-scores, kind="stable"):
        free, other = np.where(counted & ~found, shares[box], 0), np.where(counted, 0, shares[box])
        if free.max(initial=0) >= OVERLAP:
            right[box] = found[free.argmax()] = True
        elif other.max(initial=0) >= OVERLAP:
            asked[box], found[other.argmax()] = False, True
    return Matched(scores, right, asked, found)


def curve(pictures: Sequence[Matched], *, faces: int) -> Curve:
    """Pool the boxes of all pictures, best first; `faces` is how many count."""
    scores, right = (
        np.concatenate([getattr(each, name)[each.asked] for each in pictures] or [np.zeros(0)])
        for name in ("scores", "right")
    )
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    return Curve(hits / np.arange(1, len(hits) + 1), hits / max(faces, 1), scores[order])


def average_precision(points: Curve) -> float:
    """Area under the precision/recall curve, each recall with the best precision from there on (all-point
    interpolation, PASCAL VOC 2010)."""
    best = np.maximum.accumulate(points.precision[::-1])[::-1]
    return float(np.sum(np.diff(points.recall, prepend=0.0) * best))


# --- points --------------------------------------------------------------------------------------------------


def eye_distances(points: Floats) -> Floats:
    """Distances f32[N] of the outer eye corners of points f32[N,68,2]."""
    left, right = EYE_CORNERS
    return np.asarray(np.linalg.norm(points[:, right] - points[:, left], axis=1), np.float32)


def point_errors(found: Floats, true: Floats) -> Floats:
    """How far points f32[N,68,2] are off, in distances of the true outer eye corners: f32[N,68]."""
    eyes = np.maximum(eye_distances(true), 1e-9)
    return np.asarray(np.linalg.norm(found - true, axis=2) / eyes[:, None], np.float32)


def cumulative(errors: Floats, limits: Doubles) -> Doubles:
    """Share of errors f32[N] up to each limit [L]."""
    return np.asarray(np.searchsorted(np.sort(errors), limits, side="right") / max(len(errors), 1), np.float64)
