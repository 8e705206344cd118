"""A picture with two drawn eyes, and the landmarks to it."""

from __future__ import annotations

import cv2
import numpy as np

from fer_edge.records import Floats, Image, Landmarks, Pose

SIZE = 160
LEFT, RIGHT = (50.0, 80.0), (110.0, 80.0)  # middles of the eyes


def drawn(share: float = 0.5, below: float = 0.0, *, width: float = 32.0) -> tuple[Image, Floats]:
    """A picture u8[160,160] with both irises at a share of the way from corner to corner, left to right, and below the
    line between them; and the 68 points f32[68,2], of which only those of the eyes are right."""
    scale = 4  # drawn large and made smaller: smooth edges
    big = np.full((SIZE * scale, SIZE * scale), 170, np.uint8)
    points = np.zeros((68, 2), np.float32)
    for first, (x, y) in ((36, LEFT), (42, RIGHT)):
        middle = (round(x * scale), round(y * scale))
        lids = np.zeros_like(big)
        cv2.ellipse(lids, middle, (round(width * scale / 2), round(width * scale / 5)), 0, 0, 360, 255, -1)
        iris = (round((x + (share - 0.5) * width) * scale), round((y + below * width) * scale))
        eye = np.full_like(big, 225)
        cv2.circle(eye, iris, round(width * scale / 5.5), 60, -1)
        big[lids > 0] = eye[lids > 0]
        cv2.ellipse(big, middle, (round(width * scale / 2), round(width * scale / 5)), 0, 180, 360, 90, scale * 2)
        along = np.array([-0.5, -0.2, 0.2, 0.5, 0.2, -0.2]) * width
        down = np.array([0, -0.19, -0.19, 0, 0.19, 0.19]) * width
        points[first : first + 6] = np.column_stack([x + along, y + down])
    return np.asarray(cv2.resize(big, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8), points


def landmarks(points: Floats, *, yaw: float = 0.0) -> Landmarks:
    """Of a face that is turned."""
    return Landmarks(points, 1.0, Pose(yaw, 0.0, 0.0, 2.0))
