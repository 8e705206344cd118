"""landmarks.py, classify.py, quality.py: one face, read."""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Face, Floats, Frame, Image
from fer_edge.vision import transforms
from fer_edge.vision.classifier import softmax
from fer_edge.vision.landmarks import (
    NEUTRAL_PRESENCE,
    RIGID,
    RIGID_SHAPE,
    Landmarker,
    crop_around_box,
    crop_around_points,
    decode_landmarks,
    decode_outputs,
    face_box,
    fuse_scores,
    pose,
    pose_of,
    region,
)
from fer_edge.vision.model_card import Card, InputCard, PointsCard, PoseCard, TensorCard
from tests.support.found_landmarks import find
from tests.support.samples import frame_of

CARD = PointsCard(mean=((0.25, 0.5),) * 68, points_scale=1.5, box_scale=1.25, box_shift=0.1)


SPREAD = np.random.default_rng(5).uniform((40, 90), (140, 210), (68, 2)).astype(np.float32)
"""Sixty-eight points of no face; their bounding box is higher than wide."""


def test_points_are_offsets_from_the_mean_shape() -> None:
    offsets = np.zeros((1, 136), np.float32)
    offsets[0, :4] = 0.25, -0.5, 0, 0.125  # x0, y0, x1, y1
    points = decode_landmarks(offsets, CARD.shape(), 80)
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert points[:3].tolist() == [[40, 0], [20, 50], [20, 40]]


@pytest.mark.parametrize(
    ("score", "presence", "together"),
    [
        (0.8, NEUTRAL_PRESENCE, 0.8),  # no opinion
        (0.5, 28 / 31, 2 / 3),  # four times the neutral odds of 7 : 3 double the detector's
        (0.5, 7 / 19, 1 / 3),  # a quarter of them
    ],
)
def test_both_scores_together(score: float, presence: float, together: float) -> None:
    assert fuse_scores(score, presence) == pytest.approx(together)


def test_scores_at_their_ends_are_no_trouble() -> None:
    assert 0 < fuse_scores(0.0, 1.0) < 0.01
    assert 0.99 < fuse_scores(1.0, 0.0) < 1


class TestCrop:
    def test_upright_around_points(self) -> None:
        crop = transforms.transform(SPREAD, crop_around_points(SPREAD, 1.5, 96))
        low, high = crop.min(axis=0), crop.max(axis=0)
        assert (low + high) / 2 == pytest.approx([48, 48], abs=1e-3)
        # upright: nothing but shift and scale
        matrix = crop_around_points(SPREAD, 1.5, 96)
        assert (matrix[0, 1], matrix[1, 0], matrix[0, 0]) == pytest.approx((0, 0, matrix[1, 1]))

    @pytest.mark.parametrize("points", [SPREAD, SPREAD[:, ::-1]], ids=["high", "wide"])
    def test_the_longer_side_of_the_points_counts(self, points: Floats) -> None:
        crop = transforms.transform(points, crop_around_points(points, 1.5, 96))
        assert (crop.max(axis=0) - crop.min(axis=0)).max() == pytest.approx(96 / 1.5, rel=1e-5)

    @given(st.floats(-math.pi, math.pi), st.floats(-200, 200), st.floats(0.2, 5))
    def test_turned_points_make_the_same_crop(self, angle: float, shift: float, scale: float) -> None:
        """A turned, moved and scaled face fills a crop that is turned with it as the straight one does."""
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        moved = SPREAD @ np.array([[cos, sin], [-sin, cos]], np.float32) + np.float32(shift)
        straight = transforms.transform(SPREAD, crop_around_points(SPREAD, 1.5, 96))
        turned = transforms.transform(moved, crop_around_points(moved, 1.5, 96, angle))
        assert turned == pytest.approx(straight, abs=0.1)

    def test_around_a_box(self) -> None:
        """60 wide and 80 high: 100 px of the picture, 8 px below the middle."""
        matrix = crop_around_box(Box(100, 200, 160, 280), CARD, 50)
        corners = np.array([[80, 198], [180, 298], [130, 248]], np.float32)
        assert transforms.transform(corners, matrix) == pytest.approx(np.array([[0, 0], [50, 50], [25, 25]]), abs=1e-3)

    def test_around_a_wide_box(self) -> None:
        """80 wide and 60 high: 100 px of the picture, 6 px below the middle."""
        matrix = crop_around_box(Box(100, 200, 180, 260), CARD, 50)
        corners = np.array([[90, 186], [190, 286]], np.float32)
        assert transforms.transform(corners, matrix) == pytest.approx(np.array([[0, 0], [50, 50]]), abs=1e-3)

    def test_around_a_box_with_a_leaning_face(self) -> None:
        """The shift goes towards the chin: to the left where the head leans to the right by 90 degrees."""
        matrix = crop_around_box(Box(100, 200, 160, 280), CARD, 50, math.pi / 2)
        places = np.array([[122, 240], [172, 190], [72, 190]], np.float32)
        assert transforms.transform(places, matrix) == pytest.approx(np.array([[25, 25], [0, 0], [0, 50]]), abs=1e-3)

    @pytest.mark.parametrize("track_id", [None, 1])
    def test_the_eyes_are_level(self, track_id: int | None) -> None:
        points = SPREAD.copy()
        points[36:42], points[42:48] = (70, 110), (110, 140)
        face = Face(Box(40, 90, 140, 210), 0.9, points[[36, 42]] if track_id is None else points, track_id)
        left, right = transforms.transform(points[[36, 42]], region(face, CARD, 96))
        assert left[1] == pytest.approx(right[1], abs=1e-3)
        assert left[0] < right[0]


