"""How crops of faces are cut for the landmarks network: off as the daemon's are, mirrored, varied, pasted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Box
from fer_edge.vision import transforms
from fer_edge.vision.landmarks import crop_around_box, crop_around_points
from fer_edge.vision.model_card import PointsCard
from quantize.data import augment
from quantize.data.scenes import FER_BOX, paste
from quantize.data.sets import Floats, Image
from quantize.tasks.networks import LANDMARKS_SIDE

PASTED_PX = (36.0, 170.0)  # sides of faces that are pasted

# How a crop is cut, as shares: see PointsCard. BOX_SCALE and BOX_SHIFT bring crops from a detector's boxes nearest
# to those from points: medians over the 3,499 stills of YuNet's boxes (WIDER style) against the labelled points. The
# crops' sides then differ by 8 % (standard deviation), their middles by 4 % of the side (median).
POINTS_SCALE = 1.2
BOX_SCALE = 0.813 * POINTS_SCALE
BOX_SHIFT = 0.144

# The labels lie a little too far right: a network that learns from stills and their mirrors alike, and so cannot
# take sides, finds the points 0.95 % of the face's longer side left of them, on people it learned from as on others.
# Mirrored stills get labels with the same fault: the network then learns what the labels, by which it is judged, say.
LABEL_SHIFT = 0.0095 / POINTS_SCALE  # of the crop's side

# How far the daemon's crops are off, and a little further. Small faults are the likelier ones.
MAX_SHIFT = 0.1  # of the crop's side
SCALES = (0.85, 1.2)
TURN_DEGREES = 12.0  # standard deviation
MAX_TURN_DEGREES = 40.0

# Crops that overlap the face so little (intersection over union with the square around it below 0.3) are no faces.
MISS_DISTANCE = (0.6, 1.3)  # between the middles, in sides of the face
MISS_SCALES = (0.6, 1.6)

# How far a detector's boxes are off: their middle in box heights, their size.
BOX_SHIFTS = 0.08
BOX_SCALES = (0.85, 1.18)


def mirror_index() -> NDArray[np.intp]:
    """Name for each point the one that takes its place in a mirror: i[68]."""
    jaw, brows, bridge, nostrils = range(16, -1, -1), range(26, 16, -1), range(27, 31), range(35, 30, -1)
    eyes = (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)
    outer, inner = (54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55), (64, 63, 62, 61, 60, 67, 66, 65)
    return np.array([*jaw, *brows, *bridge, *nostrils, *eyes, *outer, *inner])


MIRROR = mirror_index()


def mirrored(placed: Floats) -> Floats:
    """Where labels f32[N,68,2], in shares of a crop's side, lie in its mirror."""
    flipped = placed[:, MIRROR]
    flipped[..., 0] = 1 - flipped[..., 0] + 2 * LABEL_SHIFT
    return flipped


def measuring_crop(points: Floats) -> transforms.Matrix:
    """The upright crop around true points f32[68,2] px, by which models are compared."""
    return crop_around_points(points, POINTS_SCALE, LANDMARKS_SIDE)


def shapes(points: Sequence[Floats], matrices: Sequence[transforms.Matrix]) -> Floats:
    """Where points f32[68,2] px lie in their crops, in shares of the side: f32[N,68,2]."""
    placed = [transforms.transform(own, matrix) for own, matrix in zip(points, matrices, strict=True)]
    return np.stack(placed) / np.float32(LANDMARKS_SIDE)


def jittered(points: Floats, rng: np.random.Generator) -> transforms.Matrix:
    """The matrix f64[2,3] to a crop around points f32[68,2], misplaced as the daemon's crops are: mostly little."""
    turn = np.clip(rng.normal(0, TURN_DEGREES), -MAX_TURN_DEGREES, MAX_TURN_DEGREES)
    smallest, largest = np.log(SCALES)
    scale = POINTS_SCALE * math.exp(rng.triangular(smallest, 0, largest))
    matrix = crop_around_points(points, scale, LANDMARKS_SIDE, math.radians(turn))
    matrix[:, 2] += LANDMARKS_SIDE * MAX_SHIFT * rng.triangular(-1, 0, 1, 2)
    return matrix


