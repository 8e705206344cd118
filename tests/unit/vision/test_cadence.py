"""When the detector looks: with a camera's exact frame rate, black frames, and cuts."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Frame
from fer_edge.vision.schedule import DetectionSchedule
from tests.support.samples import frame_of

HEIGHT, WIDTH = 240, 320


def scene(seed: int) -> NDArray[np.uint8]:
    """A made-up room: a dozen of large patches of light and shade."""
    random = np.random.default_rng(seed)
    patches = random.integers(20, 230, (5, 7), dtype=np.uint8)
    return np.asarray(cv2.resize(patches, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def frame(gray: NDArray[np.uint8], number: int, *, fps: float = 30.0) -> Frame:
    made = frame_of(np.repeat(gray[:, :, None], 3, axis=2))
    return Frame(number, int(number * 1e9 / fps), made.image, made.gray)


@pytest.mark.parametrize("fps", [15.0, 24.0, 25.0, 30.0, 50.0, 60.0])
def test_a_pause_that_divides_the_frame_rate_is_kept(fps: float) -> None:
    cadence, black = DetectionSchedule(DetectorConfig()), np.zeros((HEIGHT, WIDTH), np.uint8)
    looked = [n for n in range(600) if cadence.should_detect(frame(black, n, fps=fps), (), lost=False, missing=False)]
    steps = {later - earlier for earlier, later in pairwise(looked)}
    assert steps == {int(np.ceil(round(0.1 * fps, 6)))}


def test_at_30_fps_every_second_frame_being_black_hides_no_face() -> None:
    cadence, room, black = DetectionSchedule(DetectorConfig(motion=1.0)), scene(1), np.zeros((HEIGHT, WIDTH), np.uint8)
    seen = [
        number % 2
        for number in range(600)
        if cadence.should_detect(frame(black if number % 2 else room, number), (), lost=False, missing=False)
    ]
    assert 0.4 < np.mean(seen) < 0.6, "the pause is three frames: it meets both kinds"


def test_a_cut_is_seen_and_the_detector_looks_at_once() -> None:
    cadence = DetectionSchedule(DetectorConfig())
    for number in range(20):
        shown = frame(scene(1 if number < 10 else 2), number)
        assert cadence.cut(shown, watched=True) == (number == 10)
        assert cadence.should_detect(shown, (), lost=False, missing=False) or number not in (0, 10)


def test_lights_noise_motion_and_black_frames_are_no_cut() -> None:
    cadence, room, random = DetectionSchedule(DetectorConfig()), scene(1), np.random.default_rng(0)
    dimmed = (room * 0.3).astype(np.uint8)
    noisy = np.clip(room + random.normal(0, 25, room.shape), 0, 255).astype(np.uint8)
    moved = np.roll(room, 12, axis=1)
    closer = np.array(room)
    closer[60:180, 100:220] = 200  # somebody steps in
    black, white = np.zeros_like(room), np.full_like(room, 255)
    for number, gray in enumerate(
        (room, dimmed, room, noisy, room, moved, room, closer, room, black, room, white, room)
    ):
        assert not cadence.cut(frame(gray, number), watched=True), number


def test_a_scene_of_a_time_when_nobody_was_there_means_nothing() -> None:
    cadence = DetectionSchedule(DetectorConfig())
    assert not cadence.cut(frame(scene(1), 0), watched=True)
    assert not cadence.cut(frame(scene(1), 1), watched=False)
    assert not cadence.cut(frame(scene(2), 2), watched=True)


def test_somebody_who_passes_before_a_plain_wall_is_no_cut() -> None:
    cadence, wall = DetectionSchedule(DetectorConfig()), np.full((HEIGHT, WIDTH), 120, np.uint8)
    for number in range(20):
        shown = np.array(wall)
        shown[60:140, number * 12 : number * 12 + 60] = 30  # 12 px a frame, of 320
        shown[70:120, 250 - number * 12 : 300 - number * 12] = 220
        assert not cadence.cut(frame(shown, number), watched=True), number
