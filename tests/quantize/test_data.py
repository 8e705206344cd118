"""data.py, ferplus.py, sets.py: reading sets, what a label means, which picture is on which side."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.records import LABELS
from fer_edge.vision.model_card import TensorCard
from fer_edge.vision.tflite import quantize
from quantize.data import alike, sets
from quantize.data import ferplus as labels
from quantize.data.locate import labels_sha256, located
from quantize.tasks.task import to_input
from tests.support.ferplus_samples import ferplus, pictures, votes
from tests.support.made_up_sets import (
    made_up_crowd,
    made_up_ferplus,
    squares,
    write_crowd,
    write_mosaics,
    write_npz,
    write_photos,
    write_stills,
    write_zip,
)

# --- what votes mean -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sadness": 10}, 3),
        ({"neutral": 5, "anger": 3, "fear": 2}, -1),  # exactly half is not more than half
        ({"neutral": 5, "anger": 3, "fear": 1, "disgust": 1}, 0),  # single votes do not count: 5 of 8
        ({"contempt": 6, "unknown": 4}, 7),
        ({"contempt": 4, "unknown": 6}, -1),
        ({"happiness": 3, "nf": 7}, -1),
        ({"happiness": 5, "sadness": 5}, -1),
        (dict.fromkeys((*LABELS, "unknown", "nf"), 1), -1),  # nothing is left after cleaning
    ],
)
def test_majority(given: dict[str, int], expected: int) -> None:
    assert labels.majority(votes(**given)).tolist() == [expected]


def test_soft_labels_are_shares_of_the_cleaned_expression_votes() -> None:
    shares, fit = labels.soft_labels(votes(neutral=6, happiness=2, fear=1, unknown=2))
    assert fit.tolist() == [True]
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("given", [{"neutral": 4, "unknown": 4}, {"neutral": 3, "nf": 7}, {"neutral": 1}])
def test_rows_without_a_clear_expression_are_not_learned_from(given: dict[str, int]) -> None:
    shares, fit = labels.soft_labels(votes(**given))
    assert fit.tolist() == [False]
    assert not shares.any()


# --- sides of FER+ -------------------------------------------------------------------------------------------


def test_a_copy_of_a_test_picture_is_not_learned_from() -> None:
    train, test = pictures(200), pictures(20, seed=1)
    train[7] = test[3]
    learned = labels.training(ferplus(train=train, test=test)).images
    assert not labels.duplicates_of(learned, test).any()
    assert labels.duplicates_of(train, test).tolist() == [row == 7 for row in range(200)]


def test_copies_stay_on_one_side_of_the_held_out_split() -> None:
    once = pictures(300)
    twice = ferplus(train=np.concatenate([once, once]), test=pictures(5, seed=1))
    learned, kept = labels.training(twice).images, labels.measuring(twice, "heldout").images
    assert len(learned) + len(kept) == 600
    assert 0 < len(kept) < 60
    assert not labels.duplicates_of(learned, kept).any()


def test_only_rows_with_a_majority_are_measured() -> None:
    some = ferplus(train=pictures(5), test=pictures(3, seed=1))
    mixed = some.votes.copy()
    mixed[6] = votes(neutral=5, anger=5)
    chosen = labels.measuring(dataclasses.replace(some, votes=mixed), "test")
    assert chosen.labels.tolist() == [1, 1]
    np.testing.assert_array_equal(chosen.images, some.images[[5, 7]])


def test_a_set_of_training_rows_only_is_measured_as_a_whole() -> None:
    some = ferplus(train=pictures(5), test=pictures(0))
    assert len(labels.measuring(some, "test").labels) == 5


def test_a_set_without_training_rows_is_not_learned_from() -> None:
    with pytest.raises(sets.DataError, match="no picture of the Training split"):
        labels.training(ferplus(train=pictures(0), test=pictures(3)))


# --- sides of photos and stills ------------------------------------------------------------------------------


def test_photos_that_show_the_same_are_on_one_side(tmp_path: Path) -> None:
    once = made_up_crowd(30)
    again = {f"images/again{number}.png": photo for number, photo in enumerate(once.values())}
    photos = sets.read_crowd(write_crowd(tmp_path / "crowd_faces.zip", once | again))
    held_out = sets.held_out_photos(photos)
    assert 0 < held_out.sum() < 60
    np.testing.assert_array_equal(held_out[:30], held_out[30:])


def photo_of(bits: NDArray[np.bool_], name: str) -> sets.Photo:
    """A picture of 17 x 16 px with this difference hash, bool[256]."""
    steps = np.where(bits.reshape(16, 16), 1, -1)
    image = (128 + np.concatenate([np.zeros((16, 1), int), np.cumsum(steps, axis=1)], axis=1)).astype(np.uint8)
    empty = np.empty((0, 4), np.float32)
    return sets.Photo(name, image, empty, empty.reshape(0, 5, 2), np.empty(0, np.bool_), ())


def test_photos_that_a_third_one_is_like_are_on_one_side() -> None:
    """Also where it comes last."""
    names = {sets.chosen(name.encode(), one_in=3): name for name in ("a.png", "b.png", "c.png", "d.png", "e.png")}
    bits = np.zeros((3, 256), np.bool_)
    bits[2, :18] = bits[1, :36] = True  # the first two differ in 36, the last one differs from both in 18
    photos = [photo_of(own, name) for own, name in zip(bits, (names[True], names[False], "x.png"), strict=True)]
    assert [alike.difference_hash(photo.image).sum() for photo in photos] == [0, 36, 18]
    assert sets.held_out_photos(photos).all()
    assert not sets.held_out_photos(photos[:2]).all(), "without the third one they are strangers"
    assert not len(sets.held_out_photos([]))


def test_everybody_is_on_one_side(tmp_path: Path) -> None:
    stills = sets.read_stills(write_stills(tmp_path / "landmarks68.zip", people=30, each=3))
    kept, learned = (
        {still.person for still in sets.side_of(stills, sets.held_out_stills, split)} for split in ("heldout", "train")
    )
    assert 0 < len(kept) < 15
    assert not kept & learned
    assert len(sets.side_of(stills, sets.held_out_stills, "all")) == 90


def test_the_person_is_in_the_name() -> None:
    points = np.zeros((68, 2), np.float32)
    names = ("Some_Body_7", "b_Some_Body_12")
    assert {sets.Still(name, np.zeros((1, 1), np.uint8), points).person for name in names} == {"Some_Body"}


# --- reading -------------------------------------------------------------------------------------------------


def test_the_folder_and_the_file_hold_the_same_ferplus(tmp_path: Path) -> None:
    both = made_up_ferplus(train=390, test=30)
    write_mosaics(tmp_path, both)
    for path in (tmp_path, write_npz(tmp_path / "ferplus.npz", both)):
        np.testing.assert_array_equal(sets.read_ferplus(path).images, both.images)
        np.testing.assert_array_equal(sets.read_ferplus(path).votes, both.votes)
        np.testing.assert_array_equal(sets.read_ferplus(path).split, both.split)


def test_photos_and_their_boxes(tmp_path: Path) -> None:
    box = (10.0, 20.0, 30.0, 44.0)
    path = write_crowd(tmp_path / "crowd_faces.zip", {"a.png": (squares([box]), [(box, "con_mascarilla")])})
    (photo,) = sets.read_crowd(path)
    assert photo.boxes.tolist() == [list(box)]
    assert photo.covered == ("con_mascarilla",)
    assert photo.shares.tolist() == [24 / 64]
    assert photo.sure.all()
    assert np.isnan(photo.points).all()


def test_pseudo_boxes_bring_points_and_doubt(tmp_path: Path) -> None:
    write_photos(tmp_path, count=3)
    rows = (tmp_path / "faces.csv").read_text().replace("0.9\n", "0.5\n", 1)
    (tmp_path / "faces.csv").write_text(rows)
    photos = sets.read_people(tmp_path)
    assert [bool(photo.sure.all()) for photo in photos] == [False, True, True]
    np.testing.assert_allclose(photos[1].points[0], [photos[1].boxes[0].reshape(2, 2).mean(axis=0)] * 5)
    assert len(sets.read_pictures(tmp_path / "scenes.zip")) == 3


def test_a_zip_may_be_unpacked(tmp_path: Path) -> None:
    packed = write_stills(tmp_path / "landmarks68.zip", people=2)
    folder = tmp_path / "landmarks68"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    for one, other in zip(sets.read_stills(packed), sets.read_stills(folder), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.points, other.points)
    assert labels_sha256("landmarks", packed) == labels_sha256("landmarks", folder)


def test_a_set_is_found_in_a_folder_of_sets(tmp_path: Path) -> None:
    packed = write_stills(tmp_path / "landmarks68.zip", people=1)
    assert located("landmarks", tmp_path) == located("landmarks", packed) == packed
    assert located("detector", tmp_path) == tmp_path  # nothing there: the reader says what is missing


def test_the_labels_name_ferplus(tmp_path: Path) -> None:
    some = made_up_ferplus(train=8, test=8)
    write_mosaics(tmp_path, some)
    own = labels_sha256("expression", tmp_path)
    assert own == labels_sha256("expression", write_npz(tmp_path / "ferplus.npz", some))
    other = dataclasses.replace(some, split=1 - some.split)
    assert own != labels_sha256("expression", write_npz(tmp_path / "other.npz", other))


# --- refusing ------------------------------------------------------------------------------------------------


def arrays(**changed: NDArray[Any]) -> dict[str, NDArray[Any]]:
    some = ferplus(train=pictures(2), test=pictures(1))
    return {"images": some.images, "split": some.split, "ferplus_votes": some.votes} | changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (arrays(images=np.zeros((3, 64, 64), np.uint8)), r"images: expected u8\[N,48,48\], got uint8\[3, 64, 64\]"),
        (arrays(ferplus_votes=np.zeros((3, 7), np.uint8)), r"votes: expected \[3,10\], got \[3, 7\]"),
        (arrays(split=np.zeros(4, np.uint8)), r"split: expected 3 values, got \[4\]"),
        ({"faces": np.zeros(1)}, "cannot be read as FER"),
    ],
)
def test_a_wrong_ferplus_is_refused_in_one_line(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(sets.DataError, match=message) as caught:
        sets.read_ferplus(tmp_path / "set.npz")
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_ferplus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    for path in (tmp_path / "absent.npz", tmp_path / "text.npz", tmp_path):
        with pytest.raises(sets.DataError, match=str(path)):
            sets.read_ferplus(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "boxes.csv: cannot be read"),
        ({"boxes.csv": "image,x0\na.png,1\n"}, "boxes.csv: expected rows with the columns y0, x1, y1"),
        ({"boxes.csv": "image,x0,y0,x1,y1\na.png,1,2,3,4\n"}, "a.png: cannot be read"),
        ({"boxes.csv": "image,x0,y0,x1,y1\na.png,1,2,3,4\n", "a.png": b"no picture"}, "a.png: not a picture"),
    ],
)
def test_wrong_photos_are_refused_in_one_line(tmp_path: Path, files: dict[str, bytes | str], message: str) -> None:
    with pytest.raises(sets.DataError, match=message) as caught:
        sets.read_crowd(write_zip(tmp_path / "crowd_faces.zip", files))
    assert "\n" not in str(caught.value)


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    path = write_crowd(tmp_path / "set.zip", {"a.png": (squares([]), [((1, 2, "wide", 4), "")])})  # type: ignore[list-item]
    with pytest.raises(sets.DataError, match=r"boxes\.csv: .*wide"):
        sets.read_crowd(path)


def test_a_missing_set_or_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(sets.DataError, match=r"text\.zip: expected a zip or a folder"):
        sets.read_stills(tmp_path / "text.zip")
    with pytest.raises(sets.DataError, match=r"absent\.zip: no such file or folder"):
        sets.read_stills(tmp_path / "absent.zip")


# --- pictures as the network sees them -----------------------------------------------------------------------


def test_the_input_is_exactly_pixel_minus_128() -> None:
    levels = np.resize(np.arange(256, dtype=np.uint8), (1, sets.FER_SIDE, sets.FER_SIDE))
    stored = quantize(to_input(levels), TensorCard(shape=(), dtype="int8", scale=1 / 128, zero_point=0))
    np.testing.assert_array_equal(stored[..., 0], levels.astype(np.int16) - 128)


def test_a_table_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_bytes(b"image,x0\n\xff\xfe,1\n")
    with pytest.raises(sets.DataError, match=r"boxes\.csv: expected a CSV table in UTF-8"):
        sets.read_crowd(tmp_path)
