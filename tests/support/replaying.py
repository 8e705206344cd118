"""Replays for tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fer_edge.camera.replay import ReplayCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame


class Plugged(ReplayCamera):
    """A replay as a live camera."""

    live = True


class Unplugged(Plugged):
    """The same, unplugged once after 20 frames for a second."""

    reads, back = 0, 0.0

    def open(self) -> None:
        if self.reads and time.monotonic() < self.back:
            raise CameraError("unplugged")
        super().open()

    def read(self) -> Frame | None:
        self.reads += 1
        if self.reads == 20:
            self.back = time.monotonic() + 1
            raise CameraError("unplugged")
        return super().read()


def config(source: str | Path, **more: Any) -> CameraConfig:
    fields: dict[str, Any] = {"pace": "max", "fps": 10.0}
    return CameraConfig(backend="replay", source=str(source), **(fields | more))


def replay(source: str | Path, **more: Any) -> list[Frame]:
    camera = ReplayCamera(config(source, **more))
    camera.open()
    frames = list(iter(camera.read, None))
    camera.close()
    return [frame for frame in frames if frame is not None]
