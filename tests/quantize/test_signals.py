"""quantize.evaluate.signals: what is held against what."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.evaluate.signals import compare, off_of
from quantize.evaluate.worsened import worse


def test_looks_is_judged_on_what_it_says() -> None:
    off = np.array([0.0, 10.0, 19.0, 21.0, 40.0, 60.0, 5.0])
    predicted = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, np.nan])
    found = compare(off, predicted, name="", cone=20.0)
    assert (found.faces, found.looking) == (7, 4)
    assert found.known == pytest.approx(6 / 7)
    assert [found.precision, found.recall] == pytest.approx([2 / 3, 2 / 3])
    assert found.away == pytest.approx(2 / 3)
    assert (found.sure_precision, found.sure_recall) == (1.0, 1.0)  # both mistakes lie near the edge


def test_a_profile_of_which_only_the_yaw_is_known_does_not_look() -> None:
    assert off_of(np.array([70.0, np.nan, np.nan])) == pytest.approx(70.0)


def test_faces_get_smaller_and_darker() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (2, 160, 160), np.uint8)
    small, dark = worse(crops, 24, 1.0), worse(crops, 24, 0.3)
    assert small.shape == crops.shape
    assert small.std() < crops.std() / 2
    assert dark.mean() == pytest.approx(small.mean() * 0.3, rel=0.05)
