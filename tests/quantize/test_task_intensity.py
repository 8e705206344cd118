"""quantize/: the intensities' task and its measure, on made-up faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="Keras is not installed: pip install 'fer-edge[quantize]'")

from quantize.data import mesh_faces
from quantize.data.mesh_faces import INTENSITIES
from quantize.data.sets import DataError
from quantize.evaluate import intensity as measure
from quantize.tasks import intensity
from quantize.tasks.intensity import Intensity
from tests.quantize.test_mesh import faces, labelled

PEOPLE = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Faces whose eyes and mouth lie apart, with random intensities."""
    (tmp_path / "mesh").mkdir()
    rng, made = np.random.default_rng(5), labelled(PEOPLE)
    made["points"] = np.tile(rng.uniform(40, 120, (68, 2)).astype(np.float32), (PEOPLE, 1, 1))
    made["points"][:, 36:42], made["points"][:, 42:48], made["points"][:, 48:] = (60, 60), (100, 60), (80, 110)
    made["crops"] = rng.integers(0, 255, (PEOPLE, 160, 160), np.uint8)
    made["blendshapes"] = rng.uniform(0, 1, (PEOPLE, 52)).astype(np.float16)
    np.savez(tmp_path / "mesh" / "stills.npz", **made)
    return tmp_path


def test_a_batch_holds_crops_and_shares(data: Path) -> None:
    task = Intensity(data)
    images, wanted = next(iter(task.batches(np.random.default_rng(1))))
    assert images.shape == (intensity.BATCH, 48, 48, 1)
    assert wanted.shape == (intensity.BATCH, len(INTENSITIES))
    assert 0 <= wanted.min() <= wanted.max() <= 1
    assert not set(task.training.groups) & set(task.held_out.groups)


def test_an_aligned_face_has_its_eyes_where_the_daemon_puts_them(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensity, "POINTS_OFF", 0.0)
    monkeypatch.setattr(intensity, "SIZE_OFF", 0.0)
    own = Intensity(data).training
    crops = np.zeros((len(own), 160, 160), np.uint8)
    crops[:, 58:63, 58:63] = 255  # on the left eye
    (seen, *_) = intensity.views(mesh_faces.with_crops(own, crops), np.arange(1), np.random.default_rng(0))
    rows, columns = np.nonzero(seen > 100)
    assert rows.mean() + 0.5 == pytest.approx(0.4 * 48, abs=1)
    assert columns.mean() + 0.5 == pytest.approx(0.328 * 48, abs=1)


def test_the_right_answer_costs_less(data: Path) -> None:
    task, rng = Intensity(data), np.random.default_rng(2)
    wanted = rng.uniform(0.01, 0.99, (8, len(INTENSITIES))).astype(np.float32)
    right = np.log(wanted / (1 - wanted))
    assert float(task.loss(wanted, [right])) < float(task.loss(wanted, [right + 1]))


def test_without_labels_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mesh: no labelled faces; run quantize\.data\.mesh_labels first"):
        Intensity(tmp_path)


# --- figures -------------------------------------------------------------------------------------------------


def test_the_area_under_the_curve_by_hand() -> None:
    closed = np.array([True, True, False, False])
    assert measure.auc(closed, np.array([0.9, 0.4, 0.4, 0.1], np.float32)) == pytest.approx(0.875)
    assert measure.auc(closed, np.array([0.1, 0.2, 0.8, 0.9], np.float32)) == 0
    assert np.isnan(measure.auc(np.ones(3, np.bool_), np.zeros(3, np.float32)))


def test_figures_by_hand(tmp_path: Path) -> None:
    blendshapes = np.zeros((4, 52), np.float16)
    blendshapes[:, 25] = 0, 0.25, 0.5, 1  # jaw_open
    blendshapes[:, 9] = 0, 0, 1, 1  # the person's left eye: the right one of the picture
    own = faces(tmp_path, 4, blendshapes=blendshapes)
    values = np.array([[0, 0.1], [0.5, 0.2], [1, 0.3], [2, 0.4]], np.float32)
    figures = measure.compare(("jaw_open", "eye_closed_right"), own, values, name="four")
    assert figures.correlations["jaw_open"] == pytest.approx(1)
    assert figures.aucs == {"eye_closed_right": 1}
    assert figures.told == 2
