"""vision/iris.py: the turn of the eyes from the irises, on drawn eyes, and when it is not known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.records import EyeTurn, Reason
from fer_edge.vision.iris import IrisReader, eye_pixels, eye_width
from tests.support.drawn_eyes import SIZE, drawn, landmarks

READER = IrisReader(8)


def turn(share: float = 0.5, below: float = 0.0, *, yaw: float = 0.0) -> EyeTurn:
    picture, points = drawn(share, below)
    found = READER(picture, landmarks(points, yaw=yaw))
    assert isinstance(found, EyeTurn)
    return found


def test_an_iris_further_right_is_a_turn_to_the_right() -> None:
    across = [turn(share).across_deg for share in (0.3, 0.4, 0.5, 0.6, 0.7)]
    assert across == sorted(across)
    assert across[0] < -8
    assert across[-1] > 8
    assert abs(across[2]) < 4


def test_a_lower_iris_is_a_turn_down() -> None:
    assert turn(below=0.06).down_deg > turn(below=0.0).down_deg > turn(below=-0.06).down_deg


def test_a_mirror_turns_it_round() -> None:
    picture, points = drawn(0.68)
    flipped = points.copy()
    flipped[36:48, 0] = SIZE - points[36:48, 0]
    order = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]  # of the twelve, in a mirror
    flipped[36:48] = flipped[order]
    there = READER(picture, landmarks(points))
    back = READER(np.ascontiguousarray(picture[:, ::-1]), landmarks(flipped))
    assert isinstance(there, EyeTurn)
    assert isinstance(back, EyeTurn)
    assert back.across_deg == pytest.approx(-there.across_deg, abs=2.5)
    assert back.down_deg == pytest.approx(there.down_deg, abs=1.0)


def test_a_face_that_leans_and_other_light_change_little() -> None:
    picture, points = drawn(0.65)
    upright = READER(picture, landmarks(points))
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 20, 1)
    leaning = np.asarray(cv2.warpAffine(picture, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    turned = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    dim = np.asarray(picture * 0.4, np.uint8)
    for other in (READER(leaning, landmarks(turned)), READER(dim, landmarks(points))):
        assert isinstance(upright, EyeTurn)
        assert isinstance(other, EyeTurn)
        assert other.across_deg == pytest.approx(upright.across_deg, abs=5)


def test_pixels_have_neither_brightness_nor_much_contrast() -> None:
    picture, points = drawn()
    pixels = eye_pixels(picture, points, 0)
    assert pixels.mean() == pytest.approx(0, abs=1e-5)
    assert pixels.std() == pytest.approx(1, abs=0.15)
    assert not eye_pixels(np.full_like(picture, 90), points, 0).any()


def test_it_says_why_it_does_not_know() -> None:
    picture, points = drawn(width=7.5)
    assert eye_width(points) == pytest.approx(7.5, abs=0.1)
    assert READER(picture, landmarks(points)) is Reason.TOO_SMALL
    assert isinstance(IrisReader(7)(picture, landmarks(points)), EyeTurn)
    picture, points = drawn()
    assert READER(picture, landmarks(points, yaw=31)) is Reason.TURNED
    assert READER(picture, landmarks(points, yaw=-31)) is Reason.TURNED


def test_an_eye_beyond_the_edge_of_the_picture_is_no_error() -> None:
    picture, points = drawn()
    away = points - np.array([200, 0], np.float32)
    assert isinstance(READER(picture, landmarks(away)), EyeTurn)
    points[36:48] = 0.0
    assert READER(picture, landmarks(points)) is Reason.TOO_SMALL
