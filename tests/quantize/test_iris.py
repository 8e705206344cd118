"""quantize.evaluate.iris: places of irises, the filter that is fitted to them, and what it adds to the head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fer_edge.records import Floats, Image, Pose
from fer_edge.vision.iris import PIXELS, IrisWeights, eye_pixels, stored_weights
from quantize.evaluate.iris import (
    EYES_OF_68,
    GazeFigures,
    IrisFigures,
    Row,
    eyes_turned,
    fit,
    gaze_figures,
    mirrored,
    place,
    place_figures,
    table,
)
from quantize.evaluate.iris_ways import dark_place, gradient_place
from tests.support.drawn_eyes import drawn


def test_a_place_is_a_share_of_the_way_whatever_the_lean() -> None:
    corners = np.array([[10, 10], [30, 10]], np.float32)
    assert place(np.array([15, 12], np.float32), corners) == pytest.approx((0.25, 0.1))
    turn = np.array([[0, -1], [1, 0]], np.float32)
    assert place(turn @ np.array([15, 12], np.float32), corners @ turn.T) == pytest.approx((0.25, 0.1))


def test_the_second_eye_is_seen_in_a_mirror_and_back() -> None:
    places = np.array([[0.4, 0.1], [0.4, 0.2]])
    assert mirrored(places).tolist() == [[0.4, 0.1], [0.6, 0.2]]
    assert mirrored(mirrored(places)) == pytest.approx(places)


def test_the_eyes_turn_to_the_right_of_the_picture() -> None:
    blend = np.zeros(52, np.float32)
    blend[15] = blend[14] = 0.5  # the person's left eye looks out, the right one in
    assert eyes_turned(blend).tolist() == [15.0, 0.0]
    blend[:] = 0
    blend[11] = blend[12] = 1.0
    assert eyes_turned(blend).tolist() == [0.0, 20.0]


@pytest.mark.parametrize("way", [dark_place, gradient_place])
def test_ways_that_learn_nothing_find_a_drawn_iris(way: Callable[[Image, Floats], float]) -> None:
    for share in (0.35, 0.5, 0.65):
        picture, points = drawn(share)
        assert [way(picture, points[eye]) for eye in EYES_OF_68] == pytest.approx([share, share], abs=0.07)


def rows(count: int, *, seed: int = 1) -> list[Row]:
    """Drawn faces whose irises, and whose eyes, are where they are."""
    rng, made = np.random.default_rng(seed), []
    for share, below in zip(rng.uniform(0.3, 0.7, count), rng.uniform(-0.08, 0.08, count), strict=True):
        picture, points = drawn(share, below)
        made.append(
            Row(
                (16, 1.0),
                held_out=True,
                wanted=np.array([[share, below], [share, below]]),
                found=np.array([[share, share], [share, 0.5]]),
                pixels=np.stack([eye_pixels(picture, points, eye) for eye in (0, 1)]),
                pose=Pose(float(rng.uniform(-20, 20)), float(rng.uniform(-9, 9)), 0.0),
                gaze=np.array([100 * (share - 0.5), 100 * below], np.float32),
            )
        )
    return made


def test_the_filter_learns_where_irises_are() -> None:
    weights = fit(rows(60))
    assert [len(row) for row in weights.place] == [PIXELS[0] * PIXELS[1] + 1] * 2
    figures = place_figures(rows(40, seed=2), "filter", weights)
    assert figures.face > 0.97
    assert figures.error < 0.02
    assert figures.condition == "eyes of 16 px"
    dark = place_figures(rows(40, seed=2), "dark", weights)
    assert dark.eye == pytest.approx(1.0)


def test_what_the_filter_adds_to_a_head_that_says_nothing() -> None:
    weights = fit(rows(60))
    figures = gaze_figures(rows(40, seed=2), weights)
    assert isinstance(figures, GazeFigures)
    assert figures.faces == 40
    assert abs(figures.across[0]) < 0.5  # the head's yaw is by chance
    lines = table([figures, IrisFigures("eyes of 16 px", "dark", 40, 0.5, 0.6, 0.7, 0.04)])
    assert any("0.500 0.600 0.700, error 0.040" in line for line in lines)
    assert len(lines) == 4


def test_the_published_weights_are_of_the_right_shape() -> None:
    weights = stored_weights()
    assert isinstance(weights, IrisWeights)
    assert [len(row) for row in weights.place] == [PIXELS[0] * PIXELS[1] + 1] * 2
    assert (len(weights.across), len(weights.down)) == (2, 3)
