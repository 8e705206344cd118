"""Two ways to find an iris without learning: the centre of the dark pixels inside the outline of the eye, and the point
from which most gradients point away (Timm & Barth 2011, "Accurate eye centre localisation by means of gradients")."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats, Image
from fer_edge.vision import transforms

SIDE, EYE = 48, 32.0  # px of the square that an eye is cut to, and of the eye in it
DARK_SHARE = 30  # percent of an outline's pixels that count as dark


def _cut(gray: Image, outline: Floats) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An eye cut out level f32[24,48] with its corners at x = 8 and 40, and what is inside its outline f32[6,2]."""
    one, other = outline[0], outline[3]
    x, y = ((one + other) / 2).tolist()
    across = (other - one).tolist()
    side = math.hypot(*across) * SIDE / EYE
    matrix = transforms.square_crop_matrix((x, y), side, math.atan2(across[1], across[0]), SIDE)
    rows = slice(SIDE // 4, 3 * SIDE // 4)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(inside, np.round(transforms.transform(outline, matrix)).astype(np.int32), 1)
    inside = np.asarray(cv2.dilate(inside, np.ones((3, 3), np.uint8)), np.uint8)
    patch = cv2.GaussianBlur(transforms.warp(gray, matrix, SIDE), (5, 5), 0)
    return patch[rows].astype(np.float32), inside[rows] > 0


def _share(x: float) -> float:
    return (x + 0.5 - (SIDE - EYE) / 2) / EYE


def dark_place(gray: Image, outline: Floats) -> float:
    """Where the middle of the dark pixels of a picture u8[H,W] is between the corners of an eye, outlined by f32[6,2];
    NaN: the outline is empty."""
    patch, inside = _cut(gray, outline)
    if not inside.any():
        return float("nan")
    dark = np.maximum(0, np.percentile(patch[inside], DARK_SHARE) - patch) * inside
    total = float(dark.sum())
    return _share(float((dark.sum(axis=0) * np.arange(SIDE)).sum()) / total) if total > 0 else float("nan")


def gradient_place(gray: Image, outline: Floats) -> float:
    """The same of the point from which most gradients point away, weighted by its darkness (Timm and Barth 2011);
    u8[H,W], f32[6,2]."""
    patch, inside = _cut(gray, outline)
    across, down = cv2.Sobel(patch, cv2.CV_32F, 1, 0), cv2.Sobel(patch, cv2.CV_32F, 0, 1)
    steep = np.hypot(across, down)
    strong = inside & (steep > steep[inside].mean() + 0.3 * steep[inside].std()) if inside.any() else inside
    if not strong.any():
        return float("nan")
    ends, starts = np.argwhere(strong), np.argwhere(inside)
    way = (ends[None] - starts[:, None]).astype(np.float32)
    length = np.maximum(np.hypot(way[..., 0], way[..., 1]), 1e-6)
    towards = (way[..., 0] * down[strong] + way[..., 1] * across[strong]) / length / steep[strong]
    votes = (np.maximum(0, towards) ** 2).mean(axis=1) * (255 - patch[inside])
    if not votes.any():
        return float("nan")
    best = votes >= 0.95 * votes.max()
    return _share(float((starts[best, 1] * votes[best]).sum() / votes[best].sum()))
