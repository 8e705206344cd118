"""train/interpolate.py: weights between two networks. Skipped without TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")

import keras

from quantize.data.sets import DataError
from quantize.tasks.networks import expression_net
from quantize.tasks.task import open_task
from quantize.train import interpolate, warm_start
from tests.support.made_up_sets import made_up_ferplus, write_npz

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]  # TensorFlow's own; machines that train


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


def write_run(folder: Path, value: float, *, epochs: int, width: int = 8) -> Path:
    """A run all of whose weights are the same."""
    folder.mkdir()
    shapes = [weight.shape for weight in expression_net((width,) * 3).get_weights()]
    arrays: dict[str, Any] = {f"average_{i}": np.full(shape, value, np.float32) for i, shape in enumerate(shapes)}
    np.savez(folder / "last.npz", epochs=np.int64(epochs), **arrays)
    options = {"widths": [width] * 3}
    plan = {"role": "expression", "epochs": epochs, "seed": 1, "precision": "float32", "options": options}
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def test_weights_lie_on_the_line_from_the_start_to_the_mean_of_the_ends(tmp_path: Path) -> None:
    faces = write_npz(tmp_path / "ferplus.npz", made_up_ferplus(train=160, test=8))
    start = write_run(tmp_path / "start", 1.0, epochs=3)
    ends = [write_run(tmp_path / f"end{value}", value, epochs=5) for value in (2.0, 4.0)]
    command = ["expression", "--data", str(faces), "--start", str(start), "--end", *map(str, ends)]
    assert interpolate.main([*command, "--share", "0.25", "--out", str(tmp_path / "between")]) == 0
    with np.load(tmp_path / "between" / "last.npz") as saved:
        assert int(saved["epochs"]) == 10
        averages = [saved[name] for name in saved.files if name.startswith("average_")]
    assert all(np.allclose(weight, 1.5) for weight in averages)
    plan = json.loads((tmp_path / "between" / "plan.json").read_text())
    assert plan["interpolate"]["share"] == 0.25
    assert plan["options"] == {"widths": [8, 8, 8]}


def test_a_wider_network_begins_with_the_channels_that_its_run_drew(tmp_path: Path) -> None:
    faces = write_npz(tmp_path / "ferplus.npz", made_up_ferplus(train=160, test=8))
    start, end = write_run(tmp_path / "start", 1.0, epochs=3), write_run(tmp_path / "end", 2.0, epochs=5, width=12)
    command = ["expression", "--data", str(faces), "--start", str(start), "--end", str(end), "--share", "0"]
    assert interpolate.main([*command, "--out", str(tmp_path / "between")]) == 0
    keras.utils.set_random_seed(1)  # as `quantize.train.command.fit` does for a plan with this seed
    network = expression_net((12, 12, 12))
    warm_start.begin(network, start, open_task("expression", faces, widths=(12, 12, 12)))
    with np.load(tmp_path / "between" / "last.npz") as saved:
        for i, weight in enumerate(network.get_weights()):
            assert np.array_equal(saved[f"average_{i}"], weight)


def test_networks_of_two_shapes_have_nothing_between_them() -> None:
    narrow, wide = [np.zeros((2, 2), np.float32)], [np.zeros((2, 3), np.float32)]
    with pytest.raises(DataError, match="networks of one shape"):
        interpolate.between(narrow, wide, 0.5)


def test_a_share_beyond_the_end_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["expression", "--data", str(tmp_path), "--start", "a", "--end", "b", "--share", "1.5"]
    assert interpolate.main([*command, "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == "error: --share: expected 0 to 1, got 1.5\n"


def test_a_run_that_is_read_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = write_run(tmp_path / "end", 2.0, epochs=5)
    before = (end / "last.npz").read_bytes()
    command = ["expression", "--data", str(tmp_path), "--start", "a", "--end", str(end), "--out", str(end)]
    assert interpolate.main(command) == 1
    assert capsys.readouterr().err == f"error: --out {end}: expected another folder than that of a run that is read\n"
    assert (end / "last.npz").read_bytes() == before
