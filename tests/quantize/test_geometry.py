"""quantize/: measuring the shapes that the daemon has built in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.vision.landmarks import RIGID, RIGID_SHAPE
from quantize.data.sets import Still, read_ferplus
from quantize.evaluate import geometry
from quantize.evaluate.geometry import MIRROR, rigid_shape


def rotation(rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Up to half a right angle around a random axis (Rodrigues' formula)."""
    axis, angle = rng.normal(size=3), rng.uniform(0.1, 0.8)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: np.ndarray[tuple[int, int], np.dtype[np.float64]] = (
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    )
    return turn


def test_the_rigid_shape_is_found_from_its_pictures() -> None:
    rng = np.random.default_rng(2)
    shape = RIGID_SHAPE.copy()
    shape[5:8] += (0, 0.05, -0.08)  # a longer nose than the built-in one
    stills = []
    for number in range(60):
        points = np.zeros((68, 2), np.float32)
        seen = 40 * (shape @ rotation(rng)[:2].T) + rng.normal(0, 0.2, (len(RIGID), 2))
        points[list(RIGID)] = seen + rng.uniform(50, 150, 2)
        stills.append(Still(f"p_{number}", np.zeros((4, 4), np.uint8), points))
    found = rigid_shape(stills)
    np.testing.assert_allclose(found, found[MIRROR] * (-1, 1, 1), atol=1e-6)  # symmetric
    distances = [np.linalg.norm(each[:, None] - each[None], axis=2) for each in (found, shape)]
    np.testing.assert_allclose(distances[0], distances[1], atol=0.04)  # the same but for a turn


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert geometry.main(["--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(ValueError, match="no such file"):
        read_ferplus(tmp_path / "absent")
