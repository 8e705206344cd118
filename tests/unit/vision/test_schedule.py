"""When the detector runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Frame
from fer_edge.vision.schedule import DetectionSchedule
from tests.support.samples import frame_of


def gray_frame(seconds: float, spot: tuple[int, int] | None = None) -> Frame:
    """160x120 px, with a bright square of 20 px whose upper left corner (x, y) is `spot`."""
    image = np.full((120, 160, 3), 90, np.uint8)
    if spot is not None:
        x, y = spot
        image[y : y + 20, x : x + 20] = 255
    return frame_of(image, seconds=seconds)


class TestCadence:
    KNOWN = (Box(40, 40, 80, 80),)

    def start(self) -> DetectionSchedule:
        cadence = DetectionSchedule(DetectorConfig(every_seconds=0.5))
        assert cadence.should_detect(gray_frame(0), (), lost=False, missing=False)
        return cadence

    def test_seldom_while_faces_are_followed(self) -> None:
        cadence = self.start()
        looks = [cadence.should_detect(gray_frame(n / 30), self.KNOWN, lost=False, missing=False) for n in range(1, 31)]
        assert sum(looks) == 2
        assert looks[14]

    def test_more_often_while_nobody_is_there_or_somebody_is_missing(self) -> None:
        for known, missing in (((), False), (self.KNOWN, True)):
            cadence = self.start()
            looks = [
                cadence.should_detect(gray_frame(n / 30), known, lost=False, missing=missing) for n in range(1, 31)
            ]
            assert 7 <= sum(looks) <= 10

    def test_at_once_when_a_face_is_lost(self) -> None:
        assert self.start().should_detect(gray_frame(0.001), self.KNOWN, lost=True, missing=False)

    @pytest.mark.parametrize("spot", [(5, 5), (100, 20), (130, 60)])
    def test_when_something_moves_above_or_beside_a_face(self, spot: tuple[int, int]) -> None:
        assert self.start().should_detect(gray_frame(0.11, spot), self.KNOWN, lost=False, missing=False)

    @pytest.mark.parametrize("spot", [(50, 50), (45, 95), (95, 95)])
    def test_not_when_a_known_face_or_its_body_moves(self, spot: tuple[int, int]) -> None:
        cadence = self.start()
        looks = [
            cadence.should_detect(gray_frame(n / 30, spot), self.KNOWN, lost=False, missing=False) for n in (4, 14)
        ]
        assert not any(looks)
        assert cadence.should_detect(gray_frame(0.5, spot), self.KNOWN, lost=False, missing=False)

    def test_when_something_moves_farther_from_a_face_than_its_arms_reach(self) -> None:
        small = (Box(20, 20, 30, 30),)
        assert not self.start().should_detect(gray_frame(0.11, (20, 40)), small, lost=False, missing=False)
        assert self.start().should_detect(gray_frame(0.11, (60, 40)), small, lost=False, missing=False)
        assert self.start().should_detect(gray_frame(0.11, (20, 95)), small, lost=False, missing=False)

    def test_motion_can_be_switched_off(self) -> None:
        cadence = DetectionSchedule(DetectorConfig(motion=1.0))
        assert cadence.should_detect(gray_frame(0), (), lost=False, missing=False)
        assert not cadence.should_detect(gray_frame(0.11, spot=(5, 5)), self.KNOWN, lost=False, missing=False)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=50))
def test_two_looks_are_never_further_apart_than_the_pause(steps: list[float]) -> None:
    cadence, now, last = DetectionSchedule(DetectorConfig(every_seconds=0.5)), 0.0, None
    for step in steps:
        now += step
        if cadence.should_detect(gray_frame(now), TestCadence.KNOWN, lost=False, missing=False):
            last = now
        assert last is not None
        assert now - last < 0.5
