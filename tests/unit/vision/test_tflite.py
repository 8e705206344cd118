"""tflite.py: a model runs only where it is what its card says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.errors import ModelError
from fer_edge.records import LABELS, Image
from fer_edge.vision.model_card import TensorCard, read_card
from fer_edge.vision.tflite import RUNTIMES, Model, dequantize, quantize, runtime_name, sigmoid
from fer_edge.vision.transforms import normalise
from tests.support.changed_models import MODELS, edit, load
from tests.support.paths import DATA
from tests.support.samples import frame_of

OTHER = find_spec("tflite_runtime") is not None


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.json")), ids=lambda path: path.stem)
def test_every_shipped_model_is_what_its_card_says(path: Path) -> None:
    card = read_card(MODELS, path.stem)
    model = Model(MODELS, path.stem, role=card.role)
    outputs = model.run(np.zeros(card.input.shape, np.float32))
    assert [output.shape for output in outputs] == [output.shape for output in card.outputs]
    assert all(output.dtype == np.float32 for output in outputs)
    assert (MODELS / card.file).stat().st_size == card.bytes


@pytest.mark.parametrize("name", ["detector", "landmarks", "expression"])
def test_the_models_are_int8_throughout(name: Any) -> None:
    model = Model(MODELS, name, role=name)
    assert {model.card.input.dtype, *(output.dtype for output in model.card.outputs)} == {"int8"}
    details = model._interpreter.get_tensor_details()  # what the file has, whatever its card says
    kinds = {np.dtype(detail["dtype"]).name for detail in details}
    assert kinds <= {"int8", "int32"}  # int32: biases and shapes


@pytest.mark.parametrize(
    ("name", "most_macs", "most_bytes"),
    [("detector", 80e6, 600_000), ("landmarks", 15e6, 600_000), ("expression", 35e6, 1_000_000)],
)
def test_the_models_are_small(name: str, most_macs: float, most_bytes: int) -> None:
    card = read_card(MODELS, name)
    assert card.macs is not None
    assert card.macs <= most_macs
    assert card.bytes <= most_bytes
    assert card.parameters


class TestResize:
    """On a detector that takes white cells for faces."""

    def white(self, width: int, height: int, *, left: int, top: int) -> Image:
        picture = np.zeros((height, width), np.uint8)
        picture[top : top + 8, left : left + 8] = 255
        return picture

    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_outputs_follow_the_input(self, runtime: str) -> None:
        if runtime == "tflite-runtime" and not OTHER:
            pytest.skip("tflite-runtime is not installed (an extra)")
        model = Model(DATA, "bright", role="detector", runtime=runtime)
        assert model.size == (96, 64)
        for width, height in ((160, 32), (16, 16), (96, 64)):
            model.resize(width=width, height=height)
            assert model.size == (width, height)
            score, *_ = model.infer(self.white(width, height, left=8, top=0))
            assert score.shape == (1, height // 8, width // 8, 1)
            assert (score[0, 0, 1, 0], score[0, 0, 0, 0]) == (pytest.approx(4, abs=0.1), pytest.approx(-12, abs=0.1))
            assert model.run(np.zeros((1, height, width, 1), np.float32))[0].shape == score.shape

    def test_the_same_size_again_costs_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = Model(DATA, "bright", role="detector")
        model.resize(width=32, height=16)
        monkeypatch.delattr(model, "_interpreter")
        model.resize(width=32, height=16)

    def test_a_model_that_is_not_fully_convolutional_is_refused(self) -> None:
        model = Model(DATA, "stiff", role="detector")
        words = r"stiff.tflite: not fully convolutional: cannot take 112x64: output '.*' expected \(1, 4, 7, 4\), got"
        with pytest.raises(ModelError, match=words):
            model.resize(width=112, height=64)

    @pytest.mark.parametrize(("name", "width", "height"), [("bright", 4, 4), ("stiff", 112, 64)])
    def test_a_size_that_is_refused_changes_nothing(self, name: str, width: int, height: int) -> None:
        model = Model(DATA, name, role="detector")
        picture = np.random.default_rng(1).integers(0, 256, (64, 96), np.uint8)
        before = model.infer(picture)
        with pytest.raises(ModelError):
            model.resize(width=width, height=height)
        assert model.size == (96, 64)
        assert all((one == other).all() for one, other in zip(before, model.infer(picture), strict=True))

    def test_a_size_that_the_runtime_refuses(self) -> None:
        with pytest.raises(ModelError, match=r"bright.tflite: not fully convolutional: cannot take 4x4: \S+") as caught:
            Model(DATA, "bright", role="detector").resize(width=4, height=4)
        assert len(str(caught.value).splitlines()) == 1

    def test_float_and_int8_agree(self) -> None:
        pair = [Model(DATA, name, role="detector") for name in ("bright", "bright_float")]
        assert [model.card.input.dtype for model in pair] == ["int8", "float32"]
        for model in pair:
            model.resize(width=48, height=32)
        picture = np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8)
        for card, *outputs in zip(pair[0].card.outputs, *(model.infer(picture) for model in pair), strict=True):
            assert outputs[0] == pytest.approx(outputs[1], abs=2 * card.scale)
            assert all(output.dtype == np.float32 for output in outputs)


class TestSee:
    def test_a_colour_model_gets_colours_and_uint8(self) -> None:
        """`red` sees nothing but red, where OpenCV's pictures have blue first."""
        model = Model(DATA, "red", role="detector")
        picture = np.zeros((64, 96, 3), np.uint8)
        assert model.view(frame_of(picture)).shape == picture.shape
        for channel, logit in ((0, -12), (1, -12), (2, 4)):
            colored = picture.copy()
            colored[..., channel] = 255
            assert model.infer(colored)[0] == pytest.approx(logit, abs=0.1)

    @pytest.mark.parametrize("name", ["bright", "bright_float", "red"])
    def test_pixels_are_fed_as_the_card_says(self, name: str) -> None:
        """By the short way of a table, as by the long one over real numbers."""
        model = Model(DATA, name, role="detector")
        card = model.card.input
        picture = np.random.default_rng(2).integers(0, 256, card.shape[1:], np.uint8)
        values = normalise(np.ascontiguousarray(picture[None, ..., ::-1]), card.low, card.high)
        for one, other in zip(model.infer(picture.squeeze()), model.run(values), strict=True):
            assert (one == other).all()

    def test_a_published_model_is_fed_by_another_sign_bit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = Model(MODELS, "expression", role="expression")
        card = model.card.input
        picture = np.random.default_rng(2).integers(0, 256, card.shape[1:3], np.uint8)
        expected = model.run(normalise(picture[None, ..., None], card.low, card.high))
        monkeypatch.setattr(cv2, "LUT", None)
        for one, other in zip(model.infer(picture), expected, strict=True):
            assert (one == other).all()


