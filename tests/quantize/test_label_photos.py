"""quantize.data.label_photos: boxes that two detectors agree on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from quantize.data import label_photos
from quantize.data.alike import difference_hash
from quantize.data.label_photos import Look, is_face, label
from quantize.data.photo_teachers import Color, Teachers
from quantize.data.sets import read_more

FIVE = (45.0, 40.0, 75.0, 40.0, 60.0, 55.0, 48.0, 70.0, 72.0, 70.0)


def look_at(*rows: tuple[tuple[float, ...], tuple[float, float, float]]) -> Look:
    """Teachers that have an answer ready."""
    places = np.full((len(rows), 14), np.nan, np.float32)
    for place, (numbers, _) in zip(places, rows, strict=True):
        place[: len(numbers)] = numbers
    return lambda _: (places, np.array([scores for _, scores in rows], np.float32).reshape(-1, 3))


def photo(seed: int, *, height: int = 240, width: int = 320) -> Color:
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize(
    ("share", "scores", "sure"),
    [
        (0.3, (0.8, 0.7, 0.5), True),
        (0.3, (0.9, 0.9, 0.3), False),  # a pet: YuNet alone
        (0.3, (0.0, 0.0, 0.7), True),  # turned far: CenterFace alone
        (0.05, (0.8, 0.7, 0.0), True),  # small: both looks of YuNet
        (0.05, (0.9, 0.1, 0.0), False),
    ],
)
def test_both_say_what_a_face_is(share: float, scores: tuple[float, float, float], sure: bool) -> None:
    assert is_face(share, *scores) == sure


def test_faces_count_doubtful_ones_are_kept_apart_and_weak_ones_are_background() -> None:
    look = look_at(
        ((30.0, 20.0, 90.0, 90.0, *FIVE), (0.9, 0.8, 0.7)),
        ((200.0, 50.0, 240.0, 100.0), (0.4, 0.0, 0.1)),
        ((100.0, 150.0, 130.0, 190.0), (0.2, 0.0, 0.1)),
    )
    found = label("a.jpg", photo(1, height=480, width=640), look)
    assert found is not None
    assert (found.name, found.image.shape) == ("people/a.jpg", (312, 416))
    assert [row["score"] >= 0.6 for row in found.rows] == [True, False]
    assert found.rows[0]["x1"] == pytest.approx(90 * 0.65, abs=0.1)
    assert found.rows[1]["eye_r_x"] == ""


def test_a_photo_is_of_no_use_with_doubtful_faces_only_and_empty_where_nobody_sees_any() -> None:
    doubtful = look_at(((30.0, 20.0, 90.0, 90.0), (0.4, 0.0, 0.1)))
    assert label("a.jpg", photo(1), doubtful) is None
    empty = label("a.jpg", photo(1), look_at())
    assert empty is not None
    assert (empty.name, empty.rows) == ("scenes/a.jpg", [])


def test_what_is_written_is_read_as_photos_to_train_on(tmp_path: Path) -> None:
    look = look_at(((30.0, 20.0, 90.0, 90.0, *FIVE), (0.9, 0.8, 0.7)), ((200.0, 50.0, 240.0, 100.0), (0.4, 0.0, 0.1)))
    labelled = [label("a.jpg", photo(1), look), label("b.jpg", photo(2), look_at())]
    label_photos.write([each for each in labelled if each], tmp_path / "photos3")
    (read,), (nobody,) = read_more(tmp_path / "photos3")
    assert read.sure.tolist() == [True, False]
    assert read.boxes[0] == pytest.approx([30, 20, 90, 90])
    assert read.points[0].reshape(-1) == pytest.approx(FIVE)
    assert nobody.shape == (240, 320)
    assert read_more(tmp_path / "none") == ([], [])


def test_one_face_that_all_looks_find_is_one_row() -> None:
    width = 320
    row = np.array([30, 20, 90, 90, *FIVE, 0.9], np.float32)
    mirror = row.copy()
    mirror[[0, 2]] = width - row[[2, 0]]

    looks = Teachers(
        lambda _, side: (row if side in (640, 320) else mirror)[None],
        lambda _, side: np.array([[32, 22, 88, 92, 0.6], [200, 20, 240, 60, 0.5]], np.float32),
    )
    places, scores = looks(photo(1))
    assert scores == pytest.approx(np.array([[0.9, 0.9, 0.6], [0, 0, 0.5]]))
    assert places[0] == pytest.approx(row[:14])
    assert np.isnan(places[1, 4:]).all()


def test_a_photo_seen_before_or_its_mirror_image_is_left_out() -> None:
    prints = [difference_hash(np.asarray(cv2.cvtColor(photo(3), cv2.COLOR_BGR2GRAY), np.uint8))]
    assert label_photos.seen(photo(3), prints)
    assert label_photos.seen(np.ascontiguousarray(photo(3)[:, ::-1]), prints)
    assert not label_photos.seen(photo(4), prints)
    assert label_photos.seen(photo(4), prints)


def test_a_missing_teacher_or_an_empty_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", str(tmp_path), "--photos", str(tmp_path), "--centerface", str(tmp_path / "c.onnx")]
    assert label_photos.main([*given, "--yunet", str(tmp_path / "no.onnx")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'no.onnx'}: no such file; expected an ONNX file\n"


def test_photos_of_one_name_keep_their_own_boxes() -> None:
    paths = [Path(each) for each in ("mvsa/data/1.jpg", "isomer/data/1.png", "isomer/data/2.png", "x/data/1-2.jpg")]
    names = label_photos.names_of(paths)
    assert names == ["data_1.jpg", "data_1-2.jpg", "data_2.jpg", "data_1-2-2.jpg"]


def test_a_result_is_whole_and_its_folder_is_made(tmp_path: Path) -> None:
    look = look_at(((30.0, 20.0, 90.0, 90.0, *FIVE), (0.9, 0.8, 0.7)))
    labelled = [each for each in [label("a.jpg", photo(1), look)] if each]
    out = tmp_path / "sets" / "photos3"
    label_photos.write(labelled, out)
    (out / "people_and_scenes.zip").unlink()
    (out / "people_and_scenes.zip").mkdir()  # cannot be replaced
    before = (out / "labels.zip").read_bytes()
    with pytest.raises(OSError, match="people_and_scenes"):
        label_photos.write([], out)
    assert (out / "labels.zip").read_bytes() == before
    assert sorted(each.name for each in out.iterdir()) == ["labels.zip", "people_and_scenes.zip"]
