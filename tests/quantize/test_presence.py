"""quantize/: presence on a detector's finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.records import Box
from quantize import daemon_stages
from quantize.data import negatives
from quantize.data.sets import Photo
from quantize.evaluate import presence
from tests.support.made_up_sets import write_portraits
from tests.support.paths import MODELS

EYES = np.array([[45, 40], [60, 40], [52, 50], [47, 60], [57, 60]], np.float32)


def photo(*, sure: bool = True, eyes_apart: float = 15) -> Photo:
    """A face of 40 x 50 px."""
    points = EYES.copy()
    points[1, 0] = points[0, 0] + eyes_apart
    boxes = np.array([[30, 20, 70, 70]], np.float32)
    return Photo("a", np.zeros((200, 200), np.uint8), boxes, points[None], np.array([sure]), ("",))


@pytest.mark.parametrize(
    ("box", "own", "kind"),
    [
        (Box(32, 22, 70, 70), photo(), "face"),
        (Box(32, 22, 70, 70), photo(eyes_apart=8), "turned"),
        (Box(32, 22, 70, 70), photo(eyes_apart=float("nan")), "face"),
        (Box(32, 22, 70, 70), photo(sure=False), None),
        (Box(60, 60, 100, 110), photo(), None),  # touches a face, and is not it
        (Box(120, 120, 160, 170), photo(), "other"),
    ],
)
def test_what_a_find_is(box: Box, own: Photo, kind: str | None) -> None:
    assert presence.kind_of(box, own) == kind


def test_figures_by_hand() -> None:
    kinds = ["face", "turned", "face", "other", "other"]
    figures = presence.count(kinds, [0.9, 0.3, 0.9, 0.2, 0.9], [0.9, 0.7, 0.2, 0.6, 0.1])
    assert (figures.faces, figures.turned, figures.others) == (3, 1, 2)
    assert (figures.face_presence, figures.turned_presence, figures.false_presence) == pytest.approx((2 / 3, 1, 0.5))
    # 0.3 with a presence that changes nothing stays below the daemon's threshold
    assert (figures.faces_confirmed, figures.turned_confirmed, figures.false_confirmed) == pytest.approx((1 / 3, 0, 0))


def test_finds_of_kept_photos_only(tmp_path: Path) -> None:
    write_portraits(tmp_path / "photos2", count=20)
    kept, scenes = negatives.read_varied(tmp_path / "photos2", split="heldout")
    learned, _ = negatives.read_varied(tmp_path / "photos2", split="train")
    assert {each.name for each in kept} == {f"people/{number}.png" for number in (0, 1, 10, 11)}
    assert len(learned) == 16
    model = daemon_stages.open_model(MODELS / "landmarks.tflite", "landmarks")
    figures = presence.measure(model, tmp_path)
    assert figures is not None
    assert figures.faces_confirmed == 1
    assert figures.false_presence * figures.others == pytest.approx(len(scenes))  # portraits, one face in each
    assert presence.measure(model, tmp_path / "nowhere") is None
