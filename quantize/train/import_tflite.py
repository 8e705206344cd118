"""Weights out of a published int8 file, to go on from them: nothing of the run that made it is needed.

A file holds each convolution with its batch norm folded in. Here they come apart again: what a convolution gives on
training pictures becomes its batch norm's statistics, and scale and shift are set so that the two together do what
the file does.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from quantize.data.sets import DataError, Floats

NUMBERED = re.compile(r"((?:depthwise_)?conv2d)(?:_(\d+))?")
WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
# TensorFlow adds a number to each name, and joins those of operations that it fused.
LAYER = re.compile(r"/([a-z]\w*?)(?:_\d+)?/(?:convolution|depthwise|MatMul)(?:;|$)")


def load_published(network: Any, path: Path, inputs: Floats) -> None:
    """Put the weights of an int8 file into a network of its shape.

    Args:
        network: with or without trained weights.
        path: the .tflite file.
        inputs: f32[N,H,W,1], by which the batch norms' statistics are taken.

    Raises:
        DataError: the file is none of this network's.

    """
    known, nothing = dict(_layers(path)), (np.empty(0, np.float32), np.empty(0, np.float32))
    norms = {}
    for layer in (each for each in network.layers if isinstance(each, WEIGHTED)):
        name = _plain(network, layer)
        if name not in known and isinstance(layer, layers.Dense):
            continue  # a head newer than the file: it is initialised
        kernel, bias = known.get(name, nothing)
        if kernel.shape != layer.kernel.shape:
            raise DataError(f"{path}: expected {layer.name} of shape {tuple(layer.kernel.shape)} as in this network")
        layer.kernel.assign(kernel)
        if layer.use_bias:
            layer.bias.assign(bias)
        elif isinstance(norm_of(layer), layers.BatchNormalization):
            norms[layer] = norm_of(layer)
            width = len(bias)
            norms[layer].set_weights([np.ones(width), bias, np.zeros(width), np.ones(width) - norms[layer].epsilon])
    if not norms:
        return
    probe = keras.Model(network.inputs, [layer.output for layer in norms])
    for norm, output in zip(norms.values(), keras.tree.flatten(probe.predict(inputs, verbose=0)), strict=True):
        mean, variance = output.mean(axis=(0, 1, 2)), output.var(axis=(0, 1, 2))
        bias = np.asarray(norm.beta)
        norm.set_weights([np.sqrt(variance + norm.epsilon), bias + mean, mean, variance])


def norm_of(convolution: Any) -> Any:
    """The batch norm behind a convolution."""
    return convolution._outbound_nodes[0].operation  # Keras has no public way from a layer to the next one


def _plain(network: Any, layer: Any) -> str:
    """A layer's name as it is in the first network of a process: Keras numbers convolutions on and on."""
    if not (own := NUMBERED.fullmatch(layer.name)):
        return str(layer.name)
    matches = (NUMBERED.fullmatch(each.name) for each in network.layers)
    numbers = sorted(int(each[2] or 0) for each in matches if each and each[1] == own[1])
    index = numbers.index(int(own[2] or 0))
    return f"{own[1]}_{index}" if index else own[1]


def _layers(path: Path) -> Iterator[tuple[str, tuple[Floats, Floats]]]:
    """Name, kernel as Keras holds it, and bias of every convolution and dense layer of a file."""
    try:
        model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
        graph = model.subgraphs[0]
    except (OSError, IndexError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise DataError(f"{path}: cannot be read as a TFLite file: {error}") from None
    for op in graph.operators:
        constant = [model.buffers[graph.tensors[index].buffer].data is not None for index in op.inputs[1:3]]
        names = [graph.tensors[index].name.decode() for index in op.inputs[1:2]] if all(constant) else []
        match = LAYER.search(names[0]) if names else None
        if match:
            kernel, bias = (_real(model, graph.tensors[index]) for index in op.inputs[1:3])
            axes = (1, 2, 3, 0) if kernel.ndim == 4 else (1, 0)  # from [out,h,w,in] or [out,in]
            yield match[1], (kernel.transpose(axes), bias)


def _real(model: Any, tensor: Any) -> Floats:
    """A constant's values; each slice along its quantized dimension has a scale of its own."""
    data = bytes(model.buffers[tensor.buffer].data)
    dtype = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}.get(tensor.type, np.float32)
    held = np.frombuffer(data, dtype).reshape(tensor.shape).astype(np.float32)
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return held
    shape = [1] * held.ndim
    shape[quantization.quantizedDimension] = -1
    scale = np.asarray(quantization.scale, np.float32)
    return np.asarray(held * (scale.reshape(shape) if len(scale) > 1 else scale), np.float32)
