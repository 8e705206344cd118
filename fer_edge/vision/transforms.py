"""Pure picture geometry: letterbox, crop, align, normalise.

`quantize/` imports this file too, so that training and inference cannot drift apart. Transforms are 2x3 float
matrices from source to crop pixels, in coordinates whose first pixel has its centre at 0.5 (OpenCV's own
count from 0.0; `warp` converts).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats, Image

Matrix = NDArray[np.float64]

MOST_SUMMED = 16  # 16 x 16 px of 255 are the most that 16 bits hold

_EYE_POINTS, _MOUTH_POINTS = np.float32(6), np.float32(12)  # how many landmarks each of `anchors3` is the mean of


def normalise(pixels: Image, low: float, high: float) -> Floats:
    """u8[...] to f32[...]: 0 becomes `low`, 255 becomes `high`."""
    scaled = np.multiply(pixels, np.float32((high - low) / 255.0), dtype=np.float32)
    scaled += np.float32(low)
    return scaled


def letterbox(image: Image, width: int, height: int) -> tuple[Image, Matrix]:
    """Scale a picture u8[H,W] or u8[H,W,3] into width x height px without distortion; the rest stays black. Where that
    shrinks it by two or more, it is averaged first, as `warp` does; up to that many px less one may be lost at its
    right and lower edge.

    Returns:
        The canvas u8[height,width] or u8[height,width,3], and the matrix f64[2,3] from picture to canvas.

    """
    shrink = max(1, int(1 / min(width / image.shape[1], height / image.shape[0])))
    rows, columns = max(1, image.shape[0] // shrink), max(1, image.shape[1] // shrink)
    whole = image[: rows * shrink, : columns * shrink]
    scale = min(width / columns, height / rows)
    inner_width, inner_height = max(1, round(columns * scale)), max(1, round(rows * scale))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    canvas = np.zeros((height, width, *image.shape[2:]), np.uint8)
    inside = canvas[top : top + inner_height, left : left + inner_width]
    if shrink > 1 and (columns, rows) == (inner_width, inner_height):  # a camera's 640x480: in one go
        averaged(whole, shrink, into=inside)
    else:
        small = averaged(whole, shrink) if shrink > 1 else whole
        # without _EXACT, OpenCV for arm64 rounds a quarter of the pixels otherwise
        cv2.resize(small, (inner_width, inner_height), dst=inside, interpolation=cv2.INTER_LINEAR_EXACT)
    across, down = inner_width / whole.shape[1], inner_height / whole.shape[0]
    return canvas, np.array([[across, 0.0, left], [0.0, down, top]])


def averaged(image: Image, shrink: int, *, into: Image | None = None) -> Image:
    """A picture u8[H,W] or u8[H,W,3], the mean over each shrink x shrink px: u8[H/shrink,W/shrink], `into` where there
    is such an array. As INTER_AREA, to the bit; that has fast code for 2 only, so sums of 16 bits take a third to half
    of its time."""
    height, width = max(1, image.shape[0] // shrink), max(1, image.shape[1] // shrink)  # thin ones get one row
    if image.ndim > 2 or not 2 < shrink <= min(MOST_SUMMED, *image.shape):
        whole = image[: height * shrink, : width * shrink]
        return np.asarray(cv2.resize(whole, (width, height), dst=into, interpolation=cv2.INTER_AREA), np.uint8)
    columns = cv2.transpose(_added(image, height, shrink))
    means = cv2.convertScaleAbs(_added(columns, width, shrink), alpha=1 / shrink**2)
    return np.asarray(cv2.transpose(means, dst=into), np.uint8)


def _added(values: NDArray[Any], rows: int, shrink: int) -> NDArray[np.uint16]:
    """Sums of `shrink` rows each: u16[rows,W] of [H,W]."""
    sums = values[: rows * shrink : shrink].astype(np.uint16)
    for first in range(1, shrink):
        sums += values[first : rows * shrink : shrink]
    return sums


def halved(image: Image, *, least: tuple[int, int]) -> Image:
    """A picture u8[H,W] or u8[H,W,3] averaged over 2x2 px as often as it stays at least `least` (width and height) px:
    OpenCV has fast code for that, but for no other number. A last odd row or column is left out."""
    while image.shape[1] >= 2 * least[0] and image.shape[0] >= 2 * least[1]:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        whole = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def square_crop_matrix(center: tuple[float, float], side: float, angle: float, size: int) -> Matrix:
    """The matrix f64[2,3] that takes a square of `side` px around `center`, turned by `angle` rad (clockwise in the
    picture), to a crop of size x size px."""
    scale = size / max(side, 1e-6)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    x, y = center
    return np.array([[cos, sin, size / 2 - cos * x - sin * y], [-sin, cos, size / 2 + sin * x - cos * y]])


def similarity(source: Floats, target: Floats) -> Matrix:
    """The shift, turn and scale that brings points f32[N,2] nearest to others (least squares; Umeyama 1991,
    here as a complex-number regression, which cannot mirror)."""
    pairs = [(complex(*a), complex(*b)) for a, b in zip(source.tolist(), target.tolist(), strict=True)]
    from_mean, to_mean = (sum(points) / len(pairs) for points in zip(*pairs, strict=True))
    turned, spread = 0j, 0.0
    for one, other in pairs:  # few points: NumPy's call overhead would dominate
        away = one - from_mean
        turned += away.conjugate() * (other - to_mean)
        spread += away.real * away.real + away.imag * away.imag
    factor = turned / max(spread, 1e-9)
    shift = to_mean - factor * from_mean
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def transform(points: Floats, matrix: Matrix) -> Floats:
    """Apply a matrix f64[2,3] to points f32[...,2]; returns the same shape. As NumPy's product, in half of its time."""
    if not points.size:  # of which OpenCV makes None
        return points.astype(np.float32)
    exact = cv2.transform(points.astype(np.float64).reshape(1, -1, 2), matrix)
    return np.asarray(exact.reshape(points.shape).astype(np.float32), np.float32)


