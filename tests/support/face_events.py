"""Updates and events as sinks get them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from fer_edge.records import (
    Box,
    EventType,
    FaceEvent,
    FaceState,
    Identity,
    ModelId,
    Pose,
    Quality,
    RateReason,
    Reason,
    Stats,
    Track,
    Update,
)
from tests.support.samples import frame_of, probabilities, reading

IDENTITY = Identity(
    "kitchen",
    "boot-1",
    "0.1.0",
    {
        "detector": ModelId(id="finder", sha256="d" * 64),
        "expression": ModelId(id="expression", sha256="e" * 64),
    },
    "ai-edge-litert 2.3.0",
)
FRAME = frame_of(np.zeros((48, 64, 3), np.uint8))
STAGES = {"detect": (1.2345, 2.3456)}
STATS = Stats(14.987, (20.004, 31.006), STAGES, 100, 3, 99.96, 51.2, 0, 7.5, RateReason.HOT, 50, 4)


def face_event(seq: int = 1, **changes: Any) -> FaceEvent:
    """An event of a happy face, changed as told."""
    event = FaceEvent(
        event_type=EventType.UPDATE,
        seq=seq,
        track_id=7,
        mono_ns=time.monotonic_ns(),
        expression="happiness",
        confidence=0.87654,
        probabilities=probabilities(1, 0.87654),
        previous="neutral",
        dwell_s=12.34567,
        box=Box(0.12345678, 0.2, 0.5, 0.75),
        landmarks=None,
        pose=Pose(1.26, -2.0, 0.04),
        quality=Quality(1.2604, 120.4567, 0.30049, 0.5, None),
        reason=None,
        face_count=1,
    )
    return replace(event, **changes)


def events(first: int, last: int) -> Update:
    """An update with the events first..last."""
    return Update(FRAME, events=tuple(face_event(seq) for seq in range(first, last + 1)))


def face_state(expression: str | None, reason: Reason | None = None) -> FaceState:
    """A face in view."""
    one = reading(Box(0, 0, 10, 10))
    track = Track(1, one.face.box, one.landmarks, one.quality, one.expression, 0, 0, 1, 0)
    return FaceState(track, expression, reason)
