"""The landmarks of the first face in a picture."""

from __future__ import annotations

from fer_edge.pipeline import Pipeline
from fer_edge.records import Image, Landmarks
from tests.support.samples import frame_of


def find(pipeline: Pipeline, picture: Image) -> Landmarks:
    frame = frame_of(picture)
    return pipeline.landmarker(frame, pipeline.detector(frame)[0])