def invert(matrix: Matrix) -> Matrix:
    """The inverse f64[2,3] of an affine matrix f64[2,3]."""
    (a, b, x), (c, d, y) = matrix.tolist()
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])


def warp(image: Image, matrix: Matrix, size: int) -> Image:
    """Cut a crop of size x size px from a picture u8[H,W] or u8[H,W,3]; `matrix`: f64[2,3], from picture to crop. Where
    that shrinks the picture by two or more, it is averaged first, so that fine detail does not alias; beyond the
    picture's edge its last pixels are repeated."""
    (a, b, x), (c, d, y) = matrix.tolist()
    shrink = int(1 / max(math.hypot(a, c), 1e-6))
    if shrink >= 2:
        image, matrix = _reduce(image, matrix, size, shrink)
        (a, b, x), (c, d, y) = matrix.tolist()
    turned = np.array([[a, b, (a + b) / 2 + x - 0.5], [c, d, (c + d) / 2 + y - 0.5]])  # to OpenCV's centres at 0.0
    return np.asarray(
        cv2.warpAffine(image, turned, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _reduce(image: Image, matrix: Matrix, size: int, shrink: int) -> tuple[Image, Matrix]:
    """The part of a picture that a crop needs, averaged over shrink x shrink blocks, and the matrix from it."""
    x0, y0, x1, y1 = _corners(matrix, size)
    left, top = max(0, int(x0) - shrink), max(0, int(y0) - shrink)
    width = (min(image.shape[1], int(x1) + 2 * shrink) - left) // shrink
    height = (min(image.shape[0], int(y1) + 2 * shrink) - top) // shrink
    if width < 1 or height < 1:
        return image, matrix
    small = averaged(image[top : top + height * shrink, left : left + width * shrink], shrink)
    (a, b, x), (c, d, y) = matrix.tolist()
    back = [[a * shrink, b * shrink, a * left + b * top + x], [c * shrink, d * shrink, c * left + d * top + y]]
    return small, np.array(back)


def _corners(matrix: Matrix, size: int) -> list[float]:
    """Least x and y, and most, of what a crop of size x size px shows of the picture, as float32 has them."""
    (a, b, x), (c, d, y) = invert(matrix).tolist()
    across, down = (0.0, a * size, b * size, a * size + b * size), (0.0, c * size, d * size, c * size + d * size)
    ends = [min(across) + x, min(down) + y, max(across) + x, max(down) + y]
    bounds: list[float] = np.array(ends, np.float32).tolist()
    return bounds


def eyes(points: Floats) -> Floats:
    """Middle of the left eye and of the right eye of 68 landmarks f32[68,2]: f32[2,2]."""
    # an array's own `mean` gives the same at three times the cost
    return np.asarray(np.add.reduce(points[36:48].reshape(2, 6, 2), 1) / _EYE_POINTS, np.float32)


def anchors3(points: Floats) -> Floats:
    """The same and the middle of the mouth, of 68 landmarks f32[68,2]: f32[3,2]."""
    mouth = np.add.reduce(points[48:60]) / _MOUTH_POINTS
    return np.concatenate((eyes(points), mouth[None]))


def align(gray: Image, points: Floats, template: Floats, size: int) -> Image:
    """The upright crop u8[size,size] that the expression model is made for.

    Args:
        gray: u8[H,W].
        points: f32[68,2] landmarks in px.
        template: f32[3,2], target positions of `anchors3`, 0..1 of the crop.
        size: side of the crop in px.

    """
    return warp(gray, similarity(anchors3(points), template * np.float32(size)), size)
