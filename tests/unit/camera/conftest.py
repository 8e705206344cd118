"""A picture with one face, whose place is known."""

from __future__ import annotations

import pytest

from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Image
from tests.support.kinds_of_film import boxes_in, scene


@pytest.fixture
def image(astronaut: Image) -> Image:
    return scene(astronaut)


@pytest.fixture
def face(pipeline: Pipeline, image: Image) -> Box:
    (box,) = boxes_in(pipeline, image)
    return box
