"""Records made for tests."""

from __future__ import annotations

import cv2
import numpy as np

from fer_edge.records import Box, Expression, Face, Frame, Image, Landmarks, Pose, Quality, Reading, Reason


def frame_of(image: Image, *, seq: int = 0, seconds: float = 0.0) -> Frame:
    """A frame of a picture at a time."""
    return Frame(seq, round(seconds * 1e9), image, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))


def probabilities(label: int, value: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Eight probabilities: `value` for one label, the rest shared by the others."""
    values = np.full(8, (1 - value) / 7, np.float32)
    values[label] = value
    return values


def reading(
    box: Box, *, label: int | None = 1, value: float = 0.9, reason: Reason | None = None, track_id: int | None = None
) -> Reading:
    """A reading of a face in a box; label None: not judged."""
    points = np.linspace((box.x0, box.y0), (box.x1, box.y1), 68, dtype=np.float32)
    expression = None if label is None or reason else Expression(probabilities(label, value))
    return Reading(
        Face(box, 0.9, points, track_id),
        Landmarks(points, 0.99, Pose(0.0, 0.0, 0.0)),
        Quality(0.0, box.height, 0.3, 0.5, reason),
        expression,
    )
