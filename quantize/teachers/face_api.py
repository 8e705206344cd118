"""The expression network of `@vladmandic/face-api` (MIT), rebuilt from its weights.

Four blocks of depthwise separable convolutions, each of which adds up all of its steps, then a mean and a dense layer.
It knows seven expressions, not contempt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from fer_edge.records import LABELS
from quantize.data.sets import DataError, Floats, Image
from quantize.teachers.tfjs import read_weights

FILE = "face_expression_model-weights_manifest.json"
SIDE = 112
MEAN = (122.782, 117.001, 104.298)  # red, green, blue
ANSWERS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
BATCH = 128
TEMPERATURE = 1.5  # it is surer than it is right


class FaceApi:
    """Gray crops -> probabilities."""

    def __init__(self, folder: Path) -> None:
        """Read the package's weights. Raises DataError."""
        self._weights = read_weights(folder / FILE)
        missing = [name for name in ("dense3/conv3/bias", "fc/weights", "fc/bias") if name not in self._weights]
        if missing:
            raise DataError(f"{folder / FILE}: expected face-api's expression network, found no {missing[0]}")
        self._order = [LABELS.index(name) for name in ANSWERS]
        self._run = tf.function(self._logits, reduce_retracing=True)

    def __call__(self, crops: Image) -> Floats:
        """Probabilities f32[N,8] of crops u8[N,S,S]; that of contempt is 0."""
        given = np.zeros((len(crops), len(LABELS)), np.float32)
        for start in range(0, len(crops), BATCH):
            part = enlarged(crops[start : start + BATCH], SIDE)
            given[start : start + BATCH, self._order] = tf.nn.softmax(self._run(part) / TEMPERATURE)
        return given

    def _logits(self, gray: Any) -> Any:
        x = (tf.repeat(gray[..., None], 3, axis=-1) - np.array(MEAN, np.float32)) / 255
        for number in range(4):
            x = self._block(x, f"dense{number}")
        weights = self._weights
        return tf.reduce_mean(x, (1, 2)) @ weights["fc/weights"] + weights["fc/bias"]

    def _block(self, x: Any, name: str) -> Any:
        total = first = tf.nn.relu(self._conv(x, f"{name}/conv0", stride=2))
        for number in (1, 2, 3):
            total = total + self._conv(tf.nn.relu(total) if number > 1 else first, f"{name}/conv{number}", stride=1)
        return tf.nn.relu(total)

    def _conv(self, x: Any, name: str, *, stride: int) -> Any:
        weights = self._weights
        if f"{name}/filters" in weights:
            x = tf.nn.conv2d(x, weights[f"{name}/filters"], stride, "SAME")
        else:
            x = tf.nn.depthwise_conv2d(x, weights[f"{name}/depthwise_filter"], [1, stride, stride, 1], "SAME")
            x = tf.nn.conv2d(x, weights[f"{name}/pointwise_filter"], 1, "SAME")
        return x + weights[f"{name}/bias"]


def enlarged(crops: Image, side: int) -> Floats:
    """Crops u8[N,S,S] as f32[N,side,side], 0 to 255."""
    large = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_LINEAR) for crop in crops]
    return np.stack(large).astype(np.float32)
