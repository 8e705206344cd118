"""A film that a decoder has no room for is refused before it takes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fer_edge.camera import decoder_memory
from fer_edge.camera.decoder_memory import check_memory, free_mb, needed_mb
from fer_edge.camera.stream import StreamCamera
from fer_edge.camera.webp_film import TooLarge
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from tests.support.films import write_avi


def film(
    name: str = "h264", *, b: bool = True, size: tuple[int, int] = (7680, 4320), pixels: str = "yuv420p"
) -> object:
    return SimpleNamespace(name=name, has_b_frames=b, width=size[0], height=size[1], pix_fmt=pixels)


@pytest.mark.parametrize(
    ("context", "measured"),
    [(film(b=False), 172), (film(), 372), (film("hevc"), 460), (film("hevc", pixels="yuv420p10le"), 2 * 430)],
)
def test_the_estimate_is_near_what_was_measured(context: object, measured: int) -> None:
    assert 0.95 * measured < needed_mb(context) < 1.3 * measured


def test_more_than_is_allowed_is_one_line() -> None:
    check_memory(film(), 500)
    check_memory(film(size=(1920, 1080)), 64)
    with pytest.raises(TooLarge) as raised:
        check_memory(film(), 250)
    assert str(raised.value) == (
        "has pictures of 7680 x 4320 px in h264: decoding takes about 418 MB, camera.decoder_memory_mb allows 250; "
        "make it smaller, such as with ffmpeg -i FILM -vf scale=1920:-2 SMALLER.mp4"
    )


def test_what_is_free_is_the_machines_and_the_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo, cgroup, group = tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "groups" / "a.service"
    group.mkdir(parents=True)
    monkeypatch.setattr(decoder_memory, "MEMINFO", meminfo)
    monkeypatch.setattr(decoder_memory, "CGROUP", cgroup)
    monkeypatch.setattr(decoder_memory, "CGROUPS", tmp_path / "groups")
    assert free_mb() is None
    check_memory(film(), None)
    meminfo.write_text("MemTotal: 500000 kB\nMemAvailable:     300000 kB\n")
    assert free_mb() == 307
    cgroup.write_text("0::/a.service\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("50000000\n")
    assert free_mb() == 307
    (group / "memory.max").write_text("250000000\n")
    assert free_mb() == 200
    with pytest.raises(TooLarge, match="takes about 418 MB, 200 MB are free"):
        check_memory(film(), None)


def test_a_film_is_refused_by_its_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_avi(tmp_path / "a.avi", [np.zeros((2160, 3840, 3), np.uint8)] * 2)
    monkeypatch.setattr(decoder_memory, "PICTURES", {"mjpeg": (10, 10)})
    camera = StreamCamera(
        CameraConfig(backend="stream", source=str(tmp_path / "a.avi"), pace="max", decoder_memory_mb=100)
    )
    with pytest.raises(
        CameraError, match=r"a\.avi has pictures of 3840 x 2160 px in mjpeg: decoding takes about 1\d\d MB"
    ):
        camera.open()
