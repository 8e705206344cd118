"""Whether a face is good enough to be classified."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.config import Quality as QualityConfig
from fer_edge.pipeline import Pipeline
from fer_edge.records import Image, Landmarks, Pose, Reason
from fer_edge.vision.quality import assess, blur, turned
from tests.support.found_landmarks import find
from tests.support.samples import frame_of


class TestQuality:
    def judge(self, crop: Image, *, yaw: float = 0, pitch: float = 0, height: float = 100) -> Reason | None:
        points = np.zeros((68, 2), np.float32)
        points[8, 1] = height
        return assess(crop, Landmarks(points, 1.0, Pose(yaw, pitch, 0)), QualityConfig()).reason

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

    def test_a_pose_that_nobody_can_tell_counts_as_turned(self) -> None:
        config = QualityConfig()
        assert not turned(Pose(0, 0, 0), config)  # an older model does not say how far it is off
        assert not turned(Pose(0, 0, 0, error_deg=11.9), config)
        assert turned(Pose(0, 0, 0, error_deg=12.1), config)
        assert turned(Pose(-41, 0, 0, error_deg=2), config)

    def test_blur_rises_with_blurring_and_ignores_contrast(self, crop: Image) -> None:
        blurred = [blur(np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)) for sigma in (0.5, 1, 2, 4)]
        assert blurred == sorted(blurred)
        assert blur((crop // 2).astype(np.uint8)) == pytest.approx(blur(crop), abs=0.03)

    def test_blur_is_the_share_of_variation_that_one_more_blur_does_not_take(self, crop: Image) -> None:
        def left(picture: Image) -> float:
            picture = picture.astype(np.float64)
            soft = cv2.blur(picture, (9, 1))
            before, after = (np.abs(np.diff(each, axis=1)) for each in (picture, soft))
            return float(1 - np.maximum(before - after, 0).sum() / before.sum())

        assert blur(crop) == pytest.approx(max(left(crop), left(crop.T.copy())), abs=1e-6)

    def test_an_even_area_is_nothing_but_blur(self) -> None:
        assert blur(np.full((48, 48), 100, np.uint8)) == 1.0
