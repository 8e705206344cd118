"""quantize/: what the limits of quality and the least probability of a label are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.evaluate import command, limits
from tests.support.made_up_sets import made_up_ferplus, png, write_mosaics, write_zip
from tests.support.paths import MODELS


def test_labels_are_sorted_by_a_measure_and_wrong_where_hardly_anybody_would_give_them() -> None:
    seen = [
        limits.Seen(26, 0.2, 0.5, (0.9, 0.9, 0.9, None)),
        limits.Seen(27, 0.2, 0.5, (0.1, 0.1, None, None)),
        limits.Seen(28, 0.2, 0.5, (0.3, None, None, None)),
    ]
    first, second = limits.in_bins("height_px", seen)
    assert (first.least, first.below, first.faces, second.faces) == (24, 28, 2, 1)
    assert first.labelled == {"0.4": 1.0, "0.5": 1.0, "0.6": 0.5, "0.7": 0.0}
    assert first.wrong == {"0.4": 0.5, "0.5": 0.5, "0.6": 0.0, "0.7": 0.0}
    assert second.wrong["0.4"] == 1.0
    assert len(limits.in_bins("blur", seen)) == 1


def test_limits_are_measured_on_faces_that_training_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mosaics(tmp_path, made_up_ferplus(train=400, test=8))
    rng = np.random.default_rng(0)
    empty = write_zip(tmp_path / "scenes.zip", {"scenes/1.png": png(rng.integers(0, 256, (90, 120), dtype=np.uint8))})
    asked = ["limits", "--models", str(MODELS), "--data", str(tmp_path), "--scenes", str(empty)]
    assert command.main([*asked, "--faces", "1"]) == 0
    assert capsys.readouterr().out.startswith("labelled, of these wrong")
    assert command.main([*asked, "--faces", "0"]) == 1
    assert "error: --faces: expected 1 to" in capsys.readouterr().err
