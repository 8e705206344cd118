"""What cameras, phones and recorders make of a film: each kind is read so that its face is found in its place."""

from __future__ import annotations

import gc
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from fer_edge.camera.av_reader import AvReader
from fer_edge.camera.decoded_picture import MOST_SIDE_PX, fitted, tone_table
from fer_edge.errors import CameraError
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Image
from tests.support.kinds_of_film import NEEDS_FFMPEG, assert_face_at, ffmpeg, frames_of, make_film

pytestmark = NEEDS_FFMPEG

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p")


def scaled(box: Box, x: float, y: float) -> Box:
    return Box(box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y)


INTERLACED = {
    "h264.mp4": (*X264, "-flags", "+ilme+ildct", "-x264-params", "tff=1"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-q:v", "3", "-flags", "+ilme+ildct", "-top", "1"),
    "camcorder.avi": ("-c:v", "dvvideo", "-s", "720x576", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct"),
}


@pytest.mark.parametrize("name", INTERLACED)
def test_an_interlaced_film_is_deinterlaced_and_all_of_it_is_read(
    name: str, tmp_path: Path, pipeline: Pipeline, image: Image, face: Box
) -> None:
    frames, camera = frames_of(make_film(tmp_path / name, image, *INTERLACED[name]))
    assert (len(frames), camera.damaged) == (12, 0)
    for frame in (frames[0], frames[-1]):
        assert frame.image.mean() > 60, "no black frame"
        assert_face_at(pipeline, frame.image, scaled(face, frame.width / 640, frame.height / 480))


def test_the_fields_of_a_moving_picture_are_not_mixed(tmp_path: Path) -> None:
    """Stripes that move between the fields would stand as a comb."""
    source = "testsrc2=size=320x240:rate=50"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "20", "-vf", "tinterlace=interleave_top,fieldorder=tff",
           "-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ilme+ildct", str(tmp_path / "a.ts"))  # fmt: skip
    frames, _ = frames_of(tmp_path / "a.ts")
    combed = [float(np.abs(np.diff(frame.gray.astype(int), axis=0, n=2)).mean()) for frame in frames]
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "20", "-c:v", "mpeg2video", "-q:v", "2", str(tmp_path / "p.ts"))
    smooth = [
        float(np.abs(np.diff(frame.gray.astype(int), axis=0, n=2)).mean()) for frame in frames_of(tmp_path / "p.ts")[0]
    ]
    assert np.median(combed) < 1.5 * np.median(smooth)


def test_a_film_whose_name_is_not_utf_8_or_looks_like_an_address(
    tmp_path: Path, pipeline: Pipeline, image: Image, face: Box
) -> None:
    film = make_film(tmp_path / "a.mp4", image, *X264)
    for name in (b"f\xe9te.mp4", b"12:30:05.mp4", b"100%d.mp4", b"a b#c?.mp4"):
        path = os.path.join(os.fsencode(tmp_path), name)
        Path(os.fsdecode(path)).write_bytes(film.read_bytes())
        frames, _ = frames_of(os.fsdecode(path))
        assert len(frames) == 12
        assert_face_at(pipeline, frames[-1].image, face)


def test_a_file_url_with_a_blank(tmp_path: Path, image: Image) -> None:
    assert len(frames_of(make_film(tmp_path / "a b.mp4", image, *X264).as_uri())[0]) == 12


def test_damage_in_the_middle_costs_only_the_frames_that_it_hit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image
) -> None:
    path = make_film(tmp_path / "a.mp4", image, "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", frames=60)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200_000] = bytes(200_000)
    path.write_bytes(data)
    frames, camera = frames_of(path)
    assert 50 <= len(frames) < 60
    assert camera.damaged == 60 - len(frames)
    assert f"{camera.damaged} frames could not be decoded and were left out" in caplog.text


