"""`fer_edge.camera.replay`: pictures of every kind, folders, pacing, and the demo."""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.camera.file_kinds import READ_PICTURES
from fer_edge.camera.replay import MAX_SIDE_PX, PICTURES, ReplayCamera, read_picture
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from tests.support.replaying import config, replay


def save(path: Path, picture: NDArray[Any]) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


def two_halves(height: int, width: int) -> NDArray[np.uint8]:
    """Left half red."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = (0, 0, 255)
    return picture


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff + jpeg[2:]


def jpeg_of(picture: NDArray[Any]) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.full((5, 7), 40, np.uint8), 40),
        (np.full((5, 7, 4), 50, np.uint8), 50),
        (np.full((5, 7), 60 * 256, np.uint16), 60),
        (np.full((5, 7, 3), 70 * 256, np.uint16), 70),
        (np.full((5, 7, 4), 80 * 256, np.uint16), 80),
        (np.full((1, 1, 3), 90, np.uint8), 90),
    ],
    ids=["gray", "rgba", "gray16", "rgb16", "rgba16", "1x1"],
)
def test_every_kind_of_picture_is_bgr(picture: NDArray[Any], expected: int, tmp_path: Path) -> None:
    [frame] = replay(save(tmp_path / "picture.png", picture))
    assert frame.image.shape == (*picture.shape[:2], 3)
    assert frame.image.dtype == np.uint8
    assert (frame.image == expected).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(("size", "expected"), [((6000, 10000), (3000, 5000)), ((6000, 8000), (6000, 8000))])
def test_huge_pictures_are_made_smaller(suffix: str, size: Any, expected: Any, tmp_path: Path) -> None:
    [frame] = replay(save(tmp_path / f"huge{suffix}", np.full(size, 99, np.uint8)))
    if suffix == ".jpg" or size == expected:
        assert frame.gray.shape == expected
    else:
        assert max(frame.gray.shape) == MAX_SIDE_PX
        assert frame.gray.shape == (4915, 8192)
    assert (frame.gray == 99).all()


@pytest.mark.parametrize(("width", "expected"), [(8193, 4097), (18000, 4500), (34000, 4250), (65000, 8125)])
def test_a_jpeg_is_decoded_at_the_scale_that_fits(width: int, expected: int, tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "long.jpg", np.zeros((8, width), np.uint8)))
    assert picture.shape[1] == expected


@pytest.mark.parametrize("width", [60, 9000])
def test_exif_orientation_is_respected(width: int, tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_orientation(jpeg_of(two_halves(40, width)), 6))  # 6: turn clockwise
    [frame] = replay(path)
    assert frame.height > frame.width
    assert frame.image[0, 0, 2] > 200, "the left half is on top now"
    assert frame.image[-1, 0, 2] < 50


def cut_off(path: Path) -> None:
    path.write_bytes((PICTURES / "grace_hopper.jpg").read_bytes()[:20_000])


def cut_off_behind_a_whole_thumbnail(path: Path) -> None:
    thumbnail = b"\xff\xe1" + struct.pack(">H", 8) + b"\xff\xd8..\xff\xd9"
    jpeg = (PICTURES / "grace_hopper.jpg").read_bytes()[:20_000]
    path.write_bytes(jpeg[:2] + thumbnail + jpeg[2:])


def garbage(path: Path) -> None:
    path.write_bytes(b"no picture" * 50)


def empty(path: Path) -> None:
    path.touch()


BAD = {
    cut_off: ": it is truncated",
    cut_off_behind_a_whole_thumbnail: ": it is truncated",
    garbage: f": it is a text file, which is not read; expected {READ_PICTURES}",
    empty: ": it is empty",
}


@pytest.mark.parametrize(("spoil", "why"), BAD.items())
def test_a_bad_picture_in_a_folder_is_skipped_with_a_line(
    spoil: Callable[[Path], None], why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "c.png"):
        save(tmp_path / name, np.zeros((4, 4), np.uint8))
    spoil(tmp_path / "b.jpg")
    camera = ReplayCamera(config(tmp_path))
    camera.open()
    assert camera.frames == 3
    assert [frame.seq for frame in iter(camera.read, None) if frame] == [0, 1]
    assert camera.damaged == 1
    assert caplog.messages == [f"{tmp_path / 'b.jpg'}: cannot be decoded{why}, skipped"]


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_single_picture_is_an_error(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    spoil(tmp_path / "b.jpg")
    with pytest.raises(CameraError, match=r"b\.jpg: cannot be decoded"):
        replay(tmp_path / "b.jpg")


def test_a_folder_of_bad_pictures_ends_even_in_a_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    garbage(tmp_path / "a.jpg")
    garbage(tmp_path / "b.jpg")
    with pytest.raises(CameraError, match=r"none of the 2 pictures in .* can be decoded"):
        replay(tmp_path, loop=True)
    assert len(caplog.messages) == 2


def test_an_unreadable_picture_says_why(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"cannot be read: Is a directory"):
        read_picture(tmp_path)


def test_a_missing_source(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"nowhere\.png does not exist"):
        replay(tmp_path / "nowhere.png")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(CameraError, match=r"contains no pictures; expected files that end in .*\.jpg"):
        replay(tmp_path)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CameraError, match="cannot be read: Permission denied"):
        replay(tmp_path)


def test_a_folder_is_read_by_name_and_each_frame_knows_its_file(tmp_path: Path) -> None:
    for name, height in (("b.PNG", 5), ("a.jpg", 4), ("c.bmp", 6)):
        save(tmp_path / name, np.zeros((height, 9), np.uint8))
    camera = ReplayCamera(config(tmp_path))
    camera.open()
    seen = []
    while (frame := camera.read()) is not None:
        assert camera.picture is not None
        seen.append((camera.picture.name, frame.height))
    assert seen == [("a.jpg", 4), ("b.PNG", 5), ("c.bmp", 6)]


def test_a_loop_starts_again_and_leaves_bad_pictures_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    garbage(tmp_path / "b.png")
    save(tmp_path / "c.png", np.zeros((5, 4), np.uint8))
    camera = ReplayCamera(config(tmp_path, loop=True))
    camera.open()
    assert camera.frames is None
    heights = [frame.height for _ in range(6) if (frame := camera.read()) is not None]
    assert heights == [4, 5] * 3
    assert len(caplog.messages) == 1


def test_times_follow_fps_at_any_pace(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"{name}.png", np.zeros((4, 4), np.uint8))
    frames = replay(tmp_path, fps=4.0)
    assert [after.taken_ns - before.taken_ns for before, after in pairwise(frames)] == [250_000_000] * 2


def test_pace_real_takes_its_time(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    camera = ReplayCamera(config(tmp_path / "a.png", fps=50.0, pace="real", loop=True))
    assert not camera.live
    camera.open()
    began = time.monotonic_ns()
    for _ in range(6):
        frame = camera.read()
        assert frame is not None
        assert frame.taken_ns <= time.monotonic_ns(), "no frame comes before it is due"
    assert time.monotonic_ns() - began >= 4 * 20_000_000  # the first may have been due already


def test_a_late_reader_gets_the_next_frame_at_once() -> None:
    camera = ReplayCamera(config("demo", fps=25.0, pace="real", width=64, height=48))
    camera.open()
    time.sleep(0.09)  # two periods
    frames = [camera.read() for _ in range(2)]
    now = time.monotonic_ns()
    assert all(frame is not None and frame.taken_ns < now - 20_000_000 for frame in frames)


def test_a_rate_that_is_slower_than_the_timeout_is_refused() -> None:
    camera = ReplayCamera(config("demo", fps=0.1, pace="real", timeout_seconds=5.0))
    with pytest.raises(CameraError, match=r"camera\.fps 0\.1 asks for a frame every 10 s, later than camera\.timeout"):
        camera.open()


def test_no_noise_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    garbage(tmp_path / "a.png")
    save(tmp_path / "b.png", np.zeros((4, 4), np.uint8))
    logging.getLogger("fer_edge").addHandler(handler := logging.NullHandler())
    replay(tmp_path)
    logging.getLogger("fer_edge").removeHandler(handler)
    assert capfd.readouterr().err == ""


def test_pictures_that_vanish_from_a_loop_are_left_out_until_none_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (save(tmp_path / f"{name}.png", np.zeros((4, 4), np.uint8)) for name in "ab")
    camera = ReplayCamera(CameraConfig(backend="replay", source=str(tmp_path), pace="max", loop=True))
    camera.open()
    for _ in range(2):
        camera.read()
    first.unlink()
    camera.read()
    assert camera.picture == second
    assert "a.png: cannot be read: No such file or directory, skipped" in caplog.text
    second.unlink()
    with pytest.raises(CameraError, match="can be read any more"):
        camera.read()


def test_a_folder_is_read_in_the_order_of_people_and_says_what_it_leaves_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("10.png", "9.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    for name in ("._9.png", "IMG_1.CR2", "IMG_2.cr2", "a.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"no picture")
    camera = ReplayCamera(CameraConfig(backend="replay", source=str(tmp_path), pace="max"))
    camera.open()
    names = []
    while camera.read():
        assert camera.picture
        names.append(camera.picture.name)
    assert names == ["2.png", "9.png", "10.png"]
    assert camera.damaged == 0
    assert [message.split(": ")[1] for message in caplog.messages] == [
        "2 files (.cr2) are left out",
        "1 file (.mp4) is left out",
    ]


def test_what_would_hang_or_is_of_a_phone_is_refused_in_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(CameraError, match="not a regular file"):
        read_picture(tmp_path / "a.jpg")
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(CameraError, match="cannot be decoded"):
        read_picture(tmp_path / "a.heic")


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


READ_WITHIN_1_GB = """
import resource, sys
from pathlib import Path
from fer_edge.camera.replay import read_picture
from fer_edge.errors import CameraError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_picture(Path(sys.argv[1]))
except CameraError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    "content",
    [
        png_header(32_000, 32_000),
        b"P5 32000 32000 255\n" + bytes(100),
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 32_000, 32_000, 1, 24, 0, 100, 0, 0, 0, 0)
        + bytes(100),
    ],
    ids=["png", "pgm", "bmp"],
)
def test_a_small_file_that_announces_a_huge_picture_is_refused_by_its_header(content: bytes, tmp_path: Path) -> None:
    """In a process of its own, for OpenCV's limit holds from its import on, and memory is measured."""
    (tmp_path / "bomb.png").write_bytes(content)
    command = [sys.executable, "-c", READ_WITHIN_1_GB, str(tmp_path / "bomb.png")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_IO")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    output, grown_kb = done.stdout.splitlines()
    assert output.endswith("bomb.png: has more than 67108864 pixels; make it smaller")
    assert int(grown_kb) < 20_000


def test_a_file_with_too_many_bytes_or_without_an_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(CameraError, match="has 10000000000 bytes, expected at most 300000000; make it smaller"):
        read_picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(CameraError, match="not a regular file"):
        read_picture(tmp_path / "b.png")
