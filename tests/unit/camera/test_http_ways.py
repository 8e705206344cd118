"""The ways in which HTTP brings a camera's pictures: redirected, in chunks, byte by byte."""

from __future__ import annotations

import gzip
import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import av
import cv2
import numpy as np
import pytest

from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError, CameraTimeout
from fer_edge.records import Frame

PICTURE = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
PART = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n"
KINDS = {"stream": "multipart/x-mixed-replace; boundary=frame", "unnamed": "application/octet-stream"}


class Site(ThreadingHTTPServer):
    """A server on loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        """How often each path was asked for."""
        self.leave = Event()
        """Ends what goes on."""


class Handler(BaseHTTPRequestHandler):
    """`/stream`, `/unnamed`: pictures in odd chunks; `/slow`: one that comes byte by byte; `/circle`: leads to itself;
    `/moved/...`: leads on; `/live.*`: a stream of that kind; `/gzip.jpg`, `/br.jpg`: one that is said to be packed."""

    protocol_version = "HTTP/1.1"

    @property
    def site(self) -> Site:
        assert isinstance(self.server, Site)
        return self.server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.site.asked[self.path] += 1
        if name == "circle" or "moved" in self.path:
            self.send_response(302)
            self.send_header("Location", f"/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/x-live" if "live." in name else KINDS.get(name, "image/jpeg"))
        self.send_header("Transfer-Encoding", "chunked")
        if name in ("gzip.jpg", "br.jpg"):
            self.send_header("Content-Encoding", name.partition(".")[0])
        self.end_headers()
        self._trickle() if name == "slow" else self._chunks(self._body(name))

    def _body(self, name: str) -> bytes:
        if name.startswith("live."):
            return live(name.partition(".")[2])
        return PART * 10 if name in KINDS else gzip.compress(PICTURE) if name == "gzip.jpg" else PICTURE

    def _trickle(self) -> None:
        for at in range(len(PICTURE)):
            if self.site.leave.wait(0.05):
                return
            self._chunk(PICTURE[at : at + 1])

    def _chunks(self, body: bytes) -> None:
        for at in range(0, len(body), 77):
            self._chunk(body[at : at + 77])
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the camera's reader has left
            self.close_connection = True


def live(container: str) -> bytes:
    """Twenty frames, as a live stream holds them."""
    held, options = (
        io.BytesIO(),
        {"mp4": {"movflags": "frag_keyframe+empty_moov"}, "matroska": {"live": "1"}}.get(container, {}),
    )
    with av.open(held, "w", format=container, options=options) as file:
        stream: Any = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 10
        for number in range(20):
            image = np.full((48, 64, 3), 20 + 10 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        file.mux(stream.encode())
    return held.getvalue()


@contextmanager
def server() -> Iterator[tuple[str, Counter[str]]]:
    """Its address, and how often each path was asked for."""
    with Site() as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", running.asked
        running.leave.set()
        running.shutdown()
        thread.join()


def camera_at(url: str, *, timeout_seconds: float = 20) -> StreamCamera:
    return StreamCamera(CameraConfig(backend="stream", source=url, fps=30, timeout_seconds=timeout_seconds))


def drain(camera: StreamCamera, frames: list[Frame]) -> None:
    while frame := camera.read():
        frames.append(frame)


@pytest.mark.parametrize("path", ["stream", "unnamed", "moved/stream", "moved/unnamed"])
def test_a_stream_in_chunks_is_read_whole_over_one_connection(path: str) -> None:
    frames: list[Frame] = []
    with server() as (url, asked):
        camera = camera_at(url + path)
        camera.open()
        with pytest.raises(CameraError, match="the stream ended"):
            drain(camera, frames)
        camera.close()
    assert len(frames) == 10
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("kind", ["mpegts", "matroska", "mp4", "nut"])
def test_so_is_a_film_without_an_end(kind: str) -> None:
    """A camera that has one connection to give is asked once."""
    frames: list[Frame] = []
    with server() as (url, asked):
        camera = camera_at(url + f"live.{kind}")
        camera.open()
        assert camera.live
        with pytest.raises(CameraError, match="the stream ended"):
            drain(camera, frames)
        camera.close()
    assert len(frames) + camera.left_out.late == 20
    assert frames[-1].image.mean() > 190
    assert set(asked.values()) == {1}


def test_a_packed_snapshot_is_unpacked() -> None:
    with server() as (url, _):
        camera = camera_at(url + "gzip.jpg")
        camera.open()
        frame = camera.read()
        camera.close()
    assert frame is not None
    assert frame.image.shape == (48, 64, 3)


def test_one_that_is_packed_in_an_unknown_way_is_told() -> None:
    message = r"cannot be opened: its answer is compressed \(Content-Encoding: br\), expected gzip or none"
    with server() as (url, _), pytest.raises(CameraError, match=message):
        camera_at(url + "br.jpg").open()


@pytest.mark.parametrize("path", ["picture.jpg", "moved/picture.jpg"])
def test_a_snapshot_in_chunks_is_asked_for_each_time(path: str) -> None:
    with server() as (url, asked):
        camera = camera_at(url + path)
        camera.open()
        assert [frame.image.shape for frame in (camera.read(), camera.read()) if frame] == [(48, 64, 3)] * 2
        camera.close()
    assert set(asked.values()) == {2}


def test_redirections_in_a_circle_are_told() -> None:
    with server() as (url, _), pytest.raises(CameraError, match=r"redirections lead in a circle"):
        camera_at(url + "circle").open()


def test_what_comes_byte_by_byte_is_too_late() -> None:
    began = time.monotonic()
    with server() as (url, _), pytest.raises(CameraTimeout, match=r"did not answer within 0\.5 s"):
        camera_at(url + "slow", timeout_seconds=0.5).open()
    assert time.monotonic() - began < 30, "not after all of the picture"


def test_a_frame_has_the_time_at_which_it_came_and_not_at_which_it_is_read() -> None:
    with server() as (url, _):
        camera = camera_at(url + "stream")
        camera.open()
        first = camera.read()
        Event().wait(1)  # nobody reads, and all have come long ago
        waited_ns = time.monotonic_ns()
        second = camera.read()
        camera.close()
    assert first
    assert second
    assert first.taken_ns < second.taken_ns < waited_ns - 300_000_000
