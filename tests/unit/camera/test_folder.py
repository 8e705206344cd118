"""What a folder holds besides pictures, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.camera.folder import is_listed
from fer_edge.camera.replay import ReplayCamera
from fer_edge.camera.sources import each_source, mark
from fer_edge.config import Camera as CameraConfig


def folder_with_links(folder: Path) -> Path:
    """One picture, links to nothing and in circles, and a folder that is named like a picture."""
    cv2.imwrite(str(folder / "2.png"), np.full((4, 4, 3), 90, np.uint8))
    for name in ("1.jpg", "3.JPG", "film.mp4", "notes.txt", "._4.jpg"):
        (folder / name).symlink_to(folder / "gone")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    (folder / "folder.jpg").mkdir()
    return folder


def test_links_to_nothing_are_left_out_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_with_links(tmp_path)
    camera = ReplayCamera(CameraConfig(backend="replay", source=str(folder), pace="max"), with_films=True)
    camera.open()
    assert len(list(iter(camera.read, None))) == 1
    assert camera.damaged == 0
    assert caplog.messages == [
        f"{folder}: 4 files (.jpg .mp4) are left out: they are links to what is not there",
    ]
    assert each_source([str(folder)], still=False) == [str(folder)]


def test_a_changed_picture_is_noticed_beside_a_link_to_nothing(tmp_path: Path) -> None:
    folder = folder_with_links(tmp_path)
    assert not is_listed(folder / "1.jpg")
    before = mark(str(folder))
    cv2.imwrite(str(folder / "2.png"), np.full((40, 40, 3), 90, np.uint8))
    assert mark(str(folder)) != before
