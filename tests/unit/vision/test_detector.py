"""detect.py: input size, decode, suppression, and when to look."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from msgspec.structs import replace

from fer_edge.config import Detector as DetectorConfig
from fer_edge.errors import ModelError
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Floats, Frame, Image
from fer_edge.vision.detector import AREA_SLACK, Detector, decode, input_size, weighted_nms
from fer_edge.vision.model_card import SsdCard, TensorCard
from fer_edge.vision.tflite import Held, Model, dequantize, sigmoid
from tests.support.paths import DATA
from tests.support.samples import frame_of

BUDGET = 256 * 192


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ((640, 480), (256, 192)),
        ((256, 192), (256, 192)),
        ((480, 640), (192, 256)),
        ((1280, 720), (288, 160)),
        ((1920, 1080), (288, 160)),
        ((720, 1280), (160, 288)),
        ((512, 512), (224, 224)),
        ((1, 1), (224, 224)),
        ((3000, 2), (1568, 32)),
        ((1, 3000), (32, 1568)),
        ((64, 640), (64, 640)),
        ((640, 64), (640, 64)),
        ((64, 544), (64, 544)),  # 64x768 would show it no larger
    ],
)
def test_the_input_has_the_shape_of_the_picture(picture: tuple[int, int], expected: tuple[int, int]) -> None:
    assert input_size(*picture, area=BUDGET, step=32) == expected


def scale_of(size: tuple[int, int], picture: tuple[int, int]) -> float:
    return min(size[0] / picture[0], size[1] / picture[1])


@given(
    width=st.integers(1, 8000),
    height=st.integers(1, 8000),
    area=st.integers(1, 200_000),
    step=st.sampled_from([8, 16, 32, 64]),
)
def test_no_other_size_shows_the_picture_larger(width: int, height: int, area: int, step: int) -> None:
    across, down = input_size(width, height, area=area, step=step)
    assert across % step == down % step == 0
    most = AREA_SLACK * max(area, step * step)
    assert across * down <= most
    best = scale_of((across, down), (width, height))
    for rows in range(1, int(most / step / step) + 1):
        widest = int(most / step / step / rows) * step
        assert scale_of((widest, rows * step), (width, height)) <= best * (1 + 1e-9)


def ssd(*strides: int, keypoints: int = 2) -> SsdCard:
    return SsdCard(strides=strides, keypoints=keypoints, overlap=0.4)


def grid(rows: int, columns: int, *, keypoints: int = 2) -> list[Floats]:
    """Outputs of one stride in which no cell is a face."""
    score = np.full((1, rows, columns, 1), -9, np.float32)
    return [score, *(np.zeros((1, rows, columns, depth), np.float32) for depth in (4, 2 * keypoints))]


HELD = TensorCard(shape=(), dtype="int8", scale=0.07)


class TestDecode:
    def test_a_cell_by_hand(self) -> None:
        score, box, points = grid(3, 4)
        score[0, 1, 2] = np.log(4)
        box[0, 1, 2] = 1, 0.5, 2, 3  # left, top, right, bottom, in strides of 8 px
        points[0, 1, 2] = -0.5, -1, 0.25, 2
        rows, scores = decode([score, box, points], ssd(8), min_score=0.5)
        # the centre is at (2.5, 1.5) strides: x 20, y 12
        assert rows.tolist() == [[[12, 8], [36, 36], [16, 4], [22, 28]]]
        assert scores.tolist() == pytest.approx([0.8])
        assert rows.dtype == scores.dtype == np.float32

    def test_every_stride_has_its_own_unit(self) -> None:
        fine, coarse = grid(4, 4), grid(2, 2)
        for (score, box, _), cell in ((fine, (0, 3, 0)), (coarse, (0, 0, 1))):
            score[cell] = 0
            box[cell] = 0.5
        rows, scores = decode([*fine, *coarse], ssd(8, 16), min_score=0.5)
        assert rows[:, :2].tolist() == [[[0, 24], [8, 32]], [[16, 0], [32, 16]]]
        assert rows[:, 2:].tolist() == [[[4, 28]] * 2, [[24, 8]] * 2]  # key points on the centre
        assert scores.tolist() == [0.5, 0.5]

    def test_a_negative_distance_is_none(self) -> None:
        score, box, points = grid(1, 1)
        score[:] = 1
        box[:] = [[-1, 1, -3, 1]]
        ((low, high, *_),), _ = decode([score, box, points], ssd(10), min_score=0.5)
        assert (low.tolist(), high.tolist()) == ([5, -5], [5, 15])

    def test_only_what_scores(self) -> None:
        score, box, points = grid(2, 3, keypoints=5)
        rows, scores = decode([score, box, points], ssd(8, keypoints=5), min_score=0.3)
        assert (rows.shape, scores.shape) == ((0, 7, 2), (0,))
        rows, _ = decode([score, box, points], ssd(8, keypoints=5), min_score=0.0)
        assert (rows[:, 2] / 8 - 0.5).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]  # row by row

    @given(arrays(np.float32, (1, 3, 5, 4), elements=st.floats(-99, 99, width=32)))
    def test_boxes_are_never_inside_out(self, box: Floats) -> None:
        _, _, points = grid(3, 5)
        rows, _ = decode([np.zeros((1, 3, 5, 1), np.float32), box, points], ssd(8), min_score=0.5)
        assert (rows[:, 1] >= rows[:, 0]).all()
        assert (rows[:, 0] <= rows[:, 2]).all()
        assert (rows[:, 2] <= rows[:, 1]).all()  # the centre is never outside

    def test_a_yunet_cell_by_hand(self) -> None:
        logits = np.full((1, 3, 4, 1), -9, np.float32)
        classes, objects = logits.copy(), logits.copy()
        box, points = (np.zeros((1, 3, 4, depth), np.float32) for depth in (4, 4))
        cell = (0, 1, 2)
        classes[cell], objects[cell] = np.log(4), np.log(0.8 / 0.2)
        box[cell] = 0.5, 1, np.log(2), np.log(3)  # the centre from the cell's corner, width, height
        points[cell] = -0.5, 0, 0.25, 2
        card = SsdCard(strides=(8,), keypoints=2, overlap=0.4, coding="yunet")
        rows, scores = decode([classes, box, objects, points], card, min_score=0.5)
        # the corner is at (2, 1) strides: the centre at (2.5, 2), the box 2 x 3
        np.testing.assert_allclose(rows, [[[12, 4], [28, 28], [12, 8], [18, 24]]], rtol=1e-6)
        assert scores.tolist() == pytest.approx([0.8])

    def test_a_huge_yunet_box_stays_a_number(self) -> None:
        classes = objects = np.zeros((1, 1, 1, 1), np.float32)
        box, points = np.full((1, 1, 1, 4), 1000, np.float32), np.zeros((1, 1, 1, 4), np.float32)
        card = SsdCard(strides=(32,), keypoints=2, overlap=0.4, coding="yunet")
        rows, scores = decode([classes, box, objects, points], card, min_score=0.5)
        assert np.isfinite(rows).all()
        assert scores.tolist() == [0.5]


@given(
    st.data(),
    st.sampled_from(["int8", "uint8"]),
    st.sampled_from(["distances", "yunet"]),
    st.floats(0, 1),
    st.integers(-20, 20),
)
def test_what_a_model_holds_says_the_same_as_its_real_numbers(
    data: st.DataObject, dtype: str, coding: Literal["distances", "yunet"], min_score: float, zero_point: int
) -> None:
    card = SsdCard(strides=(8, 16), keypoints=2, overlap=0.4, coding=coding)
    shapes = [(1, rows, rows + 1, depth) for rows in (4, 2) for depth in card.depths]
    outputs: list[Held] = [data.draw(arrays(dtype, shape)) for shape in shapes]
    tensors = [replace(HELD, shape=shape, dtype=dtype, zero_point=zero_point) for shape in shapes]
    real = [dequantize(output, tensor) for output, tensor in zip(outputs, tensors, strict=True)]
    rows, scores = decode(outputs, card, min_score=min_score, cards=tensors)
    expected, sure = decode(real, card, min_score=min_score)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, sure)
    assert (scores >= np.float32(min_score)).all()


@given(arrays(np.int8, (1, 6, 7, 1)), st.floats(0.01, 0.99))
def test_no_cell_that_scores_is_missed(held: Held, min_score: float) -> None:
    tensor = replace(HELD, zero_point=3)
    places: list[Held] = [np.zeros((1, 6, 7, depth), np.int8) for depth in (4, 4)]
    _, scores = decode([held, *places], ssd(8), min_score=min_score, cards=[tensor] * 3)
    assert len(scores) == (sigmoid(dequantize(held, tensor)) >= min_score).sum()


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, np.float32).reshape(-1, 2, 2)


def test_overlapping_boxes_are_averaged_by_score_into_the_best() -> None:
    rows, scores = weighted_nms(
        boxes((0, 0, 10, 10), (2, 0, 12, 10), (50, 50, 60, 60)), np.array([0.9, 0.3, 0.5], np.float32), overlap=0.3
    )
    assert rows.reshape(-1, 4) == pytest.approx(np.array([[0.5, 0, 10.5, 10], [50, 50, 60, 60]]))
    assert scores.tolist() == pytest.approx([0.9, 0.5])


def test_nothing_stays_nothing() -> None:
    rows, scores = weighted_nms(np.zeros((0, 7, 2), np.float32), np.zeros(0, np.float32), overlap=0.3)
    assert rows.shape == (0, 7, 2)
    assert scores.shape == (0,)


corner = st.floats(0, 100, width=32)


candidates = st.lists(st.tuples(corner, corner, st.floats(1, 50, width=32), st.floats(1, 50, width=32)), max_size=12)


@given(candidates, st.data())
def test_suppression_keeps_the_best_and_covers_all(found: list[tuple[float, ...]], data: st.DataObject) -> None:
    rows = boxes(*((x, y, x + w, y + h) for x, y, w, h in found))
    floats = st.floats(0.125, 1, width=32)
    scores = np.array(data.draw(st.lists(floats, min_size=len(rows), max_size=len(rows))), np.float32)
    merged, best = weighted_nms(rows, scores, overlap=0.3)
    assert len(merged) == len(best) <= len(rows)
    assert (np.diff(best) <= 0).all()
    if len(rows):
        assert best[0] == scores.max()
        assert len(merged) >= 1
        assert merged[:, 0].min() >= rows[:, 0].min() - 1e-3  # averages stay among what they average
        assert merged[:, 1].max() <= rows[:, 1].max() + 1e-3
    alone = weighted_nms(rows, scores, overlap=1.1)
    assert len(alone[0]) == len(rows)  # nothing overlaps by more than 1


def spots(width: int, height: int, *places: tuple[int, int], side: int = 16) -> Frame:
    """A black frame with white squares, left and top given."""
    picture = np.zeros((height, width, 3), np.uint8)
    for left, top in places:
        picture[top : top + side, left : left + side] = 255
    return frame_of(picture)


def tiny(**changes: object) -> Detector:
    """A detector that takes a white cell of 8 px for a face of 16 px; its input is 96x64."""
    config = DetectorConfig(**{"min_face_px": 1, "candidate_score": 1.0, **changes})  # type: ignore[arg-type]
    return Detector(Model(DATA, "bright", role="detector"), config)


class TestDetector:
    def test_boxes_and_key_points_are_frame_pixels(self) -> None:
        (face,) = tiny()(spots(192, 128, (80, 32)))  # half as large in the model's input
        assert face.score == pytest.approx(0.98, abs=0.01)
        assert (face.box.x0, face.box.y0, face.box.x1, face.box.y1) == pytest.approx((72, 24, 104, 56), abs=0.5)
        assert face.keypoints == pytest.approx(np.array([[80, 32], [96, 32]]), abs=0.5)
        assert face.track_id is None

    @pytest.mark.parametrize(("width", "height"), [(192, 128), (128, 192), (128, 96), (512, 64), (40, 384), (50, 50)])
    def test_any_shape_of_frame(self, width: int, height: int) -> None:
        """Whichever way it is letterboxed, a face is found where it is."""
        detector = tiny()
        size = input_size(width, height, area=96 * 64, step=16)
        side = round(16 / scale_of(size, (width, height)))
        found = detector(spots(width, height, ((width - side) // 2, (height - side) // 2), side=side))
        assert detector.input_size == size
        assert found
        assert found[0].box.center == pytest.approx((width / 2, height / 2), abs=side / 2)

    def test_the_size_is_chosen_once_per_shape(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def chosen(width: int, height: int, **options: int) -> tuple[int, int]:
            asked.append((width, height))
            return input_size(width, height, **options)

        monkeypatch.setattr("fer_edge.vision.detector.input_size", chosen)
        detector = tiny()
        for width, height in ((192, 128), (192, 128), (128, 192), (128, 192), (192, 128)):
            detector(spots(width, height))
        assert asked == [(192, 128), (128, 192)]

    def test_the_shape_is_that_of_the_region(self) -> None:
        detector = tiny(region=(0.25, 0.5, 0.5, 1.0))
        (face,) = detector(spots(256, 192, (80, 136), side=8))
        assert detector.input_size == (64, 96)
        assert face.box.center == pytest.approx((84, 140), abs=0.5)

    @pytest.mark.parametrize(("given", "size"), [(None, (96, 64)), ((192, 128), (192, 128)), ((128, 192), (192, 128))])
    def test_a_configured_size_is_a_budget(self, given: tuple[int, int] | None, size: tuple[int, int]) -> None:
        detector = tiny(input_size=given)
        detector(spots(384, 256))
        assert detector.input_size == size

    def test_a_larger_input_finds_smaller_faces(self) -> None:
        frame = spots(192, 128, (80, 32), side=8)
        assert tiny()(frame) == []
        (face,) = tiny(input_size=(192, 128))(frame)
        assert face.box.center == pytest.approx((84, 36), abs=0.5)

    def test_a_model_that_cannot_be_resized_is_found_at_the_start(self) -> None:
        with pytest.raises(ModelError, match="not fully convolutional"):
            Detector(Model(DATA, "stiff", role="detector"), DetectorConfig())

    def test_region_minimum_size_and_number(self) -> None:
        two = spots(192, 128, (16, 32), (144, 96))
        assert len(tiny()(two)) == 2
        (right,) = tiny(region=(0.5, 0.0, 1.0, 1.0))(two)
        assert right.box.center == pytest.approx((152, 104), abs=8)
        assert len(tiny(max_faces=1)(two)) == 1
        assert tiny(min_face_px=33)(two) == []
        assert tiny(min_score=1.0)(two) == []
        assert tiny(region=(0.0, 0.0, 1e-6, 1e-6))(two) == []

    def test_the_height_counts_and_the_card_says_what_overlaps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        score, box, points = grid(8, 12)
        score[0, 4, 5:7] = 5
        box[0, 4, 5:7] = 2, 1, 2, 1  # 32 wide, 16 high; three fifths are shared
        monkeypatch.setattr(Model, "infer_held", lambda *_: [score, box, points, *grid(4, 6)])
        model = Model(DATA, "bright", role="detector")
        real = tuple(replace(output, dtype="float32") for output in model.card.outputs)
        model.card = replace(model.card, outputs=real)
        frame = frame_of(np.zeros((64, 96, 3), np.uint8))
        (face,) = Detector(model, DetectorConfig(min_face_px=16))(frame)
        assert (face.box.x0, face.box.y0, face.box.x1, face.box.y1) == pytest.approx((32, 28, 64, 44))
        assert Detector(model, DetectorConfig(min_face_px=17))(frame) == []

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (17, 4000)])
    def test_odd_frames_are_no_trouble(self, shape: tuple[int, int]) -> None:
        assert tiny()(frame_of(np.zeros((*shape, 3), np.uint8))) == []


def test_a_face_is_found_where_it_is(pipeline: Pipeline, astronaut: Image) -> None:
    face, *others = pipeline.detector(frame_of(astronaut))
    assert face.score > 0.6
    assert all(other.score < 0.5 for other in others)  # for the landmarks to judge
    x, y = face.box.center
    assert 190 < x < 250
    assert 80 < y < 160
    left_eye, right_eye, nose, left_mouth, right_mouth = face.keypoints
    assert left_eye == pytest.approx([204, 100], abs=12)  # looked up in the picture
    assert right_eye == pytest.approx([246, 103], abs=12)
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert left_mouth[0] < nose[0] < right_mouth[0]


@pytest.mark.parametrize("scale", [0.6, 1.7])
@pytest.mark.parametrize("border", [(0, 400), (400, 0)])
def test_the_frame_is_not_distorted(
    pipeline: Pipeline, astronaut: Image, scale: float, border: tuple[int, int]
) -> None:
    """However wide or high the frame, the face stays where it is."""
    padded = cv2.copyMakeBorder(astronaut, 0, border[0], 0, border[1], cv2.BORDER_CONSTANT)
    resized = np.asarray(cv2.resize(padded, None, fx=scale, fy=scale), np.uint8)
    usual, *_ = pipeline.detector(frame_of(astronaut))
    face, *_ = pipeline.detector(frame_of(resized))
    box = Box(*(value / scale for value in (face.box.x0, face.box.y0, face.box.x1, face.box.y1)))
    assert box.iou(usual.box) > 0.7


def test_no_face_is_found_in_noise(pipeline: Pipeline) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert pipeline.detector(frame_of(noise)) == []
