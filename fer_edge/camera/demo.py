"""The demo, which runs without any hardware: a camera that pans and zooms over portraits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Box, Image

DEMO_PICTURES = ("astronaut.jpg", "grace_hopper.jpg")
PORTRAITS = "demo:portraits"
"""The demo's pictures as they are: no film."""

Picture = tuple[Path | None, Image]
"""A picture and its file; None: it has none."""


class Key(NamedTuple):
    """Where the demo's camera is at a time; between two keys it eases from one to the other."""

    seconds: float
    x: float  # what it looks at, px of the canvas
    y: float
    zoom: float  # 1: the largest view that fits into the canvas


DEMO = {
    # nobody at first; a face, which leaves for long enough to be lost, comes back, is joined by a second one and goes
    "both": (
        Key(0.0, 215, 352, 1.6),
        Key(0.7, 215, 352, 1.6),
        Key(1.9, 225, 170, 1.6),
        Key(2.8, 215, 175, 1.75),
        Key(4.0, 215, 352, 1.6),
        Key(6.2, 235, 352, 1.6),
        Key(7.4, 225, 175, 1.6),
        Key(9.0, 450, 256, 1.0),
        Key(10.5, 458, 256, 1.03),
        Key(12.0, 625, 230, 1.4),
    ),
    "astronaut": (
        Key(0.0, 225, 160, 1.3),
        Key(2.0, 215, 160, 1.5),
        Key(3.5, 215, 360, 1.6),
        Key(5.5, 235, 360, 1.6),
        Key(7.0, 225, 160, 1.3),
        Key(9.0, 256, 192, 1.0),
    ),
    "grace_hopper": (
        Key(0.0, 265, 250, 1.0),
        Key(2.0, 265, 240, 1.1),
        Key(3.5, 265, 470, 1.5),
        Key(5.5, 250, 470, 1.5),
        Key(7.0, 265, 250, 1.1),
        Key(9.0, 256, 250, 1.0),
    ),
}


def demo(name: str, config: CameraConfig, read: Callable[[str], Image]) -> tuple[Iterator[Picture], int]:
    """Film a demo: a camera that pans and zooms over portraits. The same frames in every run, and their number.

    `read`: returns a shipped picture, u8[H,W,3] BGR, by its file's name. Raises CameraError: an unknown demo.
    """
    if name == PORTRAITS.partition(":")[2]:
        return _portraits(read, loop=config.loop), len(DEMO_PICTURES)
    if name not in DEMO:
        names = ", ".join(f"demo:{known}" for known in DEMO)
        raise CameraError(f"camera.source demo:{name} is unknown; expected demo or one of {names}, {PORTRAITS}")
    count = max(1, round(DEMO[name][-1].seconds * config.fps))
    return _filmed(_canvas(name, read), DEMO[name], config, count=count), count


def _portraits(read: Callable[[str], Image], *, loop: bool) -> Iterator[Picture]:
    """What the demo is made of, under names without their folder."""
    while True:
        for name in DEMO_PICTURES:
            yield Path(name), read(name)
        if not loop:
            return


def _filmed(canvas: Image, keys: tuple[Key, ...], config: CameraConfig, *, count: int) -> Iterator[Picture]:
    height, width = canvas.shape[:2]
    aspect = config.width / config.height
    while True:
        for number in range(count):
            view = view_at(keys, number / config.fps, canvas=(width, height), aspect=aspect)
            yield None, _rendered(canvas, view, size=(config.width, config.height))
        if not config.loop:
            return


def view_at(keys: tuple[Key, ...], seconds: float, *, canvas: tuple[int, int], aspect: float) -> Box:
    """Return what the demo's camera sees, in px of the canvas (width, height), and never beyond it."""
    after = next((index for index, key in enumerate(keys) if key.seconds > seconds), len(keys) - 1)
    start, end = keys[after - 1], keys[after]
    part = min(1.0, (seconds - start.seconds) / (end.seconds - start.seconds))
    part *= part * (3 - 2 * part)  # speeds up and slows down softly
    x, y, zoom = (a + (b - a) * part for a, b in zip(start[1:], end[1:], strict=True))
    width = min(canvas[0], canvas[1] * aspect) / zoom
    height = width / aspect
    x0 = min(max(0.0, x - width / 2), canvas[0] - width)
    y0 = min(max(0.0, y - height / 2), canvas[1] - height)
    return Box(x0, y0, x0 + width, y0 + height)


def _canvas(name: str, read: Callable[[str], Image]) -> Image:
    if name != "both":
        return read(f"{name}.jpg")
    left, right = (read(f"{portrait}.jpg") for portrait in ("astronaut", "grace_hopper"))
    height = left.shape[0]
    size = (right.shape[1] * height // right.shape[0], height)
    # INTER_AREA would do both at once, but rounds differently on arm64: the demo is to be the same everywhere
    soft = cv2.GaussianBlur(right, (3, 3), 0.6)
    scaled = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.uint8, copy=False)
    return np.hstack([left[:, :400], scaled])  # without the shuttle: one view must take in both faces


def _rendered(canvas: Image, view: Box, *, size: tuple[int, int]) -> Image:
    step_x, step_y = view.width / size[0], view.height / size[1]
    # OpenCV counts from the centre of the first pixel, Box from its corner
    matrix = np.array([[step_x, 0, view.x0 + step_x / 2 - 0.5], [0, step_y, view.y0 + step_y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(canvas, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return image.astype(np.uint8, copy=False)
