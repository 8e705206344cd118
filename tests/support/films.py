"""Films made for tests, and what comes out of runs over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from fer_edge.commands.analyze import AnalyzeOptions
from fer_edge.records import Image

NAMES = {
    "jsonl": "out.jsonl",
    "csv": "out.csv",
    "parquet": "out.parquet",
    "events": "events.jsonl",
    "video": "out.mp4",
    "report": "out.html",
}
PATHS = ("parquet", "video", "report")  # these are a Path


def pan(portrait: Image, frames: int) -> list[Image]:
    """Views u8[192,256,3] that move over a portrait: its face is there, leaves, and comes back."""
    small = np.asarray(cv2.resize(portrait, (288, 288), interpolation=cv2.INTER_AREA), np.uint8)
    wide = np.hstack([small[:192], np.full((192, 400, 3), 90, np.uint8)])
    shifts = np.sin(np.arange(frames) / 45.0 - 0.6).clip(0, 1) * (wide.shape[1] - 256)
    return [np.ascontiguousarray(wide[:, round(x) : round(x) + 256]) for x in shifts.tolist()]


def write_avi(path: Path, images: Sequence[Image], fps: float = 30.0) -> None:
    """A Motion JPEG film."""
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    for image in images:
        writer.write(image)
    writer.release()


def write_uneven(path: Path, images: Sequence[Image], times_ms: Sequence[int]) -> None:
    """A Matroska film whose frames come at these times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for image, time_ms in zip(images, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decoded(path: Path) -> tuple[list[Image], list[float]]:
    """The pictures of a film and their times in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    images = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
    return images, [float(frame.pts * frame.time_base) for frame in frames if frame.pts is not None and frame.time_base]


def wanted(folder: Path, *sources: str | Path, only: Sequence[str] = tuple(NAMES), **more: Any) -> AnalyzeOptions:
    """Options for a run that writes into a folder."""
    folder.mkdir(exist_ok=True)
    outputs: dict[str, Any] = {
        name: folder / NAMES[name] if name in PATHS else str(folder / NAMES[name]) for name in only
    }
    return AnalyzeOptions(sources=[str(source) for source in sources], **outputs, **more)


def digests(folder: Path) -> dict[str, str]:
    """Every file of a folder, and what is in it."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.is_file()
    }


def json_lines(path: Path) -> list[dict[str, Any]]:
    """What a file of JSON lines says; every line must be whole."""
    text = path.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]
