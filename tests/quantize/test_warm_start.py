"""quantize/: beginning a run with the weights of another one."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from quantize.data.sets import DataError
from tests.support.paths import MODELS, ROOT


def replay_pictures() -> list[Any]:
    """The demo's pictures and parts of them, gray."""
    folder = ROOT / "fer_edge" / "camera" / "pictures"
    whole = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in sorted(folder.glob("*.jpg"))]
    return [each[y:, x:] for each in whole for y in (0, 20, 60) for x in (0, 30)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


@pytest.fixture
def start() -> Any:
    """`quantize.train.warm_start`, with what it needs."""
    for name in ("keras", "tensorflow"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"networks need {name}: pip install 'fer-edge[quantize]'")
    return importlib.import_module("quantize.train.warm_start")


def saved_run(folder: Path, network: Any, **options: Any) -> Path:
    folder.mkdir()
    weights = {f"average_{i}": weight for i, weight in enumerate(network.get_weights())}
    np.savez(folder / "last.npz", epochs=3, **weights)
    (folder / "plan.json").write_text(json.dumps({"options": options}))
    return folder


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_pruning_keeps_what_the_strong_channels_say(start: Any, tmp_path: Path) -> None:
    """Channels without any weight can go without a change."""
    model = importlib.import_module("quantize.tasks.networks")
    rng, dead = np.random.default_rng(5), [1, 4, 7]
    wide, narrow = model.expression_net((9, 8, 8)), model.expression_net((6, 8, 8))
    for norm in start.batch_norms(wide):
        scale = rng.uniform(0.5, 1.5, norm.gamma.shape).astype(np.float32)
        norm.set_weights([scale, *(rng.uniform(0.1, 1, scale.shape) for _ in range(3))])
    for norm in start.batch_norms(wide)[:3]:
        gamma, beta, mean, variance = norm.get_weights()
        gamma[dead] = beta[dead] = 0
        norm.set_weights([gamma, beta, mean, variance])

    start.begin(narrow, saved_run(tmp_path / "run", wide, widths=[9, 8, 8]), SimpleNamespace(role="expression"))

    images = rng.uniform(-1, 1, (5, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(narrow.predict(images, verbose=0), wide.predict(images, verbose=0), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_wider_network_begins_with_what_the_narrow_one_says_and_can_use_its_channels(
    start: Any, tmp_path: Path
) -> None:
    model = importlib.import_module("quantize.tasks.networks")
    rng = np.random.default_rng(5)
    narrow, wide = model.expression_net((6, 8, 8)), model.expression_net((7, 10, 12))
    for norm in start.batch_norms(narrow):
        norm.set_weights([rng.uniform(0.5, 1.5, norm.gamma.shape).astype(np.float32) for _ in range(4)])

    start.begin(wide, saved_run(tmp_path / "run", narrow, widths=[6, 8, 8]), SimpleNamespace(role="expression"))

    images = rng.uniform(-1, 1, (5, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(wide.predict(images, verbose=0), narrow.predict(images, verbose=0), rtol=1e-3, atol=1e-4)
    pooled = importlib.import_module("keras").Model(wide.inputs, wide.layers[-3].output).predict(images, verbose=0)
    assert pooled[:, 8:].any(axis=0).all()  # further channels see something: their readers get a gradient


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_the_same_shape_begins_with_the_very_weights(start: Any, tmp_path: Path) -> None:
    model = importlib.import_module("quantize.tasks.networks")
    source, target = model.landmarks_net(), model.landmarks_net()
    start.begin(target, saved_run(tmp_path / "run", source), SimpleNamespace(role="landmarks"))
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore")
def test_a_run_of_another_network_is_refused_in_one_line(start: Any, tmp_path: Path) -> None:
    model = importlib.import_module("quantize.tasks.networks")
    run = saved_run(tmp_path / "run", model.expression_net((8, 8, 8)), widths=[8, 8, 8])
    with pytest.raises(DataError, match=r"last\.npz: not a run of this network"):
        start.begin(model.landmarks_net(), run, SimpleNamespace(role="landmarks"))
    with pytest.raises(DataError, match=r"plan\.json: not a run to begin with"):
        start.begin(model.landmarks_net(), tmp_path, SimpleNamespace(role="landmarks"))


def test_the_strongest_channels_stay_in_order(start: Any) -> None:
    scales = np.array([0.1, -3.0, 0.5, 2.0], np.float32)
    assert start.strongest(scales, count=2).tolist() == [1, 3]
    assert start.strongest(scales, np.array([5.0, 0, 0, 0], np.float32), count=2).tolist() == [0, 1]


# --- published files -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("role", ["expression", "landmarks"])  # the detector's network has changed since
def test_a_published_file_comes_back_as_the_network_it_was(start: Any, role: str) -> None:
    """Rebuilt with its batch norms apart, the network says what the file says, but for its int8 steps."""
    model, stages = (importlib.import_module(f"quantize.{name}") for name in ("tasks.networks", "daemon_stages"))
    network = getattr(model, f"{role}_net")()
    published = stages.open_model(MODELS / f"{role}.tflite", role)
    pictures = np.stack([cv2.resize(face, published.size) for face in replay_pictures()])

    start.begin(network, MODELS / f"{role}.tflite", SimpleNamespace(role=role, sample=lambda: pictures))

    outputs = network.predict(start.to_input(pictures), verbose=0)
    answers = zip(*(published.infer(picture) for picture in pictures), strict=True)
    for own, answer in zip(outputs if isinstance(outputs, list) else [outputs], answers, strict=True):
        together = np.concatenate(answer)
        assert np.corrcoef(own.ravel(), together.ravel())[0, 1] > 0.98
        assert np.abs(own - together).mean() < 0.15 * max(1.0, float(np.abs(together).mean()))


@pytest.mark.filterwarnings("ignore")
def test_a_head_that_is_newer_than_the_file_begins_anew(start: Any) -> None:
    """An older file's weights can be gone on from after a network has been given one more output."""
    networks, keras = (importlib.import_module(name) for name in ("quantize.tasks.networks", "keras"))
    network = networks.expression_net()
    novel = keras.layers.Dense(3, name="novel")(network.layers[-2].output)
    grown = keras.Model(network.inputs, [*network.outputs, novel])
    before = grown.get_layer("novel").get_weights()[0].copy()
    pictures = np.stack([cv2.resize(face, (48, 48)) for face in replay_pictures()])
    start.begin(grown, MODELS / "expression.tflite", SimpleNamespace(role="expression", sample=lambda: pictures))
    assert np.abs(grown.get_layer("logits").get_weights()[0]).max() > 0.1
    np.testing.assert_array_equal(grown.get_layer("novel").get_weights()[0], before)


@pytest.mark.filterwarnings("ignore")
def test_the_batch_norms_of_a_published_file_fit_training(start: Any) -> None:
    """In training a batch norm takes its statistics from the batch: on the pictures they were taken on, both agree."""
    model = importlib.import_module("quantize.tasks.networks")
    network = model.expression_net()
    pictures = np.stack([cv2.resize(face, (48, 48)) for face in replay_pictures()])
    start.begin(network, MODELS / "expression.tflite", SimpleNamespace(role="expression", sample=lambda: pictures))
    layers = [layer for layer in network.layers if "dropout" not in layer.name]
    keras = importlib.import_module("keras")
    inner = keras.Model(network.inputs, layers[-2].output)
    running, batch = (np.asarray(inner(start.to_input(pictures), training=each)) for each in (False, True))
    assert np.corrcoef(running.ravel(), batch.ravel())[0, 1] > 0.99


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_another_network_is_refused_in_one_line(start: Any, tmp_path: Path) -> None:
    model = importlib.import_module("quantize.tasks.networks")
    task = SimpleNamespace(role="landmarks", sample=lambda: np.zeros((1, 80, 80), np.uint8))
    with pytest.raises(DataError, match=r"detector\.tflite: expected conv2d\S* of shape"):
        start.begin(model.landmarks_net(), MODELS / "detector.tflite", task)
    (tmp_path / "empty.tflite").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.tflite: cannot be read as a TFLite file"):
        start.begin(model.landmarks_net(), tmp_path / "empty.tflite", task)