def missing(points: Floats, rng: np.random.Generator) -> transforms.Matrix:
    """The matrix f64[2,3] to a crop beside the face with points f32[68,2]."""
    low, high = points.min(axis=0), points.max(axis=0)
    side, way, turn = float((high - low).max()), rng.uniform(0, 2 * math.pi), rng.uniform(-0.5, 0.5)
    x, y = (low + high) / 2 + side * rng.uniform(*MISS_DISTANCE) * np.array([math.cos(way), math.sin(way)])
    scale = POINTS_SCALE * math.exp(rng.uniform(*np.log(MISS_SCALES)))
    return transforms.square_crop_matrix((float(x), float(y)), scale * side, turn, LANDMARKS_SIDE)


def boxed(box: Floats, card: PointsCard, rng: np.random.Generator) -> transforms.Matrix:
    """A crop around the box f32[4] of a face, as far off as a detector's."""
    (x0, y0, x1, y1), scale = box.tolist(), math.exp(rng.uniform(*np.log(BOX_SCALES)))
    x, y = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + (y1 - y0) * rng.uniform(-BOX_SHIFTS, BOX_SHIFTS, 2)
    half_x, half_y = scale * (x1 - x0) / 2, scale * (y1 - y0) / 2
    turn = math.radians(np.clip(rng.normal(0, TURN_DEGREES), -MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    return crop_around_box(Box(x - half_x, y - half_y, x + half_x, y + half_y), card, LANDMARKS_SIDE, turn)


def anywhere(picture: Image, rng: np.random.Generator, size: int = LANDMARKS_SIDE) -> transforms.Matrix:
    """The matrix f64[2,3] from a picture u8[H,W] to a crop of size x size px, anywhere, a tenth of the picture's
    shorter side wide or more."""
    height, width = picture.shape
    side = min(height, width) * 10 ** rng.uniform(-1, 0)
    center = (rng.uniform(0, width), rng.uniform(0, height))
    return transforms.square_crop_matrix(center, side, rng.uniform(-0.5, 0.5), size)


def cut(pictures: Sequence[Image], matrices: Sequence[transforms.Matrix]) -> Image:
    """Crops u8[N,side,side]."""
    pairs = zip(pictures, matrices, strict=True)
    return np.stack([transforms.warp(picture, matrix, LANDMARKS_SIDE) for picture, matrix in pairs])


def mirror(crops: Image, placed: Floats, which: NDArray[np.bool_]) -> tuple[Image, Floats]:
    """Mirror some crops u8[N,S,S] and their points f32[N,68,2] in shares of the side."""
    column = which[:, None, None]
    return np.where(column, crops[:, :, ::-1], crops), np.where(column, mirrored(placed), placed)


def turned_by(matrix: transforms.Matrix) -> float:
    """A crop's rotation in its picture, degrees clockwise, by its matrix f64[2,3]."""
    return math.degrees(math.atan2(matrix[0, 1], matrix[0, 0]))


def augmented(crops: Image, rng: np.random.Generator) -> Image:
    """Augment crops u8[N,80,80] as a camera varies: faces from 20 px up, dark, blurred, noisy, half covered."""
    crops = augment.coarsen(crops, rng, share=0.25, sides_px=(24, 64))
    crops = augment.blur(augment.relight(crops, rng), rng, share=0.1)
    crops = augment.compress(augment.add_noise(crops, rng, share=0.2), rng, share=0.1)
    return augment.erase(crops, rng, share=0.25, sides=(0.1, 0.4))


def pasted(crop: Image, scene: Image, rng: np.random.Generator) -> tuple[Image, Floats]:
    """Lay a FER+ face u8[48,48] onto a part of a picture without faces; the new picture, and the face's box f32[4]."""
    smallest, largest = PASTED_PX
    side = round(smallest * (largest / smallest) ** rng.random())
    part = transforms.warp(scene, anywhere(scene, rng, size=2 * side), 2 * side)
    paste(part, crop, left=side // 2, top=side // 2, side=side, rng=rng)
    return part, side // 2 + side * np.array(FER_BOX, np.float32)
