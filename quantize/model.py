"""The expression network: a small residual CNN of plain 3x3 convolutions.

Everything in it has a fast int8 kernel, and convolution + batch norm + ReLU folds into a single one. Depthwise
convolutions would save MACs, but per MAC they are slow on a Pi, and they lose more in int8.
"""

import math
from typing import Any, Final

import keras
from keras import layers

from quantize.data import CLASSES, SIDE

# width, stride and number of residual blocks of each stage
STAGES: Final = ((32, 1, 1), (64, 2, 1), (128, 2, 2))
DROPOUT: Final = 0.3


def expression_net(*, batch: int | None = None) -> Any:
    """Build 48x48x1 gray in LOW..HIGH -> 8 logits; for a fixed batch, or by default for any."""
    image = keras.Input((SIDE, SIDE, 1), batch_size=batch, name="image")  # 48x48x1
    x = _conv(image, STAGES[0][0], stride=2)  # 24x24x32
    for width, stride, blocks in STAGES:  # 24x24x32, 12x12x64, 6x6x128
        for block in range(blocks):
            x = _residual(x, width, stride=stride if block == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)  # 128
    x = layers.Dropout(DROPOUT)(x)
    logits = layers.Dense(CLASSES, dtype="float32", name="logits")(x)  # 8
    return keras.Model(image, logits, name="expression")


def _conv(x: Any, width: int, *, stride: int = 1, side: int = 3, relu: bool = True) -> Any:
    convolve = layers.Conv2D(
        width, side, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    x = layers.BatchNormalization(momentum=0.9)(convolve(x))
    return layers.ReLU()(x) if relu else x


def _residual(x: Any, width: int, *, stride: int) -> Any:
    """Add two 3x3 convolutions beside a way straight through: HxWxC -> H/stride x W/stride x width."""
    inner = _conv(x, width, stride=stride)
    inner = _conv(inner, width, relu=False)
    if stride != 1 or x.shape[-1] != width:
        x = _conv(x, width, stride=stride, side=1, relu=False)
    return layers.ReLU()(layers.Add()([x, inner]))


def count_macs(model: Any) -> int:
    """Count one picture's multiply-accumulates in convolutions and dense layers; the rest is small beside them."""
    counted = (layers.Conv2D, layers.Dense)
    return sum(_layer_macs(layer) for layer in model.layers if isinstance(layer, counted))


def _layer_macs(layer: Any) -> int:
    _, *places, _ = layer.output.shape  # [batch, height, width, channels] or [batch, channels]
    return math.prod((*layer.kernel.shape, *places))
