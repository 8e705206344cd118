"""YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) as a Keras network, from the ONNX file that its authors
publish: the teacher that the detector learns from, and the yardstick that `quantize.convert.yunet` makes a TFLite file
of. The weights are theirs, so neither they nor anything converted from them belongs in this repository.

The network sees gray in LOW..HIGH: the three colour channels of its first convolution are added up, for gray is the
same in all three, and its kernel and bias take the input's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from quantize.data.sets import DataError, Floats
from quantize.tasks.networks import double
from quantize.tasks.task import LOW

STRIDES = (8, 16, 32)
KEYPOINTS = 5
KINDS = {"class": 1, "box": 4, "object": 1, "points": 2 * KEYPOINTS}  # in the order of the file
HALF_RANGE = 128.0  # pixel = HALF_RANGE x input + HALF_RANGE


def load_yunet(
    path: Path, *, size: tuple[int, int] | None = None, batch: int | None = None, features: bool = True
) -> Any:
    """Build the network with the weights of an ONNX file.

    Args:
        path: `face_detection_yunet_*.onnx` or another export of YuNet_n, float32.
        size: height and width of the input, multiples of 32; None: any.
        batch: pictures at a time; None: any.
        features: whether the grids that the answers come from are outputs, too.

    Returns:
        A Keras model: for each stride class logit, box, object logit and points, then, if wanted, the three grids of
        features f32[B,h,w,64] that these come from.

    Raises:
        DataError: the file is none of YuNet_n's.

    """
    network, convolutions = yunet_net(size=size, batch=batch, features=features)
    held = read_convolutions(path)
    if len(held) != len(convolutions):
        raise DataError(f"{path}: expected YuNet_n with {len(convolutions)} convolutions, got {len(held)}")
    for index, (layer, (kernel, bias)) in enumerate(zip(convolutions, held, strict=True)):
        if index == 0:
            kernel, bias = _gray(kernel, bias)
        kernel = _as_keras(kernel, depthwise=isinstance(layer, layers.DepthwiseConv2D))
        if kernel.shape != tuple(layer.kernel.shape):
            expected = tuple(layer.kernel.shape)
            raise DataError(f"{path}: convolution {index}: expected YuNet_n's kernel {expected}, got {kernel.shape}")
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
    return network


def read_convolutions(path: Path) -> list[tuple[Floats, Floats]]:
    """Kernel f32[out,in,h,w] and bias f32[out] of every convolution of an ONNX file, in its order. Raises DataError."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise DataError(f"{path}: {error}; run: pip install 'fer-edge[quantize]'") from None
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # onnx lets many of its parsers' errors through
        raise DataError(f"{path}: cannot be read as an ONNX file: {error}") from None
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    if not all(len(node.input) == 3 and {*node.input[1:]} <= constants.keys() for node in nodes):
        raise DataError(f"{path}: expected convolutions with constant float32 kernels and biases")
    return [(constants[node.input[1]], constants[node.input[2]]) for node in nodes]


def _gray(kernel: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """The first convolution for one channel in LOW..HIGH instead of three of 0..255."""
    kernel = kernel.sum(axis=1, keepdims=True)
    return kernel * np.float32(HALF_RANGE), bias + np.float32(HALF_RANGE) * kernel.sum(axis=(1, 2, 3))


def _as_keras(kernel: Floats, *, depthwise: bool) -> Floats:
    """[out,in,h,w] as [h,w,in,out]; a depthwise one as [h,w,out,1]."""
    return kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)


def yunet_net(
    *, size: tuple[int, int] | None = None, batch: int | None = None, features: bool = True
) -> tuple[Any, list[Any]]:
    """Build the network without weights; also list its convolutions in the order of the file."""
    height, width = size or (None, None)
    image = keras.Input((height, width, 1), batch_size=batch, name="image")
    build = _Builder()
    padded = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=LOW)  # black, as the file pads
    x = build.unit(build.relu(padded, 16, side=3, strides=2), 16)
    x = build.units(layers.MaxPooling2D()(x), 16, 64)
    x = layers.MaxPooling2D()(build.units(x, 64, 64))
    fine = build.units(x, 64, 64)
    middle = build.units(layers.MaxPooling2D()(fine), 64, 64)
    coarse = build.units(layers.MaxPooling2D()(middle), 64, 64)
    coarse = build.unit(coarse, 64)
    middle = build.unit(layers.Add()([middle, double(coarse)]), 64)
    fine = build.unit(layers.Add()([fine, double(middle)]), 64)
    grids = (fine, middle, coarse)
    shared = [build.unit(grid, 64) for grid in grids]
    answers = {
        kind: [build.answer(x, width, name=f"{kind}_{stride}") for x, stride in zip(shared, STRIDES, strict=True)]
        for kind, width in KINDS.items()
    }
    ordered = [answers[kind][level] for level in range(len(STRIDES)) for kind in KINDS]
    return keras.Model(image, [*ordered, *(grids if features else ())], name="yunet"), build.made


class _Builder:
    """Makes units of a 1x1 and a depthwise 3x3 convolution, and remembers their layers in order."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def relu(self, x: Any, width: int, *, side: int, strides: int) -> Any:
        return layers.ReLU()(self._add(layers.Conv2D(width, side, strides=strides), x))

    def answer(self, x: Any, width: int, *, name: str | None = None) -> Any:
        x = self._add(layers.Conv2D(width, 1), x)
        return self._add(layers.DepthwiseConv2D(3, padding="same", name=name), x)

    def unit(self, x: Any, width: int) -> Any:
        return layers.ReLU()(self.answer(x, width))

    def units(self, x: Any, *widths: int) -> Any:
        for width in widths:
            x = self.unit(x, width)
        return x

    def _add(self, layer: Any, x: Any) -> Any:
        self.made.append(layer)
        return layer(x)


def cell_centers(height: int, width: int, strides: Sequence[int] = STRIDES) -> Floats:
    """Where the cells of all grids are, row by row: f32[cells,3] column, row, stride."""
    grids = []
    for stride in strides:
        y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        grids.append(np.stack([x, y, np.full_like(x, stride)], axis=1))
    return np.concatenate(grids).astype(np.float32)
