"""Batch norms for inference: their statistics recomputed on whole pictures instead of training's crops, with the
averaged weights instead of those of the last steps (as Izmailov et al. 2018, arXiv:1803.05407, do)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import layers

from quantize.data.sets import Floats

BATCH = 32


def settle(network: Any, inputs: Floats) -> None:
    """Replace the statistics by those on `inputs` f32[N,H,W,1]; the network must take any number of pictures."""
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # after each batch the statistics are its own
    seen = [[_statistics(norm) for norm in norms] for _ in _forward(network, inputs)]
    for norm, momentum, *own in zip(norms, momenta, *seen, strict=True):
        norm.momentum = momentum
        mean, variance = np.mean(own, axis=0)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)


def _forward(network: Any, inputs: Floats) -> Iterator[Any]:
    """Run batch by batch, as in training; the last, smaller one is left out where there are others."""
    for start in range(0, max(len(inputs) - BATCH, 0) + 1, BATCH):
        yield network(inputs[start : start + BATCH], training=True)


def _statistics(norm: Any) -> Floats:
    """Mean and variance f32[2,C]."""
    return np.stack([norm.moving_mean.numpy(), norm.moving_variance.numpy()])
