"""detect.py: anchors, decode, suppression, and when to look."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples import frame_of

from fer_edge.card import SsdCard
from fer_edge.config import Detector
from fer_edge.detect import Cadence, anchors, decode, suppress
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Frame, Image


def ssd(**changes: object) -> SsdCard:
    values: dict[str, object] = {"strides": (4,), "per_cell": (1,), "offset": 0.5, "keypoints": 6, "overlap": 0.3}
    return SsdCard(**{**values, **changes})  # type: ignore[arg-type]


def test_anchors_are_cell_centres_row_by_row_and_grid_by_grid() -> None:
    found = anchors(ssd(strides=(4, 8), per_cell=(1, 2)), width=16, height=8)
    assert found[:5].tolist() == [[2, 2], [6, 2], [10, 2], [14, 2], [2, 6]]
    assert found[8:].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4]]


def test_decode_adds_offsets_to_the_anchor() -> None:
    row = np.array([[[1, 2], [10, 20], [3, 4]]], np.float32)
    assert decode(row, np.array([[100, 50]], np.float32)).tolist() == [[[96, 42], [106, 62], [103, 54]]]


coordinates = st.floats(-1000, 1000, width=32)


@given(arrays(np.float32, (7, 8, 2), elements=coordinates), arrays(np.float32, (7, 2), elements=coordinates))
def test_decoded_boxes_are_never_inside_out(rows: np.ndarray, centers: np.ndarray) -> None:
    points = decode(rows, centers)
    assert (points[:, 1] >= points[:, 0]).all()
    middle = (points[:, 0] + points[:, 1]) / 2
    assert middle == pytest.approx(rows[:, 0] + centers, abs=0.01)


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, np.float32).reshape(-1, 2, 2)


def test_overlapping_boxes_are_averaged_by_score_into_the_best() -> None:
    rows, scores = suppress(
        boxes((0, 0, 10, 10), (2, 0, 12, 10), (50, 50, 60, 60)), np.array([0.9, 0.3, 0.5], np.float32), overlap=0.3
    )
    assert rows.reshape(-1, 4) == pytest.approx(np.array([[0.5, 0, 10.5, 10], [50, 50, 60, 60]]))
    assert scores.tolist() == pytest.approx([0.9, 0.5])


def test_nothing_stays_nothing() -> None:
    rows, scores = suppress(np.zeros((0, 8, 2), np.float32), np.zeros(0, np.float32), overlap=0.3)
    assert rows.shape == (0, 8, 2)
    assert scores.shape == (0,)


corner = st.floats(0, 100, width=32)
candidates = st.lists(st.tuples(corner, corner, st.floats(1, 50, width=32), st.floats(1, 50, width=32)), max_size=12)


@given(candidates, st.data())
def test_suppression_keeps_the_best_and_covers_all(found: list[tuple[float, ...]], data: st.DataObject) -> None:
    rows = boxes(*((x, y, x + w, y + h) for x, y, w, h in found))
    floats = st.floats(0.125, 1, width=32)
    scores = np.array(data.draw(st.lists(floats, min_size=len(rows), max_size=len(rows))), np.float32)
    merged, best = suppress(rows, scores, overlap=0.3)
    assert len(merged) == len(best) <= len(rows)
    assert (np.diff(best) <= 0).all()
    if len(rows):
        assert best[0] == scores.max()
        assert len(merged) >= 1
        assert merged[:, 0].min() >= rows[:, 0].min() - 1e-3  # averages stay among what they average
        assert merged[:, 1].max() <= rows[:, 1].max() + 1e-3
    alone = suppress(rows, scores, overlap=1.1)
    assert len(alone[0]) == len(rows)  # nothing overlaps by more than 1


def test_a_face_is_found_where_it_is(pipeline: Pipeline, astronaut: Image) -> None:
    (face,) = pipeline.detector(frame_of(astronaut))
    assert face.score > 0.7
    x, y = face.box.center
    assert 170 < x < 270
    assert 70 < y < 190
    assert face.keypoints.shape == (6, 2)
    assert face.keypoints[0, 0] < face.keypoints[1, 0]


@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_the_frame_is_not_distorted(pipeline: Pipeline, astronaut: Image, scale: float) -> None:
    """However wide the frame, the face stays where it is and as high as wide."""
    padded = cv2.copyMakeBorder(astronaut, 0, 0, 0, 400, cv2.BORDER_CONSTANT)
    resized = np.asarray(cv2.resize(padded, None, fx=scale, fy=scale), np.uint8)
    (face,) = pipeline.detector(frame_of(resized))
    x, y = face.box.center
    assert (x / scale, y / scale) == pytest.approx((222, 128), abs=14)
    assert face.box.width / face.box.height == pytest.approx(1, abs=0.15)


def detector_with(pipeline: Pipeline, **changes: object) -> Pipeline:
    pipeline.detector = type(pipeline.detector)(pipeline.detector._model, Detector(**changes))  # type: ignore[arg-type]
    return pipeline


def test_region_minimum_size_and_number(loaded: Pipeline, astronaut: Image) -> None:
    usual = loaded.detector
    two = frame_of(np.ascontiguousarray(np.hstack([astronaut, astronaut])))
    try:
        assert len(usual(two)) == 2
        (right,) = detector_with(loaded, region=(0.5, 0.0, 1.0, 1.0)).detector(two)
        assert right.box.x0 > 512
        assert len(detector_with(loaded, max_faces=1).detector(two)) == 1
        assert detector_with(loaded, min_face_px=300).detector(two) == []
        assert detector_with(loaded, min_score=1.0).detector(two) == []
        tiny_region = detector_with(loaded, region=(0.0, 0.0, 1e-6, 1e-6)).detector
        assert tiny_region(two) == []
    finally:
        loaded.detector = usual


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (17, 4000)])
def test_odd_frames_are_no_trouble(pipeline: Pipeline, shape: tuple[int, int]) -> None:
    assert pipeline.detector(frame_of(np.zeros((*shape, 3), np.uint8))) == []


def gray_frame(seconds: float, spot: int | None = None) -> Frame:
    image = np.full((120, 160, 3), 90, np.uint8)
    if spot is not None:
        image[spot : spot + 20, spot : spot + 20] = 255
    return frame_of(image, seconds=seconds)


class TestCadence:
    KNOWN = (Box(40, 40, 80, 80),)

    def start(self) -> Cadence:
        cadence = Cadence(Detector(every_seconds=0.5))
        assert cadence.due(gray_frame(0), (), lost=False, missing=False)
        return cadence

    def test_seldom_while_faces_are_followed(self) -> None:
        cadence = self.start()
        looks = [cadence.due(gray_frame(n / 30), self.KNOWN, lost=False, missing=False) for n in range(1, 31)]
        assert sum(looks) == 2
        assert looks[14]

    def test_more_often_while_nobody_is_there_or_somebody_is_missing(self) -> None:
        for known, missing in (((), False), (self.KNOWN, True)):
            cadence = self.start()
            looks = [cadence.due(gray_frame(n / 30), known, lost=False, missing=missing) for n in range(1, 31)]
            assert 7 <= sum(looks) <= 10

    def test_at_once_when_a_face_is_lost(self) -> None:
        assert self.start().due(gray_frame(0.001), self.KNOWN, lost=True, missing=False)

    def test_when_something_moves_elsewhere_but_not_where_a_face_is(self) -> None:
        assert self.start().due(gray_frame(0.11, spot=95), self.KNOWN, lost=False, missing=False)
        assert not self.start().due(gray_frame(0.11, spot=50), self.KNOWN, lost=False, missing=False)

    def test_motion_can_be_switched_off(self) -> None:
        cadence = Cadence(Detector(motion=1.0))
        assert cadence.due(gray_frame(0), (), lost=False, missing=False)
        assert not cadence.due(gray_frame(0.11, spot=95), self.KNOWN, lost=False, missing=False)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=50))
def test_two_looks_are_never_further_apart_than_the_pause(steps: list[float]) -> None:
    cadence, now, last = Cadence(Detector(every_seconds=0.5)), 0.0, None
    for step in steps:
        now += step
        if cadence.due(gray_frame(now), TestCadence.KNOWN, lost=False, missing=False):
            last = now
        assert last is not None
        assert now - last < 0.5
