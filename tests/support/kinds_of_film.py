"""Films of every kind, made by FFmpeg from one portrait, so that it is known where its face must be found."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Frame, Image
from tests.support.samples import frame_of

NEEDS_FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (apt: ffmpeg)")


def scene(portrait: Image) -> Image:
    """The portrait u8[480,640,3], its face left of the middle."""
    image = np.full((480, 640, 3), 90, np.uint8)
    image[:, :480] = cv2.resize(portrait, (480, 480), interpolation=cv2.INTER_AREA)
    return image


def make_film(path: Path, image: Image, *arguments: str, frames: int = 12) -> Path:
    """Encode one picture as a film. `arguments`: FFmpeg's, for the output."""
    for name, content in _encoded(path.name, image.shape, image.tobytes(), arguments, frames).items():
        path.with_name(name).write_bytes(content)
    return path


@cache
def _encoded(
    name: str, shape: tuple[int, ...], pixels: bytes, arguments: tuple[str, ...], frames: int
) -> dict[str, bytes]:
    """What FFmpeg makes of one picture; many tests begin with the same film."""
    with tempfile.TemporaryDirectory() as folder:
        still = Path(folder, "still.bmp")  # decoded anew for every frame
        cv2.imwrite(str(still), np.frombuffer(pixels, np.uint8).reshape(shape))
        source = ("-loop", "1", "-framerate", "25", "-i", str(still), "-frames:v", str(frames))
        ffmpeg(*source, *arguments, str(Path(folder, name)))
        still.unlink()
        return {made.name: made.read_bytes() for made in Path(folder).iterdir()}


def ffmpeg(*arguments: str) -> None:
    """Run FFmpeg; skips where it lacks an encoder."""
    command = ["ffmpeg", "-y", "-loglevel", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if "Unknown encoder" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert not done.returncode, done.stderr


def frames_of(path: Path | str) -> tuple[list[Frame], StreamCamera]:
    """Every frame of a film, and the camera that read them, closed."""
    camera = StreamCamera(CameraConfig(backend="stream", source=str(path), pace="max"))
    camera.open()
    frames = []
    while (frame := camera.read()) is not None:
        frames.append(frame)
    camera.close()
    return frames, camera


def boxes_in(pipeline: Pipeline, image: Image) -> list[Box]:
    """Where faces are."""
    return [track.box for track in pipeline.look(frame_of(image)).tracks]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.width * one.height + other.width * other.height - shared)


def assert_face_at(pipeline: Pipeline, image: Image, expected: Box) -> None:
    """Exactly one face, in its place."""
    found = boxes_in(pipeline, image)
    assert len(found) == 1, found
    assert overlap(found[0], expected) > 0.75, (found[0], expected)
