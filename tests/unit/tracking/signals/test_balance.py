"""balance.py: how the mix of expressions leans."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.config import Balance, Config, Tracking
from fer_edge.records import LABELS, NEGATIVE, Reason
from fer_edge.tracking.signals.balance import balance
from tests.support.faces_over_time import Shown, Story

CONFIG = Config(balance=Balance(enabled=True), tracking=Tracking(smoothing_seconds=0))
HAPPY, SAD, NEUTRAL, SURPRISED = (LABELS.index(each) for each in ("happiness", "sadness", "neutral", "surprise"))


@pytest.mark.parametrize(
    ("label", "expected"),
    [("happiness", 1.0), ("neutral", 0.0), ("surprise", 0.0), *((label, -1.0) for label in NEGATIVE)],
)
def test_happiness_is_positive_five_are_negative_two_are_neither(label: str, expected: float) -> None:
    assert balance(np.eye(8, dtype=np.float32)[LABELS.index(label)]) == expected


def test_it_is_the_difference_of_the_shares() -> None:
    mix = np.array([0.1, 0.4, 0.1, 0.2, 0.1, 0.05, 0.03, 0.02], np.float32)
    assert balance(mix) == pytest.approx(0.0, abs=1e-6)


def test_its_mean_is_over_time() -> None:
    story = Story(CONFIG)
    story.show(3, Shown(label=HAPPY, value=1.0))
    story.show(1, Shown(label=SAD, value=1.0))
    state = story.signals["balance"]
    assert state.value == -1.0
    assert state.mean == pytest.approx((3 - 0.9) / 3.9, abs=0.03)
    assert (state.on, state.times) == (None, 0)


def test_it_says_why_there_is_none() -> None:
    story = Story(CONFIG)
    story.show(1, Shown(reason=Reason.TURNED))
    assert (story.signals["balance"].value, story.signals["balance"].reason) == (None, Reason.TURNED)
    story.show(1, Shown(label=NEUTRAL))
    assert story.signals["balance"].reason is None
