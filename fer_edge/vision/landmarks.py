"""Places 68 landmarks on a face, estimates the head's pose, and derives the face's box from the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Box, Face, Floats, Frame, Landmarks, Pose
from fer_edge.vision import transforms
from fer_edge.vision.model_card import Card, PointsCard, PoseCard
from fer_edge.vision.tflite import Model, sigmoid

RIGID = (36, 39, 42, 45, 27, 28, 29, 30, 31, 33, 35)
"""Landmarks that no expression moves: corners of the eyes, bridge and base of the nose."""

RIGID_SHAPE = np.array(
    [
        [-0.500, -0.411, 0.032],
        [-0.222, -0.399, -0.036],
        [0.222, -0.399, -0.036],
        [0.500, -0.411, 0.032],
        [0.000, -0.396, -0.236],
        [0.000, -0.248, -0.326],
        [0.000, -0.107, -0.424],
        [0.000, 0.012, -0.437],
        [-0.140, 0.100, -0.186],
        [0.000, 0.135, -0.252],
        [0.140, 0.100, -0.186],
    ]
)
"""Their mean position on a face that looks straight ahead (x right, y down, z away from the camera), in distances
of the outer eye corners: measured on the people that the landmarks model learns from (`quantize.evaluate.geometry`)."""

PRESENCE_WEIGHT = 0.5
NEUTRAL_PRESENCE = 0.7
"""Weight of the landmarks' score relative to the detector's, and the presence that changes nothing: docs/models.md."""


@cache  # where a model gives no pose: LAPACK's pages are another 1.5 MB
def _fit() -> NDArray[np.float64]:
    return np.linalg.pinv(RIGID_SHAPE - RIGID_SHAPE.mean(axis=0))


class Landmarker:
    """Frame, face -> landmarks."""

    def __init__(self, model: Model) -> None:
        self._model = model
        assert model.card.points is not None  # tflite.py refuses a landmarks card without it
        self._card = model.card.points
        self._size = model.card.input.shape[1]
        self._mean = self._card.shape()

    def __call__(self, frame: Frame, face: Face) -> Landmarks:
        """Landmarks of a face that was detected or is tracked from the previous frame."""
        matrix = region(face, self._card, self._size)
        outputs = self._model.infer(transforms.warp(self._model.view(frame), matrix, self._size))
        return decode_outputs(outputs, self._model.card, matrix, self._size, mean=self._mean)


def fuse_scores(score: float, presence: float) -> float:
    """Score, 0..1, of the detector's and the landmarks' score together: a logarithmic opinion pool (Genest and Zidek
    1986, Statistical Science 1(1)), in which the landmarks weigh half, as both models look at the same pixels."""
    log_odds = _logit(score) + PRESENCE_WEIGHT * (_logit(presence) - _logit(NEUTRAL_PRESENCE))
    return 1 / (1 + math.exp(-log_odds))


def _logit(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(share / (1 - share))


def decode_outputs(
    outputs: Sequence[Floats], card: Card, matrix: transforms.Matrix, size: int, *, mean: Floats | None = None
) -> Landmarks:
    """Landmarks in the frame from a model's outputs, in the card's order, for a crop of size x size px. `matrix`:
    f64[2,3], from frame to crop. `mean`: the card's mean shape f32[68,2], where it is at hand."""
    assert card.points is not None  # tflite.py refuses a landmarks card without it
    offsets, logit, *heads = outputs
    placed = decode_landmarks(offsets, card.points.shape() if mean is None else mean, size)
    points = transforms.transform(placed, transforms.invert(matrix))
    turned = pose_of(heads[0], heads[1], card.pose, matrix) if card.pose else pose(points)
    return Landmarks(points, _presence(logit.item()), turned)


@lru_cache(maxsize=512)  # an int8 logit has 256 values
def _presence(logit: float) -> float:
    return float(sigmoid(np.array([logit], np.float32))[0])


def pose_of(angles: Floats, logarithm: Floats, card: PoseCard, matrix: transforms.Matrix) -> Pose:
    """The pose in the picture, from outputs f32[1,3] and f32[1,1] that are about the crop: only the roll differs."""
    yaw, pitch, roll = (angles.reshape(-1) * card.unit_deg).tolist()
    roll += math.degrees(math.atan2(matrix[0, 1], matrix[0, 0]))
    error = min(90.0, card.error_unit_deg * math.exp(logarithm.item()))
    return Pose(yaw_deg=yaw, pitch_deg=pitch, roll_deg=(roll + 180) % 360 - 180, error_deg=error)


