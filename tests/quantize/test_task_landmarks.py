"""The landmarks' task on made-up stills: dots on a gray ground, one for each point."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.made_up_sets import POINTS, png, table, write_everything, write_zip

pytest.importorskip("keras", reason="Keras is not installed: pip install 'fer-edge[quantize]'")

from keras import ops

from fer_edge.vision import transforms
from fer_edge.vision.model_card import PointsCard
from quantize import metrics
from quantize.data.sets import Floats, Image, Still
from quantize.tasks import landmark_crops, landmark_heads, landmarks
from quantize.tasks.landmark_crops import MIRROR
from quantize.tasks.landmarks import Landmarks
from quantize.tasks.networks import LANDMARKS_SIDE

PEOPLE = 12
SIDE_PX = 160


def face(rng: np.random.Generator) -> Floats:
    """68 points in px of which those of the mean face keep their order: left ones left, upper ones up."""
    jaw = np.stack([np.linspace(-1, 1, 17), 0.9 * np.sin(np.linspace(0, np.pi, 17))], axis=1)
    brows = [[x, -0.4] for x in (-0.8, -0.65, -0.5, -0.35, -0.2, 0.2, 0.35, 0.5, 0.65, 0.8)]
    nose = [[0, y] for y in (-0.2, -0.1, 0.0, 0.1)] + [[x, 0.2] for x in (-0.2, -0.1, 0.0, 0.1, 0.2)]
    eye = np.array([[-0.2, 0], [-0.1, -0.05], [0.1, -0.05], [0.2, 0], [0.1, 0.05], [-0.1, 0.05]])
    eyes = np.concatenate([eye + np.array([x, -0.2]) for x in (-0.5, 0.5)])
    lips = [[-0.3 * np.cos(a), -0.15 * np.sin(a) + 0.5] for a in np.arange(12) * np.pi / 6]
    inner = [[-0.2 * np.cos(a), -0.08 * np.sin(a) + 0.5] for a in np.arange(8) * np.pi / 4]
    points = np.concatenate([jaw, brows, nose, eyes, lips, inner]) * rng.uniform(30, 36)
    return (points + SIDE_PX / 2 + rng.uniform(-5, 5, 2)).astype(np.float32)


def still(name: str, points: Floats) -> Still:
    """A face whose every point is a small bright spot, with its middle exactly there."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in points]
    return Still(name, (40 + 200 * np.max(spots, axis=0)).astype(np.uint8), points)


def write_stills(path: Path, stills: list[Still]) -> None:
    rows = [(f"{each.name}.png", *(f"{value:.3f}" for value in each.points.reshape(-1))) for each in stills]
    pictures = {f"{each.name}.png": png(each.image) for each in stills}
    write_zip(path, pictures | {"points68.csv": table(("image", *POINTS), rows)})


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Landmarks:
    data, rng = write_everything(tmp_path_factory.mktemp("data")), np.random.default_rng(0)
    names = [f"{twin}Person_{person}_{shot}" for twin in ("", "b_") for person in range(PEOPLE) for shot in range(2)]
    write_stills(data / "landmarks68.zip", [still(name, face(rng)) for name in names])
    return Landmarks(data)


def brightness(crop: Image, placed: Floats) -> Floats:
    """Gray levels of a crop at points in shares of its side."""
    x, y = (placed.T * LANDMARKS_SIDE - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(crop, x, y, cv2.INTER_LINEAR)[:, 0], np.float32)


def test_mirroring_twice_changes_nothing() -> None:
    assert MIRROR[MIRROR].tolist() == list(range(68))


def test_a_mirror_swaps_left_and_right() -> None:
    points = face(np.random.default_rng(1))
    points -= points.mean(axis=0)
    np.testing.assert_allclose(points[MIRROR] * (-1, 1), points, atol=0.5)
    assert MIRROR[[0, 8, 17, 27, 30, 31, 36, 39, 40, 48, 57, 60]].tolist() == [
        16, 8, 26, 27, 30, 35, 45, 42, 47, 54, 57, 64,
    ]  # fmt: skip


def test_labels_of_mirrored_stills_have_the_fault_of_the_others() -> None:
    right = np.random.default_rng(7).uniform(0.2, 0.8, (1, 68, 2)).astype(np.float32)
    fault = np.array([landmark_crops.LABEL_SHIFT, 0], np.float32)
    seen_in_a_mirror = right[:, MIRROR] * (-1, 1) + (1, 0)
    np.testing.assert_allclose(landmark_crops.mirrored(right + fault), seen_in_a_mirror + fault, atol=1e-6)


def test_targets_follow_the_picture(task: Landmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_crops, "LABEL_SHIFT", 0.0)  # these labels are right
    rng = np.random.default_rng(2)
    stills = [still(str(index), face(rng)) for index in range(16)]
    crops, placed, _ = task.views(stills, rng)
    for crop, own in zip(crops, placed, strict=True):
        inside = np.all((own > 0.03) & (own < 0.97), axis=1)
        assert inside.sum() > 40
        assert np.percentile(brightness(crop, own[inside]), 10) > 200  # the ground is 40


def test_a_measuring_crop_is_as_wide_as_the_card_says(task: Landmarks) -> None:
    points = face(np.random.default_rng(3))
    placed = transforms.transform(points, landmark_crops.measuring_crop(points)) / LANDMARKS_SIDE
    low, high = placed.min(axis=0), placed.max(axis=0)
    card = PointsCard(**task.card()["points"])
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-5)
    np.testing.assert_allclose((high - low).max(), 1 / card.points_scale, atol=1e-5)
    assert card.shape().shape == (68, 2)
    assert 0 < card.shape().min() < card.shape().max() < 1


