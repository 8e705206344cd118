"""eyes_mouth.py: from intensities, with hysteresis, and a reason where they are not known."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.config import Alert, Config, EyesMouth
from fer_edge.records import Intensities, Reason
from fer_edge.tracking.alerts import AlertMaker
from tests.support.faces_over_time import Shown, Story

CONFIG = Config(eyes_mouth=EyesMouth(enabled=True))


def shown(eyes: float = 0.0, jaw: float = 0.0, smile: float = 0.0, reason: Reason | None = None) -> Shown:
    values = np.array([smile, jaw, eyes, eyes], np.float32)
    names = ("smile", "jaw_open", "eye_closed_left", "eye_closed_right")
    return Shown(intensities=None if reason else Intensities(names, values), reason=reason)


@pytest.mark.parametrize(
    ("name", "on", "held", "off"),
    [
        ("eyes_closed", shown(eyes=0.8), shown(eyes=0.6), shown(eyes=0.5)),
        ("mouth_open", shown(jaw=0.5), shown(jaw=0.3), shown(jaw=0.1)),
        ("smiles", shown(smile=0.6), shown(smile=0.4), shown(smile=0.3)),
    ],
)
def test_each_is_on_from_its_limit_and_held_below(name: str, on: Shown, held: Shown, off: Shown) -> None:
    story = Story(CONFIG)

    def after(each: Shown) -> bool | None:
        story.show(1, each)
        return story.signals[name].on

    assert [after(each) for each in (held, on, held, off)] == [False, True, True, False]
    assert story.signals[name].seconds == pytest.approx(2, abs=0.11)
    others = {"eyes_closed", "mouth_open", "smiles"} - {name}
    assert all(story.signals[other].times == 0 for other in others)


def test_it_says_why_it_is_not_known() -> None:
    for each, reason in (
        (shown(reason=Reason.TURNED), Reason.TURNED),
        (Shown(), Reason.UNCERTAIN),  # the card withholds it, or config names no model
        (Shown(height=20), Reason.TOO_SMALL),
    ):
        story = Story(CONFIG)
        story.show(1, each)
        state = story.signals["eyes_closed"]
        assert (state.on, state.reason) == (None, reason)


def test_an_alert_on_eyes_that_are_closed_for_two_seconds() -> None:
    story = Story(CONFIG)
    maker = AlertMaker({"asleep": Alert(signals=("eyes_closed",), for_seconds=2, cooldown_seconds=0)})
    on_at = []
    for eyes, seconds in ((0.0, 2), (0.9, 1), (0.0, 2), (0.9, 4)):
        for update in story.show(seconds, shown(eyes=eyes)):
            assert update.frame
            now_ns = update.frame.taken_ns
            states = maker.update(update.faces, now_ns, minute_of_day=None)
            on_at += [now_ns / 1e9 for state in states if state.on]
    assert on_at == [pytest.approx(5 + 0.3 + 2, abs=0.11)]
