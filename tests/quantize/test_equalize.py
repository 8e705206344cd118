"""What is done to a trained detector before it becomes int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")

import keras
from keras import layers

from quantize.convert.equalize import equalize, typical
from quantize.tasks.networks import detector_net
from quantize.train.batch_norms import settle

RNG = np.random.default_rng(2)


@pytest.fixture
def network() -> Any:
    """A detector for one picture whose 1x1 convolutions have channels of very different sizes."""
    net = detector_net((32, 32), batch=1)
    for layer in net.layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1) and not layer.use_bias:
            layer.kernel.assign(layer.kernel.numpy() * 10 ** RNG.uniform(-2, 2, layer.filters))
    return net


def channel_sizes(net: Any, inputs: Any) -> list[Any]:
    inner = [each.output for each in net.layers if isinstance(each, layers.Conv2D) and not each.use_bias][1:]
    probe = keras.Model(net.inputs[0], inner)
    found = [[np.abs(each.numpy()).max(axis=(0, 1, 2)) for each in probe(one[None])] for one in inputs]
    return [np.max(same, axis=0) for same in zip(*found, strict=True)]


def test_equal_channels_and_the_same_answers(network: Any) -> None:
    inputs = RNG.uniform(-1, 1, (3, 32, 32, 1)).astype(np.float32)
    before = [each.numpy() for each in network(inputs[:1])]
    assert min(sizes.min() / sizes.max() for sizes in channel_sizes(network, inputs)) < 1e-2
    equalize(network, inputs)
    for sizes in channel_sizes(network, inputs):
        np.testing.assert_allclose(sizes, sizes.max(), rtol=1e-3)
    for own, then in zip(network(inputs[:1]), before, strict=True):
        np.testing.assert_allclose(own.numpy(), then, atol=1e-3 * max(1, float(np.abs(then).max())))


def test_pictures_that_stretch_the_ranges_are_left_out(network: Any) -> None:
    sample = np.full((10, 32, 32), 128, np.uint8)
    sample += RNG.integers(0, 3, sample.shape, dtype=np.uint8)
    sample[4] = RNG.integers(0, 2, (32, 32), dtype=np.uint8) * 255  # the only one with contrast
    kept = typical(network, sample)
    assert len(kept) == 9
    assert kept.max() < 255


def test_settled_batch_norms_have_the_mean_and_variance_of_the_pictures() -> None:
    image = keras.Input((None, None, 1))
    net = keras.Model(image, layers.BatchNormalization(epsilon=0)(image))
    inputs = RNG.normal(3, 2, (64, 8, 8, 1)).astype(np.float32)
    settle(net, inputs)
    out = np.asarray(net(inputs, training=False))
    assert (out.mean(), out.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert net.layers[-1].momentum == pytest.approx(0.99)
