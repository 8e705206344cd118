"""Estimates by how much the eyes are turned against the head, from where each iris is between the corners of its eye.

An eye is cut out small and level, its outer corner first; a linear filter tells how far its iris is on the way to the
inner corner, and how far below the line between them. Both places, with the head's pose, give the angles. Filter and
angles are fitted to a face mesh (`python -m quantize.evaluate iris --write`), whose people are not those measured on.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import cv2
import msgspec
import numpy as np

from fer_edge.records import EyeTurn, Floats, Image, Landmarks, Pose, Reason
from fer_edge.vision import transforms

WEIGHTS = Path(__file__).with_suffix(".json")
SIDE, EYE_SHARE = 48, 1.5  # px of the square that an eye is cut to; the square in widths of the eye
ROWS = slice(12, 36)  # of the square: brow and cheek are left out
PIXELS = (12, 6)  # that are left of these, columns and rows
LEAST_CONTRAST = 4.0  # gray levels, added to the standard deviation that pixels are divided by
MOST_YAW_DEG = 30.0  # beyond, the farther eye is a sliver
CORNERS = ((36, 39), (42, 45))  # of the 68 points, left to right; the second eye is seen in a mirror


class IrisWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was fitted."""

    place: list[list[float]]  # [2,73] share of the way and share below: of the pixels, and a constant
    across: list[float]  # [2] degrees to the right: of the iris' place to the right of the middle, and of the yaw
    down: list[float]  # [3] degrees: of the place below, of the pitch, and a constant


class IrisReader:
    """Gray picture, landmarks -> the turn of the eyes."""

    def __init__(self, min_eye_px: float) -> None:
        """`min_eye_px`: least distance of an eye's corners."""
        self._min_eye_px, self._weights = min_eye_px, stored_weights()
        self._place = np.array(self._weights.place, np.float32)

    def __call__(self, gray: Image, landmarks: Landmarks) -> EyeTurn | Reason:
        """The eyes' turn in a picture u8[H,W], or why there is none: the head is turned too far, the eyes too small."""
        points, pose = landmarks.points, landmarks.pose
        if abs(pose.yaw_deg) > MOST_YAW_DEG:
            return Reason.TURNED
        if eye_width(points) < self._min_eye_px:
            return Reason.TOO_SMALL
        pixels = np.stack([eye_pixels(gray, points, eye) for eye in (0, 1)])
        places = pixels @ self._place[:, :-1].T + self._place[:, -1]
        return turn(places, pose, self._weights)


@cache
def stored_weights() -> IrisWeights:
    """The ones that were published."""
    return msgspec.json.decode(WEIGHTS.read_bytes(), type=IrisWeights)


def eye_width(points: Floats) -> float:
    """Corner to corner, px, of both eyes on average, by 68 landmarks f32[68,2]."""
    (a, b), (c, d) = CORNERS
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points[[a, b, c, d]].tolist()
    return (math.hypot(bx - ax, by - ay) + math.hypot(dx - cx, dy - cy)) / 2


def eye_pixels(gray: Image, points: Floats, eye: int) -> Floats:
    """An eye f32[72], without its brightness and contrast, the outer corner at the left."""
    (x0, y0), (x1, y1) = points[list(CORNERS[eye])].tolist()
    side, angle = EYE_SHARE * math.hypot(x1 - x0, y1 - y0), math.atan2(y1 - y0, x1 - x0)
    matrix = transforms.square_crop_matrix(((x0 + x1) / 2, (y0 + y1) / 2), side, angle, SIDE)
    crop = cv2.GaussianBlur(transforms.warp(gray, matrix, SIDE), (5, 5), 0)[ROWS].astype(np.float32)
    small: Floats = np.asarray(cv2.resize(crop, PIXELS, interpolation=cv2.INTER_AREA), np.float32)
    pixels = small[:, :: -1 if eye else 1].reshape(-1)
    pixels = pixels - np.float32(pixels.mean())
    contrast = math.sqrt(float(pixels @ pixels) / len(pixels))
    return np.asarray(pixels / np.float32(contrast + LEAST_CONTRAST), np.float32)


def place_of_both(places: Floats) -> tuple[float, float]:
    """Of both eyes' places f32[2,2]: how far right of the middle between the corners, and how far below them."""
    (along, below), (other_along, other_below) = places.tolist()
    return (along - other_along) / 2, (below + other_below) / 2


def turn(places: Floats, pose: Pose, weights: IrisWeights) -> EyeTurn:
    """The angles, from the places f32[2,2] of both irises. A mirror changes the sign of the one across, so that has no
    constant."""
    right, below = place_of_both(places)
    (of_right, of_yaw), (of_below, of_pitch, constant) = weights.across, weights.down
    return EyeTurn(of_right * right + of_yaw * pose.yaw_deg, of_below * below + of_pitch * pose.pitch_deg + constant)
