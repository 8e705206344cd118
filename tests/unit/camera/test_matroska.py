"""Matroska whose structure is damaged: FFmpeg goes on at the next cluster and says nothing; the hole is counted."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from fer_edge.camera.container_damage import damaged_places
from fer_edge.camera.losses import Losses
from fer_edge.camera.matroska import CLUSTER_HEAD, Damage
from fer_edge.records import Image
from tests.support.films import write_uneven
from tests.support.kinds_of_film import NEEDS_FFMPEG, ffmpeg, frames_of, make_film

FPS, FRAMES, PER_CLUSTER = 25, 60, 10
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "5", "-bf", "2")
MJPEG = ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
VP8 = ("-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-cpu-used", "8")
SOUND = ("-f", "lavfi", "-i", "sine=300")


def film(folder: Path, image: Image, *codec: str, live: bool = False) -> Path:
    options = ["-cluster_time_limit", str(1000 * PER_CLUSTER // FPS), *(["-live", "1"] if live else [])]
    return make_film(folder / "a.mkv", image, *codec, *options, frames=FRAMES)


def places_of(path: Path) -> list[int]:
    """Where each packet's block begins, in the order in which they are stored."""
    with av.open(str(path)) as found:
        return [packet.pos for packet in found.demux(video=0) if packet.size and packet.pos is not None]


def block_head(data: bytes, at: int) -> int:
    """Where a block's head begins that has its packet's content at or behind `at`."""
    return data.rfind(b"\xa3", max(0, at - 8), at + 1)


def overwrite(path: Path, at: int, content: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)


DAMAGE = {
    "kind": (0, b"\0\0\0"),
    "size": (1, b"\x01\x7f\xff\xff\xff"),
    "smaller size": (1, b"\x85"),
    "track": (4, b"\x8f"),
}


@NEEDS_FFMPEG
@pytest.mark.parametrize("codec", [H264, MJPEG], ids=["h264", "mjpeg"])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_block_is_counted(
    name: str, codec: tuple[str, ...], tmp_path: Path, image: Image, caplog: pytest.LogCaptureFixture
) -> None:
    path = film(tmp_path, image, *codec)
    assert damaged_places(path) == []
    places = places_of(path)
    head = block_head(path.read_bytes(), places[PER_CLUSTER + 5])
    offset, content = DAMAGE[name]
    if name == "track":
        offset = 1 + 9 - path.read_bytes()[head + 1].bit_length()  # behind the size
    overwrite(path, head + offset, content)
    frames, camera = frames_of(path)
    assert len(damaged_places(path)) == 1
    lost = FRAMES - len(frames)
    assert 1 <= lost <= 2 * PER_CLUSTER
    assert camera.damaged == lost
    words = "1 frame could not be decoded and was" if lost == 1 else f"{lost} frames could not be decoded and were"
    assert f"{words} left out: nothing from 0." in caplog.text


@NEEDS_FFMPEG
@pytest.mark.parametrize("live", [False, True], ids=["stored", "live"])
@pytest.mark.parametrize("number", [2, -1], ids=["within", "last"])
def test_a_damaged_cluster_is_counted(number: int, live: bool, tmp_path: Path, image: Image) -> None:
    path = film(tmp_path, image, *MJPEG, live=live)
    data = path.read_bytes()
    heads = [at for at in range(len(data)) if data.startswith(CLUSTER_HEAD, at)]
    overwrite(path, heads[number], bytes(4))
    frames, camera = frames_of(path)
    assert damaged_places(path)
    if live and number == -1:
        return  # it promises no length, and its end is as good as any
    assert len(frames) < FRAMES
    assert camera.damaged == FRAMES - len(frames)


@NEEDS_FFMPEG
def test_damaged_sound_loses_no_picture(tmp_path: Path, image: Image) -> None:
    quiet = film(tmp_path, image, *MJPEG)
    path = tmp_path / "b.mkv"
    limit = ("-cluster_time_limit", "400")
    ffmpeg("-i", str(quiet), *SOUND, "-c:v", "copy", "-c:a", "pcm_s16le", "-t", "2.4", *limit, str(path))
    with av.open(str(path)) as found:
        places = [packet.pos for packet in found.demux(audio=0) if packet.size and packet.pos is not None]
    overwrite(path, block_head(path.read_bytes(), places[20]) + 4, b"\x8f")
    frames, camera = frames_of(path)
    assert (len(frames), camera.damaged, camera.trouble) == (FRAMES, 0, None)


def test_a_film_of_varying_rate_is_whole(tmp_path: Path, image: Image) -> None:
    """A screen that stands still for long, a phone in the dark."""
    path = tmp_path / "a.mkv"
    write_uneven(path, [image] * 6, [0, 33, 5_000, 5_033, 65_000, 65_400])
    frames, camera = frames_of(path)
    assert (len(frames), camera.damaged, camera.trouble) == (6, 0, None)


@NEEDS_FFMPEG
@pytest.mark.parametrize("options", [("-ss", "0.9", "-c", "copy"), ("-c", "copy", "-live", "1"), VP8])
def test_so_are_films_that_were_trimmed_or_written_live(options: tuple[str, ...], tmp_path: Path, image: Image) -> None:
    source = film(tmp_path, image, *H264)
    path = tmp_path / ("b.webm" if "libvpx" in options else "b.mkv")
    ffmpeg("-i", str(source), *options, str(path))
    frames, camera = frames_of(path)
    assert frames
    assert (damaged_places(path), camera.damaged, camera.trouble) == ([], 0, None)


def test_anything_else_has_no_such_damage(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, head in enumerate(
        [b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff", b"\0\0\0\x18ftyp"]
    ):
        path = tmp_path / str(number)
        path.write_bytes(head + random.bytes(3000))
        damaged_places(path)  # and nothing hangs
    assert damaged_places(tmp_path / "nowhere") == []
    assert damaged_places(tmp_path) == []


def test_only_gaps_at_the_damage_count() -> None:
    losses = Losses(1 / FPS)
    for time_s in [0.0, 2.0, 3.0, 7.0, 8.0, 9.0]:
        losses.frame(0, time_s)
    assert losses.frames == 0
    losses.damaged([Damage(3.4, 6.5)], until_s=None)
    assert losses.frames == 99
    assert losses.summary().endswith("nothing from 3.0 to 7.0 s")
    losses.damaged([Damage(9.0, None)], until_s=11.0)
    assert losses.frames == 24 + 49, "the gap before it too: pictures are stored out of order"
