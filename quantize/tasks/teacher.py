"""The outputs of another detector, YuNet, in every cell of a picture: the detector's dense training signal. Its grids
have the same strides, so that its outputs are converted into ours cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from fer_edge.vision.tflite import sigmoid
from quantize.data.sets import Floats, Image
from quantize.tasks.task import to_input
from quantize.tasks.yunet import KEYPOINTS, STRIDES, cell_centers, load_yunet

BATCH = 32
LONGEST = 12.0  # strides: distances from a cell to a side of its box


@dataclass(frozen=True, slots=True)
class Answers:
    """For pictures of one size; cells row by row, fine grid first; lengths in strides of the cell's grid."""

    scores: Floats  # f32[N,cells] 0..1
    places: Floats  # f32[N,cells,4+2K] distances to the box's sides, offsets to the key points, from the centre
    features: Any  # f16[N,cells,64] the features of the outputs


class Teacher:
    """Outputs for pictures."""

    def __init__(self, path: Path) -> None:
        network = load_yunet(path)
        self._run = tf.function(lambda images: network(images, training=False), reduce_retracing=True)

    def __call__(self, images: Image) -> Answers:
        """Outputs for u8[N,H,W]."""
        parts = [self._batch(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return Answers(*(np.concatenate(same) for same in zip(*parts, strict=True)))

    def _batch(self, images: Image) -> tuple[Floats, Floats, Any]:
        outputs = [np.asarray(each) for each in self._run(to_input(images))]
        flat = [each.reshape(len(each), -1, each.shape[-1]) for each in outputs]
        levels = len(STRIDES)
        classes, boxes, objects, points = (np.concatenate(flat[kind : 4 * levels : 4], axis=1) for kind in range(4))
        scores = np.sqrt(sigmoid(classes) * sigmoid(objects))[..., 0]
        places = np.concatenate([distances(boxes), points - np.tile(np.float32(0.5), 2 * KEYPOINTS)], axis=-1)
        return scores, places, np.concatenate(flat[4 * levels :], axis=1).astype(np.float16)


def silence(images: Image) -> Answers:
    """The outputs without a teacher for u8[N,H,W]: no face anywhere."""
    count, cells = len(images), len(cell_centers(*images.shape[1:]))
    places = np.zeros((count, cells, 4 + 2 * KEYPOINTS), np.float32)
    return Answers(np.zeros((count, cells), np.float32), places, np.zeros((count, cells, 1), np.float16))


def distances(boxes: Floats) -> Floats:
    """YuNet's boxes f32[...,4] (centre from the cell's corner, logarithms of width and height) as distances from the
    cell's centre to left, top, right and bottom."""
    middle, half = boxes[..., :2] - 0.5, np.exp(np.minimum(boxes[..., 2:], 5)) / 2
    return np.asarray(np.clip(np.concatenate([half - middle, half + middle], axis=-1), 0, LONGEST), np.float32)
