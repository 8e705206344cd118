"""quantize.files.arrays: a run's state on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.files.arrays import replace_arrays


def test_what_somebody_put_beside_a_state_is_not_written_through(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("somebody's")
    for name in ("last.partial.npz", "last.npz.partial", ".last.npz.partial", "last.partial"):
        (tmp_path / name).symlink_to(other)
    replace_arrays(tmp_path / "last.npz", {"epochs": np.int64(3)})
    assert other.read_text() == "somebody's"
    with np.load(tmp_path / "last.npz") as saved:
        assert int(saved["epochs"]) == 3


def test_a_link_in_place_of_a_state_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("somebody's")
    (tmp_path / "last.npz").symlink_to(other)
    replace_arrays(tmp_path / "last.npz", {"epochs": np.int64(3)})
    assert other.read_text() == "somebody's"
    assert not (tmp_path / "last.npz").is_symlink()


def test_a_state_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_arrays(tmp_path / "last.npz", {"epochs": np.int64(1)})
    before = (tmp_path / "last.npz").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quantize.files.arrays.np.savez", full)
    with pytest.raises(OSError, match="No space left"):
        replace_arrays(tmp_path / "last.npz", {"epochs": np.int64(2)})
    assert (tmp_path / "last.npz").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "last.npz"]


def test_a_run_saves_its_state_through_no_link(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    from quantize.train import command

    other = tmp_path / "other"
    other.write_text("somebody's")
    (tmp_path / "last.partial.npz").symlink_to(other)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    command.save(tmp_path / "last.npz", model, command.Average(model.get_weights()), epochs=2)
    assert other.read_text() == "somebody's"
    with np.load(tmp_path / "last.npz") as saved:
        assert int(saved["epochs"]) == 2
