"""Labelled faces as a camera may show them: smaller, darker, brighter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_edge.records import Image
from quantize.data import mesh_faces
from quantize.data.augment import lower_resolution
from quantize.data.mesh_faces import CROP_SCALE, LEARNED, MeshFaces
from quantize.data.sets import DataError

HEIGHTS_PX = (24, 36, 48, 80)  # eyebrows to chin
LEAST_PX = 80.0
DIM = 0.3  # of full light
NOISE = 4.0  # gray levels, of a camera in dim light
BRIGHT = 1.6
LIGHTS = {1.0: HEIGHTS_PX, DIM: (36, 48, 80), BRIGHT: (36, 48, 80)}
"""How much light, and which heights in it."""

SEED = 18


def kept(data: Path) -> MeshFaces:
    """Large faces kept from training. Raises DataError."""
    if not mesh_faces.available(data):
        raise DataError(f"{data / 'mesh'}: no labelled faces; run quantize.data.mesh_labels first")
    sets = mesh_faces.read_all(data, LEARNED).values()
    faces = mesh_faces.join([each.pick(each.held_out) for each in sets])
    large = faces.pick(faces.height_px >= LEAST_PX)
    if not len(large):
        raise DataError(f"{data / 'mesh'}: expected faces of {LEAST_PX:g} px and more kept from training, found none")
    return large


def worse(crops: Image, px: int, light: float) -> Image:
    """The faces u8[N,S,S] as if taken `px` high, with a share `light` of the light. Raises DataError where none is
    left to look at."""
    if not len(crops):
        raise DataError("labelled faces: expected some that are straight enough to compare with, found none")
    rng = np.random.default_rng(SEED)
    small = np.stack([lower_resolution(crop, round(CROP_SCALE * px), round(CROP_SCALE * px)) for crop in crops])
    if light == 1.0:
        return small
    noise = rng.normal(0, NOISE, small.shape) if light < 1 else 0.0
    return np.asarray(np.clip(small * light + noise, 0, 255), np.uint8)


def name(px: int, light: float) -> str:
    """The name of a condition: a face `px` high in a share `light` of the light."""
    return f"{px} px" + ("" if light == 1.0 else f", light {light:.0%}")
