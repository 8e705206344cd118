"""attention.py: who looks, with hysteresis in degrees and seconds, and when that is not known."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.config import Attention, Config, EyesMouth
from fer_edge.records import EyeTurn, Intensities, Pose, Quality, Reason
from fer_edge.tracking.signals.attention import looks, off_camera_deg
from tests.support.faces_over_time import Shown, Story

CONFIG = Config(attention=Attention(enabled=True, cone_deg=20, hysteresis_deg=5, dwell_seconds=0.3, lasting_seconds=2))
TOWARDS, AWAY = Shown(), Shown(yaw=45)


def quality(height_px: float = 60, reason: Reason | None = None) -> Quality:
    return Quality(0.0, height_px, 0.2, 0.5, reason)


def looking(story: Story) -> bool | None:
    return story.signals["looks"].on


def test_the_angle_is_that_between_head_and_camera() -> None:
    assert off_camera_deg(Pose(0, 0, 30)) == pytest.approx(0, abs=1e-5)  # roll does not look away
    assert off_camera_deg(Pose(-15, 0, 0)) == pytest.approx(15)
    assert off_camera_deg(Pose(0, 25, 0)) == pytest.approx(25)
    assert off_camera_deg(Pose(15, 15, 0)) == pytest.approx(21.1, abs=0.1)
    assert off_camera_deg(Pose(120, 0, 0)) == pytest.approx(120)


@pytest.mark.parametrize(
    ("pose", "measured", "expected"),
    [
        (Pose(0, 0, 0, 2), quality(), 20),
        (Pose(30, 0, 0, 2), quality(), -10),
        (Pose(0, 0, 0, None), quality(), 20),  # a model that does not say how far it is off is believed
        (Pose(0, 0, 0, 2), quality(height_px=20), Reason.TOO_SMALL),
        (Pose(0, 0, 0, 2), quality(reason=Reason.DARK), Reason.DARK),
        (Pose(0, 0, 0, 2), quality(reason=Reason.BLURRED), Reason.BLURRED),
        (Pose(0, 0, 0, 12), quality(), Reason.TURNED),
        (Pose(35, 0, 0, 12), quality(reason=Reason.TURNED), Reason.TURNED),
        (Pose(60, 0, 0, 12), quality(reason=Reason.TURNED), -40),  # so far that it does not look, however far off
        (Pose(60, 0, 0, 3), quality(reason=Reason.TURNED), -40),
    ],
)
def test_it_says_why_where_it_cannot_know(pose: Pose, measured: Quality, expected: float | Reason) -> None:
    found = looks(pose, measured, CONFIG.attention)
    assert found is expected if isinstance(expected, Reason) else found == pytest.approx(expected, abs=1e-4)


def test_seconds_times_and_the_first_look() -> None:
    story = Story(CONFIG)
    story.show(2, AWAY)
    story.show(3, TOWARDS)
    story.show(2, AWAY)
    story.show(1, TOWARDS)
    state = story.signals["looks"]
    assert state.on is True
    assert state.times == 2
    assert state.first_after_s == pytest.approx(2.0)
    assert state.seconds == pytest.approx(3 + 0.7, abs=0.11)  # the last look is counted from when it was believed
    assert state.known_s == pytest.approx(7.6, abs=0.11)


def test_a_glance_shorter_than_the_dwell_is_none() -> None:
    story = Story(CONFIG)
    story.show(1, AWAY)
    story.show(0.2, TOWARDS)
    story.show(1, AWAY)
    assert (story.signals["looks"].times, story.signals["looks"].seconds) == (0, 0.0)


def test_hysteresis_holds_a_look_near_the_edge() -> None:
    story = Story(CONFIG)
    story.show(1, Shown(yaw=23))
    assert looking(story) is False
    story.show(1, Shown(yaw=18))
    assert looking(story) is True
    story.show(1, Shown(yaw=23))
    assert looking(story) is True
    story.show(1, Shown(yaw=26))
    assert looking(story) is False


def test_it_abstains_when_that_has_lasted() -> None:
    story = Story(CONFIG)
    story.show(1, TOWARDS)
    story.show(0.2, Shown(reason=Reason.DARK))
    assert story.signals["looks"].on is True
    story.show(1, Shown(reason=Reason.DARK))
    state = story.signals["looks"]
    assert (state.on, state.reason) == (None, Reason.DARK)
    known = state.known_s
    story.show(1, Shown(reason=Reason.DARK))
    assert story.signals["looks"].known_s == known


def test_time_out_of_sight_does_not_count() -> None:
    story = Story(CONFIG)
    story.show(2, TOWARDS)
    before = story.signals["looks"].seconds
    story.show(1, None)
    story.show(0.1, TOWARDS)
    assert story.signals["looks"].seconds == pytest.approx(before, abs=0.01)
    assert story.signals["looks"].times == 1


def test_every_event_carries_it_and_the_end_all_of_it() -> None:
    story = Story(CONFIG)
    story.show(3, TOWARDS)
    story.show(3, None)
    start, end = story.events[0], story.events[-1]
    assert start.event_type.value == "start"
    assert end.event_type.value == "end"
    assert end.signals["looks"].seconds == pytest.approx(2.6, abs=0.11)


def test_a_face_is_counted_once_when_it_looks_and_once_when_it_has_looked_for_long() -> None:
    story = Story(CONFIG)
    updates = story.show(1, AWAY) + story.show(4, TOWARDS) + story.show(1, AWAY) + story.show(4, TOWARDS)
    reached = [name for update in updates for face in update.faces for name in face.reached]
    assert reached == ["looks", "looks+"]


def test_off_it_tells_nothing() -> None:
    story = Story(Config())
    story.show(1, TOWARDS)
    assert story.signals == {}
    assert story.faces[0].reached == ()


IRIS = Config(attention=Attention(enabled=True, iris=True, dwell_seconds=0.3), eyes_mouth=EyesMouth())


def test_eyes_may_look_past_the_camera_or_back_to_it() -> None:
    story = Story(IRIS)
    story.show(1, Shown(eyes=EyeTurn(-28, 0)))
    assert looking(story) is False
    story.show(1, Shown(yaw=25, eyes=EyeTurn(-20, 5)))
    assert looking(story) is True
    story.show(1, Shown(yaw=25, eyes=EyeTurn(0, 0)))
    assert looking(story) is False
    story.show(1, Shown(yaw=10, eyes=Reason.TOO_SMALL))  # the head alone
    assert looking(story) is True


def test_eyes_aside_is_a_level_to_the_right_that_is_smoothed_and_ends_at_one() -> None:
    story = Story(IRIS)
    story.show(2, Shown(eyes=EyeTurn(-15, 0)))
    assert story.signals["eyes_aside"].value == pytest.approx(-0.5)
    story.step(Shown(eyes=EyeTurn(15, 0)))
    assert -0.5 < (story.signals["eyes_aside"].value or 0) < 0
    story.show(5, Shown(eyes=EyeTurn(45, 0)))
    assert story.signals["eyes_aside"].value == pytest.approx(1.0, abs=0.01)


CLOSED = Intensities(("eye_closed_left", "eye_closed_right"), np.array([0.9, 0.8], np.float32))


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (Shown(eyes=Reason.TOO_SMALL), Reason.TOO_SMALL),
        (Shown(yaw=32, eyes=Reason.TURNED), Reason.TURNED),
        (Shown(reason=Reason.DARK), Reason.DARK),
        (Shown(eyes=EyeTurn(20, 0), intensities=CLOSED), Reason.UNCERTAIN),
    ],
)
def test_eyes_aside_says_why_it_is_not_known(shown: Shown, reason: Reason) -> None:
    story = Story(IRIS)
    story.show(1, shown)
    state = story.signals["eyes_aside"]
    assert (state.value, state.reason) == (None, reason)


def test_closed_eyes_do_not_look_elsewhere() -> None:
    story = Story(IRIS)
    story.show(1, Shown(eyes=EyeTurn(30, 0), intensities=CLOSED))
    assert looking(story) is True  # by the head


def test_without_iris_there_is_no_such_signal() -> None:
    story = Story(CONFIG)
    story.show(1, TOWARDS)
    assert "eyes_aside" not in story.signals
