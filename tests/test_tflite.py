"""tflite.py: a model runs only where it is what its card says."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.card import TensorCard, models_folder, read_card
from fer_edge.errors import ModelError
from fer_edge.records import LABELS
from fer_edge.tflite import RUNTIMES, Model, dequantize, quantize, runtime_name

MODELS = models_folder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("expression.json", "expression.tflite"):
        shutil.copy(MODELS / name, tmp_path)
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    """Change the card; a dotted change such as input__color goes one level down."""
    path = folder / "expression.json"
    card = json.loads(path.read_text())
    for key, value in changes.items():
        outer, _, inner = key.partition("__")
        if inner:
            card[outer][inner] = value
        elif value is None:
            del card[outer]
        else:
            card[outer] = value
    path.write_text(json.dumps(card))


def load(folder: Path, role: Any = "expression") -> Model:
    return Model(folder, "expression", role=role)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.json")), ids=lambda path: path.stem)
def test_every_shipped_model_is_what_its_card_says(path: Path) -> None:
    card = read_card(MODELS, path.stem)
    model = Model(MODELS, path.stem, role=card.role)
    outputs = model.run(np.zeros(card.input.shape, np.float32))
    assert [output.shape for output in outputs] == [output.shape for output in card.outputs]
    assert all(output.dtype == np.float32 for output in outputs)
    assert (MODELS / card.file).stat().st_size == card.bytes


def test_the_expression_model_is_int8_throughout() -> None:
    card = read_card(MODELS, "expression")
    assert (card.input.dtype, card.outputs[0].dtype) == ("int8", "int8")
    interpreter = load(MODELS)._interpreter
    kinds = {np.dtype(detail["dtype"]).name for detail in interpreter.get_tensor_details()}
    assert kinds <= {"int8", "int32"}  # int32: biases and shapes
    assert card.bytes < 1_000_000


def test_a_missing_model_or_card(folder: Path) -> None:
    (folder / "expression.tflite").unlink()
    with pytest.raises(ModelError, match=r"expression.tflite: cannot read the model: No such file.*; restore it"):
        load(folder)
    (folder / "expression.json").unlink()
    with pytest.raises(ModelError, match=r"expression.json: cannot read the model card.*cards in this folder: none"):
        load(folder)


def test_a_model_that_can_be_fetched_says_how(folder: Path) -> None:
    edit(folder, fetch={"package": "p", "version": "1", "member": "m"})
    (folder / "expression.tflite").unlink()
    with pytest.raises(ModelError, match=r"run: fer-edge fetch"):
        load(folder)


def test_a_truncated_model(folder: Path) -> None:
    path = folder / "expression.tflite"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"sha256 expected .*, got .* \(1000 bytes, the card says \d+\)"):
        load(folder)


def test_a_model_that_is_none_though_the_sha256_fits(folder: Path) -> None:
    (folder / "expression.tflite").write_bytes(b"nonsense")
    edit(folder, sha256=hashlib.sha256(b"nonsense").hexdigest(), bytes=8)
    with pytest.raises(ModelError, match=r"expression.tflite: the TFLite runtime refuses this model"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": list(reversed(LABELS))}, "labels expected neutral, happiness"),
        ({"labels": None}, "got none"),
        ({"template": None}, "needs 'template'"),
        (
            {"input__shape": [1, 96, 96, 1]},
            r"input: the card says \(1, 96, 96, 1\) int8, the model has \(1, 48, 48, 1\)",
        ),
        ({"input__dtype": "float32"}, "float32, the model has"),
        ({"input__scale": 0.5}, r"the card says scale 0.5, .*; the model has"),
        ({"outputs": []}, "1 outputs expected, got 0"),
        ({"temperature": 0}, "temperature expected above 0, got 0"),
        ({"input__color": "rgb"}, "input shape expected"),
        ({"input__shape": [1]}, "input shape expected"),
        ({"input__low": 2.0}, "low expected below high"),
        ({"template__mouth": [0.309, 0.378]}, "template expected three different points"),
        ({"card": 2}, "not a model card"),
        ({"role": "detector"}, "expected role 'expression', got 'detector'"),
    ],
)
def test_model_and_card_disagree(folder: Path, changes: dict[str, Any], words: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=words):
        load(folder)


def test_a_wrong_number_of_outputs(folder: Path) -> None:
    output = json.loads((folder / "expression.json").read_text())["outputs"][0]
    edit(folder, outputs=[output, output])
    with pytest.raises(ModelError, match="1 outputs expected, got 2"):
        load(folder)


def test_quantization_rounds_and_saturates() -> None:
    card = TensorCard(shape=(1, 4), dtype="int8", scale=0.5, zero_point=-3)
    held = quantize(np.array([0.0, 0.6, 1000.0, -1000.0], np.float32), card)
    assert held.tolist() == [[-3, -2, 127, -128]]
    assert dequantize(held, card).tolist() == [[0.0, 0.5, 65.0, -62.5]]


def test_a_configured_folder_wins(tmp_path: Path) -> None:
    assert models_folder(str(tmp_path)) == tmp_path


OTHER = find_spec("tflite_runtime") is not None


@pytest.mark.skipif(OTHER, reason="tflite-runtime is installed")
def test_a_runtime_that_is_named_but_missing_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"models.runtime 'tflite-runtime' cannot be loaded: .*; run: pip install"):
        Model(MODELS, "expression", role="expression", runtime="tflite-runtime")


@pytest.mark.skipif(not OTHER, reason="tflite-runtime is not installed (an extra)")
def test_both_runtimes_agree() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    one, other = (Model(MODELS, "expression", role="expression", runtime=runtime).see(crop)[0] for runtime in RUNTIMES)
    assert np.abs(one - other).max() <= 3 * read_card(MODELS, "expression").outputs[0].scale


def test_a_runtime_tells_its_version() -> None:
    assert runtime_name("ai-edge-litert").startswith("ai-edge-litert 2.")


def test_a_runtime_without_metadata_still_has_a_name() -> None:
    assert runtime_name("no-such-runtime") == "no-such-runtime"


@pytest.mark.parametrize(
    ("name", "part", "changes", "words"),
    [
        ("blazeface_full", "ssd", {"strides": [8]}, "its anchors make outputs"),
        ("blazeface_full", "ssd", {"strides": [0]}, "expected positive and in pairs"),
        ("blazeface_full", "ssd", {"per_cell": [1, 1]}, "expected positive and in pairs"),
        ("blazeface_full", "input", {"shape": [1, 192]}, "input shape expected"),
        ("blazeface_full", "ssd", {"keypoints": 5}, "its anchors make outputs"),
        ("face_mesh", "points", {"count": 10}, "do not make an output"),
        ("face_mesh", "points", {"dims": 1}, "do not make an output"),
        ("face_mesh", "points", {"index68": [0] * 60}, "index68 expected 68 numbers below 468, got 60"),
        ("face_mesh", "points", {"index68": [100_000] * 68}, "index68 expected 68 numbers"),
        ("face_mesh", "points", {"box_scale": 0}, "expected above 0"),
    ],
)
def test_a_card_that_contradicts_itself(
    tmp_path: Path, name: str, part: str, changes: dict[str, Any], words: str
) -> None:
    card = json.loads((MODELS / f"{name}.json").read_text())
    card[part] |= changes
    (tmp_path / f"{name}.json").write_text(json.dumps(card))
    shutil.copy(MODELS / f"{name}.tflite", tmp_path)
    with pytest.raises(ModelError, match=words):
        Model(tmp_path, name, role=card["role"])
