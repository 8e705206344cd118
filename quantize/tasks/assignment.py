"""Which cells of the grids answer for which face: those that already answer best, a few for each (SimOTA, Ge et al.
2021, arXiv:2107.08430). All in Keras operations, with axes batch, face, cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from quantize.data.sets import Floats

NEAR = 2.5  # strides: a face's cells are within this of its centre, and within its box
SIZES = (
    1.0,
    8.0,
)  # strides: faces of these sizes suit a grid; the finest takes smaller, the coarsest larger ones
MOST = 10  # cells of a face
OVERLAP_WEIGHT = 3.0  # of the box's logarithm against the score's
NEVER = 1e6


def assign(scores: Any, boxes: Any, faces: Any, exists: Any, *, cells: Floats) -> tuple[Any, Any, Any]:
    """Choose the cells of every face.

    Args:
        scores: f32[B,C] 0..1, of each cell.
        boxes: f32[B,C,4] the corners of its box in px.
        faces: f32[B,F,4] the corners of the true boxes in px.
        exists: f32[B,F] 1 for a face, 0 for a row that is not used.
        cells: f32[C,3] column, row and stride of every cell.

    Returns:
        Whether a cell answers for a face, f32[B,C]; for which, i32[B,C]; and the IoU of its box with that face's,
        f32[B,C].

    """
    overlap = pairwise_overlap(faces, boxes)
    cost = -ops.log(ops.maximum(scores, 1e-4))[:, None] - OVERLAP_WEIGHT * ops.log(ops.maximum(overlap, 1e-4))
    possible = ops.logical_and(exists[..., None] > 0.5, candidates(faces, cells))
    cost = ops.where(possible, cost, NEVER)
    best, _ = ops.top_k(ops.where(possible, overlap, 0.0), MOST)
    count = ops.cast(ops.clip(ops.sum(best, axis=-1), 1, MOST), "int32")  # i32[B,F]
    cheapest, _ = ops.top_k(-cost, MOST)
    limit = -ops.take_along_axis(cheapest, count[..., None] - 1, axis=-1)
    taken = ops.where(ops.logical_and(cost <= limit, cost < NEVER), cost, NEVER)
    face = ops.argmin(taken, axis=1)
    answers = ops.cast(ops.min(taken, axis=1) < NEVER, "float32")
    return answers, face, ops.take_along_axis(overlap, face[:, None], axis=1)[:, 0]


def candidates(faces: Any, cells: Floats) -> Any:
    """Which cells f32[C,3] (column, row, stride) may be assigned to which faces f32[B,F,4]: bool[B,F,C]."""
    stride = cells[:, 2]
    x, y = ((cells[:, axis] + 0.5) * stride for axis in (0, 1))
    x0, y0, x1, y1 = (faces[..., side, None] for side in range(4))
    away = ops.maximum(ops.abs(x - (x0 + x1) / 2), ops.abs(y - (y0 + y1) / 2)) / stride
    within = ops.minimum(ops.minimum(x - x0, x1 - x), ops.minimum(y - y0, y1 - y)) > 0
    size = ops.sqrt(ops.maximum((x1 - x0) * (y1 - y0), 0.0)) / stride
    least, most = np.where(stride == stride.min(), 0, SIZES[0]), np.where(stride == stride.max(), np.inf, SIZES[1])
    suits = ops.logical_and(size >= least.astype(np.float32), size < most.astype(np.float32))
    nearest = ops.logical_and(away <= 0.5, ops.cast(stride == stride.min(), "bool"))  # for the tiny ones
    return ops.logical_and(suits, ops.logical_or(ops.logical_and(within, away <= NEAR), nearest))


def pairwise_overlap(faces: Any, boxes: Any) -> Any:
    """IoU of every face f32[B,F,4] with every box f32[B,C,4]: f32[B,F,C]."""
    faces, boxes = faces[:, :, None], boxes[:, None]
    low, high = ops.maximum(faces[..., :2], boxes[..., :2]), ops.minimum(faces[..., 2:], boxes[..., 2:])
    shared = ops.prod(ops.maximum(high - low, 0.0), axis=-1)
    total = _area(faces) + _area(boxes) - shared
    return shared / ops.maximum(total, 1e-6)


def _area(boxes: Any) -> Any:
    return ops.prod(ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
