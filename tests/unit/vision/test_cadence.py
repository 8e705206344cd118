"""When the detector looks: with a camera's exact frame rate, black frames, and cuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Frame
from fer_edge.vision.detector import TILES
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


def looks(pictures: Iterable[NDArray[np.uint8]], *, known: Sequence[Box] = (), **config: float) -> list[int]:
    """In which of these frames, 10 a second, the detector looks at the whole."""
    cadence = DetectionSchedule(DetectorConfig(closer_every_seconds=0.0, **config))  # type: ignore[arg-type]
    each = (frame(picture, number, fps=10.0) for number, picture in enumerate(pictures))
    return [shown.seq for shown in each if cadence.due(shown, known, lost=False, missing=False)[0]]


def test_what_has_not_changed_is_looked_at_less_often_while_nobody_is_there() -> None:
    room, random = scene(1), np.random.default_rng(0)
    noisy = [np.clip(room + random.normal(0, 8, room.shape), 0, 255).astype(np.uint8) for _ in range(21)]
    assert looks([room] * 21) == looks(noisy) == [0, 4, 8, 12, 16, 20]
    assert looks([room] * 21, motion=1.0) == list(range(21)), "nothing is known of motion"
    assert looks([room] * 5, idle_every_seconds=0.0) == list(range(5))


def test_somebody_who_comes_is_seen_at_the_next_look() -> None:
    room = scene(1)
    entered = room.copy()
    entered[100:124, 140:164] = 255 - entered[100:124, 140:164]  # as small as a face may be
    assert looks([room] * 6 + [entered] * 6) == [0, 4, 6, 10]


def test_a_face_in_a_still_picture_is_looked_for_by_new_thresholds_at_once() -> None:
    cadence, room = DetectionSchedule(DetectorConfig()), frame(scene(1), 0)
    due = []
    for number in range(8):
        if number == 6:
            cadence.configure(DetectorConfig(min_score=0.3))
        shown = Frame(number, number * 100_000_000, room.image, room.gray)
        due += [number] if cadence.due(shown, (), lost=False, missing=False)[0] else []
    assert due == [0, 4, 6]


def test_a_high_threshold_for_motion_makes_no_picture_still_that_changes() -> None:
    room = scene(1)
    entered = room.copy()
    entered[100:124, 140:164] += 20
    assert looks([room] * 6 + [entered] * 2, motion=0.9) == [0, 4, 6]


def test_a_slow_change_adds_up() -> None:
    rooms = [np.clip(scene(1).astype(int) + 3 * number, 0, 255).astype(np.uint8) for number in range(13)]
    assert looks(rooms) == [0, 3, 6, 9, 12], "after three frames of three gray levels each it is more than six"


def test_a_face_that_is_missed_is_looked_for_in_a_still_picture_too() -> None:
    room = scene(1)
    for lost, missing, known in ((True, False, ()), (False, True, ()), (False, True, (Box(0, 0, 9, 9),))):
        cadence = DetectionSchedule(DetectorConfig())
        due = [cadence.due(frame(room, n, fps=10.0), known, lost=lost, missing=missing)[0] for n in range(10)]
        assert all(due[1:])


def test_a_quarter_is_left_out_while_nothing_beside_the_known_faces_has_changed_in_it() -> None:
    cadence, room = DetectionSchedule(DetectorConfig()), scene(1)
    nodding = room.copy()
    nodding[50:90, 50:90] = 255 - nodding[50:90, 50:90]
    tiles = []
    for number in range(200):  # 20 s
        shown = nodding if number % 2 else room
        _, tile = cadence.due(frame(shown, number, fps=10.0), (Box(50, 50, 90, 90),), lost=False, missing=False)
        tiles += [] if tile is None else [(number // 10, tile)]
    seconds = {tile: [second for second, each in tiles if each == tile] for tile in range(TILES)}
    assert all(later - earlier == 8 for each in seconds.values() for earlier, later in pairwise(each))
    assert [len(seconds[tile]) for tile in range(TILES)] == [3, 3, 3, 3]


def test_it_rests_in_a_run_that_is_resumed_as_in_one_that_is_not() -> None:
    frames = [frame(scene(1), number, fps=10.0) for number in range(120)]
    whole, resumed = DetectionSchedule(DetectorConfig()), DetectionSchedule(DetectorConfig())
    for shown in frames[:50]:
        whole.due(shown, (), lost=False, missing=False)
    resumed.restore(whole.snapshot())
    for shown in frames[:50]:
        resumed.review(shown)
    due = [whole.due(shown, (), lost=False, missing=False) for shown in frames[50:]]
    assert [resumed.due(shown, (), lost=False, missing=False) for shown in frames[50:]] == due


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
