"""The networks: small CNNs of plain 3x3 convolutions.

Everything in them has a fast int8 kernel, and convolution + batch norm + ReLU folds into a single one. Depthwise
convolutions would save MACs, but per MAC they are slow on a Pi, and they lose more in int8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from fer_edge.records import LABELS
from quantize.data.sets import FER_SIDE

EXPRESSION_WIDTHS = (24, 64, 128)
EXPRESSION_STRIDES = (1, 2, 2)
EXPRESSION_BLOCKS = (1, 1, 2)
DROPOUT = 0.3

DETECTOR_SIZE = (256, 320)  # height, width; any multiples of 32 do
DETECTOR_STRIDES = (8, 16, 32)
KEYPOINTS = 5

LANDMARKS_SIDE = 80
LANDMARKS = 68
POSE_HIDDEN = 32


def expression_net(widths: Sequence[int] = EXPRESSION_WIDTHS, *, batch: int | None = None) -> Any:
    """Build 48x48x1 gray in LOW..HIGH -> 8 logits."""
    image = keras.Input((FER_SIDE, FER_SIDE, 1), batch_size=batch, name="image")  # 48x48x1
    x = _conv(image, widths[0], stride=2)  # 24x24x24
    for width, stride, blocks in zip(widths, EXPRESSION_STRIDES, EXPRESSION_BLOCKS, strict=True):
        for block in range(blocks):  # 24x24x24, 12x12x64, 6x6x128
            x = _residual(x, width, stride=stride if block == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)  # 128
    x = layers.Dropout(DROPOUT)(x)
    logits = layers.Dense(len(LABELS), dtype="float32", name="logits")(x)  # 8
    return keras.Model(image, [logits], name="expression")


def detector_net(size: tuple[int, int] | None = None, *, batch: int | None = None, features: bool = False) -> Any:
    """Build HxWx1 gray in LOW..HIGH -> score, box and points on three grids, of YuNet's shape (Wu et al. 2023) with
    fewer channels at the start and a branch of its own for the score; sizes below are for 240x320.

    With `features` the grids that the heads see are outputs too, the finest first: they learn from a teacher's.
    """
    height, width = size or (None, None)
    image = keras.Input((height, width, 1), batch_size=batch, name="image")  # 240x320x1
    x = _unit(_conv(image, 16, stride=2), 16)  # 120x160x16
    x = _units(layers.MaxPooling2D()(x), 16, 32, 32, 64)  # 60x80x64
    fine = _units(layers.MaxPooling2D()(x), 64, 64)  # 30x40x64
    middle = _units(layers.MaxPooling2D()(fine), 64, 64)  # 15x20x64
    coarse = _units(layers.MaxPooling2D()(middle), 64, 64, 64)  # 7x10x64
    # What the coarse grid knows goes down to the finer ones (Lin et al. 2017, arXiv:1612.03144).
    middle = _unit(layers.Add()([middle, double(coarse)]), 64)
    fine = _unit(layers.Add()([fine, double(middle)]), 64)
    grids, outputs = (fine, middle, coarse), []
    for stride, x in zip(DETECTOR_STRIDES, grids, strict=True):
        x = _unit(x, 64)
        score, place = _unit(x, 32), _unit(x, 32)
        outputs += [_head(score, 1, f"score_{stride}"), _head(place, 4, f"box_{stride}")]
        outputs += [_head(place, 2 * KEYPOINTS, f"points_{stride}")]
    return keras.Model(image, [*outputs, *(grids if features else ())], name="detector")


def landmarks_net(*, batch: int | None = None) -> Any:
    """Build 80x80x1 gray in LOW..HIGH -> 68 offsets from the mean shape in crop sides; a logit: is it a face?; yaw,
    pitch and roll; the logarithm of how far these are off."""
    image = keras.Input((LANDMARKS_SIDE, LANDMARKS_SIDE, 1), batch_size=batch, name="image")  # 80x80x1
    x = _conv(image, 16, stride=2)  # 40x40x16
    x = _residual(x, 32, stride=2)  # 20x20x32
    x = _residual(x, 64, stride=2)  # 10x10x64
    x = _residual(x, 80, stride=2)  # 5x5x80
    x = _conv(x, 64, side=1)  # 5x5x64
    x = layers.Flatten()(x)  # 1600
    start = keras.initializers.RandomNormal(stddev=0.003)  # near the mean shape
    points = layers.Dense(2 * LANDMARKS, kernel_initializer=start, dtype="float32", name="points")(x)  # 136
    score = layers.Dense(1, dtype="float32", name="score")(x)  # 1
    turned = layers.Dense(POSE_HIDDEN, activation="relu", name="pose_hidden")(x)  # 32
    pose = layers.Dense(3, dtype="float32", name="pose")(turned)  # 3
    spread = layers.Dense(1, dtype="float32", name="spread")(turned)  # 1
    return keras.Model(image, [points, score, pose, spread], name="landmarks")


def intensity_net(outputs: int, *, batch: int | None = None) -> Any:
    """Build 48x48x1 gray in LOW..HIGH -> a logit for each intensity."""
    image = keras.Input((FER_SIDE, FER_SIDE, 1), batch_size=batch, name="image")  # 48x48x1
    x = _conv(image, 16, stride=2)  # 24x24x16
    x = _conv(x, 24)  # 24x24x24
    x = _conv(x, 48, stride=2)  # 12x12x48
    x = _residual(x, 48, stride=1)  # 12x12x48
    x = _conv(x, 64, stride=2)  # 6x6x64
    x = layers.Dropout(DROPOUT)(layers.Flatten()(x))  # 2304
    x = layers.Dense(64, activation="relu", name="hidden")(x)  # 64
    logits = layers.Dense(outputs, dtype="float32", name="intensities")(x)
    return keras.Model(image, [logits], name="intensity")


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


def _units(x: Any, *widths: int) -> Any:
    for width in widths:
        x = _unit(x, width)
    return x


def _unit(x: Any, width: int) -> Any:
    """Make a 1x1 and a depthwise 3x3 convolution without anything between: HxWxC -> HxWxwidth."""
    x = layers.Conv2D(width, 1, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, depthwise_initializer="he_normal")(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def double(x: Any) -> Any:
    """Repeat every cell 2x2. Unlike UpSampling2D, whose TFLite form fixes the size, this runs at any."""
    return ops.nn.depth_to_space(layers.Concatenate()([x] * 4), 2)


def _head(x: Any, width: int, name: str) -> Any:
    start = keras.initializers.Constant(-4.0) if width == 1 else "zeros"  # a cell is hardly ever a face
    return layers.Conv2D(width, 1, bias_initializer=start, dtype="float32", name=name)(x)


def count_macs(model: Any) -> int:
    """Count one picture's multiply-accumulates in convolutions and dense layers; the rest is small beside them."""
    counted = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
    return sum(_layer_macs(layer) for layer in model.layers if isinstance(layer, counted))


def _layer_macs(layer: Any) -> int:
    _, *places, _ = layer.output.shape  # [batch, height, width, channels] or [batch, channels]
    return math.prod((*layer.kernel.shape, *places))  # a depthwise kernel is [height, width, channels, 1]
