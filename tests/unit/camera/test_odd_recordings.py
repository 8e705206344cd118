"""Recordings as recorders, cameras and phones leave them: joined, cut, without times of their own."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from fer_edge.camera.container_length import missing_bytes
from fer_edge.camera.file_clock import FileClock
from fer_edge.camera.stream import StreamCamera
from fer_edge.records import Frame, Image
from tests.support.kinds_of_film import NEEDS_FFMPEG, ffmpeg, frames_of, make_film

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25")
VP8 = ("-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-cpu-used", "8")


def seconds(frames: list[Frame]) -> float:
    return (frames[-1].taken_ns - frames[0].taken_ns) / 1e9


def whole(frames: list[Frame], camera: StreamCamera, count: int) -> bool:
    return (len(frames), camera.damaged, camera.trouble) == (count, 0, None)


@NEEDS_FFMPEG
@pytest.mark.parametrize("later", ["3600", "-1"])
@pytest.mark.parametrize("turned", [False, True])
def test_two_recordings_joined_are_as_long_as_both(later: str, turned: bool, tmp_path: Path, image: Image) -> None:
    """Transport streams are joined by writing one behind the other; the second has times of its own."""
    one = make_film(tmp_path / "1.ts", image, *H264, frames=50)
    two = make_film(tmp_path / "2.ts", image, *H264, "-output_ts_offset", later, frames=50)
    parts = [two, one] if turned else [one, two]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, camera = frames_of(joined)
    assert whole(frames, camera, 100)
    assert seconds(frames) == pytest.approx(99 / 25, abs=0.5)


def test_a_jump_without_damage_is_another_recording_where_times_may_restart() -> None:
    clock = FileClock(0, period_ns=40_000_000, restarts=True)
    steps = [clock.step_ns(at) for at in (0, 40, 9_000, 4_000_000)]
    assert steps == [0, 40_000_000, 8_960_000_000, 40_000_000]
    assert clock.step_ns(4_020_000, hole=True) == 20_000_000_000
    assert FileClock(0, period_ns=1).step_ns(99_999_999) == 0
    steady = FileClock(0, period_ns=40_000_000)
    assert [steady.step_ns(at) for at in (0, 60_000)] == [0, 60_000_000_000], "a time-lapse film"


@NEEDS_FFMPEG
def test_an_avi_with_b_frames_has_its_own_length(tmp_path: Path, image: Image) -> None:
    """It stores frames by the time of decoding alone."""
    path = make_film(tmp_path / "a.avi", image, *H264, "-bf", "2", frames=50)
    frames, camera = frames_of(path)
    assert whole(frames, camera, 50)
    assert seconds(frames) == pytest.approx(49 / 25, abs=0.2)


@NEEDS_FFMPEG
def test_a_frame_that_is_shown_again_is_no_damage(tmp_path: Path) -> None:
    """Theora says of a frame that is like the one before that it is, by a packet without content."""
    still = np.full((240, 320, 3), 90, np.uint8)
    path = make_film(tmp_path / "a.ogv", still, "-c:v", "libtheora", "-q:v", "6", frames=50)
    frames, camera = frames_of(path)
    assert (camera.damaged, camera.trouble) == (0, None)
    assert 1 <= len(frames) <= 50


def test_a_box_of_an_impossible_length_is_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    head = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
    path.write_bytes(head + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1) + bytes(100))
    assert missing_bytes(path) == 0


@NEEDS_FFMPEG
@pytest.mark.parametrize("name", ["a.ogv", "a.wmv"])
@pytest.mark.parametrize("cut", [7, 1000])
def test_ogg_and_windows_media_that_are_cut(name: str, cut: int, tmp_path: Path, image: Image) -> None:
    codec = {"a.ogv": "libtheora", "a.wmv": "wmv2"}[name]
    path = make_film(tmp_path / name, image, "-c:v", codec, "-q:v", "3", frames=30)
    assert missing_bytes(path) == 0
    path.write_bytes(path.read_bytes()[:-cut])
    assert missing_bytes(path) > 0
    _, camera = frames_of(path)
    assert camera.damaged
    assert "truncated or damaged" in (camera.trouble or "")


@NEEDS_FFMPEG
@pytest.mark.parametrize("closed", [True, False], ids=["its index is missing", "it was never closed"])
def test_an_avi_without_index_loses_nothing(closed: bool, tmp_path: Path, image: Image) -> None:
    path = make_film(tmp_path / "a.avi", image, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", frames=30)
    data = bytearray(path.read_bytes())
    del data[data.rfind(b"idx1") :]
    if not closed:
        data[4:8] = bytes(4)
        movi = data.find(b"movi")
        data[movi - 4 : movi] = bytes(4)
    path.write_bytes(data)
    assert whole(*frames_of(path), 30)


@NEEDS_FFMPEG
@pytest.mark.parametrize("kind", ["h264", "hevc", "mjpeg", "mpeg2video"])
def test_a_stream_without_a_container(kind: str, tmp_path: Path, image: Image) -> None:
    codec = {"h264": H264, "hevc": ("-c:v", "libx265", "-x265-params", "log-level=none")}.get(kind, ("-c:v", kind))
    path = make_film(tmp_path / "recorded", image, *codec, "-f", kind, frames=30)
    frames, camera = frames_of(path)
    assert whole(frames, camera, 30)
    assert seconds(frames) == pytest.approx(29 / 25, abs=0.1)


@NEEDS_FFMPEG
@pytest.mark.parametrize("tail", [0, 0.02])
def test_a_browsers_recording_has_no_length(tail: float, tmp_path: Path, image: Image) -> None:
    """MediaRecorder's WebM, and one that was being written still."""
    path = make_film(tmp_path / "a.webm", image, *VP8, "-live", "1", "-g", "5", frames=30)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * (1 - tail))])
    frames, camera = frames_of(path)
    assert camera.frames is None
    assert (len(frames) == 30) == (tail == 0)
    assert frames
    assert ("truncated" in (camera.trouble or "")) == (tail > 0)


@NEEDS_FFMPEG
def test_a_phones_film_with_all_that_it_has_beside_the_picture(tmp_path: Path, image: Image) -> None:
    """Turned, 10 bits, a time code, two tracks of sound, a cover, another film beside it."""
    film = make_film(
        tmp_path / "1.mov", image, "-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le",
        *("-tag:v", "hvc1", "-timecode", "01:00:00:00"), frames=25,
    )  # fmt: skip
    make_film(tmp_path / "cover.jpg", image[:64, :64], "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", frames=1)
    phone = tmp_path / "IMG_0001.MOV"
    sound = ("-f", "lavfi", "-t", "1", "-i", "sine=300")
    ffmpeg(
        *("-i", str(film), *sound, *sound, "-i", str(tmp_path / "cover.jpg")),
        *("-map", "1", "-map", "3", "-map", "0:v", "-map", "2", "-map", "0:d?"),
        *("-c:v", "copy", "-c:a:0", "aac", "-c:a:1", "pcm_s16le", "-disposition:v:0", "attached_pic"),
        *("-metadata:s:v:1", "rotate=90", str(phone)),
    )
    frames, camera = frames_of(phone)
    assert (len(frames), camera.damaged) == (25, 0)
    assert frames[0].image.shape == (640, 480, 3)
