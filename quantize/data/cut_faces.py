"""Faces as the daemon cuts them, on a canvas that shows more than the crop.

A view that is to show more than the crop finds true pixels there, or the crop's edge repeated where a set has none.
"""

from __future__ import annotations

import numpy as np

from fer_edge.records import Image, Landmarks
from fer_edge.vision import transforms
from fer_edge.vision.landmarks import crop_around_points
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data.sets import FER_SIDE

CANVAS = 64  # px; its middle FER_SIDE px are the crop
LOOKS = 2  # of the landmarks model at a face: its first points frame the second look

# Where the eyes and the mouth of a FER+ face lie, in shares of the crop's side: mean positions measured on FER+
# train by our own landmarks (`quantize.evaluate.geometry`). The daemon turns, scales and shifts each face onto these
# points.
# Left and right are those of the picture.
TEMPLATE = {"left_eye": [0.328, 0.4], "right_eye": [0.672, 0.4], "mouth": [0.5, 0.783]}


def on_canvas(crops: Image) -> Image:
    """Repeat the edges of crops u8[N,48,48] up to the canvas's."""
    margin = (CANVAS - FER_SIDE) // 2
    return np.pad(crops, ((0, 0), (margin, margin), (margin, margin)), mode="edge")


def crops_of(canvases: Image) -> Image:
    """The crops u8[N,48,48] in the middle of canvases."""
    margin = (CANVAS - FER_SIDE) // 2
    return canvases[:, margin:-margin, margin:-margin]


def aligned(crops: Image, landmarks: Model) -> Image:
    """The canvases u8[N,CANVAS,CANVAS] in whose middle the daemon's crops of these crops u8[N,S,S] lie."""
    return np.stack([align(crop, place(crop, landmarks)) for crop in crops])


def place(crop: Image, model: Model) -> Landmarks:
    """Landmarks of a face that fills its picture u8[S,S]."""
    card, size, side = model.card.points, model.size[0], len(crop)
    assert card is not None  # tflite.py refuses a landmarks card without it
    matrix = transforms.square_crop_matrix((side / 2, side / 2), side, 0.0, size)
    for _ in range(LOOKS):
        found = daemon_stages.landmarks(model, crop, matrix)
        matrix = crop_around_points(found.points, card.points_scale, size)
    return found


def align(gray: Image, found: Landmarks) -> Image:
    """Bring a face's eyes and mouth onto the template in the middle of a canvas u8[CANVAS,CANVAS]."""
    template = np.array(list(TEMPLATE.values()), np.float32)
    inner = (template - np.float32(0.5)) * np.float32(FER_SIDE / CANVAS) + np.float32(0.5)
    return transforms.align(gray, found.points, inner, CANVAS)
