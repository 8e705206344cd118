"""Closer looks: small faces in a quarter of the picture at a time."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from fer_edge.config import Detector as DetectorConfig
from fer_edge.pipeline import Pipeline
from fer_edge.records import Image
from fer_edge.vision.detector import TILE_SCORE_ODDS, TILES
from fer_edge.vision.schedule import DetectionSchedule
from tests.support.samples import frame_of
from tests.unit.vision.test_detector import spots, tiny
from tests.unit.vision.test_schedule import gray_frame

WIDE, HIGH, SIDE = 480, 320, 48  # at whole size 5 px to one of the input's 96x64; a quarter shows 3


def found_in(left: int, top: int) -> list[int]:
    """The quarters that show a square of SIDE px there."""
    frame, detector = spots(WIDE, HIGH, (left, top), side=SIDE), tiny()
    middle = left + SIDE / 2, top + SIDE / 2
    return [
        quarter
        for quarter in range(TILES)
        if any(face.box.center == pytest.approx(middle, abs=SIDE / 2) for face in detector.detect_tile(frame, quarter))
    ]


def test_each_corner_is_in_one_quarter_and_the_middle_in_all() -> None:
    corners = itertools.product((24, WIDE - 24 - SIDE), (24, HIGH - 24 - SIDE))
    assert [found_in(*corner) for corner in corners] == [[0], [2], [1], [3]]
    assert found_in((WIDE - SIDE) // 2, (HIGH - SIDE) // 2) == [0, 1, 2, 3]


def test_what_an_inner_edge_cuts_off_is_left_to_the_others() -> None:
    edge = int(0.6 * WIDE)  # where the left quarters end
    assert found_in(edge - SIDE // 2, 24) == [1]


def test_scores_are_lowered() -> None:
    frame = spots(WIDE, HIGH, (24, 24), side=SIDE)
    face, *_ = tiny().detect_tile(frame, 0)
    raw = 0.98
    assert face.score == pytest.approx(TILE_SCORE_ODDS * raw / (TILE_SCORE_ODDS * raw + 1 - raw), abs=0.01)


def test_a_picture_as_small_as_the_input_is_not_looked_at_closer() -> None:
    assert tiny().detect_tile(spots(96, 64, (24, 24)), 0) == []
    assert tiny()(spots(96, 64, (24, 24)))


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_strip_of_one_row_or_column_has_tiles_too(shape: tuple[int, int]) -> None:
    """As a picture, or as what detector.region leaves of one."""
    frame = frame_of(np.full((*shape, 3), 128, np.uint8))
    assert [tiny().detect_tile(frame, quarter) for quarter in range(TILES)] == [[]] * TILES


def test_it_stays_within_the_region() -> None:
    frame = spots(2 * WIDE, 2 * HIGH, (24, 24), (WIDE + 24, HIGH + 24), side=SIDE)
    face, *_ = tiny(region=(0.5, 0.5, 1.0, 1.0)).detect_tile(frame, 0)
    assert face.box.center == pytest.approx((WIDE + 24 + SIDE / 2, HIGH + 24 + SIDE / 2), abs=SIDE / 2)


@pytest.mark.parametrize(("pause", "looks"), [(0.5, 7), (0.0, 0), (3600.0, 1)])
def test_the_quarters_come_one_after_the_other(pause: float, looks: int) -> None:
    cadence = DetectionSchedule(DetectorConfig(closer_every_seconds=pause))
    quarters = [quarter for n in range(91) if (quarter := cadence.next_tile(gray_frame(n / 30))) is not None]
    assert len(quarters) == looks
    assert all((after - before) % TILES == 1 for before, after in itertools.pairwise(quarters))


def far(astronaut: Image) -> Image:
    """A frame u8[720,960,3] with a face of about 26 px."""
    picture = np.full((720, 960, 3), 90, np.uint8)
    small = cv2.resize(astronaut, None, fx=0.24, fy=0.24, interpolation=cv2.INTER_AREA)
    picture[300 : 300 + small.shape[0], 420 : 420 + small.shape[1]] = small
    return picture


def test_a_far_face_is_found_that_the_whole_picture_does_not_show(pipeline: Pipeline, astronaut: Image) -> None:
    frame = frame_of(far(astronaut))
    whole = [face for face in pipeline.detector(frame) if face.score >= 0.5]
    (track,) = pipeline.look(frame).tracks
    assert track.box.center == pytest.approx((420 + 53, 300 + 27), abs=12)
    assert not whole
    for number in range(100):
        update = pipeline.step(frame_of(far(astronaut), seconds=number / 15))
        if update.events:
            break
    assert number / 15 < 2.6  # four quarters of half a second each, and until it is confirmed


def test_a_face_that_both_looks_find_is_read_once(pipeline: Pipeline, astronaut: Image) -> None:
    picture = np.full((480, 640, 3), 90, np.uint8)
    small = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)[:200]
    picture[20 : 20 + small.shape[0], 340 : 340 + small.shape[1]] = small
    frame = frame_of(picture)
    closer, whole = pipeline.detector.detect_tile(frame, 1), pipeline.detector(frame)
    (face, *_) = closer
    assert sum(face.box.iou(other.box) > 0.5 for other in whole) == 1
    pipeline.reset()
    runs = pipeline.models[2].runs
    assert len(pipeline.step(frame).tracks) == 1
    assert pipeline.models[2].runs == runs + 1