def decode_landmarks(offsets: Floats, mean: Floats, size: int) -> Floats:
    """The points f32[68,2] in px of a crop of size x size, from a model's output f32[1,136] (x0, y0, x1, ...:
    offsets from the mean shape in crop sides) and the mean shape f32[68,2]."""
    return (mean + offsets.reshape(-1, 2)) * np.float32(size)


def region(face: Face, card: PointsCard, size: int) -> transforms.Matrix:
    """The matrix f64[2,3] from the frame to the crop of size x size px around a face, rotated so that its eyes are
    level: from its 68 points where it is tracked, else from the detector's box and eyes."""
    points = face.keypoints
    if face.track_id is None:
        return crop_around_box(face.box, card, size, _slope(points[0], points[1]))
    return crop_around_points(points, card.points_scale, size, _slope(*transforms.eyes(points)))


def crop_around_points(points: Floats, scale: float, size: int, angle: float = 0.0) -> transforms.Matrix:
    """The matrix to a crop of size x size px around points f32[N,2]: a square rotated by `angle` rad (clockwise in
    the picture), around the middle of their bounding box, `scale` times as wide as that is at its longer side."""
    cos, sin = math.cos(angle), math.sin(angle)
    # `dot` of equal types: with a float32, NumPy's `@` takes twice as long
    x0, y0, x1, y1 = extent(points.astype(np.float64).dot(np.array([[cos, -sin], [sin, cos]])))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    middle = cos * x - sin * y, sin * x + cos * y
    return transforms.square_crop_matrix(middle, scale * max(x1 - x0, y1 - y0), angle, size)


def crop_around_box(box: Box, card: PointsCard, size: int, angle: float = 0.0) -> transforms.Matrix:
    """The matrix f64[2,3] to a crop of size x size px around a detector's box: a square turned by `angle` rad
    (clockwise in the picture), `box_scale` times as wide as the box's longer side, shifted towards the chin by
    `box_shift`."""
    x, y = box.center
    shift = card.box_shift * box.height
    center = (x - shift * math.sin(angle), y + shift * math.cos(angle))
    return transforms.square_crop_matrix(center, card.box_scale * max(box.width, box.height), angle, size)


def _slope(left: Floats, right: Floats) -> float:
    """Angle of the line through both eyes, rad, clockwise in the picture."""
    x, y = (right - left).tolist()
    return math.atan2(y, x)


def pose(points: Floats) -> Pose:
    """Head rotation by a weak-perspective least-squares fit of RIGID_SHAPE (DeMenthon and Davis 1995, without
    the iterations that a close camera would need).

    Args:
        points: f32[68,2] px.

    """
    seen = points[list(RIGID)].astype(np.float64)
    first, second = (_fit() @ (seen - seen.mean(axis=0))).T  # rows of scale * rotation
    first, second = first / max(np.linalg.norm(first), 1e-9), second / max(np.linalg.norm(second), 1e-9)
    toward = max(float(first[0] * second[1] - first[1] * second[0]), 1e-6)
    roll = math.atan2(float(second[0]), float(first[0]))
    # where the nose points, in the picture (the shape's z axis points into the face), then seen with a level head
    x, y = -float(first[2]), -float(second[2])
    nose_x, nose_y = x * math.cos(roll) + y * math.sin(roll), y * math.cos(roll) - x * math.sin(roll)
    return Pose(
        yaw_deg=math.degrees(math.atan2(nose_x, toward)),
        pitch_deg=math.degrees(math.atan2(nose_y, math.hypot(toward, nose_x))),
        roll_deg=math.degrees(roll),
    )


def face_box(points: Floats) -> Box:
    """The face by its landmarks f32[68,2]: as wide as its outline, from the forehead to the chin. The forehead has no
    landmarks; it is taken to be a quarter of the height from eyebrows to chin."""
    x0, y0, x1, y1 = extent(points)
    return Box(x0, y0 - 0.25 * (y1 - y0), x1, y1)


def extent(points: NDArray[np.floating[Any]]) -> tuple[float, float, float, float]:
    """Least x and y of points f[N,2], and greatest."""
    x, y = points.T.copy()
    (x0, x1, _, _), (y0, y1, _, _) = cv2.minMaxLoc(x), cv2.minMaxLoc(y)
    return x0, y0, x1, y1
