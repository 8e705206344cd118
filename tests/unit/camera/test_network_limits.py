"""What a network camera must not do: endless pictures, secrets, files."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from fer_edge.camera import shown
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.errors import CameraError
from fer_edge.records import Frame
from tests.support.films import write_avi
from tests.support.served import HEAD, MULTIPART, PICTURE, camera_at, drain, served


@pytest.mark.parametrize(
    ("source", "safe"),
    [
        ("rtsp://host/user=admin&password=s3cr3t&stream=0.sdp", "rtsp://host/user=***&password=***&stream=0.sdp"),
        ("rtsp://u:s3c@r3t@host/live", "rtsp://***@host/live"),
        ("http://host/a?password=s3cr3t", "http://host/a?***"),
        ("http://host/token=s3cr3t/video", "http://host/token=***/video"),
        ("http://host/video.mjpg", "http://host/video.mjpg"),
        ("password=s3cr3t.mp4", "password=s3cr3t.mp4"),
        ("12:30:05.mp4", "12:30:05.mp4"),
        ("C:/films/a.mp4", "C:/films/a.mp4"),
        ("/home/me@work/a:b.mp4", "/home/me@work/a:b.mp4"),
        ("demo:astronaut", "demo:astronaut"),
        ("rtsp:/u:s3cr3t@host/live", "rtsp:/***@host/live"),
        ("u:s3cr3t@host/live", "***@host/live"),
        ("RTSP://u:s3/cr3t@host/live", "RTSP://***@host/live"),
        ("rtsp://u:s3#cr3t@host/live", "rtsp://***@host/live"),
        ("http://host/a#token=s3cr3t", "http://host/a#token=***"),
        ("http://host/a;pwd=s3cr3t", "http://host/a;pwd=***"),
        ("http://host/user%3Dadmin%26password%3Ds3cr3t%26x", "http://host/user%3D***%26password%3D***%26x"),
        ("http://host/userpwd=s3cr3t/1", "http://host/userpwd=***/1"),
        ("rtsp://host/user=admin_password=s3cr3t_channel=1.sdp", "rtsp://host/user=***"),
        ("http://host/access_token=s3cr3t", "http://host/access_token=***"),
    ],
)
def test_no_secret_of_an_address_is_shown(source: str, safe: str) -> None:
    assert shown(source) == safe


def open_and_drain(camera: StreamCamera) -> None:
    camera.open()
    drain(camera, [])


ENDLESS = {
    "a part": (MULTIPART, b"--frame\r\n" + HEAD + PICTURE + b"\r\n--frame\r\n" + HEAD + PICTURE[:300]),
    "a part's header": (MULTIPART, b"--frame\r\nX: "),
    "a picture": ("image/jpeg", PICTURE[:300]),
    "a picture of markers": (MULTIPART, PICTURE[:2] + b"\xff\xe1\x00\x08\xff\xd8\xff\xc0\x00\x00" * 40),
    "no picture": ("application/octet-stream", PICTURE[:2]),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, start = ENDLESS[name]
    limit = 1_000_000
    monkeypatch.setattr("fer_edge.camera.http_pictures.MOST_PICTURE_BYTES", limit)
    with served(start + start[-10:] * (4 * limit // 10), kind, length=False) as url:
        camera = camera_at(url)
        message = rf"it sent {limit} bytes without the end of a picture|not a video stream|could not be decoded"
        with pytest.raises(CameraError, match=message):
            open_and_drain(camera)
        camera.close()


def test_a_long_stream_of_pictures_has_no_such_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.camera.http_pictures.MOST_PICTURE_BYTES", 80_000)
    body = (b"--frame\r\n" + HEAD + PICTURE + b"\r\n") * (400_000 // len(PICTURE))
    frames: list[Frame] = []
    with served(body, MULTIPART, length=False) as url:
        camera = camera_at(url)
        camera.open()
        with pytest.raises(CameraError, match="stream ended"):
            drain(camera, frames)
        camera.close()
    assert frames


def test_a_camera_may_not_lead_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(PICTURE)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"file://{tmp_path}/secret.jpg")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        with pytest.raises(CameraError):
            camera_at(f"http://127.0.0.1:{server.server_port}/snap.jpg").open()
        server.shutdown()
        thread.join()


def test_a_film_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_avi(tmp_path / "a.avi", [np.full((48, 64, 3), 9, np.uint8)] * 5)
    monkeypatch.setattr("fer_edge.camera.av_reader.MOST_PX", 64 * 48 - 1)
    camera = camera_at(str(tmp_path / "a.avi"))
    with pytest.raises(CameraError, match=r"has pictures of 64 x 48 px, expected at most 3071|no picture that can be"):
        open_and_drain(camera)
    camera.close()


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile {film}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{film}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
    ids=["ffconcat", "m3u8 of a file", "m3u8 of a host", "sdp"],
)
def test_a_playlist_opens_nothing_else(content: str, tmp_path: Path) -> None:
    write_avi(tmp_path / "film.avi", [np.full((48, 64, 3), 9, np.uint8)] * 5)
    path = tmp_path / "list.mp4"
    path.write_text(content.format(film=tmp_path / "film.avi"))
    camera = StreamCamera(CameraConfig(backend="stream", source=str(path), pace="max", timeout_seconds=2))
    with pytest.raises(CameraError):
        open_and_drain(camera)
    camera.close()