class TestOutputs:
    @pytest.fixture
    def tiny(self, tmp_path: Path) -> Path:
        for path in DATA.glob("bright.*"):
            shutil.copy(path, tmp_path)
        return tmp_path / "bright.json"

    def test_they_are_told_apart_by_name(self, tiny: Path) -> None:
        """Box and key points have the same shape here: only the names tell which is which."""
        card = json.loads(tiny.read_text())
        ordered = Model(tiny.parent, "bright", role="detector").infer(np.full((64, 96), 255, np.uint8))
        card["outputs"][1:3] = card["outputs"][2:0:-1]
        tiny.write_text(json.dumps(card))
        swapped = Model(tiny.parent, "bright", role="detector").infer(np.full((64, 96), 255, np.uint8))
        assert (swapped[1] == ordered[2]).all()
        assert (swapped[2] == ordered[1]).all()

    def test_a_name_that_the_model_does_not_have(self, tiny: Path) -> None:
        card = json.loads(tiny.read_text())
        card["outputs"][2]["name"] = "points"
        tiny.write_text(json.dumps(card))
        with pytest.raises(
            ModelError, match=r"bright.json: output 'points' expected, the model has StatefulPart\S+:\d, "
        ):
            Model(tiny.parent, "bright", role="detector")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": list(reversed(LABELS))}, "labels expected neutral, happiness"),  # test_card.py has the others
        (
            {"input__shape": [1, 96, 96, 1]},
            r"input: the card says \(1, 96, 96, 1\) int8, the model has \(1, 48, 48, 1\)",
        ),
        ({"input__dtype": "float32"}, "float32, the model has"),
        ({"input__scale": 0.5}, r"the card says scale 0.5, .*; the model has"),
        ({"bytes": 5}, "expected 5 bytes with sha256"),
        ({"role": "detector"}, "expected role 'expression', got 'detector'"),
    ],
)
def test_model_and_card_disagree(folder: Path, changes: dict[str, Any], words: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=words):
        load(folder)


