"""quantize/: beginning a run with the weights of another one."""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.data import DataError


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Not asked here: TensorFlow keeps its threads for the next call."""


@pytest.fixture
def start() -> Any:
    """`quantize.start`, with what it needs."""
    for name in ("keras", "tensorflow"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"networks need {name}: pip install 'fer-edge[quantize]'")
    return importlib.import_module("quantize.start")


def saved_run(folder: Path, network: Any, **options: Any) -> Path:
    folder.mkdir()
    weights = {f"average_{i}": weight for i, weight in enumerate(network.get_weights())}
    np.savez(folder / "last.npz", epochs=3, **weights)
    (folder / "plan.json").write_text(json.dumps({"options": options}))
    return folder


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_pruning_keeps_what_the_strong_channels_say(start: Any, tmp_path: Path) -> None:
    """Channels without any weight can go without a change."""
    model = importlib.import_module("quantize.model")
    rng, dead = np.random.default_rng(5), [1, 4, 7]
    wide, narrow = model.expression_net((9, 8, 8)), model.expression_net((6, 8, 8))
    for norm in start._norms(wide):
        scale = rng.uniform(0.5, 1.5, norm.gamma.shape).astype(np.float32)
        norm.set_weights([scale, *(rng.uniform(0.1, 1, scale.shape) for _ in range(3))])
    for norm in start._norms(wide)[:3]:
        gamma, beta, mean, variance = norm.get_weights()
        gamma[dead] = beta[dead] = 0
        norm.set_weights([gamma, beta, mean, variance])

    start.begin(narrow, saved_run(tmp_path / "run", wide, widths=[9, 8, 8]), "expression")

    images = rng.uniform(-1, 1, (5, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(narrow.predict(images, verbose=0), wide.predict(images, verbose=0), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_the_same_shape_begins_with_the_very_weights(start: Any, tmp_path: Path) -> None:
    model = importlib.import_module("quantize.model")
    source, target = model.landmarks_net(), model.landmarks_net()
    start.begin(target, saved_run(tmp_path / "run", source), "landmarks")
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore")
def test_a_run_of_another_network_is_refused_in_one_line(start: Any, tmp_path: Path) -> None:
    model = importlib.import_module("quantize.model")
    run = saved_run(tmp_path / "run", model.expression_net((8, 8, 8)), widths=[8, 8, 8])
    with pytest.raises(DataError, match=r"last\.npz: not a run of this network"):
        start.begin(model.landmarks_net(), run, "landmarks")
    with pytest.raises(DataError, match=r"plan\.json: not a run to begin with"):
        start.begin(model.landmarks_net(), tmp_path, "landmarks")


def test_the_strongest_channels_stay_in_order(start: Any) -> None:
    scales = np.array([0.1, -3.0, 0.5, 2.0], np.float32)
    assert start.strongest(scales, count=2).tolist() == [1, 3]
    assert start.strongest(scales, np.array([5.0, 0, 0, 0], np.float32), count=2).tolist() == [0, 1]
