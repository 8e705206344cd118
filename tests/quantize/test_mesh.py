"""quantize/: faces that a mesh has labelled: signs, trust, sides."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.vision.landmarks import RIGID_SHAPE
from quantize.data import mesh_faces, mesh_labels, mesh_teacher
from quantize.data.mesh_faces import INTENSITIES, MeshFaces
from quantize.data.sets import DataError, chosen
from tests.unit.vision.test_landmarks import rotation

SHAPE = np.random.default_rng(3).uniform(-5, 5, (468, 3)).astype(np.float32)


def labelled(count: int = 1) -> dict[str, Any]:
    """What `mesh_labels` writes of faces that look ahead, which everybody agrees on."""
    points = np.full((count, 68, 2), 80, np.float32)
    return {
        "names": np.array([f"face{index}" for index in range(count)]),
        "groups": np.array([f"Some_Body{index}" for index in range(count)]),
        "crops": np.full((count, 160, 160), 90, np.uint8),
        "points": points,
        "poses": np.tile(np.array([0, mesh_faces.PITCH_ZERO, 0], np.float32), (count, 1)),
        "blendshapes": np.zeros((count, 52), np.float16),
        "presence": np.full(count, 12.0),
        "five_yaw": np.zeros(count),
        "height_px": np.full(count, 90.0),
        "five": points[:, :5].copy(),
        "boxes": np.tile(np.array([[50, 40], [110, 120]], np.float32), (count, 1, 1)),
    }


def faces(folder: Path, count: int = 1, **changed: object) -> MeshFaces:
    path = folder / "stills.npz"
    np.savez(path, **(labelled(count) | {name: np.asarray(value) for name, value in changed.items()}))
    return mesh_faces.read(path)


# --- signs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [(25, 0, 0), (-40, 10, 0), (0, 20, 0), (0, -15, 12), (30, 10, -20)])
def test_a_mesh_is_turned_as_the_daemon_says(turn: tuple[float, float, float]) -> None:
    """The rotation of a shape is found again, and told with the signs of `records.Pose`."""
    given = SHAPE - SHAPE.mean(axis=0)
    weights = np.full((468, 1), 1 / 468, np.float32)
    found = mesh_teacher.rigid(given, 30 * given @ rotation(*turn).T, weights)
    assert mesh_teacher.angles(found).tolist() == pytest.approx(turn, abs=0.01)


def test_five_points_say_the_same_yaw() -> None:
    five = np.array([RIGID_SHAPE[[0, 1]].mean(axis=0), RIGID_SHAPE[[2, 3]].mean(axis=0), *RIGID_SHAPE[[7, 8, 10]]])
    fit = np.linalg.pinv(five - five.mean(axis=0))
    for yaw in (-50, 0, 35):
        seen = (five @ rotation(yaw, 5, 10).T)[:, :2] * 60 + 200
        assert mesh_labels.five_yaw(seen.astype(np.float32), fit) == pytest.approx(yaw, abs=0.5)
    assert np.isnan(mesh_labels.five_yaw(np.full((5, 2), np.nan, np.float32), fit))


def field(number: int, content: bytes) -> bytes:
    size = bytes([len(content) & 127 | 128, len(content) >> 7]) if len(content) > 127 else bytes([len(content)])
    return bytes([number << 3 | 2]) + size + content


def test_the_straight_face_is_read_from_its_protocol_buffer() -> None:
    vertices = b"".join(b"\x1d" + struct.pack("<f", value) for point in SHAPE for value in (*point, 0, 0))
    mesh = bytes([1 << 3 | 2]) + varint(len(vertices)) + vertices
    weight = field(2, b"\x08\x21" + b"\x15" + struct.pack("<f", 0.25))  # point 33
    shape, weights = mesh_teacher.canonical(mesh + weight)
    np.testing.assert_array_equal(shape, SHAPE)
    assert weights[33] == 0.25
    assert weights.sum() == 0.25
    with pytest.raises(DataError, match="expected a mesh of 468 points"):
        mesh_teacher.canonical(weight)


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def test_eyes_change_places_in_a_mirror() -> None:
    own = np.arange(len(INTENSITIES), dtype=np.float32)
    seen = mesh_faces.mirror_intensities(own)
    names = list(INTENSITIES)
    assert seen[names.index("eye_closed_left")] == own[names.index("eye_closed_right")]
    assert seen[names.index("smile")] == own[names.index("smile")]
    np.testing.assert_array_equal(mesh_faces.mirror_intensities(seen), own)


# --- trust ---------------------------------------------------------------------------------------------------


def test_whoever_is_agreed_on_is_believed(tmp_path: Path) -> None:
    assert faces(tmp_path).believed.all()


def test_the_mesh_is_believed_without_presence_where_it_lies_on_five_points(tmp_path: Path) -> None:
    assert faces(tmp_path, presence=[-9.0]).believed.all()
    far = labelled()["five"] + 10
    assert not faces(tmp_path, presence=[-9.0], five=far).believed.any()
    assert faces(tmp_path, presence=[9.0], five=far).believed.all()


def test_two_yaws_that_disagree_are_not_believed(tmp_path: Path) -> None:
    assert not faces(tmp_path, five_yaw=[25.0]).believed.any()
    assert faces(tmp_path, five_yaw=[np.nan]).believed.all()


def test_of_a_profile_only_the_yaw_is_known(tmp_path: Path) -> None:
    found = mesh_faces.usable(faces(tmp_path, 3, five_yaw=[89.0, -70.0, 40.0]))
    assert found.names.tolist() == ["face0", "face1"]
    assert found.poses[:, 0].tolist() == [mesh_faces.MOST_YAW, -70]
    assert np.isnan(found.poses[:, 1:]).all()
    assert np.isnan(found.intensities).all()


# --- sides ---------------------------------------------------------------------------------------------------


def test_people_are_on_the_side_where_their_stills_are(tmp_path: Path) -> None:
    people = [f"Some_Body{index}" for index in range(60)]
    kept = faces(tmp_path, 60, groups=people).held_out
    assert kept.tolist() == [chosen(person.encode(), one_in=5) for person in people]
    assert 0 < kept.sum() < 60


def test_two_folds_are_kept(tmp_path: Path) -> None:
    assert faces(tmp_path, 3, groups=["fold0", "fold1", "fold2"]).held_out.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("Aaron_Guiel_0001.jpg", "Aaron_Guiel"),
        ("Avinash_12.jpg", "Avinash"),
        ("facial-expressions_2868588k.jpg", "facial-expressions_2868588k"),
    ],
)
def test_pictures_of_a_person_are_known_by_name(name: str, person: str) -> None:
    assert mesh_labels.person_of(name) == person


def test_a_file_that_is_not_labels_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "stills.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"stills\.npz: cannot be read.*expected a file of quantize"):
        mesh_faces.read(tmp_path / "stills.npz")


def test_a_teacher_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", str(tmp_path), "--teacher", str(tmp_path / "no.task"), "--yunet", str(tmp_path / "no.onnx")]
    assert mesh_labels.main(given) == 1
    assert "no.task: expected MediaPipe's face_landmarker.task" in capsys.readouterr().err
