"""Pure picture geometry: letterbox, crop, align, normalise.

`quantize/` imports this file too, so that training and running cannot drift apart. Transforms are 2x3 float
matrices from source to crop pixels, in coordinates whose first pixel has its centre at 0.5 (OpenCV's own
count from 0.0; `warp` converts).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats, Image

Matrix = NDArray[np.float64]


def normalise(pixels: Image, low: float, high: float) -> Floats:
    """u8[...] to f32[...]: 0 becomes `low`, 255 becomes `high`."""
    scaled = np.multiply(pixels, np.float32((high - low) / 255.0), dtype=np.float32)
    scaled += np.float32(low)
    return scaled


def letterbox(image: Image, width: int, height: int) -> tuple[Image, Matrix]:
    """Scale a picture into width x height without distortion; the rest stays black. Where that shrinks it by two or
    more, it is averaged first, as `warp` does; up to that many px less one may be lost at its right and lower edge.

    Returns:
        The canvas, and the matrix from picture to canvas.

    """
    shrink = max(1, int(1 / min(width / image.shape[1], height / image.shape[0])))
    rows, columns = max(1, image.shape[0] // shrink), max(1, image.shape[1] // shrink)
    whole = image[: rows * shrink, : columns * shrink]
    if shrink > 1:
        image = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    scale = min(width / columns, height / rows)
    inner_width, inner_height = max(1, round(columns * scale)), max(1, round(rows * scale))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    canvas = np.zeros((height, width, *image.shape[2:]), np.uint8)
    inside = canvas[top : top + inner_height, left : left + inner_width]
    # without _EXACT, OpenCV for arm64 rounds a quarter of the pixels otherwise
    cv2.resize(image, (inner_width, inner_height), dst=inside, interpolation=cv2.INTER_LINEAR_EXACT)
    across, down = inner_width / whole.shape[1], inner_height / whole.shape[0]
    return canvas, np.array([[across, 0.0, left], [0.0, down, top]])


def square_crop_matrix(center: tuple[float, float], side: float, angle: float, size: int) -> Matrix:
    """The matrix that takes a square of `side` px around `center`, turned by `angle` rad (clockwise in the
    picture), to a crop of size x size px."""
    scale = size / max(side, 1e-6)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    x, y = center
    return np.array([[cos, sin, size / 2 - cos * x - sin * y], [-sin, cos, size / 2 + sin * x - cos * y]])


def similarity(source: Floats, target: Floats) -> Matrix:
    """The shift, turn and scale that brings points f32[N,2] nearest to others (least squares; Umeyama 1991,
    here as a complex-number regression, which cannot mirror)."""
    from_points = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    to_points = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    from_mean, to_mean = from_points.mean(), to_points.mean()
    spread = float(np.sum(np.abs(from_points - from_mean) ** 2))
    factor = np.sum(np.conj(from_points - from_mean) * (to_points - to_mean)) / max(spread, 1e-9)
    shift = to_mean - factor * from_mean
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def transform(points: Floats, matrix: Matrix) -> Floats:
    """Apply a matrix to points f32[N,2]."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def invert(matrix: Matrix) -> Matrix:
    """The matrix that leads back."""
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])


def warp(image: Image, matrix: Matrix, size: int) -> Image:
    """Cut a crop of size x size px. Where that shrinks the picture by two or more, it is averaged first, so
    that fine detail does not turn into noise; beyond the picture's edge its last pixels are repeated."""
    shrink = int(1 / max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-6))
    if shrink >= 2:
        image, matrix = _reduce(image, matrix, size, shrink)
    shift = matrix[:, :2].sum(axis=1) / 2 + matrix[:, 2] - 0.5  # to OpenCV's centres at 0.0
    turned = np.column_stack([matrix[:, :2], shift])
    return np.asarray(
        cv2.warpAffine(image, turned, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _reduce(image: Image, matrix: Matrix, size: int, shrink: int) -> tuple[Image, Matrix]:
    """The part of a picture that a crop needs, averaged over shrink x shrink blocks, and the matrix from it."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    needed = transform(corners, invert(matrix))
    x0, y0 = (max(0, int(v) - shrink) for v in needed.min(axis=0))
    width = (min(image.shape[1], int(needed[:, 0].max()) + 2 * shrink) - x0) // shrink
    height = (min(image.shape[0], int(needed[:, 1].max()) + 2 * shrink) - y0) // shrink
    if width < 1 or height < 1:
        return image, matrix
    part = image[y0 : y0 + height * shrink, x0 : x0 + width * shrink]
    small = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    shift = matrix[:, :2] @ (x0, y0) + matrix[:, 2]
    return small, np.column_stack([matrix[:, :2] * shrink, shift])


def anchors3(points: Floats) -> Floats:
    """Middle of the left eye, of the right eye and of the mouth of 68 landmarks: f32[3,2]."""
    return np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48:60].mean(axis=0)])


def align(gray: Image, points: Floats, template: Floats, size: int) -> Image:
    """The upright crop u8[size,size] that the expression model is made for.

    Args:
        gray: u8[H,W].
        points: f32[68,2] landmarks in px.
        template: f32[3,2], where `anchors3` shall come to lie, 0..1 of the crop.
        size: side of the crop in px.

    """
    return warp(gray, similarity(anchors3(points), template * np.float32(size)), size)