def test_a_film_cut_at_97_percent_is_truncated(tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
    path = make_film(tmp_path / "a.mp4", noisy, *X264, "-g", "1", "-movflags", "+faststart", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 97 // 100])
    frames, camera = frames_of(path)
    assert 50 < len(frames) < 60
    assert camera.damaged
    assert f"ended after {len(frames)} of 60 frames, truncated or damaged" in caplog.text


@pytest.mark.parametrize("kind", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_zeroed_bytes_in_h264_leave_a_gap_that_is_told(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, pipeline: Pipeline, image: Image, face: Box
) -> None:
    noisy = ("-vf", "noise=alls=30:allf=t")
    path = make_film(tmp_path / kind, image, *noisy, *X264, "-g", "10", "-bf", "2", frames=100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 20] = bytes(len(data) // 20)
    path.write_bytes(data)
    frames, camera = frames_of(path)
    assert 70 <= len(frames) < 100, "what follows is read"
    assert abs(camera.damaged - (100 - len(frames))) <= 2, "and what is missing is counted"
    assert re.search(
        r"\d+ frames could not be decoded and were left out: nothing from [12]\.\d to [23]\.\d s", caplog.text
    )
    assert "truncated" not in caplog.text
    assert_face_at(pipeline, frames[-1].image, face)


@pytest.mark.parametrize("kind", ["a.mkv", "a.avi", "a.ts", "a.m2ts", "a.flv"])
def test_so_are_others(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image) -> None:
    motion = ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p") if kind in ("a.mkv", "a.avi") else X264
    path = make_film(tmp_path / kind, image, *motion, "-g", "1", frames=60)
    assert (frames_of(path)[1].damaged, caplog.text) == (0, "")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 97 // 100 // 188 * 188 + 7])
    assert frames_of(path)[1].damaged
    assert "truncated or damaged" in caplog.text


def test_what_was_trimmed_without_loss_is_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image) -> None:
    whole = make_film(tmp_path / "a.mp4", image, *X264, "-g", "100", frames=60)
    ffmpeg("-ss", "1.2", "-i", str(whole), "-c", "copy", str(tmp_path / "cut.mp4"))
    frames, camera = frames_of(tmp_path / "cut.mp4")
    assert 25 <= len(frames) <= 31, "what lies before the edit list's begin is not shown"
    assert (camera.damaged, caplog.messages) == (0, [])


def test_so_is_a_film_with_longer_sound_and_one_with_a_second_film(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image
) -> None:
    film = make_film(tmp_path / "a.mp4", image, *X264)
    ffmpeg("-i", str(film), "-f", "lavfi", "-i", "sine=duration=9", "-c:v", "copy", str(tmp_path / "sound.mkv"))
    long = make_film(tmp_path / "b.mp4", image, *X264, "-s", "160x120", frames=90)
    ffmpeg("-i", str(film), "-i", str(long), "-map", "0", "-map", "1", "-c", "copy", str(tmp_path / "two.mp4"))
    for name in ("sound.mkv", "two.mp4"):
        frames, camera = frames_of(tmp_path / name)
        assert (len(frames), camera.damaged, caplog.messages) == (12, 0, []), name


# the rows a, b, 0, c, d, 0, x, y, 1 of a display matrix in 16.16, and how numpy says the same
MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[Image], Any]]] = {
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda image: image[::-1]),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "counterclockwise": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix(name: str, tmp_path: Path, pipeline: Pipeline, image: Image, face: Box) -> None:
    """Stored so that the matrix makes it right again."""
    (a, b, c, d), turned = MATRICES[name]
    inverse = {"clockwise": "counterclockwise", "counterclockwise": "clockwise"}.get(name, name)
    stored = np.ascontiguousarray(MATRICES[inverse][1](image))
    path = make_film(tmp_path / "a.mp4", stored, *X264)
    data = bytearray(path.read_bytes())
    track = data.index(b"tkhd") + 4
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[track + 40 : track + 76] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    assert (turned(stored) == image).all()
    assert_face_at(pipeline, frames_of(path)[0][-1].image, face)


def test_pixels_that_are_not_square(tmp_path: Path, pipeline: Pipeline, image: Image, face: Box) -> None:
    path = make_film(tmp_path / "a.mp4", image, "-vf", "scale=480:480,setsar=4/3", *X264)
    frames, _ = frames_of(path)
    assert frames[0].image.shape == image.shape
    assert_face_at(pipeline, frames[0].image, face)


@pytest.mark.parametrize(("name", "transfer"), [("PQ", "smpte2084"), ("HLG", "arib-std-b67")])
def test_hdr_is_tone_mapped_and_said(
    name: str, transfer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image
) -> None:
    if not hasattr(av.VideoFrame, "color_trc"):
        pytest.skip(f"PyAV {av.__version__} does not tell a frame's transfer")
    code = 16 if name == "PQ" else 18
    inverse = np.array([int(np.abs(tone_table(code).astype(int) - value).argmin()) for value in range(256)], np.uint8)
    stored = inverse[image]
    path = make_film(tmp_path / "a.mkv", stored, *X264, "-color_trc", transfer, "-x264-params", f"transfer={transfer}")
    frames, _ = frames_of(path)
    assert abs(float(frames[0].image.mean()) - float(image.mean())) < 12
    assert caplog.text.count(f"HDR ({name}), tone-mapped") == 1


def test_a_large_film_is_made_smaller_while_it_is_decoded(
    tmp_path: Path, pipeline: Pipeline, image: Image, face: Box
) -> None:
    path = make_film(tmp_path / "a.mp4", image, "-vf", "scale=3840:2880", *X264, frames=3)
    frames, _ = frames_of(path)
    assert max(frames[0].image.shape) == MOST_SIDE_PX
    assert_face_at(pipeline, frames[0].image, scaled(face, 3, 3))
    assert fitted(7680, 4320, 1.0) == (1920, 1080)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", ("-c:v", "libsvtav1", "-preset", "10", "-crf", "30")),
        ("a.webm", ("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "30")),
        ("b.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")),
    ],
)
def test_young_codecs(
    name: str, codec: tuple[str, ...], tmp_path: Path, pipeline: Pipeline, image: Image, face: Box
) -> None:
    frames, camera = frames_of(make_film(tmp_path / name, image, *codec, "-pix_fmt", "yuv420p"))
    assert (len(frames), camera.damaged) == (12, 0)
    assert_face_at(pipeline, frames[-1].image, face)


