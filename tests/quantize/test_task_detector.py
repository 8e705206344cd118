"""quantize/: training scenes for the detector, what its cells should answer, and its loss."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.data import negatives, scenes
from quantize.data.scenes import SIDE, Scene, Scenes
from quantize.data.sets import Floats, Image, Photo, Still, read_varied_empty
from tests.support.made_up_sets import write_everything, write_varied

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'fer-edge[quantize]'")

from quantize.tasks.assignment import NEAR, assign
from quantize.tasks.teacher import Answers
from quantize.tasks.yunet import cell_centers

STRIDES = (8, 16, 32)
NONE = np.empty((0, 4), np.float32)


@pytest.fixture
def detector() -> Any:
    """`quantize.tasks.detector`, with what it needs."""
    return importlib.import_module("quantize.tasks.detector")


def scene(*boxes: tuple[float, float, float, float], exact: float = 1, ignored: Floats = NONE) -> Scene:
    """A scene with these faces; their key points are the corners and the middle of the box."""
    faces = np.array(boxes, np.float32).reshape(-1, 4)
    corners = faces[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
    points = np.concatenate([corners, corners.mean(axis=1, keepdims=True)], axis=1)
    return Scene(np.zeros((SIDE, SIDE), np.uint8), faces, np.full(len(faces), exact, np.float32), points, ignored)


def silent(count: int = 1, *, score: float = 0.0) -> Answers:
    """A teacher that sees the same everywhere in scenes: a box of two strides around every cell's centre."""
    cells = sum((SIDE // stride) ** 2 for stride in STRIDES)
    places = np.concatenate([np.ones((count, cells, 4)), np.zeros((count, cells, 10))], axis=2).astype(np.float32)
    return Answers(np.full((count, cells), score, np.float32), places, np.zeros((count, cells, 64), np.float16))


def perfect(box: tuple[float, float, float, float], *, score: float = 9.0) -> list[Any]:
    """Outputs of a network that gives this box and the points of `scene` in every cell."""
    outputs: list[Any] = []
    points = scene(box).points.reshape(-1)
    for stride in STRIDES:
        y, x = (np.mgrid[: SIDE // stride, : SIDE // stride] + 0.5).astype(np.float32)
        sides = [x - box[0] / stride, y - box[1] / stride, box[2] / stride - x, box[3] / stride - y]
        offsets = [value / stride - (x, y)[index % 2] for index, value in enumerate(points)]
        outputs += [
            np.full((1, *x.shape, 1), score, np.float32),
            np.stack(sides, -1)[None],
            np.stack(offsets, -1)[None],
        ]
    return [each.astype(np.float32) for each in outputs]


# --- assignment ----------------------------------------------------------------------------------------------


def answering(box: tuple[float, float, float, float], given: tuple[float, float, float, float]) -> Any:
    """Which cells answer for a face, f32[cells], if all give one box."""
    cells = cell_centers(SIDE, SIDE, STRIDES)
    boxes = np.tile(np.array(given, np.float32), (1, len(cells), 1))
    faces = np.array([[box, (0, 0, 0, 0)]], np.float32)
    scores = np.linspace(0.6, 0.5, len(cells), dtype=np.float32)[None]  # no two cells are equally good
    found, _, overlap = assign(scores, boxes, faces, np.array([[1, 0]], np.float32), cells=cells)
    return np.asarray(found)[0], np.asarray(overlap)[0]


@pytest.mark.parametrize(
    ("box", "grids"),
    [((40, 60, 46, 67), {8}), ((40, 60, 56, 76), {8, 16}), ((20, 30, 120, 150), {16, 32}), ((8, 8, 180, 186), {32})],
)
def test_a_face_is_given_to_cells_near_its_centre_in_grids_of_its_size(
    box: tuple[float, float, float, float], grids: set[int]
) -> None:
    found, _ = answering(box, box)
    cells = cell_centers(SIDE, SIDE, STRIDES)[found > 0]
    assert 1 <= len(cells) <= 10
    assert {int(stride) for stride in cells[:, 2]} <= grids
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    away = np.abs((cells[:, :2] + 0.5) * cells[:, 2:] - middle).max(axis=1) / cells[:, 2]
    assert (away <= NEAR).all()


def test_the_better_its_boxes_the_more_cells_a_face_has() -> None:
    box = (40.0, 60.0, 80.0, 110.0)
    good, overlap = answering(box, box)
    bad, _ = answering(box, (60.0, 85.0, 80.0, 110.0))
    assert good.sum() == 10
    assert bad.sum() < 4
    assert overlap[good > 0] == pytest.approx(1)


def test_a_cell_that_two_faces_want_goes_to_the_one_that_its_box_fits() -> None:
    cells = cell_centers(SIDE, SIDE, STRIDES)
    faces = np.array([[(40, 60, 80, 110), (44, 64, 84, 114)]], np.float32)
    boxes = np.tile(faces[:, 1:], (1, len(cells), 1))
    scores, exists = np.linspace(0.6, 0.5, len(cells), dtype=np.float32)[None], np.ones((1, 2), np.float32)
    found, face, _ = (np.asarray(each)[0] for each in assign(scores, boxes, faces, exists, cells=cells))
    assert (face[found > 0] == 1).sum() == 10


# --- targets -------------------------------------------------------------------------------------------------


def test_where_no_label_is_a_face_that_the_teacher_sees_is_not_asked_for(detector: Any) -> None:
    photo = scene((40, 60, 72, 100), ignored=np.array([[120, 120, 160, 160]], np.float32))
    (cells,) = detector.scene_targets([photo], silent(score=0.7))["cells"]
    fine = cells[: (SIDE // 8) ** 2].reshape(SIDE // 8, SIDE // 8, -1)
    asked = fine[..., detector.ASKED] > 0
    assert asked[8:12, 5:9].all()  # in the face and in what may be one it is
    assert asked[15:20, 15:20].all()
    assert asked.sum() == 4 * 4 + 5 * 5
    assert (fine[asked][:, detector.SOFT] == np.float32(0.7)).all()


def test_where_all_faces_are_known_the_teacher_is_wrong_elsewhere(detector: Any) -> None:
    empty = replace(scene(), complete=True)
    (cells,) = detector.scene_targets([empty], silent(score=0.7))["cells"]
    assert (cells[:, detector.ASKED] == 1).all()
    assert not cells[:, detector.SOFT].any()


# --- loss ----------------------------------------------------------------------------------------------------


def loss_of(detector: Any, photo: Scene, outputs: list[Any], teacher: Answers) -> float:
    targets = detector.scene_targets([photo], teacher)
    logits, sides, offsets = (detector.flat(outputs[kind::3]) for kind in range(3))
    return float(detector.answers_loss(targets["cells"], targets["faces"], logits[..., 0], sides, offsets))


def test_the_loss_wants_the_labelled_box_and_a_score_where_it_is_given(detector: Any) -> None:
    box = (40.0, 60.0, 85.0, 110.0)
    found, _ = answering(box, box)
    right, start = perfect(box), 0
    for grid, stride in enumerate(STRIDES):
        cells = (SIDE // stride) ** 2
        own = found[start : start + cells].reshape(1, SIDE // stride, SIDE // stride, 1)
        right[3 * grid] = np.where(own > 0, 9, -9).astype(np.float32)
        start += cells
    moved = [each + np.float32(0.7) if each.shape[-1] == 4 else each for each in right]
    pointed = [each + np.float32(0.7) if each.shape[-1] == 10 else each for each in right]
    mute = [np.full_like(each, -9.0) if each.shape[-1] == 1 else each for each in right]
    losses = [loss_of(detector, scene(box), outputs, silent()) for outputs in (right, moved, pointed, mute)]
    assert losses[0] < 0.01
    assert min(losses[1:]) > 0.1


def test_without_labels_the_teacher_is_followed(detector: Any) -> None:
    def loss(logit: float, side: float) -> float:
        outputs = [
            np.full((1, SIDE // stride, SIDE // stride, depth), value, np.float32)
            for stride in STRIDES
            for depth, value in ((1, logit), (4, side), (10, 0.0))
        ]
        within = scene(ignored=np.array([[-1, -1, SIDE + 1, SIDE + 1]], np.float32))
        return loss_of(detector, within, outputs, silent(score=0.5))

    assert loss(0.0, 1.0) == pytest.approx(0, abs=1e-6)
    assert loss(2.0, 1.0) > 0.01
    assert loss(0.0, 1.5) > 0.1


def test_features_cost_nothing_where_they_are_the_teachers(detector: Any) -> None:
    targets = detector.scene_targets([scene()], silent())
    same = targets["features"].astype(np.float32)
    assert float(detector.features_loss(targets, same)) == 0
    assert float(detector.features_loss(targets, same + 1)) > 1


def test_quality_focal_loss_by_hand(detector: Any) -> None:
    # sigmoid(0) = 0.5; |0.8 - 0.5|^2 * ln 2
    assert float(detector.quality_focal(0.0, 0.8)) == pytest.approx(0.09 * np.log(2), rel=1e-5)


# --- scenes --------------------------------------------------------------------------------------------------


def marked_photo() -> Photo:
    """A dark photo with two bright faces, the second of them unsure."""
    image = np.full((240, 320), 20, np.uint8)
    image[60:110, 100:140] = 250
    image[20:60, 200:230] = 250
    boxes = np.array([[100, 60, 140, 110], [200, 20, 230, 60]], np.float32)
    return Photo("a.jpg", image, boxes, np.full((2, 5, 2), np.nan, np.float32), np.array([True, False]), ("", ""))


def marked_still() -> Still:
    """A still whose face is bright within the box of its points."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.column_stack([100 + 40 * np.cos(angle), 100 + 45 * np.sin(angle)]).astype(np.float32)
    points[36:48] = [[80 + 4 * (i % 6) + 20 * (i // 6), 85] for i in range(12)]
    points[48:60, 1], points[48:60, 0] = 125, np.linspace(85, 115, 12)
    points[30] = 100, 105
    x0, y0, x1, y1 = scenes.box_of(points).astype(int)
    image = np.full((200, 200), 20, np.uint8)
    image[y0:y1, x0:x1] = 250
    return Still("somebody_1", image, points)


def made_up() -> Scenes:
    crops = np.full((4, 48, 48), 250, np.uint8)
    empty = [np.full((150, 200), 20, np.uint8)]
    photos = [marked_photo()]
    return Scenes(crowds=photos, people=photos, varied=photos, stills=[marked_still()], crops=crops, empty=empty)


@pytest.mark.parametrize("kind", list(scenes.KINDS))
def test_faces_are_where_a_scene_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "KINDS", {kind: 1.0})
    monkeypatch.setattr(scenes, "MAX_TURN_DEGREES", 0.0)  # a turned square is not a square
    rng, source = np.random.default_rng(4), made_up()
    for _ in range(40):
        drawn = source.draw(rng)
        assert drawn.image.shape == (SIDE, SIDE)
        assert len(drawn.boxes) == len(drawn.exact) == len(drawn.points)
        assert (len(drawn.boxes) == 0) == (kind == "empty")
        for box in drawn.boxes:
            assert _brightness(drawn.image, box) > 150
        for box in drawn.ignored:
            assert (box[2:] > box[:2]).all()


def test_half_of_the_scenes_without_faces_show_a_known_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "KINDS", {"empty": 1.0})
    dark, bright = np.full((150, 200), 20, np.uint8), np.full((150, 200), 20, np.uint8)
    bright[40:80, 50:85] = 250
    box = np.array([50, 40, 85, 80], np.float32)
    people = [marked_photo()]
    source = Scenes(
        crowds=people,
        people=people,
        varied=people,
        stills=[],
        crops=np.empty((0, 48, 48), np.uint8),
        empty=[dark],
        mistakes=[(bright, box)],
    )
    rng = np.random.default_rng(5)
    drawn = [source.draw(rng) for _ in range(60)]
    assert all(len(scene.boxes) == 0 and scene.complete for scene in drawn)
    assert 20 < sum(bool((scene.image > 150).any()) for scene in drawn) < 40


def test_a_mask_covers_mouth_and_chin_but_not_the_eyes() -> None:
    face, box = marked_still(), scenes.box_of(marked_still().points)
    five = scenes.five_of(face.points)
    changed = []
    for seed in range(30):
        image = face.image.copy()
        scenes.put_on_mask(image, box, five, np.random.default_rng(seed))
        changed.append(image != face.image)
    often = np.mean(changed, axis=0)
    eyes, mouth = (five[part].mean(axis=0).astype(int) for part in (slice(2), slice(3, 5)))
    assert often[mouth[1] + 5, mouth[0]] > 0.9
    assert often[eyes[1] - 3, eyes[0]] == 0
    beyond = np.ones_like(face.image, np.bool_)
    beyond[int(box[1]) : int(box[3]) + 10, int(box[0]) - 5 : int(box[2]) + 6] = False
    assert not often[beyond].any()


def test_masks_are_painted_only_where_the_points_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    worn = []
    monkeypatch.setattr(scenes, "MASKED", 1.0)
    monkeypatch.setattr(scenes, "put_on_mask", lambda *_: worn.append(1))
    rng, source = np.random.default_rng(4), made_up()
    source.from_photo([marked_photo()], rng)
    assert not worn
    source.from_still(rng)
    assert len(worn) == 1


def _brightness(image: Image, box: Floats) -> float:
    """The mean of the middle of a box."""
    (x0, y0), (x1, y1) = box[:2], box[2:]
    inset_x, inset_y = 0.2 * (x1 - x0), 0.2 * (y1 - y0)
    part = image[int(y0 + inset_y) : int(y1 - inset_y) + 1, int(x0 + inset_x) : int(x1 - inset_x) + 1]
    return float(part.mean())


def test_mirroring_twice_changes_nothing() -> None:
    drawn = scene((40, 60, 85, 110), ignored=np.array([[1, 2, 30, 40]], np.float32))
    twice = scenes.mirror(scenes.mirror(drawn))
    for name in ("image", "boxes", "points", "ignored"):
        np.testing.assert_allclose(getattr(twice, name), getattr(drawn, name))


def test_in_a_mirror_the_left_eye_is_left_again() -> None:
    drawn = scene((40, 60, 85, 110))
    mirrored = scenes.mirror(drawn).points[0]
    assert mirrored[0, 0] < mirrored[1, 0]


def test_the_box_of_upright_points_is_wider_than_the_eyes_and_ends_at_the_chin() -> None:
    points = marked_still().points
    x0, y0, x1, y1 = scenes.box_of(points)
    assert x0 < points[36:48, 0].min() < points[36:48, 0].max() < x1
    assert y0 < points[:, 1].min() + 0.2 * 90
    assert y1 == pytest.approx(points[:, 1].max(), abs=0.1 * 90)


def test_photos_without_faces_that_are_kept_are_not_learned(detector: Any, tmp_path: Path) -> None:
    data = write_everything(tmp_path / "sets")
    write_varied(data / "photos2", count=60)
    _, kept = negatives.read_varied(data / "photos2", split="heldout")
    kept += read_varied_empty(data / "photos2", held_out=True)
    task, rng = detector.Detector(data), np.random.default_rng(1)
    seen = {image.tobytes() for image in (task.scenes.whole(rng) for _ in range(2000))}
    assert seen & {image.tobytes() for image in negatives.learned_empty(data / "photos2")}
    assert not seen & {image.tobytes() for image in kept}
