"""quantize/: how faces fare by age, gender and race."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.data.sets import DataError
from quantize.evaluate import fairness


def test_names_tell_age_gender_and_race() -> None:
    groups_of = fairness.groups_of_name
    assert groups_of("61_1_2_20170109.jpg", Path("set")) == ("everybody", "60 to 120", "female", "Asian")
    assert groups_of("9_0_20170109150557335.jpg", Path("set")) == ("everybody", "3 to 9", "male")
    with pytest.raises(DataError, match=r"face\.jpg: expected a name like age_gender_race_date"):
        groups_of("face.jpg", Path("set"))


def test_wilson_interval() -> None:
    assert fairness.wilson(0.8, 100) == pytest.approx((0.7112, 0.8666), abs=1e-4)


def test_a_group_is_behind_where_chance_does_not_explain_it() -> None:
    everybody = fairness.group_figures(np.array([[True, True]] * 190 + [[False, False]] * 10), None)
    few = fairness.group_figures(np.array([[True, True]] * 8 + [[False, False]] * 2), everybody)
    many = fairness.group_figures(np.array([[True, True]] * 160 + [[True, False]] * 40), everybody)
    assert (everybody.pictures, everybody.found) == (100, 0.95)
    assert not few.behind
    assert many.behind


@pytest.mark.parametrize("pictures", range(50, 350, 7))
def test_nobody_is_behind_whose_faces_are_all_found(pictures: int) -> None:
    everybody = fairness.group_figures(np.ones((1000, 2), np.bool_), None)
    assert not fairness.group_figures(np.ones((2 * pictures, 2), np.bool_), everybody).behind


def test_a_face_lies_in_the_middle_of_gray() -> None:
    image = np.full((200, 200), 70, np.uint8)
    image[50:150, 50:150] = 255
    canvas = fairness.pasted(image, 100)
    assert canvas.shape == fairness.CANVAS
    assert canvas[240, 320] == 255
    assert canvas[0, 0] == canvas[190, 270] == 70