class StillModel:
    """A landmarks model, as far as Landmarker knows one: every point on the mean shape, a logit of log 3."""

    def __init__(self) -> None:
        picture = InputCard(shape=(1, 50, 50, 1), dtype="float32", color="gray", low=0.0, high=1.0)
        self.card = Card(
            card=1,
            name="still",
            role="landmarks",
            file="",
            sha256="",
            bytes=1,
            license="",
            outputs=(),
            input=picture,
            points=CARD,
        )

    def view(self, frame: Frame) -> Image:
        return frame.gray

    def infer(self, crop: Image) -> tuple[Floats, ...]:
        assert crop.shape == (50, 50)
        return np.zeros((1, 136), np.float32), np.full((1, 1), np.log(3), np.float32)


def test_landmarks_are_frame_pixels_and_the_score_a_probability() -> None:
    """The mean shape is a quarter of the crop's width left of its middle; the crop is 100 px wide, or 150 to follow."""
    landmarker, frame = Landmarker(StillModel()), frame_of(np.zeros((300, 300, 3), np.uint8))  # type: ignore[arg-type]
    box = Box(100, 200, 160, 280)
    found = landmarker(frame, Face(box, 0.9, np.array([[120, 230], [140, 230]], np.float32)))
    assert found.points == pytest.approx(np.full((68, 2), (105, 248)), abs=1e-3)
    assert found.score == pytest.approx(0.75)
    points = np.full((68, 2), (100, 100), np.float32)
    points[[0, 16]] = (50, 100), (150, 100)
    points[42:48] = (110, 100)  # to the right of the other eye, level with it
    again = landmarker(frame, Face(box, 0.9, points, track_id=1))
    assert again.points == pytest.approx(np.full((68, 2), (62.5, 100)), abs=1e-3)


POSE_CARD = PoseCard(unit_deg=90, error_unit_deg=10)


@pytest.mark.parametrize(("turn", "roll"), [(0, 9), (30, 39), (-30, -21), (175, -176)])
def test_the_heads_pose_is_about_the_crop(turn: float, roll: float) -> None:
    """A crop that is turned with a leaning face shows it upright: only the roll is another one in the picture."""
    matrix = transforms.square_crop_matrix((100, 100), 60, math.radians(turn), 80)
    angles, logarithm = np.array([[-0.5, 0.25, 0.1]], np.float32), np.array([[math.log(0.4)]], np.float32)
    found = pose_of(angles, logarithm, POSE_CARD, matrix)
    assert (found.yaw_deg, found.pitch_deg) == pytest.approx((-45, 22.5))
    assert found.roll_deg == pytest.approx(roll)
    assert found.error_deg == pytest.approx(4)


def test_the_pose_is_the_heads_where_the_card_has_one() -> None:
    """Points of a face that looks ahead, and a head that says that it does not."""
    outputs = [np.zeros((1, 136), np.float32), np.zeros((1, 1), np.float32)]
    outputs += [np.array([[0.6, 0, 0]], np.float32), np.zeros((1, 1), np.float32)]
    mean = tuple(map(tuple, (projected(np.eye(3)) / 600).tolist()))
    plain = msgspec.structs.replace(card_with(outputs), points=msgspec.structs.replace(CARD, mean=mean))
    matrix = transforms.square_crop_matrix((300, 200), 600, 0, 80)
    assert decode_outputs(outputs[:2], plain, matrix, 80).pose.yaw_deg == pytest.approx(0, abs=0.1)
    assert decode_outputs(outputs[:2], plain, matrix, 80).pose.error_deg is None
    reported = decode_outputs(outputs, msgspec.structs.replace(plain, pose=POSE_CARD), matrix, 80).pose
    assert (reported.yaw_deg, reported.error_deg) == pytest.approx((54, 10))


def card_with(outputs: list[Floats]) -> Card:
    picture = InputCard(shape=(1, 80, 80, 1), dtype="float32", color="gray", low=-1, high=1)
    return Card(
        card=1,
        name="landmarks",
        role="landmarks",
        file="landmarks.tflite",
        sha256="",
        bytes=1,
        input=picture,
        outputs=tuple(TensorCard(shape=each.shape, dtype="float32") for each in outputs),
        license="",
        points=CARD,
    )


def test_points_lie_in_the_order_of_the_68(pipeline: Pipeline, astronaut: Image) -> None:
    landmarks = find(pipeline, astronaut)
    points = landmarks.points
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert landmarks.score > 0.9
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
    expected = transforms.transform(straight.points, np.asarray(matrix, np.float64))
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
    template = pipeline.classifier.template * 48
    matrix = transforms.similarity(transforms.anchors3(landmarks.points), template)
    assert transforms.transform(transforms.anchors3(landmarks.points), matrix) == pytest.approx(template, abs=2.5)
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
