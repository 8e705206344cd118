"""Films and playlists at an HTTP address: a server that has one connection to give is asked once, and again only for
what lies elsewhere in a film."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import pytest

from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame, Image
from tests.support.kinds_of_film import NEEDS_FFMPEG, ffmpeg, make_film

FRAMES = 40
MJPEG = ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10")
FIRST = ("-movflags", "faststart")
VP8 = ("-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-cpu-used", "8")


class Site(ThreadingHTTPServer):
    """A folder on loopback."""

    daemon_threads = True

    def __init__(self, folder: Path, *, parts: bool, broken_off: int | None, length: str | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.parts, self.broken_off, self.length = folder, parts, broken_off, length
        self.asked: list[str] = []
        self.open = self.most_open = 0
        self.lock = Lock()


class Handler(BaseHTTPRequestHandler):
    """Files, or parts of them."""

    @property
    def site(self) -> Site:
        assert isinstance(self.server, Site)
        return self.server

    def do_GET(self) -> None:
        name, wanted = self.path.rpartition("/")[2], self.headers.get("Range")
        data = (self.site.folder / name).read_bytes()
        self.site.asked.append(name)
        begin = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and self.site.parts else 0
        self.send_response(206 if wanted and self.site.parts else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", self.site.length or str(len(data) - begin))
        if self.site.parts:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[begin : self.site.broken_off])

    def handle(self) -> None:
        with self.site.lock:
            self.site.open += 1
            self.site.most_open = max(self.site.most_open, self.site.open)
        try:
            super().handle()
        except OSError:  # the reader has left
            pass
        finally:
            with self.site.lock:
                self.site.open -= 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def server(
    folder: Path, *, parts: bool = True, broken_off: int | None = None, length: str | None = None
) -> Iterator[tuple[str, Site]]:
    with Site(folder, parts=parts, broken_off=broken_off, length=length) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", running
        running.shutdown()
        thread.join()


def read(url: str) -> tuple[list[Frame], StreamCamera]:
    camera = StreamCamera(CameraConfig(backend="stream", source=url, pace="max", timeout_seconds=20))
    camera.open()
    frames: list[Frame] = []
    try:
        while (frame := camera.read()) is not None:
            frames.append(frame)
    except CameraError:  # the end of a live stream
        assert camera.live
    finally:
        camera.close()
    return frames, camera


@NEEDS_FFMPEG
@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", MJPEG), ("a.mp4", (*H264, *FIRST)), ("a.flv", H264), ("a.webm", VP8)]
)
def test_a_film_is_asked_for_once(name: str, codec: tuple[str, ...], parts: bool, tmp_path: Path, image: Image) -> None:
    make_film(tmp_path / name, image, *codec, frames=FRAMES)
    with server(tmp_path, parts=parts) as (url, site):
        frames, camera = read(url + name)
    assert (len(frames), camera.live, camera.damaged) == (FRAMES, False, 0)
    assert len(site.asked) <= (3 if parts and name in ("a.mkv", "a.webm") else 1), "an index at the end is looked up"


@NEEDS_FFMPEG
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", MJPEG), ("a.avi", MJPEG), ("a.ts", H264)])
def test_what_is_elsewhere_in_it_comes_over_one_connection_at_a_time(
    name: str, codec: tuple[str, ...], tmp_path: Path, image: Image
) -> None:
    make_film(tmp_path / name, image, *codec, frames=FRAMES)
    with server(tmp_path) as (url, site):
        frames, camera = read(url + name)
    assert (len(frames), camera.damaged) == (FRAMES, 0)
    assert len(site.asked) < 8


@NEEDS_FFMPEG
def test_a_film_that_breaks_off_says_so(tmp_path: Path, image: Image, caplog: pytest.LogCaptureFixture) -> None:
    path = make_film(tmp_path / "a.mkv", image, *MJPEG, frames=FRAMES)
    with server(tmp_path, parts=False, broken_off=path.stat().st_size // 2) as (url, _):
        frames, camera = read(url + "a.mkv")
    assert 0 < len(frames) < FRAMES
    assert camera.damaged
    assert "the connection ended after" in caplog.text


@NEEDS_FFMPEG
@pytest.mark.parametrize("length", ["-1", "unknown", "99999999999999"])
def test_a_length_that_makes_no_sense(length: str, tmp_path: Path, image: Image) -> None:
    """As cameras send it with a stream that has none."""
    make_film(tmp_path / "a.ts", image, *H264, frames=FRAMES)
    with server(tmp_path, parts=False, length=length) as (url, site):
        frames, camera = read(url + "a.ts")
    assert len(frames) + camera.left_out.late >= FRAMES - 3, "the last ones may wait for what never comes"
    assert len(site.asked) == 1


@NEEDS_FFMPEG
@pytest.mark.parametrize("below", ["", "cam1/"])
def test_a_playlist_is_asked_for_once_and_its_entries_are_found_beside_it(
    below: str, tmp_path: Path, image: Image
) -> None:
    film = make_film(tmp_path / "a.ts", image, *H264, frames=FRAMES)
    ffmpeg("-i", str(film), "-c", "copy", "-hls_time", "0.4", "-hls_list_size", "0", str(tmp_path / "live.m3u8"))
    os.remove(film)
    with server(tmp_path) as (url, site):
        frames, _ = read(f"{url}{below}live.m3u8")
    assert site.asked.count("live.m3u8") == 1
    assert len(frames) > 0
    assert {name for name in site.asked if name.endswith(".ts")} == {path.name for path in tmp_path.glob("*.ts")}
