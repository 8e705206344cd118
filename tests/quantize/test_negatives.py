"""quantize/: what is taken for a face and is none."""

from __future__ import annotations

import numpy as np

from quantize.data import negatives
from quantize.data.sets import Photo

FACE = np.array([[40, 30, 60, 55]], np.float32)


def photo(boxes: np.ndarray = FACE) -> Photo:
    size = len(boxes)
    points = np.full((size, 5, 2), np.nan, np.float32)
    return Photo("a.jpg", np.zeros((160, 120), np.uint8), boxes, points, np.zeros(size, np.bool_), ("",) * size)


def test_nothing_of_a_face_is_in_what_is_beside_it() -> None:
    rng, own = np.random.default_rng(1), photo()
    bodies = [box for box in (negatives.body(own, rng) for _ in range(200)) if box is not None]
    assert len(bodies) > 100
    for x0, y0, x1, y1 in bodies:
        assert x1 <= 40 or x0 >= 60 or y1 <= 30 or y0 >= 55


def test_a_photo_full_of_faces_has_no_room() -> None:
    full = photo(np.array([[0, 0, 120, 160]], np.float32))
    assert negatives.body(full, np.random.default_rng(2)) is None


def test_a_widened_face_is_touched() -> None:
    assert negatives.touches(np.array([62, 30, 80, 50], np.float32), FACE)  # 30 % of 20 px beyond its edge
    assert not negatives.touches(np.array([70, 30, 90, 50], np.float32), FACE)
    assert not negatives.touches(np.array([70, 30, 90, 50], np.float32), np.empty((0, 4), np.float32))
