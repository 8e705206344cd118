"""Faces that pass each other keep their ids: the made-up crossings of benchmarks/crossings.py, some of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box
from fer_edge.tracking.motion import Motion, shifted
from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import crossings

FPS = 15.0


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(Config())


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("speed", [80, 160, 320])
@pytest.mark.parametrize(("height", "behind"), [(90, 1.0), (150, 0.75)])
def test_two_people_cross(pipeline: Pipeline, height: int, behind: float, speed: int, swapped: bool) -> None:
    crossing = crossings.Crossing(height, speed, 0, behind, 0.0, swapped)
    found = crossings.outcome(pipeline, crossing, FPS)
    assert found.kept
    assert found.switches == 0
    assert found.ids == 2


def test_a_motion_is_learned_and_dies_away() -> None:
    motion, box = Motion(), Box(0, 0, 50, 50)
    for _ in range(10):
        after = shifted(box, (6, -3))
        motion, box = motion.seen(box, after, 0.1, covered=False), after
    assert np.allclose((motion.x, motion.y), (60, -30), atol=0.2)
    assert np.allclose(motion.after(0.1), (5.4, -2.7), atol=0.2)
    assert np.allclose(motion.after(60.0), (30, -15), atol=0.2), "it does not leave for ever"
    assert motion.after(-1.0) == (0, 0)
    assert motion.seen(box, box, 0.0, covered=False) == motion, "two frames of one time"


def test_a_covered_face_is_not_pulled_along() -> None:
    motion = Motion(60.0, 0.0)
    box = Box(0, 0, 50, 50)
    for _ in range(5):
        motion = motion.seen(box, box, 0.1, covered=True)
    assert motion.x > 40
