"""landmarks.py, classify.py, quality.py: one face, read."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import frame_of

from fer_edge import image
from fer_edge.classify import softmax
from fer_edge.config import Quality as QualityConfig
from fer_edge.landmarks import RIGID, RIGID_SHAPE, face_box, pose
from fer_edge.pipeline import Pipeline
from fer_edge.quality import blur, judge
from fer_edge.records import Box, Face, Floats, Image, Landmarks, Pose, Reason


def find(pipeline: Pipeline, picture: Image) -> Landmarks:
    frame = frame_of(picture)
    return pipeline.landmarker(frame, pipeline.detector(frame)[0])


def test_points_lie_in_the_order_of_the_68(pipeline: Pipeline, astronaut: Image) -> None:
    landmarks = find(pipeline, astronaut)
    points = landmarks.points
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert landmarks.score > 0.99
    chin, left_brow, right_brow = points[8], points[17:22].mean(0), points[22:27].mean(0)
    left_eye, right_eye, nose, mouth = points[36:42].mean(0), points[42:48].mean(0), points[30], points[48:60].mean(0)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_brow[1] < left_eye[1] < nose[1] < mouth[1] < chin[1]
    assert left_brow[0] < right_brow[0]
    assert points[0, 0] < points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0] < points[16, 0]
    assert points[48, 0] < points[51, 0] < points[54, 0]
    assert left_eye == pytest.approx([204, 100], abs=4)  # looked up in the picture
    assert right_eye == pytest.approx([246, 103], abs=4)


def test_following_finds_the_same_points_as_detecting(pipeline: Pipeline, astronaut: Image) -> None:
    first = find(pipeline, astronaut)
    followed = Face(face_box(first.points), first.score, first.points, track_id=1)
    again = pipeline.landmarker(frame_of(astronaut), followed)
    assert np.abs(again.points - first.points).mean() < 2


@pytest.mark.parametrize("degrees", [-25, 25])
def test_a_leaning_head_is_followed_and_its_roll_is_read(pipeline: Pipeline, astronaut: Image, degrees: int) -> None:
    straight = find(pipeline, astronaut)
    center = straight.points.mean(0).tolist()
    matrix = cv2.getRotationMatrix2D(center, -degrees, 1.0)  # OpenCV counts against the clock
    leaning = find(pipeline, np.asarray(cv2.warpAffine(astronaut, matrix, (512, 512)), np.uint8))
    assert leaning.pose.roll_deg - straight.pose.roll_deg == pytest.approx(degrees, abs=4)
    expected = image.transform(straight.points, np.asarray(matrix, np.float64))
    assert np.abs(leaning.points - expected).mean() < 3


def test_no_face_no_score(pipeline: Pipeline) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    eyes = np.array([[80, 90], [120, 90]], np.float32)
    assert pipeline.landmarker(frame_of(noise), Face(Box(60, 60, 140, 140), 0.9, eyes)).score < 0.5


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """That of a head that nods first, then turns, then leans."""
    y, p, r = (math.radians(v) for v in (yaw, pitch, roll))
    turn_yaw = np.array([[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]])
    turn_pitch = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    turn_roll = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return np.asarray(turn_roll @ turn_yaw @ turn_pitch)


def projected(turn: np.ndarray) -> Floats:
    """The rigid points of a turned head (weak perspective), as 68 points."""
    points = np.zeros((68, 2), np.float32)
    points[list(RIGID)] = (RIGID_SHAPE @ turn.T)[:, :2] * 80 + (300, 200)
    return points


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-40, 40))
def test_pose_is_read_back(yaw: float, pitch: float, roll: float) -> None:
    found = pose(projected(rotation(yaw, pitch, roll)))
    assert (found.yaw_deg, found.pitch_deg, found.roll_deg) == pytest.approx((yaw, pitch, roll), abs=0.1)


@pytest.mark.parametrize(
    ("turn", "name", "sign"),
    [
        ((20, 0, 0), "yaw_deg", 1),
        ((-20, 0, 0), "yaw_deg", -1),
        ((0, 20, 0), "pitch_deg", 1),
        ((0, 0, 15), "roll_deg", 1),
    ],
)
def test_signs_of_the_pose(turn: tuple[float, float, float], name: str, sign: int) -> None:
    assert getattr(pose(projected(rotation(*turn))), name) == pytest.approx(sign * max(map(abs, turn)), abs=0.5)


def test_the_face_box_reaches_from_forehead_to_chin() -> None:
    points = np.array([(10, 50), (30, 20), (50, 100)], np.float32)
    box = face_box(points)
    assert (box.x0, box.y0, box.x1, box.y1) == (10, 0, 50, 100)


def test_a_crop_has_eyes_and_mouth_where_the_card_says(pipeline: Pipeline, astronaut: Image) -> None:
    landmarks = find(pipeline, astronaut)
    template = pipeline.classifier._template * 48
    matrix = image.similarity(image.anchors3(landmarks.points), template)
    assert image.transform(image.anchors3(landmarks.points), matrix) == pytest.approx(template, abs=2.5)
    assert pipeline.classifier.crop(frame_of(astronaut), landmarks).shape == (48, 48)


def test_a_smile_is_happiness(pipeline: Pipeline, astronaut: Image) -> None:
    frame = frame_of(astronaut)
    expression = pipeline.classifier(pipeline.classifier.crop(frame, find(pipeline, astronaut)))
    assert expression.label == "happiness"
    assert expression.confidence > 0.8
    assert expression.probabilities.sum() == pytest.approx(1)


def test_softmax_cools_and_does_not_overflow() -> None:
    logits = np.array([1000.0, 999.0], np.float32)
    sharp, soft = softmax(logits), softmax(logits, temperature=10.0)
    assert sharp.tolist() == pytest.approx([0.7311, 0.2689], abs=1e-4)
    assert soft[0] < sharp[0]


class TestQuality:
    def judge(self, crop: Image, *, yaw: float = 0, pitch: float = 0, height: float = 100) -> Reason | None:
        points = np.zeros((68, 2), np.float32)
        points[8, 1] = height
        return judge(crop, Landmarks(points, 1.0, Pose(yaw, pitch, 0)), QualityConfig()).reason

    @pytest.fixture
    def crop(self, pipeline: Pipeline, astronaut: Image) -> Image:
        return pipeline.classifier.crop(frame_of(astronaut), find(pipeline, astronaut))

    def test_each_reason(self, crop: Image) -> None:
        assert self.judge(crop) is None
        assert self.judge(crop, height=20) is Reason.TOO_SMALL
        assert self.judge(crop, yaw=-50) is Reason.TURNED
        assert self.judge(crop, pitch=40) is Reason.TURNED
        assert self.judge((crop // 8).astype(np.uint8)) is Reason.DARK
        assert self.judge((crop // 20 + 240).astype(np.uint8)) is Reason.BRIGHT
        assert self.judge(np.asarray(cv2.GaussianBlur(crop, (0, 0), 4), np.uint8)) is Reason.BLURRED

    def test_blur_rises_with_blurring_and_ignores_contrast(self, crop: Image) -> None:
        blurred = [blur(np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)) for sigma in (0.5, 1, 2, 4)]
        assert blurred == sorted(blurred)
        assert blur((crop // 2).astype(np.uint8)) == pytest.approx(blur(crop), abs=0.03)

    def test_an_even_area_is_nothing_but_blur(self) -> None:
        assert blur(np.full((48, 48), 100, np.uint8)) == 1.0
