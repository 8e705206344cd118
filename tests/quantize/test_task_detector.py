"""quantize/: training scenes for the detector, what its cells should answer, and its loss."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from fer_edge.vision.detector import decode
from fer_edge.vision.model_card import SsdCard
from quantize.data import scenes
from quantize.data.scenes import SIDE, Scene, Scenes
from quantize.data.sets import Floats, Image, Photo, Still

STRIDES = (8, 16, 32)
NONE = np.empty((0, 4), np.float32)


@pytest.fixture
def detector() -> Any:
    """`quantize.tasks.detector`, with what it needs."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("the detector's task needs keras: pip install 'fer-edge[quantize]'")
    return importlib.import_module("quantize.tasks.detector")


def scene(*boxes: tuple[float, float, float, float], exact: float = 1, ignored: Floats = NONE) -> Scene:
    """A scene with these faces; their key points are the corners and the middle of the box."""
    faces = np.array(boxes, np.float32).reshape(-1, 4)
    corners = faces[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
    points = np.concatenate([corners, corners.mean(axis=1, keepdims=True)], axis=1)
    return Scene(np.zeros((SIDE, SIDE), np.uint8), faces, np.full(len(faces), exact, np.float32), points, ignored)


def as_outputs(detector: Any, targets: Floats) -> list[Floats]:
    """What a network would give that answers as it should."""
    outputs, start = [], 0
    for stride in STRIDES:
        side = SIDE // stride
        rows = targets[start : start + side * side].reshape(1, side, side, -1)
        start += side * side
        score = np.where(rows[..., detector.STATE, None] > 0, 9.0, -9.0).astype(np.float32)
        outputs += [score, rows[..., detector.BOX], rows[..., detector.POINTS]]
    return outputs


# --- targets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "stride"),
    [((40.0, 60.0, 52.0, 76.0), 8), ((40.0, 60.0, 85.0, 110.0), 16), ((10.0, 20.0, 150.0, 180.0), 32)],
)
def test_the_daemon_decodes_perfect_answers_to_the_very_face(
    detector: Any, box: tuple[float, float, float, float], stride: int
) -> None:
    outputs = as_outputs(detector, detector.cell_targets(scene(box)))
    rows, _ = decode(outputs, SsdCard(strides=STRIDES, keypoints=5, overlap=0.4), min_score=0.5)
    assert len(rows) > 0
    np.testing.assert_allclose(rows[:, :2].reshape(-1, 4), np.tile(box, (len(rows), 1)), atol=1e-3)
    np.testing.assert_allclose(rows[:, 2:], np.tile(scene(box).points, (len(rows), 1, 1)), atol=1e-3)
    asked = [output for output, own in zip(outputs[::3], STRIDES, strict=True) if own == stride]
    assert (asked[0] > 0).sum() == len(rows)  # all of them in the grid of the face's size


def test_a_face_smaller_than_a_cell_still_has_one(detector: Any) -> None:
    targets = detector.cell_targets(scene((41, 41, 46, 46)))
    assert (targets[:, detector.STATE] == 1).sum() == 1


def test_where_faces_overlap_the_smaller_one_is_asked_for(detector: Any) -> None:
    targets = detector.cell_targets(scene((40, 40, 70, 70), (51, 51, 59, 59)))
    middle = targets[(SIDE // 8) * 6 + 6]  # the cell around (52, 52)
    np.testing.assert_allclose(middle[detector.BOX] * 8, [1, 1, 7, 7])


def test_cells_in_ignored_places_are_not_asked(detector: Any) -> None:
    targets = detector.cell_targets(scene(ignored=np.array([[0, 0, 32, 32]], np.float32)))
    assert (targets[:, detector.STATE] == -1).sum() == 16 + 4 + 1
    assert not (targets[:, detector.STATE] == 1).any()


def test_unknown_boxes_and_points_teach_the_score_only(detector: Any) -> None:
    rough = scene((40, 60, 52, 76), exact=0)
    rough.points[:] = np.nan
    targets = detector.cell_targets(rough)
    faces = targets[targets[:, detector.STATE] == 1]
    assert len(faces) > 0
    assert not faces[:, [detector.BOX_KNOWN, detector.POINTS_KNOWN]].any()
    assert np.isfinite(targets).all()


@pytest.mark.parametrize(
    ("size_px", "fits"),
    [(10, (1, 0, 0)), (30, (1, -1, 0)), (33, (-1, 1, 0)), (50, (0, 1, 0)), (79, (0, 1, -1)), (300, (0, 0, 1))],
)
def test_faces_belong_to_the_grid_of_their_size(detector: Any, size_px: float, fits: tuple[int, ...]) -> None:
    assert tuple(detector.grid_fit(size_px, level) for level in range(3)) == fits


# --- loss ----------------------------------------------------------------------------------------------------


def test_the_loss_is_least_for_the_right_answer_and_blind_where_nothing_is_asked(detector: Any) -> None:
    task = object.__new__(detector.Detector)  # without its data
    targets = detector.cell_targets(scene((40, 60, 85, 110), ignored=np.array([[120, 120, 190, 190]], np.float32)))
    right = as_outputs(detector, targets)
    moved = [each + 1.0 if each.shape[-1] == 4 else each for each in right]
    silent = [np.full_like(each, -9.0) if each.shape[-1] == 1 else each for each in right]
    losses = [float(task.loss(targets[None], outputs)) for outputs in (right, moved, silent)]
    assert losses[0] < 0.01
    assert min(losses[1:]) > 0.5

    elsewhere = [each.copy() for each in right]
    elsewhere[0][0, 20, 20] = 9.0  # within the ignored box
    assert float(task.loss(targets[None], elsewhere)) == pytest.approx(losses[0], abs=1e-4)


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
    return Scenes(crowds=photos, people=photos, stills=[marked_still()], crops=crops, empty=empty)


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
    source._photo([marked_photo()], rng)
    assert not worn
    source._still(rng)
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