def test_no_large_frame_is_held_while_the_next_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image
) -> None:
    """It takes 64 MB in 8K."""
    monkeypatch.setattr("fer_edge.camera.decoded_picture.LARGE_PX", 0)
    reader = AvReader(str(make_film(tmp_path / "a.mp4", image, *X264)))
    gc.collect()
    gc.disable()
    try:
        for _ in zip(range(3), reader.frames_of_file(), strict=False):
            assert not any(isinstance(each, av.VideoFrame) and each.format for each in gc.get_objects())
    finally:
        gc.enable()
        reader.close()


def test_cover_art_is_no_film(tmp_path: Path, image: Image) -> None:
    cover = tmp_path / "cover.jpg"
    cv2.imwrite(str(cover), image)
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-i", str(cover), "-map", "0", "-map", "1",
           "-c:v", "copy", "-disposition:v", "attached_pic", str(tmp_path / "a.mp3"))  # fmt: skip
    with pytest.raises(CameraError, match=r"a\.mp3 (contains no video|cannot be read as a video)"):
        frames_of(tmp_path / "a.mp3")


def test_a_list_of_other_files_is_not_followed(tmp_path: Path, image: Image) -> None:
    make_film(tmp_path / "a.mp4", image, *X264)
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile a.mp4\n")
    with pytest.raises(CameraError, match="cannot be read as a video"):
        frames_of(tmp_path / "list.ffconcat")


READ_STDIN = """
from fer_edge.camera.sources import is_live, open_source
from fer_edge.config import Config
camera = open_source(Config(), "-")
frames = list(iter(camera.read, None))
print(len(frames), camera.damaged, is_live("-"), frames[0].image.shape)
"""


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize(("kind", "count"), [("ts", 12), ("png", 1), ("jpg", 1)])
def test_standard_input(kind: str, count: int, piped: bool, tmp_path: Path, image: Image) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "ts":
        make_film(path, image, *X264)
    else:
        cv2.imwrite(str(path), image)
    command = [sys.executable, "-c", READ_STDIN]
    with path.open("rb") as file:
        if piped:
            done = subprocess.run(command, capture_output=True, timeout=100, check=True, input=file.read())
        else:
            done = subprocess.run(command, capture_output=True, timeout=100, check=True, stdin=file)
    assert done.stdout.decode().split() == f"{count} 0 True {image.shape}".split()


def test_a_film_without_frames_and_one_of_one_frame(tmp_path: Path, image: Image) -> None:
    assert len(frames_of(make_film(tmp_path / "a.mp4", image, *X264, frames=1))[0]) == 1
    (tmp_path / "empty.mp4").write_bytes(b"")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", str(tmp_path / "sound.mp4"))
    for name in ("empty.mp4", "sound.mp4"):
        with pytest.raises(CameraError, match=f"{name} (contains no video|cannot be read as a video)"):
            frames_of(tmp_path / name)


@pytest.mark.parametrize("pixels", ["yuv422p", "yuv444p", "yuv420p10le", "gray", "rgb24", "bgra", "gray16le", "pal8"])
def test_odd_kinds_of_pixels(pixels: str, tmp_path: Path, pipeline: Pipeline, image: Image, face: Box) -> None:
    codec = "rawvideo" if pixels in ("rgb24", "bgra", "gray16le", "pal8", "gray") else "ffv1"
    path = make_film(tmp_path / "a.nut", image, "-c:v", codec, "-pix_fmt", pixels, frames=2)
    assert_face_at(pipeline, frames_of(path)[0][-1].image, face)


@pytest.mark.parametrize("size", [(2, 2), (3, 1001), (1001, 3), (17, 33)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    image = np.full((size[1], size[0], 3), 120, np.uint8)
    frames, camera = frames_of(make_film(tmp_path / "a.nut", image, "-c:v", "ffv1", frames=2))
    assert [frame.image.shape for frame in frames] == [(size[1], size[0], 3)] * 2
    assert camera.damaged == 0


def test_a_varying_rate_and_times_below_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image) -> None:
    varying = ("-vf", "setpts=N*N/25/TB-3/TB", "-fps_mode", "passthrough", "-avoid_negative_ts", "disabled")
    frames, camera = frames_of(make_film(tmp_path / "a.mkv", image, *varying, *X264, "-bf", "2"))
    times = [frame.taken_ns for frame in frames]
    assert (len(frames), camera.damaged, caplog.text) == (12, 0, "")
    assert times == sorted(times)