def test_a_miss_holds_little_of_the_face() -> None:
    rng, points = np.random.default_rng(4), face(np.random.default_rng(5))
    for _ in range(100):
        placed = transforms.transform(points, landmark_crops.missing(points, rng)) / LANDMARKS_SIDE
        low, high = placed.min(axis=0), placed.max(axis=0)
        middle, half = (low + high) / 2, float((high - low).max()) / 2  # the square around the face
        core = 0.5 / landmark_crops.POINTS_SCALE  # half the square that a face would fill
        sides = np.minimum(middle + half, 0.5 + core) - np.maximum(middle - half, 0.5 - core)
        shared = float(np.prod(np.maximum(sides, 0)))
        assert shared / (4 * core**2 + 4 * half**2 - shared) < 0.4


def test_nobody_is_on_both_sides(task: Landmarks) -> None:
    learned, kept = {each.person for each in task.training}, {each.person for each in task.held_out}
    assert learned
    assert kept
    assert not learned & kept
    assert {each.person for each in task.held_out if each.name.startswith("b_")} == kept  # twins go together
    assert len(task.training) + len(task.held_out) == 4 * PEOPLE


def test_a_batch_holds_faces_with_points_then_those_with_a_box_then_others(task: Landmarks) -> None:
    images, targets = next(task.batches(np.random.default_rng(6)))
    known, meshed = landmarks.FACES, landmarks.FACES + landmark_heads.MESHED
    faces = meshed + landmarks.BOXED + landmarks.PASTED
    assert images.shape == (faces + landmarks.MISSES + landmarks.SCENES, LANDMARKS_SIDE, LANDMARKS_SIDE, 1)
    assert targets.shape == (len(images), landmarks.WIDTH)
    assert np.all(targets[:known, 136] > 0)
    assert not targets[meshed:, :137].any()
    extra = targets[:, landmarks.PRESENT + 1 :]
    assert extra[known:meshed, landmark_heads.ROW["yaw_known"]].all()
    assert extra[known:meshed, landmark_heads.ROW["meshed"]].all()
    assert not extra[meshed:].any()
    assert targets[:, landmarks.PRESENT].tolist() == [1.0] * faces + [0.0] * (len(images) - faces)


def answer(targets: Floats, *, logit: float = 0.0, off: float = 0.0) -> list[Floats]:
    """What a network says that is right but for the logit, and the points by some of the crop's side."""
    count = len(targets)
    pose = targets[:, landmarks.PRESENT + 1 :][:, landmark_heads.ROW["pose"]]
    return [targets[:, :136] + off, np.full((count, 1), logit, np.float32), pose, np.zeros((count, 1), np.float32)]


def test_points_that_nobody_knows_cost_nothing(task: Landmarks) -> None:
    _, targets = next(task.batches(np.random.default_rng(6)))
    outputs = answer(targets)
    right = float(task.loss(ops.array(targets), outputs))
    outputs[0][landmarks.FACES + landmark_heads.MESHED :] += 5
    assert float(task.loss(ops.array(targets), outputs)) == pytest.approx(right)
    outputs[0][: landmarks.FACES] += 0.1
    assert float(task.loss(ops.array(targets), outputs)) > right + 0.1


def test_presence_counts_faces_and_others_alike(task: Landmarks) -> None:
    _, targets = next(task.batches(np.random.default_rng(6)))
    always, never = (float(task.loss(ops.array(targets), answer(targets, logit=x))) for x in (4.0, -4.0))
    assert always == pytest.approx(never, rel=1e-3)


def test_a_crop_around_a_box_has_it_in_the_middle(task: Landmarks) -> None:
    rng, box = np.random.default_rng(8), np.array([100, 50, 130, 90], np.float32)
    card = PointsCard(**task.card()["points"])
    for _ in range(100):
        middle = (
            transforms.transform(box.reshape(2, 2), landmark_crops.boxed(box, card, rng)).mean(axis=0) / LANDMARKS_SIDE
        )
        assert np.all(np.abs(middle - 0.5) < 0.25)


def test_a_pasted_face_is_where_its_box_says() -> None:
    rng, scene = np.random.default_rng(9), np.full((150, 200), 20, np.uint8)
    for _ in range(20):
        picture, (x0, y0, x1, y1) = landmark_crops.pasted(np.full((48, 48), 250, np.uint8), scene, rng)
        middle = picture[int(y0 + 0.3 * (y1 - y0)) : int(y1 - 0.3 * (y1 - y0)), int((x0 + x1) / 2)]
        assert middle.min() > 200
        assert picture[0].max() < 60
        assert landmark_crops.PASTED_PX[0] / 2 < x1 - x0 < landmark_crops.PASTED_PX[1]


def test_the_right_answer_has_no_error(task: Landmarks) -> None:
    points = [each.points for each in task.held_out]
    placed = landmark_crops.shapes(points, [landmark_crops.measuring_crop(each) for each in points])
    assert metrics.point_errors(placed, placed).max() == 0
    shifted = placed + np.array([metrics.eye_distances(placed)[0], 0], np.float32)
    assert metrics.point_errors(shifted, placed)[0] == pytest.approx(np.ones(68), rel=1e-5)


def test_the_network_keeps_its_contract(task: Landmarks) -> None:
    network = task.network(batch=1)
    assert [output.shape for output in network.outputs] == [(1, 136), (1, 1), (1, 3), (1, 1)]
    figures = task.progress(lambda images: [np.zeros((len(images), n), np.float32) for n in (136, 1, 3, 1)])
    assert 0 < figures["heldout_nme51"] < 0.2  # the mean shape itself
    assert task.sample().shape[1:] == (LANDMARKS_SIDE, LANDMARKS_SIDE)
    assert len(task.sample()) > landmarks.SAMPLE  # faces, and others for the range of the score
