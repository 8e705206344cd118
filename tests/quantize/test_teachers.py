"""Others' networks as teachers: their weights read, rebuilt and asked. Skipped without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")

import tensorflow as tf
from keras import layers

from fer_edge.records import LABELS
from quantize.data.natural import Natural
from quantize.data.sets import DataError, Floats
from quantize.tasks.expression import Expression
from quantize.teachers import command, face_api, faceres
from quantize.teachers.tfjs import read_weights
from tests.support.ferplus_samples import pictures
from tests.support.made_up_sets import made_up_ferplus, write_mosaics, write_natural, write_posed
from tests.support.paths import MODELS

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]  # TensorFlow's own; machines that train


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


@pytest.fixture(autouse=True)
def threads_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow takes the number of its threads once in a process."""
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda _: None)


def write_tfjs(path: Path, weights: Mapping[str, Floats], *, part: str, whole: bool = True) -> Path:
    """A model whose weights are not quantized."""
    entries = [{"name": name, "shape": each.shape, "dtype": "float32"} for name, each in weights.items()]
    group = {"paths": [part], "weights": entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"weightsManifest": [group]} if whole else [group]))
    content = b"".join(each.astype(np.float32).tobytes() for each in weights.values())
    (path.parent / f"{part.removesuffix('-shard1')}.bin" if "." not in part else path.parent / part).write_bytes(
        content
    )
    return path


# --- weights -------------------------------------------------------------------------------------------------


def test_weights_of_eight_bits_get_their_scale_and_offset(tmp_path: Path) -> None:
    raw, plain = np.array([0, 10, 255], np.uint8), np.array([[1.5], [2.5]], np.float32)
    entries: list[dict[str, Any]] = [
        {"name": "a", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "b", "shape": [2, 1], "dtype": "float32"},
        {"name": "c", "shape": [], "dtype": "float32"},
    ]
    (tmp_path / "model.json").write_text(json.dumps([{"paths": ["net-shard1"], "weights": entries}]))
    (tmp_path / "net.bin").write_bytes(raw.tobytes() + plain.tobytes() + np.float32(7).tobytes())
    weights = read_weights(tmp_path / "model.json")
    np.testing.assert_allclose(weights["a"], [-1, 4, 126.5])
    np.testing.assert_allclose(weights["b"], plain)
    assert weights["c"] == 7


@pytest.mark.parametrize("content", ["no json", "{}", '[{"paths": ["absent"], "weights": []}]'])
def test_what_is_no_tensorflow_js_model_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(DataError, match=r"model\.json: expected a TensorFlow\.js model"):
        read_weights(tmp_path / "model.json")


# --- face-api ------------------------------------------------------------------------------------------------


def write_face_api(folder: Path, *, label: int) -> Path:
    """A network that says the same to everything: all weights 0 but one bias."""
    weights: dict[str, Floats] = {}
    widths = (3, 32, 64, 128, 256)
    for block, (before, width) in enumerate(pairwise(widths)):
        for step in range(4):
            name, depth = f"dense{block}/conv{step}", before if step == 0 else width
            if block == step == 0:
                weights[f"{name}/filters"] = np.zeros((3, 3, 3, width), np.float32)
            else:
                weights[f"{name}/depthwise_filter"] = np.zeros((3, 3, depth, 1), np.float32)
                weights[f"{name}/pointwise_filter"] = np.zeros((1, 1, depth, width), np.float32)
            weights[f"{name}/bias"] = np.zeros(width, np.float32)
    weights["fc/weights"] = np.zeros((256, 7), np.float32)
    weights["fc/bias"] = np.eye(7, dtype=np.float32)[label] * 50
    write_tfjs(folder / face_api.FILE, weights, part="face_expression_model-shard1", whole=False)
    return folder


def test_face_apis_answers_are_put_into_our_order(tmp_path: Path) -> None:
    answers = face_api.FaceApi(write_face_api(tmp_path, label=3))(pictures(3))
    assert [LABELS[each] for each in answers.argmax(axis=1)] == ["anger"] * 3
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
    assert (answers[:, LABELS.index("contempt")] == 0).all()


def test_weights_of_another_network_are_one_line(tmp_path: Path) -> None:
    write_tfjs(tmp_path / face_api.FILE, {"other": np.zeros(3, np.float32)}, part="a.bin")
    with pytest.raises(DataError, match=r"manifest\.json: expected face-api's expression network, found no dense3"):
        face_api.FaceApi(tmp_path)
    write_tfjs(tmp_path / faceres.FILE, {"other": np.zeros(3, np.float32)}, part="b.bin")
    with pytest.raises(DataError, match=r"faceres-deep\.json: expected the weights of faceres-deep, conv1: "):
        faceres.load_faceres(faceres.faceres_net(), tmp_path / faceres.FILE, faceres.to_faceres(pictures(1)))


# --- the face-pretrained MobileNet ---------------------------------------------------------------------------


def write_faceres(folder: Path, *, seed: int = 3) -> dict[str, Floats]:
    """Random weights of the right shapes; returned by name."""
    rng, before = np.random.default_rng(seed), 32
    weights: dict[str, Floats] = {}

    def noise(*shape: int) -> Floats:
        return np.asarray(rng.normal(0, 0.3, shape), np.float32)

    weights["conv1/convolution/merged_input"] = noise(3, 3, 3, 32) / np.float32(100)
    weights["conv1_bn/batchnorm_1/sub"] = noise(32)
    for number, (_, width) in enumerate(faceres.BLOCKS, 1):
        weights[f"conv_dw_{number}/depthwise_kernel"] = noise(3, 3, before, 1)
        weights[f"conv_dw_{number}_bn/batchnorm_1/mul"] = np.float32(1) + noise(1, 1, 1, before)
        weights[f"conv_dw_{number}_bn/batchnorm_1/sub"] = noise(1, 1, 1, before)
        weights[f"conv_pw_{number}/convolution/merged_input"] = noise(1, 1, before, width) / np.float32(before**0.5)
        weights[f"conv_pw_{number}_bn/batchnorm_1/sub"] = noise(width)
        before = width
    write_tfjs(folder / faceres.FILE, weights, part="faceres-deep.bin")
    return weights


