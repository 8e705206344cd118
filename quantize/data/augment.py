"""Varying training pictures the way cameras do: light, blur, noise, low resolution, things in front.

Each function takes u8[N,H,W] and returns the same. What moves a picture is with the role that knows its labels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.sets import Image

MAX_GAMMA = 1.8
MAX_CONTRAST = 1.4
MAX_BRIGHTNESS = 30.0  # gray levels
DARKEST = 0.12  # of the light, in the pictures that are made dark
MAX_NOISE = 10.0  # gray levels, standard deviation
LONGEST_SMEAR_PX = 7
JPEG_QUALITY = (20, 70)

Generator = np.random.Generator


def _some(images: Image, rng: Generator, share: float) -> NDArray[np.intp]:
    return np.flatnonzero(rng.random(len(images)) < share)


def relight(images: Image, rng: Generator, *, dark: float = 0.1) -> Image:
    """Change gamma, contrast and brightness of pictures u8[N,H,W], through one table of 256 gray levels each; a share
    of `dark` become dark."""
    column = (len(images), 1)
    gamma, contrast = MAX_GAMMA ** rng.uniform(-1, 1, column), MAX_CONTRAST ** rng.uniform(-1, 1, column)
    brightness = rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, column)
    levels = 255 * (np.arange(256)[None] / 255) ** gamma  # [N,256]
    levels = (levels - 128) * contrast + 128 + brightness
    light = np.where(rng.random(column) < dark, DARKEST ** rng.uniform(0, 1, column), 1.0)
    tables = np.clip(levels * light, 0, 255).astype(np.uint8)
    return tables[np.arange(len(images))[:, None, None], images]


def coarsen(images: Image, rng: Generator, *, share: float, sides_px: tuple[int, int]) -> Image:
    """Make a share of pictures u8[N,H,W] look as if they had been taken with so few px a side (lowest and highest)."""
    images = images.copy()
    height, width = images.shape[1:]
    for row in _some(images, rng, share):
        side = int(rng.integers(*sides_px, endpoint=True))
        images[row] = lower_resolution(images[row], side, round(side * height / width))
    return images


def lower_resolution(image: Image, width: int, height: int) -> Image:
    """A picture u8[H,W] at its own size, with only the detail of one of `width` x `height` px."""
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def blur(images: Image, rng: Generator, *, share: float) -> Image:
    """Blur a share of pictures u8[N,H,W]: out of focus, or smeared by a movement."""
    images = images.copy()
    for row in _some(images, rng, share):
        if rng.random() < 0.5:
            images[row] = cv2.GaussianBlur(images[row], (0, 0), rng.uniform(0.4, 2.0))
        else:
            images[row] = cv2.filter2D(images[row], -1, smear(int(rng.integers(2, LONGEST_SMEAR_PX + 1)), rng))
    return images


def smear(length_px: int, rng: Generator) -> NDArray[Any]:
    """Draw the kernel f32[length,length] of a straight movement in some direction."""
    kernel = np.zeros((length_px, length_px), np.float32)
    angle, middle = rng.uniform(0, np.pi), (length_px - 1) / 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    start, end = (tuple(int(v) for v in np.rint(middle + sign * reach)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return np.asarray(kernel / kernel.sum())


def add_noise(images: Image, rng: Generator, *, share: float) -> Image:
    """Add a sensor's noise to a share of pictures u8[N,H,W]."""
    images = images.copy()
    rows = _some(images, rng, share)
    strength = rng.uniform(0, MAX_NOISE, (len(rows), 1, 1)).astype(np.float32)
    noisy = images[rows] + strength * rng.standard_normal((len(rows), *images.shape[1:]), dtype=np.float32)
    images[rows] = np.clip(noisy, 0, 255)
    return images


def compress(images: Image, rng: Generator, *, share: float) -> Image:
    """Leave JPEG's traces in a share of pictures u8[N,H,W]."""
    images = images.copy()
    for row in _some(images, rng, share):
        quality = int(rng.integers(*JPEG_QUALITY))
        _, encoded = cv2.imencode(".jpg", images[row], [cv2.IMWRITE_JPEG_QUALITY, quality])
        images[row] = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return images


def erase(images: Image, rng: Generator, *, share: float, sides: tuple[float, float]) -> Image:
    """Cover a part of a share of pictures u8[N,H,W] with gray: a hand, a cup, hair. `sides`: its lowest and highest
    width and height, in shares of the picture's."""
    images = images.copy()
    size = np.array(images.shape[1:])
    for row in _some(images, rng, share):
        height, width = (size * rng.uniform(*sides, 2)).astype(int)
        top, left = (rng.uniform(0, 1, 2) * (size - (height, width) + 1)).astype(int)
        images[row, top : top + height, left : left + width] = rng.integers(0, 256)
    return images
