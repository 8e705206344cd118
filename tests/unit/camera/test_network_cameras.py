"""Network cameras as they are: what they refuse, what they send instead of a stream, and what must not be shown."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import av
import cv2
import numpy as np
import pytest

from fer_edge.camera import LeftOut, open_camera
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame
from fer_edge.testing.brokers import wait_for
from tests.support.films import write_avi
from tests.support.served import HEAD, MULTIPART, PICTURE, camera_at, drain, served


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, "text/plain", r"the user or password is wrong \(401\); an @ in it is written %40"),
        (403, "text/plain", r"access denied for this user \(403\)"),
        (404, "text/plain", r"nothing at this path \(404\)"),
        (500, "text/plain", r"an error of its own \(5xx\)"),
        (200, "text/html", r"not a video stream \(a web page\?\)"),
    ],
)
def test_why_a_server_gives_no_stream(status: int, kind: str, message: str) -> None:
    with served(b"<html><body>hello</body></html>" * 50, kind, status=status) as url:
        camera = camera_at(url)
        with pytest.raises(CameraError, match=message):
            camera.open()
        camera.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rtsp://127.0.0.1:1/live", "connection refused"),
        ("rtsp://camera.invalid/live", "unknown host camera.invalid"),
        ("gopher2://127.0.0.1/live", "this kind of address is not supported"),
    ],
)
def test_why_there_is_no_server(url: str, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        camera_at(url).open()


def test_a_snapshot_camera_is_asked_again_and_again() -> None:
    with served(PICTURE, "image/jpeg") as url:
        camera = camera_at(url + "snap.jpg")
        camera.open()
        assert camera.live
        frames = [camera.read() for _ in range(3)]
        camera.close()
    times = [frame.taken_ns for frame in frames if frame]
    assert len(times) == 3
    assert times[2] - times[0] > 50_000_000, "at fps"


def test_a_snapshot_camera_asked_too_seldom_to_be_there_is_refused() -> None:
    with served(PICTURE, "image/jpeg") as url:
        camera = StreamCamera(CameraConfig(backend="stream", source=url + "snap.jpg", fps=0.1, timeout_seconds=5.0))
        with pytest.raises(CameraError, match=r"camera\.fps 0\.1 asks for a frame every 10 s, later than camera\.time"):
            camera.open()
        with pytest.raises(CameraError, match="is not open"):
            camera.read()


def test_a_film_at_an_address_has_an_end(tmp_path: Path) -> None:
    write_avi(tmp_path / "a.avi", [np.full((48, 64, 3), level, np.uint8) for level in range(10)])
    with served((tmp_path / "a.avi").read_bytes(), "video/x-msvideo") as url:
        camera = camera_at(url + "a.avi")
        camera.open()
        assert not camera.live
        assert len(list(iter(camera.read, None))) == 10
        assert camera.damaged == 0
        camera.close()


ODD = {
    "an empty part": (b"--frame\r\n" + HEAD + PICTURE + b"\r\n") * 5
    + b"--frame\r\n" + HEAD + b"\r\n" + (b"--frame\r\n" + HEAD + PICTURE + b"\r\n") * 5,
    "a broken picture": (b"--frame\r\n" + HEAD + PICTURE + b"\r\n") * 5
    + b"--frame\r\n" + HEAD + PICTURE[:30] + b"\r\n" + (b"--frame\r\n" + HEAD + PICTURE + b"\r\n") * 5,
    "no first boundary": (HEAD + PICTURE + b"\r\n--frame\r\n") * 11,
    "a wrong length": (b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\n" + PICTURE + b"\r\n") * 11,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_motion_jpeg_is_read_all_the_same(name: str) -> None:
    with served(ODD[name], MULTIPART, length=False) as url:
        camera = camera_at(url)
        frames: list[Frame] = []
        camera.open()
        with pytest.raises(CameraError, match="stream ended"):
            drain(camera, frames)
        camera.close()
    assert len(frames) >= 9


def test_what_waits_while_nobody_reads_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    body = (b"--frame\r\n" + HEAD + PICTURE + b"\r\n") * 40
    monkeypatch.setattr("fer_edge.camera.live_packets.LONGEST_LAG_NS", 0)
    with served(body, MULTIPART, length=False) as url:
        camera = camera_at(url)
        camera.open()
        packets = camera._packets  # what it left out is counted there
        assert packets is not None
        wait_for(lambda: packets.over, "the end of the stream", seconds=30)
        first = camera.read()
        assert first is not None
        assert packets.skipped >= 30, "it went on at the newest key frame"
        camera.close()
        assert camera.left_out == LeftOut(late=packets.skipped), "which stats tell"


def test_what_could_not_be_decoded_is_counted_over_all_connections() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    picture = cv2.imencode(".jpg", image)[1].tobytes()
    part = b"--frame\r\n" + HEAD + picture + b"\r\n"
    broken = part.replace(picture, picture[: len(picture) // 2] + picture[-2:])  # its lower half would be gray
    with served(3 * part + 2 * broken + 3 * part, MULTIPART, length=False) as url:
        camera = camera_at(url)
        for connections in (1, 2):
            frames: list[Frame] = []
            camera.open()
            with pytest.raises(CameraError, match="stream ended"):
                drain(camera, frames)
            camera.close()
            assert camera.left_out.damaged == 2 * connections
            assert len(frames) + camera.left_out.late / connections == 6


def test_the_newest_frame_is_shown_though_there_is_no_key_frame(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A film of one group of pictures, which waits whole: all of it is decoded, a picture is made of its end."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w", format="mpegts") as file:
        stream: Any = file.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 600
        for number in range(60):
            image = np.full((48, 64, 3), 20 + 3 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        file.mux(stream.encode())
    monkeypatch.setattr("fer_edge.camera.live_packets.LONGEST_LAG_NS", 0)
    monkeypatch.setattr("fer_edge.camera.stream.LONGEST_WITHOUT_PICTURE_SECONDS", 1e12)
    with av.open(str(path)) as film:
        assert sum(packet.is_keyframe for packet in film.demux(video=0) if packet.size) <= 6
    with served(path.read_bytes(), "video/mp2t", length=False) as url:
        camera = camera_at(url)
        camera.open()
        packets = camera._packets  # nobody but the reading thread knows that all of it has come
        assert packets is not None
        wait_for(lambda: packets.over, "all of it waits")
        first = camera.read()
        camera.close()
    assert first is not None
    assert first.image.mean() > 20 + 3 * 55
    assert caplog.text.count("too slow for the stream") == 1


@pytest.mark.parametrize("backend", ["stream", "replay"])
@pytest.mark.parametrize(
    "source",
    [
        "rtsp://u:s3cr3t@127.0.0.1:1/live",
        "rtsp:/u:s3cr3t@127.0.0.1:1/live",
        "u:s3cr3t@127.0.0.1/live",
        "rtsp://u:s3/cr3t@127.0.0.1:1/live",
        "gopher2://u:s3cr3t@127.0.0.1/x",
        "rtsp://[::1/u:s3cr3t@x",
        "http://127.0.0.1:noport/a?password=s3cr3t",
        "http://127.0.0.1:1/user=admin&password=s3cr3t",
    ],
)
def test_nor_in_what_is_said_of_one_that_fails(
    source: str, backend: Literal["stream", "replay"], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CameraError) as error:
        open_camera(CameraConfig(backend=backend, source=source, timeout_seconds=2))
    assert "cr3t" not in f"{error.value} {error.value!r} {caplog.text}"


def test_a_camera_that_asks_for_a_password_gets_it() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response(200 if asked[-1] else 401)
            self.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="abc", qop="auth"')
            self.send_header("Content-Type", "image/jpeg")
            self.end_headers()
            self.wfile.write(PICTURE if asked[-1] else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        camera = camera_at(f"http://me:p%40ss@127.0.0.1:{server.server_port}/snap.jpg")
        camera.open()
        assert camera.read() is not None
        camera.close()
        server.shutdown()
        thread.join()
    assert asked[0] == ""
    assert asked[1].startswith('Digest username="me"')
