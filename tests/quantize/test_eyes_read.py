"""quantize.data.eyes_read, and the films of stills that are put together by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.data import eyes_read, mesh_faces
from quantize.data.mesh_faces import MeshFaces
from quantize.evaluate import drowsiness
from quantize.evaluate.over_calm import over_calm


def faces(count: int, group: str = "somebody") -> MeshFaces:
    rng = np.random.default_rng(3)
    return MeshFaces(
        names=np.array([f"{number}.jpg" for number in range(count)]),
        groups=np.array([group] * count),
        crops=rng.integers(0, 255, (count, 160, 160), np.uint8),
        points=np.zeros((count, 68, 2), np.float32),
        poses=np.zeros((count, 3), np.float32),
        intensities=np.full((count, len(mesh_faces.INTENSITIES)), 0.5, np.float32),
        presence=np.full(count, 9.0, np.float32),
        five_yaw=np.zeros(count, np.float32),
        height_px=np.full(count, 100.0, np.float32),
        five=np.zeros((count, 5, 2), np.float32),
        boxes=np.zeros((count, 2, 2), np.float32),
    )


def test_what_was_read_counts_more_than_the_mesh(tmp_path: Path) -> None:
    some = faces(4)
    names = [eyes_read.crop_name(crop) for crop in some.crops]
    (tmp_path / "mesh").mkdir()
    lines = ["crop_sha256_16,eyes", f"{names[0]},closed", f"{names[1]},open", f"{names[2]},unclear"]
    (tmp_path / "mesh" / eyes_read.FILE).write_text("\n".join(lines) + "\n")
    read = eyes_read.read_eyes(tmp_path)
    assert eyes_read.read_as(some, read).tolist() == ["closed", "open", "unclear", "open"]
    assert eyes_read.was_read(some, read).tolist() == [True, True, False, False]
    wanted = eyes_read.corrected(some, read)
    assert wanted[:, eyes_read.EYES[0]] == pytest.approx([0.95, 0.3, 0.5, 0.5])
    assert np.delete(wanted, eyes_read.EYES, axis=1) == pytest.approx(0.5), "the others stay"
    assert eyes_read.read_eyes(tmp_path / "elsewhere") == {}


def test_a_film_of_stills_has_known_blinks() -> None:
    film = drowsiness.put_together(faces(3), 0, np.array([1, 2]), np.random.default_rng(5))
    assert len(film.faces) == len(film.closed) == 75 * 15
    starts = int((np.diff(film.closed.astype(int)) == 1).sum())
    assert starts == film.blinks + len(drowsiness.LONG_AT_S)
    assert film.closed.mean() == pytest.approx((film.blinks * 0.2 + 4) / 75, abs=0.005)
    assert {str(name) for name in film.faces.names[film.closed]} == {"0.jpg"}
    assert {str(name) for name in film.faces.names[~film.closed]} == {"1.jpg", "2.jpg"}


def test_the_calm_state_is_of_the_other_pictures_of_a_person() -> None:
    values = np.array([0.1, 0.1, 0.1, 0.9], np.float32)
    reported = over_calm(values, ["a"] * 4)
    assert reported == pytest.approx([0.0, 0.0, 0.0, 0.8], abs=1e-6)
