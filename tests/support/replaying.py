"""Replays for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fer_edge.camera.replay import ReplayCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.records import Frame


def config(source: str | Path, **more: Any) -> CameraConfig:
    fields: dict[str, Any] = {"pace": "max", "fps": 10.0}
    return CameraConfig(backend="replay", source=str(source), **(fields | more))


def replay(source: str | Path, **more: Any) -> list[Frame]:
    camera = ReplayCamera(config(source, **more))
    camera.open()
    frames = list(iter(camera.read, None))
    camera.close()
    return [frame for frame in frames if frame is not None]
