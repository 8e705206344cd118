"""Varied photos: reading them, and measuring what finds faces in them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from quantize.data import negatives
from quantize.data.sets import Floats, Image, Photo, read_masks, read_varied, read_varied_empty
from quantize.evaluate import varied
from tests.support.made_up_sets import write_varied


def photo(*boxes: tuple[float, float, float, float], unsure: int = 0) -> Photo:
    """Of 100 x 100 px; the last `unsure` boxes may be faces."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    sure = np.arange(len(boxes)) < len(boxes) - unsure
    points = np.full((len(boxes), 5, 2), np.nan, np.float32)
    return Photo("a.jpg", np.zeros((100, 100), np.uint8), corners, points, sure, ("",) * len(boxes))


def finds(*boxes: tuple[float, float, float, float], score: float = 0.9) -> varied.Find:
    corners = np.array(boxes, np.float32).reshape(-1, 4)

    def find(_: Image) -> tuple[Floats, Floats]:
        return corners, np.full(len(corners), score, np.float32)

    return find


LARGE, MIDDLE, SMALL, TINY = (0, 0, 40, 40), (50, 0, 70, 20), (50, 50, 60, 60), (80, 80, 85, 85)


def test_folds_kept_from_training_are_kept_from_it(tmp_path: Path) -> None:
    write_varied(tmp_path, count=20)
    every, held_out = read_varied(tmp_path), read_varied(tmp_path, folds=(0, 1))
    assert (len(every), len(held_out)) == (20, 4)
    trained = read_varied(tmp_path, folds=range(2, 10))
    assert not {each.name for each in trained} & {each.name for each in held_out}
    assert all(each.sure.all() and each.shares.min() > 0.2 for each in every)
    sides = [read_varied_empty(tmp_path, held_out=side) for side in (False, True)]
    assert sum(map(len, sides)) == 20
    assert min(map(len, sides)) > 0


def test_every_figure_by_hand() -> None:
    photos = [photo(LARGE, MIDDLE, SMALL, TINY, (80, 0, 95, 15), unsure=1)]
    figures = varied.measure(
        finds(LARGE, MIDDLE, TINY, (80, 0, 95, 15), (0, 60, 30, 90)), photos, [], every=finds(LARGE)
    )
    assert (figures.images, figures.faces) == (1, 3)  # too small and unsure ones do not count
    assert figures.recall == pytest.approx(2 / 3)
    assert figures.recall_16 == 1
    assert figures.fp_per_image == 1
    assert figures.ap == pytest.approx(1 / 3)
    assert figures.ap_16_32 == 0  # the large one is neither right nor wrong there


def test_recall_by_height_turn_and_light() -> None:
    faces = photo(LARGE, MIDDLE, SMALL)
    faces.image[:40, :40] = 200
    faces.points[0, :2, 0], faces.points[1, :2, 0] = (10, 30), (58, 62)  # 0.5 and 0.2 of the width apart
    kinds = varied.measure(finds(LARGE, SMALL), [faces], []).kinds
    assert {name: (each.faces, each.recall) for name, each in kinds.items()} == {
        "height 8% to 12%": (1, 1),
        "height 16% to 32%": (1, 0),
        "height from 32%": (1, 1),
        "facing, eyes 40 % of the width apart and more": (1, 1),
        "turned far, eyes less than 28 % apart": (1, 0),
        "dark, mean level below 60": (2, 0.5),
        "bright, from 180": (1, 1),
    }


def test_the_share_of_masked_faces_that_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, count in (("with_mask", 30), ("without_mask", 20)):
        (tmp_path / "masks" / kind).mkdir(parents=True)
        for level in range(count):
            cv2.imwrite(
                str(tmp_path / "masks" / kind / f"{level}.png"), np.full((100, 80), 4 * level + count, np.uint8)
            )
    sides = [read_masks(tmp_path / "masks", held_out=side) for side in (True, False)]
    assert [sum(len(side[kind]) for side in sides) for kind in ("masked", "bare")] == [30, 20]
    assert 0 < len(sides[0]["masked"]) < 15
    monkeypatch.setattr("quantize.daemon_stages.detector", lambda _: None)
    for found, share in ((finds((10, 10, 50, 60)), 1.0), (finds(), 0.0)):
        monkeypatch.setattr(varied, "detector_finds", lambda _, found=found: found)
        assert varied.of_masks(None, tmp_path) == {"masked": share, "bare": share}  # type: ignore[arg-type]
    assert varied.of_masks(None, tmp_path / "elsewhere") == {}  # type: ignore[arg-type]


def test_photos_without_faces_are_counted_apart() -> None:
    empty = [np.zeros((50, 50), np.uint8)] * 4
    figures = varied.measure(finds(LARGE), [photo(LARGE)], empty)
    assert (figures.empty_images, figures.fp_per_empty_image, figures.fp_per_image) == (4, 1, 0)
    assert (figures.ap, figures.ap_16_32) == (None, None)
    assert "average precision not measured" in "\n".join(varied.table(figures))


def test_no_role_learns_the_photos_without_faces_that_another_is_measured_on(tmp_path: Path) -> None:
    write_varied(tmp_path / "photos2", count=60)
    _, landmarks_kept = negatives.read_varied(tmp_path / "photos2", split="heldout")
    kept = prints(read_varied_empty(tmp_path / "photos2", held_out=True)) | prints(landmarks_kept)
    _, landmarks_learned = negatives.read_varied(tmp_path / "photos2", split="train")
    for learned in (prints(landmarks_learned), prints(negatives.learned_empty(tmp_path / "photos2"))):
        assert learned
        assert not learned & kept
        assert len(learned | kept) == 60


def prints(images: list[Image]) -> set[bytes]:
    return {image.tobytes() for image in images}
