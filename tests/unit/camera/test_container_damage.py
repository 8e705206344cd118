"""Containers whose heads are damaged between the frames: what FFmpeg never saw is counted all the same."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from fer_edge.camera.container_damage import ANYWHERE, damaged_places
from fer_edge.records import Image
from tests.support.kinds_of_film import NEEDS_FFMPEG, frames_of, make_film

FRAMES = 60
MJPEG = ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10")
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
KINDS = {"a.avi": MJPEG, "a.flv": H264, "a.ts": H264, "a.mp4": (*H264, *FRAGMENTS), "a.m2ts": H264}


def head_of_a_frame(path: Path) -> int:
    """Where one in the middle is told of in the container."""
    data = path.read_bytes()
    if path.suffix == ".mp4":
        return data.find(b"moof", data.find(b"moof") + 4) - 4
    with av.open(str(path)) as film:
        places = [packet.pos for packet in film.demux(video=0) if packet.size and packet.pos]
    return places[FRAMES // 2] - (0 if path.suffix in (".ts", ".m2ts") else 8)


@NEEDS_FFMPEG
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_head_costs_frames_and_they_are_counted(name: str, tmp_path: Path, image: Image) -> None:
    path = make_film(tmp_path / name, image, *KINDS[name], frames=FRAMES)
    whole, camera = frames_of(path)
    assert (len(whole), camera.damaged, damaged_places(path)) == (FRAMES, 0, [])
    data = bytearray(path.read_bytes())
    at = head_of_a_frame(path)
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    assert damaged_places(path) == [ANYWHERE]
    frames, camera = frames_of(path)
    lost = FRAMES - len(frames)
    assert lost >= 1
    if "ended after" not in (camera.trouble or ""):  # FFmpeg may stop at a fragment that is damaged
        assert lost <= camera.damaged <= lost + 1
        assert "could not be decoded" in (camera.trouble or "")


@NEEDS_FFMPEG
@pytest.mark.parametrize("name", KINDS)
def test_one_that_is_cut_is_not_damaged_within(name: str, tmp_path: Path, image: Image) -> None:
    path = make_film(tmp_path / name, image, *KINDS[name], frames=FRAMES)
    data = path.read_bytes()
    for share in (0.3, 0.9, 0.99):
        path.write_bytes(data[: round(len(data) * share)])
        assert damaged_places(path) == []


def test_a_file_that_is_filled_up_with_zeros_is_whole(tmp_path: Path, image: Image) -> None:
    """As cameras do that reserve room before they record."""
    path = make_film(tmp_path / "a.avi", image, *MJPEG, frames=10)
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert damaged_places(path) == []


@NEEDS_FFMPEG
def test_two_recordings_of_which_the_first_was_cut(tmp_path: Path, image: Image) -> None:
    """The second one's packets lie off the first one's: that is no hole of an hour."""
    one = make_film(tmp_path / "1.ts", image, *H264, frames=30).read_bytes()
    two = make_film(tmp_path / "2.ts", image, *H264, "-output_ts_offset", "3600", frames=30).read_bytes()
    (tmp_path / "joined.ts").write_bytes(one[:-100] + two)
    frames, camera = frames_of(tmp_path / "joined.ts")
    assert 56 <= len(frames) <= 60
    assert camera.damaged <= 60 - len(frames) + 1
