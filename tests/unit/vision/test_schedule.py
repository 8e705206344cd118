"""When the detector runs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Frame
from fer_edge.vision.schedule import DetectionSchedule
from tests.support.samples import frame_of


def gray_frame(seconds: float, spot: int | None = None) -> Frame:
    image = np.full((120, 160, 3), 90, np.uint8)
    if spot is not None:
        image[spot : spot + 20, spot : spot + 20] = 255
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

    def test_when_something_moves_elsewhere_but_not_where_a_face_is(self) -> None:
        assert self.start().should_detect(gray_frame(0.11, spot=95), self.KNOWN, lost=False, missing=False)
        assert not self.start().should_detect(gray_frame(0.11, spot=50), self.KNOWN, lost=False, missing=False)

    def test_motion_can_be_switched_off(self) -> None:
        cadence = DetectionSchedule(DetectorConfig(motion=1.0))
        assert cadence.should_detect(gray_frame(0), (), lost=False, missing=False)
        assert not cadence.should_detect(gray_frame(0.11, spot=95), self.KNOWN, lost=False, missing=False)


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
