"""`fer_edge.camera.stream`: whole and broken video files, and network cameras that stall or go away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.camera.file_clock import FileClock
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame
from tests.support.films import write_uneven
from tests.support.mjpeg_server import MjpegServer
from tests.support.paths import ROOT

FPS = 10


def config(source: str | Path, **more: Any) -> CameraConfig:
    return CameraConfig(backend="stream", source=str(source), **({"pace": "max"} | more))


def opened(source: str | Path, **more: Any) -> StreamCamera:
    camera = StreamCamera(config(source, **more))
    camera.open()
    return camera


def play(source: str | Path, **more: Any) -> list[Frame]:
    camera = opened(source, **more)
    frames = list(iter(camera.read, None))
    camera.close()
    return [frame for frame in frames if frame is not None]


def video(path: Path, *, codec: str = "MJPG", frames: int = 20) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (64, 48))
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path


def drain(camera: StreamCamera, frames: list[Frame]) -> None:
    """Read on into `frames`, until the end or an error."""
    while (frame := camera.read()) is not None:
        frames.append(frame)


def truncated(path: Path, *, keep: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")])
def test_a_file_is_played_by_its_own_time_stamps(name: str, codec: str, tmp_path: Path) -> None:
    frames = play(video(tmp_path / name, codec=codec))
    assert len(frames) == 20
    steps = {round((after.taken_ns - before.taken_ns) / 1e6) for before, after in pairwise(frames)}
    assert steps == {1000 // FPS}


def test_a_gif(tmp_path: Path) -> None:
    if not cv2.haveImageWriter("a.gif"):
        pytest.skip(f"OpenCV {cv2.__version__} writes no GIF")
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (0, 80, 160)]
    assert cv2.imwritemulti(str(tmp_path / "a.gif"), frames)
    assert len(play(tmp_path / "a.gif")) == 3


def test_a_file_url(tmp_path: Path) -> None:
    path = video(tmp_path / "a.avi", frames=2)
    assert len(play(path.as_uri())) == 2


def test_a_loop_goes_on_in_time(tmp_path: Path) -> None:
    camera = opened(video(tmp_path / "a.avi", frames=3), loop=True)
    frames = [frame for _ in range(8) if (frame := camera.read()) is not None]
    camera.close()
    assert len(frames) == 8
    assert {round((after.taken_ns - before.taken_ns) / 1e6) for before, after in pairwise(frames)} == {100}
    assert (frames[0].image == frames[3].image).all()


def test_what_is_wrong_with_a_loop_is_told_once(tmp_path: Path) -> None:
    """A daemon may replay a damaged film for months."""
    camera = opened(truncated(video(tmp_path / "a.avi")), loop=True)
    for _ in range(40):
        camera.read()
    camera.close()
    assert (camera.trouble or "").count("truncated or damaged") == 1


def test_pace_real_takes_its_time(tmp_path: Path) -> None:
    camera = opened(video(tmp_path / "a.avi", frames=4), pace="real")
    assert not camera.live
    began = time.monotonic_ns()
    while (frame := camera.read()) is not None:
        assert frame.taken_ns <= time.monotonic_ns(), "no frame comes before it is due"
    assert time.monotonic_ns() - began >= 250_000_000
    camera.close()


def test_a_truncated_video_ends_with_what_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = truncated(video(tmp_path / "a.avi"))
    camera = opened(path)
    assert camera.frames == 20
    frames: list[Frame] = []
    drain(camera, frames)
    camera.close()
    assert 5 < len(frames) < 12
    assert camera.damaged == 1
    assert caplog.messages == [f"{path}: ended after {len(frames)} of 20 frames, truncated or damaged"]


def test_a_whole_video_ends_without_complaint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    camera = opened(video(tmp_path / "a.avi"))
    drain(camera, [])
    camera.close()
    assert camera.damaged == 0
    assert caplog.messages == []


def test_nor_does_one_with_few_frames_for_its_rate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(10)]
    write_uneven(tmp_path / "a.mkv", images, [3000 * number for number in range(10)])
    camera = opened(tmp_path / "a.mkv")
    frames: list[Frame] = []
    drain(camera, frames)
    camera.close()
    assert camera.frames is not None
    assert camera.frames > 100, "so many would have been at its rate"
    assert (len(frames), camera.damaged, caplog.messages) == (10, 0, [])


def test_a_video_without_its_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"a\.mp4 cannot be read as a video: it is damaged, truncated"):
        play(truncated(video(tmp_path / "a.mp4", codec="mp4v")))


def test_a_header_without_frames_is_an_error(tmp_path: Path) -> None:
    path = video(tmp_path / "a.avi", frames=1)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])
    with pytest.raises(CameraError, match=r"a\.avi (contains no picture|cannot be read as a video)"):
        play(path, loop=True)


@pytest.mark.parametrize(("content", "kind"), [(b"", "empty"), (b"no video" * 100, "a text file, which is not read")])
def test_what_is_no_video(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    with pytest.raises(CameraError, match=rf"a\.avi cannot be read as a video: it is {kind}"):
        play(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"nowhere\.mp4 does not exist"):
        play(tmp_path / "nowhere.mp4")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video(tmp_path / "a.avi", frames=1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CameraError, match=r"a\.avi: no permission to read it"):
        play(path)


def test_a_folder_belongs_to_another_backend(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"is a folder; .* use camera\.backend: replay"):
        play(tmp_path)


def test_a_server_that_stalls_is_a_timeout_then_lost() -> None:
    with MjpegServer(mood_after=(5, "stall")) as server:
        camera = opened(server.url, timeout_seconds=0.9)
        assert camera.live
        assert camera.frames is None
        began = time.monotonic()
        with pytest.raises(CameraTimeout, match=r"sent no frame within 0\.9 s"):
            drain(camera, [])
        assert time.monotonic() - began < 10
        with pytest.raises(CameraError):
            camera.read()
        camera.close()


def test_a_server_that_goes_away_is_lost_and_comes_back() -> None:
    with MjpegServer(mood_after=(5, "hang up")) as server:
        camera = opened(server.url)
        frames: list[Frame] = []
        for _ in range(2):
            with pytest.raises(CameraError, match="ended or the connection was lost") as caught:
                drain(camera, frames)
            assert not isinstance(caught.value, CameraTimeout)
            camera.close()
            camera.open()
        camera.close()
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert len(frames) > 5, "it came back"


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(CameraTimeout, match=r"did not answer within 0\.3 s"):
            opened(url, timeout_seconds=0.3)


def test_a_server_that_is_not_there_and_a_password_that_stays_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CameraError, match=r"rtsp://\*\*\*@127\.0\.0\.1.* cannot be opened") as caught:
        opened(f"rtsp://admin:s3cr3t@127.0.0.1:{port}/live")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("positions", "steps"),
    [
        ([0, 40, 80], [0, 40, 40]),
        ([5000, 5040, 5140], [0, 40, 100]),  # does not start at 0; uneven
        ([0, 0, 0], [0, 25, 25]),  # no time stamps
        ([100, 50, 60], [0, 25, 10]),  # runs backwards
    ],
)
def test_the_clock_of_a_file(positions: list[float], steps: list[int]) -> None:
    clock = FileClock(0, period_ns=25_000_000)
    assert [clock.step_ns(position) // 1_000_000 for position in positions] == steps


def test_a_gap_in_a_recording_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened(video(tmp_path / "a.avi", frames=2), pace="real", timeout_seconds=0.2)
    monkeypatch.setattr(FileClock, "step_ns", lambda _self, _position, **_: 3600 * 10**9)
    began = time.monotonic()
    assert camera.read() is not None
    assert time.monotonic() - began < 10
    camera.close()


def test_ffmpeg_stays_silent(tmp_path: Path) -> None:
    """In a process of its own: OpenCV reads its environment once."""
    path = truncated(video(tmp_path / "a.mp4", codec="mp4v"))
    code = (
        "import sys; from fer_edge.camera.stream import StreamCamera; from fer_edge.config import Camera\n"
        "try: StreamCamera(Camera(backend='stream', source=sys.argv[1])).open()\n"
        "except OSError as error: print(error)"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, cwd=ROOT, env=clean, timeout=60, check=True
    )
    assert "cannot be read as a video" in done.stdout
    assert done.stderr == ""
