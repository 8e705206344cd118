"""intensity.py: how strongly parts of a face move."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.commands.analyze.checkpoint import pack, unpack
from fer_edge.config import Config, Models
from fer_edge.pipeline import Pipeline
from fer_edge.records import Image, Intensities, Track
from tests.support.samples import frame_of


@pytest.fixture(scope="module")
def lively() -> Pipeline:
    """A pipeline whose config names the model."""
    return Pipeline(Config(models=Models(intensity="intensity")))


def only(pipeline: Pipeline, picture: Image) -> Track:
    (track,) = pipeline.look(frame_of(picture)).tracks
    return track


def found(pipeline: Pipeline, picture: Image) -> Intensities:
    intensities = only(pipeline, picture).intensities
    assert intensities is not None
    return intensities


def test_a_smile_is_told(lively: Pipeline, astronaut: Image) -> None:
    reported = found(lively, astronaut)
    assert 0 <= reported.values.min() <= reported.values.max() <= 1
    smile, closed = reported.get("smile"), reported.get("eye_closed_left")
    assert smile is not None
    assert smile > 0.6
    assert closed is not None
    assert closed < 0.4


def test_a_mirror_swaps_the_eyes_and_nothing_else(lively: Pipeline, astronaut: Image) -> None:
    own, seen = found(lively, astronaut), found(lively, np.ascontiguousarray(astronaut[:, ::-1]))
    swapped = {"eye_closed_left": "eye_closed_right", "eye_closed_right": "eye_closed_left"}
    for name in own.names:
        assert seen.get(swapped.get(name, name)) == pytest.approx(own.get(name), abs=0.2), name


def test_only_what_the_card_publishes_is_told(lively: Pipeline, astronaut: Image) -> None:
    card = lively.cards[3].intensities
    assert card is not None
    reported = found(lively, astronaut)
    assert reported.names == tuple(name for name in card.names if name not in card.withheld)
    assert "smile" in reported.names
    assert all(reported.get(name) is None for name in (*card.withheld, "no such intensity"))


def test_without_a_model_there_are_none(pipeline: Pipeline, astronaut: Image) -> None:
    assert len(pipeline.models) == 3
    assert only(pipeline, astronaut).intensities is None


def test_a_face_that_is_not_judged_has_none(lively: Pipeline, astronaut: Image) -> None:
    dark = only(lively, (astronaut * 0.12).astype(np.uint8))
    assert dark.quality.reason is not None
    assert dark.intensities is None


def test_a_followed_face_has_them_too(lively: Pipeline, astronaut: Image) -> None:
    lively.reset()
    lively.step(frame_of(astronaut))
    (track,) = lively.step(frame_of(astronaut)).tracks
    assert track.hits == 2
    assert track.intensities is not None


def test_a_run_that_is_resumed_keeps_them(lively: Pipeline, astronaut: Image) -> None:
    track = only(lively, astronaut)
    again = unpack(pack(track), Track)
    assert again.intensities.names == found(lively, astronaut).names
    np.testing.assert_array_equal(again.intensities.values, found(lively, astronaut).values)
    assert again.landmarks.pose == track.landmarks.pose
