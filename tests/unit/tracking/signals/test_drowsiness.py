"""drowsiness.py, over_calm.py: beside the own calm state, over a minute, and a reason where that is not known."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from fer_edge.commands.analyze.checkpoint import pack, unpack
from fer_edge.config import Alert, Config, Drowsiness
from fer_edge.config import Intensities as IntensitiesConfig
from fer_edge.contract import encode
from fer_edge.records import Intensities, Reason
from fer_edge.tracking.alerts import AlertMaker
from fer_edge.tracking.signals import signal_words
from fer_edge.tracking.tracker import TrackerSnapshot
from tests.support.faces_over_time import Shown, Story

CONFIG = Config(drowsiness=Drowsiness(enabled=True), intensities=IntensitiesConfig(enabled=True))
NAMES = ("smile", "brow_raise", "jaw_open", "eye_closed_left", "eye_closed_right")
NARROW = 0.4  # of eyes that are open


def shown(
    eyes: float = NARROW, jaw: float = 0.0, smile: float = 0.1, brow: float = 0.2, reason: Reason | None = None
) -> Shown:
    values = np.array([smile, brow, jaw, eyes, eyes], np.float32)
    return Shown(intensities=None if reason else Intensities(NAMES, values), reason=reason)


def story_at(fps: float) -> Story:
    return Story(CONFIG, fps=fps)


def blink(story: Story, *, every_s: float, times: int, shut_s: float = 0.2, shut: float = 0.7) -> None:
    for _ in range(times):
        story.show(every_s - shut_s, shown())
        story.show(shut_s, shown(eyes=shut))


def test_blinks_are_counted_beside_the_own_calm_state() -> None:
    story = story_at(15)
    blink(story, every_s=5, times=12)
    story.show(1, shown())
    assert story.signals["blinks"].value == pytest.approx(12, abs=0.7)
    assert story.signals["perclos"].value == pytest.approx(0.04, abs=0.01)
    assert "blinks a minute 12" in signal_words(story.signals)


def test_blinks_are_not_counted_where_noise_would_be_counted_too() -> None:
    story = story_at(15)
    blink(story, every_s=5, times=12)
    story.show(1, replace(shown(), brightness=0.15))
    assert (story.signals["blinks"].value, story.signals["blinks"].reason) == (None, Reason.DARK)
    assert story.signals["perclos"].value == pytest.approx(0.04, abs=0.01)


def test_blinks_of_more_than_a_minute_ago_are_forgotten() -> None:
    story = story_at(15)
    blink(story, every_s=2, times=15)
    story.show(62, shown())
    assert story.signals["blinks"].value == 0.0
    assert story.signals["perclos"].value == 0.0


def test_eyes_that_stay_closed_are_no_blink_and_do_not_become_the_calm_state() -> None:
    story = story_at(15)
    story.show(20, shown())
    story.show(30, shown(eyes=0.7))
    assert story.signals["blinks"].value == 0.0
    assert story.signals["perclos"].value == pytest.approx(30 / 48, abs=0.01)
    assert story.signals["perclos"].on is True


def test_narrow_eyes_are_not_closed_ones() -> None:
    story = story_at(15)
    story.show(60, shown(eyes=0.45))
    assert story.signals["perclos"].value == 0.0


@pytest.mark.parametrize(
    ("fps", "seconds", "face", "reason"),
    [
        (15, 10, shown(), Reason.TOO_SHORT),
        (8, 40, shown(), Reason.TOO_SLOW),
        (15, 40, shown(reason=Reason.TURNED), Reason.TURNED),
        (15, 40, Shown(height=30, intensities=shown().intensities), Reason.TOO_SMALL),
        (15, 40, Shown(), Reason.UNCERTAIN),  # config names no model, or its card withholds them
    ],
)
def test_it_says_why_it_is_not_known(fps: float, seconds: float, face: Shown, reason: Reason) -> None:
    story = story_at(fps)
    story.show(seconds, face)
    for name in ("blinks", "perclos"):
        state = story.signals[name]
        assert (state.value, state.reason) == (None, reason)
    assert encode.signals_of(story.signals)["perclos"].reason == reason.value  # type: ignore[index]


def test_time_in_which_the_face_is_turned_away_counts_for_neither() -> None:
    story = story_at(15)
    story.show(30, shown())
    story.show(25, shown(reason=Reason.TURNED))
    story.show(1, shown())
    memory = story.tracks[0].memory
    assert memory is not None
    assert sum(each.known_s for each in memory.lids) == pytest.approx(30 - 2, abs=1.2)


def test_a_yawn_lasts_talking_does_not() -> None:
    story = story_at(10)
    for _ in range(6):
        story.show(0.5, shown(jaw=0.5))
        story.show(0.3, shown(jaw=0.1))
    assert story.signals["yawns"].times == 0
    story.show(3, shown(jaw=0.6))
    story.show(3, shown())
    assert (story.signals["yawns"].times, story.signals["yawns"].on) == (1, False)
    assert story.signals["yawns"].seconds == pytest.approx(3, abs=0.2)


def test_alerts_on_perclos_and_yawns() -> None:
    story = story_at(15)
    alerts = {name: Alert(signals=(name,), for_seconds=0, cooldown_seconds=0) for name in ("perclos", "yawns")}
    maker, on = AlertMaker(alerts), set()
    for face, seconds in ((shown(), 25), (shown(eyes=0.75), 15), (shown(jaw=0.8), 4)):
        for update in story.show(seconds, face):
            assert update.frame is not None
            reported = maker.update(update.faces, update.frame.taken_ns, minute_of_day=None)
            on |= {state.name for state in reported if state.on}
    assert on == {"perclos", "yawns"}


def test_a_smile_is_told_beside_the_calm_face() -> None:
    story = story_at(10)
    story.show(3, shown(smile=0.3))
    assert story.signals["smile_over_calm"].reason is Reason.TOO_SHORT
    story.show(7, shown(smile=0.3))
    assert story.signals["smile_over_calm"].value == pytest.approx(0.0, abs=0.02)
    story.show(1, shown(smile=0.8, brow=0.1))
    assert story.signals["smile_over_calm"].value == pytest.approx(0.5 * 0.63, abs=0.03), "smoothed"
    story.show(2, shown(smile=0.8, brow=0.1))
    assert story.signals["smile_over_calm"].value == pytest.approx(0.5, abs=0.04)
    assert story.signals["brow_raise_over_calm"].value == pytest.approx(-0.1, abs=0.02)


def test_state_has_perclos_finer_than_other_levels() -> None:
    story = story_at(15)
    blink(story, every_s=5, times=12, shut_s=0.4)
    names = list(story.signals)
    payload = json.loads(msgspec.json.encode(encode.state_payload(story.faces, signals=names)))
    assert payload["signals"]["perclos"] == pytest.approx(0.08, abs=0.01)
    assert payload["signals"]["blinks"] == pytest.approx(12, abs=1)
    assert payload["signals"]["yawns"] == 0


def test_state_is_not_a_message_a_frame() -> None:
    story, rng = story_at(30), np.random.default_rng(4)
    reported: list[object] = []
    story.show(30, shown())
    for number in range(600):
        eyes = 0.7 if number % 150 < 6 else NARROW + rng.normal(0, 0.02)
        story.step(shown(eyes=eyes, smile=0.35 + rng.normal(0, 0.05), brow=0.2 + rng.normal(0, 0.05)))
        signals = encode.state_payload(story.faces, signals=list(story.signals)).signals
        reported += [] if reported and reported[-1] == signals else [signals]
    assert len(reported) < 40, "in twenty seconds"


def test_what_a_face_was_is_part_of_the_trackers_snapshot() -> None:
    story, resumed = story_at(15), story_at(15)
    blink(story, every_s=5, times=8)
    resumed.tracker.restore(unpack(pack(story.tracker.snapshot()), TrackerSnapshot))  # as --resume does
    resumed.now_s, resumed.track_id = story.now_s, story.track_id
    for each in (story, resumed):
        each.show(1, shown())
    assert resumed.signals["blinks"] == story.signals["blinks"]
