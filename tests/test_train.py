"""quantize/: training and conversion, on a tiny made-up set; skipped where Keras is not installed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ferplus_samples import ferplus, pictures
from numpy.typing import NDArray

from quantize import data, evaluate, publish


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


@pytest.fixture
def train() -> Any:
    """`quantize.train`, with what it needs."""
    for name in ("keras", "tensorflow", "tqdm", "ai_edge_litert"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"training and conversion need {name}: pip install 'fer-edge[quantize]'")
    return importlib.import_module("quantize.train")


def examples() -> data.Examples:
    """One batch."""
    return data.Examples(pictures(128), np.eye(8, dtype=np.float32)[np.arange(128) % 8])


def averages(run: Path) -> list[NDArray[Any]]:
    with np.load(run / "last.npz") as saved:
        return [saved[name] for name in saved.files if name.startswith("average_")]


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_a_run_cut_short_goes_on_as_if_nothing_had_happened(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = train.Plan(epochs=2, seed=1, precision="float32")
    held_out = data.Labelled(pictures(8), np.arange(8))
    train.fit(plan, examples(), held_out=held_out, out=tmp_path / "straight")

    with monkeypatch.context() as patch:
        whole = train.save
        patch.setattr(train, "save", lambda *a, epochs: None if epochs == 2 else whole(*a, epochs=epochs))
        train.fit(plan, examples(), held_out=held_out, out=tmp_path / "cut")
    train.fit(plan, examples(), held_out=held_out, out=tmp_path / "cut")

    for one, other in zip(averages(tmp_path / "straight"), averages(tmp_path / "cut"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_run_does_not_go_on_under_another_plan(train: Any, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"epochs": 9, "seed": 1, "precision": "float32"}')
    plan = train.Plan(epochs=2, seed=1, precision="float32")
    with pytest.raises(data.DataError, match="choose another --out"):
        train.fit(plan, examples(), held_out=data.Labelled(pictures(8), np.arange(8)), out=tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_the_int8_file_is_int8_throughout_and_agrees_with_the_float_file(train: Any, tmp_path: Path) -> None:
    to_int8 = importlib.import_module("quantize.to_int8")
    plan = train.Plan(epochs=1, seed=1, precision="float32")
    train.fit(plan, examples(), held_out=data.Labelled(pictures(8), np.arange(8)), out=tmp_path)
    to_int8.write(tmp_path, pictures(100))

    both = publish.examine(ferplus(train=pictures(100), test=pictures(20, seed=1)), tmp_path)
    assert both.inner_types <= publish.INTEGERS
    # An untrained model fails the accuracy gate, and must fail no other.
    assert len(publish.failed_gates(both, floor=0.83)) <= 2
    int8, real = (
        evaluate.Classifier(tmp_path / "expression.tflite"),
        evaluate.Classifier(tmp_path / "expression_float.tflite"),
    )
    np.testing.assert_allclose(int8.logits(pictures(9)), real.logits(pictures(9)), atol=0.2)
    assert json.loads((tmp_path / "facts.json").read_text())["macs"] < 38_500_000
