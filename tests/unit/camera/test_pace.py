"""Films and pictures at their own pace, and on a machine that cannot keep up with it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from fer_edge.camera import Camera, pace
from fer_edge.camera.replay import ReplayCamera
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from tests.support.films import write_avi

SECOND_NS = 1_000_000_000


def test_a_frame_that_is_a_little_late_counts_as_taken_when_it_was_due() -> None:
    due_ns = time.monotonic_ns() - SECOND_NS // 2
    assert pace.wait_until(due_ns) == due_ns


def test_a_frame_that_is_far_too_late_counts_as_taken_now() -> None:
    before = time.monotonic_ns()
    assert before <= pace.wait_until(before - 5 * SECOND_NS) <= time.monotonic_ns()


@pytest.mark.parametrize("backend", ["replay", "stream"])
def test_a_slow_machine_does_not_lag_further_and_further_behind(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events would count as old ones. Here every frame is too late."""
    monkeypatch.setattr(pace, "MOST_LATE_NS", -60 * SECOND_NS)
    camera: Camera
    if backend == "replay":
        camera = ReplayCamera(CameraConfig(backend="replay", source="demo", fps=10.0))
    else:
        write_avi(tmp_path / "a.avi", [np.zeros((48, 64, 3), np.uint8)] * 5)
        camera = StreamCamera(CameraConfig(backend="stream", source=str(tmp_path / "a.avi")))
    camera.open()
    for _ in range(4):
        before = time.monotonic_ns()
        frame = camera.read()
        assert frame is not None
        assert before <= frame.taken_ns <= time.monotonic_ns()
    camera.close()