def test_the_mobilenet_does_what_its_folded_weights_say(tmp_path: Path) -> None:
    weights = write_faceres(tmp_path)
    network = faceres.faceres_net()
    inputs = faceres.to_faceres(pictures(4))
    faceres.load_faceres(network, tmp_path / faceres.FILE, inputs)

    gray = tf.pad(inputs, ((0, 0), (0, 1), (0, 1), (0, 0)))  # as SAME does at an even side and a stride of 2
    kernel = weights["conv1/convolution/merged_input"]
    x = tf.nn.conv2d(tf.repeat(gray, 3, -1), kernel, 2, "VALID") + weights["conv1_bn/batchnorm_1/sub"]
    x = tf.nn.relu6(x - np.einsum("hwco,c->o", kernel, np.array(faceres.MEAN, np.float32)))
    x = tf.nn.depthwise_conv2d(x, weights["conv_dw_1/depthwise_kernel"], [1, 1, 1, 1], "SAME")
    x = x * weights["conv_dw_1_bn/batchnorm_1/mul"] + weights["conv_dw_1_bn/batchnorm_1/sub"]
    x = tf.nn.conv2d(tf.nn.relu6(x), weights["conv_pw_1/convolution/merged_input"], 1, "SAME")
    expected = tf.nn.relu6(x + weights["conv_pw_1_bn/batchnorm_1/sub"])

    names = [layer.name for layer in network.layers]
    first_block = network.layers[names.index("conv_pw_1") + 2].output
    import keras

    found = keras.Model(network.inputs, first_block)(inputs, training=False)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_only_the_upper_blocks_learn() -> None:
    network = faceres.faceres_net()
    learning = {layer.name for layer in network.layers if layer.trainable and isinstance(layer, layers.Conv2D)}
    assert "conv_pw_5" not in learning
    assert "conv_pw_6" in learning


# --- the commands --------------------------------------------------------------------------------------------


def test_both_commands_leave_what_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine-tune for two steps, ask all teachers, and learn from their answers."""
    data = tmp_path / "data"
    data.mkdir()
    write_mosaics(data, made_up_ferplus(train=160, test=8))
    write_posed(data / "ckplus48.zip", people=6)
    write_natural(data / "natural.npz", people=8)
    write_faceres(tmp_path / "package")
    write_face_api(tmp_path / "package", label=3)
    monkeypatch.setattr("quantize.teachers.task.STEPS", 2)
    monkeypatch.setattr("quantize.teachers.task.BATCH", 4)
    monkeypatch.setattr("quantize.tasks.expression.SAMPLE", 8)

    tune = ["tune", "--data", str(data), "--faceres", str(tmp_path / "package"), "--epochs", "1"]
    assert command.main([*tune, "--out", str(tmp_path / "run")]) == 0
    answers = ["answers", "--data", str(data), "--run", str(tmp_path / "run"), "--face-api", str(tmp_path / "package")]
    answers += ["--own", str(MODELS / "expression.tflite"), "--out", str(data / "teacher.npz")]
    assert command.main(answers) == 0

    with np.load(data / "teacher.npz") as saved:
        assert len(saved["natural"]) == 16
        for name in saved.files:
            np.testing.assert_allclose(saved[name].astype(np.float32).sum(axis=1), 1, atol=0.01)

    student = Expression(data, teachers=[str(tmp_path / "run")], taught=str(data / "teacher.npz"))
    views, targets = next(student.batches(np.random.default_rng(1)))
    assert (views.shape, targets.shape) == ((128, 48, 48, 1), (128, 8))
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=0.01)


def test_a_missing_package_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mosaics(tmp_path, made_up_ferplus(train=40, test=8))
    command_line = ["tune", "--data", str(tmp_path), "--faceres", str(tmp_path), "--out", str(tmp_path / "run")]
    assert command.main(command_line) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/faceres-deep.json: expected a TensorFlow.js model")


def test_a_guess_counts_only_where_it_can_be_believed() -> None:
    """The student's `disgust` is mostly wrong."""
    labels = np.array([LABELS.index("anger"), LABELS.index("disgust")])
    faces = Natural(np.zeros((2, 64, 64), np.uint8), labels, ("a_1", "b_1"))
    even = np.full((2, 8), 1 / 8, np.float32)
    given = command.judged(faces, even, even)
    assert given[0, labels[0]] == pytest.approx(0.75 / 8 + 0.25 * (0.84 + 0.16 / 8))
    np.testing.assert_allclose(given[1], even[1], atol=1e-6)
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-6)


def test_a_teacher_is_asked_about_the_mirror_image_too() -> None:
    def left(crops: Any) -> Floats:
        return np.asarray(crops[:, :, :24].mean(axis=(1, 2)) / 255, np.float32)[:, None]

    half = np.zeros((1, 48, 48), np.uint8)
    half[:, :, :24] = 255
    assert command.mirrored(left)(half) == pytest.approx(0.5)
