"""Before a network becomes int8: channels that share one int8 range are brought to one size, and pictures that would
stretch the ranges are left out of the calibration. The network's outputs stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from quantize.data.sets import Floats, Image
from quantize.tasks.task import to_input

TYPICAL = 0.9  # of the pictures set the ranges
TINY = 1e-6


def equalize(network: Any, inputs: Floats) -> None:
    """Scale the channels between a 1x1 and a depthwise convolution so that all are as large as the largest one (Nagel
    et al. 2019, arXiv:1906.04721): nothing is between the two, and each depthwise channel has an int8 scale of its own.

    Args:
        network: for one picture at a time.
        inputs: f32[N,H,W,1], on which channels are measured.

    """
    pairs = [(layer, _next(layer)) for layer in network.layers if isinstance(layer, layers.Conv2D)]
    pairs = [(one, other) for one, other in pairs if isinstance(other, layers.DepthwiseConv2D) and not one.use_bias]
    if not pairs:
        return
    found = zip(*_sizes(network, [one.output for one, _ in pairs], inputs, axes=(0, 1, 2)), strict=True)
    for (one, other), same in zip(pairs, found, strict=True):
        sizes = np.max(same, axis=0)
        scale = np.maximum(sizes, TINY) / np.maximum(sizes.max(), TINY)  # f32[C]
        one.kernel.assign(one.kernel.numpy() / scale)
        other.kernel.assign(other.kernel.numpy() * scale[:, None])


def typical(network: Any, sample: Image) -> Image:
    """The pictures u8[N,H,W] of a sample that do not drive the network's activations far beyond the others'."""
    outputs = [layer.output for layer in network.layers if isinstance(layer, layers.ReLU)]
    largest = np.array(list(_sizes(network, outputs, to_input(sample))))  # [N,layers]
    excess = (largest / np.maximum(np.median(largest, axis=0), TINY)).max(axis=1)
    kept = np.sort(np.argsort(excess, kind="stable")[: max(1, round(TYPICAL * len(sample)))])
    return np.asarray(sample[kept])


def _sizes(network: Any, outputs: Any, inputs: Floats, *, axes: tuple[int, ...] | None = None) -> Iterator[Any]:
    """For each input the largest absolute value of every output, or of each of its channels."""
    probe = keras.Model(network.inputs[0], outputs)
    run = tf.function(lambda one: probe(one, training=False))
    for one in inputs:
        yield [np.abs(each.numpy()).max(axis=axes) for each in keras.tree.flatten(run(one[None]))]


def _next(layer: Any) -> Any:
    """The first consumer of a layer's output."""
    nodes = layer._outbound_nodes  # Keras has no public way from a layer to the next one
    return nodes[0].operation if nodes else None
