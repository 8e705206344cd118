"""Weights of finished runs and published files: to use them, and to begin another run with them, be it of a narrower
or wider network.

Pruning removes whole channels (Li et al. 2017, arXiv:1608.08710), here those whose batch norms scale them least
(Liu et al. 2017, arXiv:1708.06519). Only the expression network's first stage may be pruned: there a channel costs
most. Widening adds channels of which nothing is read at first, so that the network says what it said (Chen et al. 2016,
arXiv:1511.05641).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from quantize.data.sets import DataError
from quantize.files.arrays import read_arrays
from quantize.files.runs import PLAN, read_plan
from quantize.tasks.networks import EXPRESSION_WIDTHS, expression_net
from quantize.tasks.task import Task, to_input
from quantize.train.import_tflite import load_published, norm_of

PROBED = 64  # training pictures on which a published file's batch norms are taken

STEM, INNER, OUTER = 0, 1, 2  # the convolutions of the first stage: STEM and OUTER are added up


def averaged_network(task: Task, run: Path, *, batch: int | None = None) -> tuple[Any, int]:
    """Rebuild a network in float32 with a run's averaged weights; also return the number of its epochs."""
    keras.mixed_precision.set_global_policy("float32")
    network = task.network(batch=batch)
    return network, load_average(network, run)


def load_average(network: Any, run: Path) -> int:
    """Put a run's averaged weights into a network of its shape; returns the number of epochs it has done. Raises
    DataError."""
    names = [f"average_{i}" for i in range(len(network.weights))]
    try:
        saved = read_arrays(run / "last.npz", ["epochs", *names])
        network.set_weights([saved[name] for name in names])
        return int(saved["epochs"])
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{run / 'last.npz'}: not a run of this network: {error}") from None


def begin(network: Any, source: Path, task: Task) -> None:
    """Put the weights of a published int8 file, or a finished run's averaged ones, into a network of the same shape;
    a run's expression network may be wider or narrower."""
    if source.suffix == ".tflite":
        load_published(network, source, to_input(task.sample()[:PROBED]))
    else:
        _begin_with_run(network, source, task.role)


def _begin_with_run(network: Any, run: Path, role: str) -> None:
    try:
        widths = read_plan(run)["options"].get("widths", EXPRESSION_WIDTHS)
    except DataError as error:
        raise DataError(f"{run / PLAN}: not a run to begin with: {error}") from None
    if role != "expression" or tuple(widths) == expression_widths(network):
        load_average(network, run)
        return
    source = expression_net(widths)
    load_average(source, run)
    fit_widths = widen if all(np.less_equal(widths, expression_widths(network))) else prune
    fit_widths(source, network)


def prune(source: Any, target: Any) -> None:
    """Copy all weights but those of the first stage's weakest channels."""
    wide, narrow = _convolutions(source), _convolutions(target)
    norms, count = batch_norms(source), narrow[STEM].filters
    trunk = strongest(norms[STEM].gamma.numpy(), norms[OUTER].gamma.numpy(), count=count)
    inner = strongest(norms[INNER].gamma.numpy(), count=count)
    kept = {STEM: trunk, INNER: inner, OUTER: trunk}
    for index, (old, new) in enumerate(zip(wide, narrow, strict=True)):
        kernel = old.kernel.numpy()
        if index > STEM and kernel.shape[2] != new.kernel.shape[2]:
            kernel = kernel[:, :, inner if index == OUTER else trunk]
        new.kernel.assign(kernel[..., kept.get(index, slice(None))])
    for index, (old, new) in enumerate(zip(norms, batch_norms(target), strict=True)):
        new.set_weights([weights[kept.get(index, slice(None))] for weights in old.get_weights()])
    for old, new in zip(source.layers, target.layers, strict=True):
        if isinstance(old, layers.Dense):
            new.set_weights(old.get_weights())


def widen(source: Any, target: Any) -> None:
    """Copy all weights; the target's further channels keep their random kernels, and what reads them begins at 0."""
    norms = zip(batch_norms(source), batch_norms(target), strict=True)
    pairs = [*norms, *zip(_weighted(source), _weighted(target), strict=True)]
    for old, new in pairs:
        new.set_weights([_into(kept, wider) for kept, wider in zip(old.get_weights(), new.get_weights(), strict=True)])


def _into(kept: NDArray[np.float32], wider: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put an array into the first corner of one as large or larger, whose further inputs (last axis but one) give 0."""
    grown = wider.copy()
    if kept.ndim > 1:
        grown[..., kept.shape[-2] :, : kept.shape[-1]] = 0
    grown[tuple(slice(size) for size in kept.shape)] = kept
    return grown


def strongest(*scales: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The channels, in order, whose batch norm scales f32[C] are largest in sum."""
    strength = np.sum(np.abs(scales), axis=0)
    return np.sort(np.argsort(-strength, kind="stable")[:count])


def expression_widths(network: Any) -> tuple[int, int, int]:
    """Channels of the three stages of an expression network."""
    convolutions = _convolutions(network)
    return convolutions[STEM].filters, convolutions[OUTER + 1].filters, convolutions[-1].filters


def _weighted(network: Any) -> list[Any]:
    return [layer for layer in network.layers if isinstance(layer, layers.Conv2D | layers.Dense)]


def _convolutions(network: Any) -> list[Any]:
    return [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]


def batch_norms(network: Any) -> list[Any]:
    """Each convolution's batch norm, in the order of the convolutions."""
    return [norm_of(convolution) for convolution in _convolutions(network)]
