"""Damaged, missing and foreign files are one line that names them, never a traceback."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_edge.records import LABELS
from quantize import daemon_stages
from quantize.data import eyes_read, mesh_faces, mesh_labels, natural, photo_teachers, sets, teacher
from quantize.evaluate import (
    drowsiness,
    fairness,
    geometry,
    intensity,
    iris,
    landmark_heads,
    over_calm,
    signals,
    worsened,
)
from quantize.evaluate import natural as measured_natural
from quantize.files import cards, runs
from quantize.files.arrays import read_arrays, read_rows
from quantize.publish import model_cards_page
from tests.support.ferplus_samples import pictures
from tests.support.made_up_sets import (
    made_up_ferplus,
    png,
    squares,
    table,
    write_mesh,
    write_mosaics,
    write_natural,
    write_npz,
    write_stills,
    write_zip,
)
from tests.support.paths import MODELS

Damage = Callable[[bytes], bytes]


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def changed(content: bytes) -> bytes:
    """With other bytes within what is packed."""
    middle = len(content) // 2
    return content[:middle] + bytes(each ^ 0xA5 for each in content[middle : middle + 40]) + content[middle + 40 :]


def nothing(_: bytes) -> bytes:
    return b""


def text(_: bytes) -> bytes:
    return b"hello\n"


DAMAGES = [cut_off, changed, nothing, text]


def packed(path: Path) -> Path:
    """An archive whose bytes cannot be changed without being noticed."""
    np.savez_compressed(path, rows=np.random.default_rng(1).integers(0, 9, 4000))
    return path


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_arrays_is_a_value_error(tmp_path: Path, damage: Damage) -> None:
    path = packed(tmp_path / "a.npz")
    assert len(read_arrays(path, ["rows"])["rows"]) == 4000
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"."):
        read_arrays(path, ["rows"])


def test_a_single_array_and_a_missing_one_are_value_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"expected an \.npz file"):
        read_arrays(tmp_path / "single.npy", ["rows"])
    with pytest.raises(ValueError, match="other"):
        read_arrays(packed(tmp_path / "a.npz"), ["other"])


def test_rows_belong_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.zeros((3, 2)), other=np.zeros(4), flat=np.zeros(3), single=np.float32(1))
    assert read_rows(tmp_path / "a.npz", {"one": (2,), "flat": ()})["one"].shape == (3, 2)
    with pytest.raises(ValueError, match=r"other: expected \[3\], got \[4\]"):
        read_rows(tmp_path / "a.npz", {"one": (2,), "other": ()})
    with pytest.raises(ValueError, match=r"flat: expected \[3, 2\], got \[3\]"):
        read_rows(tmp_path / "a.npz", {"one": (2,), "flat": (2,)})
    with pytest.raises(ValueError, match="single: expected"):
        read_rows(tmp_path / "a.npz", {"single": ()})


# --- sets ----------------------------------------------------------------------------------------------------


def refused(read: Callable[[Path], object], path: Path) -> str:
    """The line with which a file is refused; it names the file."""
    with pytest.raises(sets.DataError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def write_taught(path: Path) -> Path:
    np.savez_compressed(path, ferplus=np.ones((40, 8)), posed=np.ones((40, 8)), natural=np.ones((40, 8)))
    return path


def write_faces(path: Path) -> Path:
    write_mesh(path, people=4)
    return path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda path: write_npz(path, made_up_ferplus(train=8, test=8)), sets.read_ferplus),
        (lambda path: write_natural(path, people=4), natural.read_natural),
        (write_faces, mesh_faces.read),
        (write_taught, teacher.read_teacher),
    ],
    ids=["ferplus", "natural", "mesh", "teacher"],
)
def test_a_damaged_set_of_arrays_is_one_line(
    tmp_path: Path, damage: Damage, write: Callable[[Path], Path], read: Callable[[Path], object]
) -> None:
    path = write(tmp_path / "set.npz")
    path.write_bytes(damage(path.read_bytes()))
    refused(read, path)


def test_arrays_of_other_shapes_are_one_line(tmp_path: Path) -> None:
    path = write_natural(tmp_path / "natural.npz", people=4)
    np.savez(path, **{**np.load(path), "guesses": np.zeros(3)})
    assert "guesses: expected [8], got [3]" in refused(natural.read_natural, path)
    write_mesh(path, people=4)
    np.savez(path, **{**np.load(path), "points": np.zeros((4, 60, 2))})
    assert "points: expected [4, 68, 2], got [4, 60, 2]" in refused(mesh_faces.read, path)
    np.savez(path, ferplus=np.ones((4, 7)), posed=np.ones((4, 7)), natural=np.ones((4, 7)))
    assert f"ferplus: expected [N,{len(LABELS)}], got [4, 7]" in refused(teacher.read_teacher, path)


def test_a_picture_in_a_damaged_zip_is_one_line(tmp_path: Path) -> None:
    path, name = tmp_path / "crowd_faces.zip", "images/0.png"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("boxes.csv", table(("image", *sets.BOX), [(name, 1, 2, 30, 40)]))
        archive.writestr(name, bytes(range(256)) * 20)
        start = archive.getinfo(name).header_offset + 30 + len(name)
    content = bytearray(path.read_bytes())
    content[start : start + 30] = bytes(each ^ 0xA5 for each in content[start : start + 30])
    path.write_bytes(content)
    assert f"{name}: cannot be read: " in refused(sets.read_crowd, path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,1,2,3", "expected rows with the columns y1"),
        ("a.png,1,,30,40", "boxes.csv: .*could not convert"),
    ],
)
def test_a_row_that_lacks_a_number_is_one_line(tmp_path: Path, row: str, message: str) -> None:
    boxes = f"image,x0,y0,x1,y1\na.png,1,2,30,40\n{row}\n"
    path = write_zip(tmp_path / "set.zip", {"boxes.csv": boxes, "a.png": png(squares([]))})
    with pytest.raises(sets.DataError, match=message):
        sets.read_crowd(path)


def test_a_score_that_is_no_number_is_one_line(tmp_path: Path) -> None:
    boxes = "image,x0,y0,x1,y1,score\na.png,1,2,30,40,high\n"
    path = write_zip(tmp_path / "set.zip", {"boxes.csv": boxes, "a.png": png(squares([]))})
    assert "high" in refused(sets.read_crowd, path)


@pytest.mark.parametrize("name", ["20_1__2017.png", "20_1_01_2017.png", "20_1_12_2017.png"])
def test_a_name_without_a_known_race_tells_the_rest(name: str) -> None:
    assert fairness.groups_of_name(name, Path("set.zip")) == ("everybody", "20 to 39", "female")


def test_a_gender_counted_from_the_end_is_none() -> None:
    with pytest.raises(sets.DataError, match="age_gender_race_date"):
        fairness.groups_of_name("20_-1_0_2017.png", Path("set.zip"))


def test_eyes_and_blinks_need_their_columns(tmp_path: Path) -> None:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "eyes_read.csv").write_text("crop,eyes\n1,closed\n")
    with pytest.raises(sets.DataError, match=r"eyes_read\.csv: expected rows with the columns crop_sha256_16"):
        eyes_read.read_eyes(tmp_path)
    (tmp_path / "blinks").mkdir()
    blinks = tmp_path / "blinks" / "blinks.csv"
    blinks.write_text("film,at,sure\na.mkv,1,1\n")
    with pytest.raises(sets.DataError, match=r"blinks\.csv: expected rows with the columns seconds"):
        drowsiness.measure(MODELS, tmp_path)
    blinks.write_text("film,seconds,sure\na.mkv,1,1\n")
    with pytest.raises(sets.DataError, match=r"a\.mkv: expected a film"):
        drowsiness.measure(MODELS, tmp_path)


# --- sets in which nothing is left to measure ----------------------------------------------------------------


def test_nothing_to_measure_on_is_one_line(tmp_path: Path) -> None:
    write_mosaics(tmp_path, made_up_ferplus(train=16, test=0))
    with pytest.raises(sets.DataError, match="expected rows outside Training"):
        signals.measure_balance(MODELS, tmp_path)
    write_mesh(tmp_path / "mesh" / "stills.npz", people=40)
    with pytest.raises(sets.DataError, match="more than 3 faces of somebody"):
        over_calm.measure(MODELS, tmp_path)
    with pytest.raises(sets.DataError, match="found none"):
        worsened.worse(np.empty((0, 160, 160), np.uint8), 48, 1.0)
    nobody = mesh_faces.read(tmp_path / "mesh" / "stills.npz")
    nobody = nobody.pick(nobody.groups == "nobody")
    arrays = {name: getattr(nobody, name) for name in mesh_faces.ROWS if name != "blendshapes"}
    np.savez(tmp_path / "mesh" / "stills.npz", **arrays, blendshapes=np.empty((0, 52)))
    for keep in (worsened.kept, intensity.kept):
        with pytest.raises(sets.DataError, match="found none"):
            keep(tmp_path)
    model = daemon_stages.open_model(MODELS / "landmarks.tflite", "landmarks")
    assert landmark_heads.measure(model, tmp_path) is None


def test_natural_faces_of_nobody_who_is_kept_are_one_line(tmp_path: Path) -> None:
    learned = next(name for name in (f"Some_Body{number}_0001.jpg" for number in range(99)) if not kept(name))
    np.savez(
        tmp_path / natural.NATURAL,
        canvases=np.zeros((1, 64, 64), np.uint8),
        guesses=np.zeros(1, np.intp),
        names=np.array([learned]),
    )
    np.savez(tmp_path / "teacher.npz", ferplus=np.ones((0, 8)), posed=np.ones((0, 8)), natural=np.ones((1, 8)))
    model = daemon_stages.open_model(MODELS / "expression.tflite", "expression")
    with pytest.raises(sets.DataError, match="expected faces of people kept from training, found none"):
        measured_natural.run(model, tmp_path)


def kept(name: str) -> bool:
    faces = natural.Natural(np.zeros((1, 64, 64), np.uint8), np.zeros(1, np.intp), (name,))
    return bool(faces.held_out()[0])


def test_an_iris_filter_is_fitted_to_some_faces_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iris, "Teacher", lambda _: None)
    monkeypatch.setattr(iris, "BoxTeacher", lambda _: None)
    monkeypatch.setattr(iris, "_faces", lambda *_, **__: ())
    with pytest.raises(sets.DataError, match="expected faces that are learned from"):
        iris.measure(MODELS, tmp_path, tmp_path, tmp_path, write=tmp_path / "iris.json")
    assert not (tmp_path / "iris.json").exists()


def test_the_built_in_shapes_need_faces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_stills(tmp_path / "landmarks68.zip", people=12)
    noise = sets.FerPlus(pictures(4) // 64, np.zeros(4, np.uint8), np.zeros((4, 10), np.uint8))
    write_npz(tmp_path / "ferplus.npz", noise)
    assert geometry.main(["--data", str(tmp_path), "--models", str(MODELS)]) == 1
    assert (
        capsys.readouterr().err == "error: FER+: the landmarks model takes none of the Training pictures for a face\n"
    )


# --- teachers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_", [photo_teachers.YuNet, photo_teachers.CenterFace])
def test_a_teacher_that_is_no_onnx_file_is_one_line(tmp_path: Path, open_: Callable[[Path], object]) -> None:
    path = tmp_path / "teacher.onnx"
    path.write_bytes(b"\x08\x01 no network")
    assert "cannot be read as an ONNX file" in refused(open_, path)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "faces_unlabelled.zip", {"20_0_0_2017.jpg": b"no picture"})
    with pytest.raises(sets.DataError, match=r"faces_unlabelled\.zip: 20_0_0_2017\.jpg: not a picture"):
        list(mesh_labels.ages(tmp_path, lambda _: None))  # type: ignore[arg-type]


def test_a_yawn_without_a_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "yawns" / "yawn").mkdir(parents=True)
    (tmp_path / "yawns" / "yawn" / "first.jpg").write_bytes(png(squares([])))
    with pytest.raises(sets.DataError, match=r"yawn/first\.jpg: expected a number for a name"):
        list(mesh_labels.yawns(tmp_path, lambda _: None))  # type: ignore[arg-type]


def test_boxes_of_the_mesh_that_are_no_numbers_are_one_line(tmp_path: Path) -> None:
    columns = ("photo", "fold", "use", *sets.BOX, *sets.PERSONS_RIGHT_FIRST)
    row = ("people/0.png", 3, "pos", 1, "low", 80, 90, *[""] * 10)
    write_zip(tmp_path / "photos2" / "labels.zip", {"faces.csv": table(columns, [row])})
    write_zip(tmp_path / "photos2" / "people_and_scenes.zip", {"people/0.png": png(squares([]))})
    with pytest.raises(sets.DataError, match=r"faces\.csv: .*low"):
        list(mesh_labels.varied(tmp_path, lambda _: None))  # type: ignore[arg-type]


# --- runs and cards ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ('{"role": "expr', "cannot be read: .*; expected a folder that quantize.train wrote"),
        ("[]", "not the plan of a run"),
        ('{"role": "expression"}', "not the plan of a run"),
        ('{"role": "detector", "options": {}}', "expected a run of role 'expression', got 'detector'"),
    ],
)
def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, plan: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(plan)
    with pytest.raises(sets.DataError, match=message):
        runs.read_plan(tmp_path, "expression")


def test_the_command_in_a_card_names_no_path_of_this_machine() -> None:
    plan = {"role": "expression", "epochs": 2, "seed": 1, "options": {"taught": "/home/somebody/sets/teacher.npz"}}
    assert "--taught data/teacher.npz" in cards.command(plan)


def test_cards_of_models_that_are_not_published_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for role in ("expression", "detector", "landmarks"):
        card = cards.read(MODELS / f"{role}.json")
        (tmp_path / f"{role}.json").write_bytes(cards.text(card | {"metrics": {}}))
    assert model_cards_page.main(["--models", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {tmp_path}: expected cards of published models, got one without 'int8'\n")