def test_quantization_rounds_and_saturates() -> None:
    card = TensorCard(shape=(1, 4), dtype="int8", scale=0.5, zero_point=-3)
    held = quantize(np.array([0.0, 0.6, 1000.0, -1000.0], np.float32), card)
    assert held.tolist() == [-3, -2, 127, -128]
    assert dequantize(held, card).tolist() == [0.0, 0.5, 65.0, -62.5]
    unsigned = TensorCard(shape=(1, 3), dtype="uint8", scale=0.5, zero_point=128)
    assert quantize(np.array([-0.1, 1000.0, -1000.0], np.float32), unsigned).tolist() == [128, 255, 0]


def test_sigmoid_does_not_overflow() -> None:
    logits = np.array([0, np.log(3), -1e4, 1e4], np.float32)
    assert sigmoid(logits).tolist() == pytest.approx([0.5, 0.75, 0, 1])


@pytest.mark.skipif(OTHER, reason="tflite-runtime is installed")
def test_a_runtime_that_is_named_but_missing_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"models.runtime 'tflite-runtime' cannot be loaded: .*; run: pip install"):
        Model(MODELS, "expression", role="expression", runtime="tflite-runtime")


@pytest.mark.skipif(not OTHER, reason="tflite-runtime is not installed (an extra)")
def test_both_runtimes_agree() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    one, other = (
        Model(MODELS, "expression", role="expression", runtime=runtime).infer(crop)[0] for runtime in RUNTIMES
    )
    assert np.abs(one - other).max() <= 3 * read_card(MODELS, "expression").outputs[0].scale


def test_a_runtime_tells_its_version() -> None:
    assert runtime_name("ai-edge-litert").startswith("ai-edge-litert 2.")


def test_a_runtime_without_metadata_still_has_a_name() -> None:
    assert runtime_name("no-such-runtime") == "no-such-runtime"


def test_a_runtime_without_its_fast_kernels_is_told_of(tmp_path: Path) -> None:
    """As a service with ProcSubset=pid would have it: only the system can hide /proc/cpuinfo."""
    (tmp_path / "config.yaml").write_text("camera: {backend: replay, source: demo}\nmqtt: {enabled: false}\n")
    script = 'mount -t proc -o subset=pid proc /proc && exec "$@"'
    hidden = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "sh", "-c", script, "sh"]
    unread = [*hidden, "sh", "-c", "! cat /proc/cpuinfo"]  # qemu-user makes one up for whoever opens it
    if subprocess.run(unread, capture_output=True, check=False).returncode:
        pytest.skip("/proc/cpuinfo cannot be hidden here")
    command = [sys.executable, "-m", "fer_edge", "check", "-c", str(tmp_path / "config.yaml")]
    done = subprocess.run([*hidden, *command], capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert "WARNING detector, landmarks, expression: without XNNPACK" in line
    (models,) = (line for line in done.stdout.splitlines() if " models " in line)
    assert models.startswith("warn")
    assert "ProcSubset=pid" in models
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ok   models" in plain.stdout
    assert "fast kernels" not in plain.stdout + plain.stderr
