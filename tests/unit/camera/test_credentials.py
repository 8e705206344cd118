"""Camera passwords: they stand in a file, a credential or the environment, not in the address."""

from __future__ import annotations

from base64 import b64decode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from fer_edge.camera import open_camera
from fer_edge.camera.credentials import holds_password, wants_password, with_password
from fer_edge.config import Camera, Config
from fer_edge.errors import CameraError, ConfigError
from fer_edge.settings.constraints import combination_errors


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "camera-password").write_text("p@ss/w:rd \u00e9\n")
    return str(tmp_path / "camera-password")


ENCODED = "p%40ss%2Fw%3Ard%20%C3%A9"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rtsp://admin@cam/live?a=b@c", f"rtsp://admin:{ENCODED}@cam/live?a=b@c"),
        ("rtsp://me@home@cam:554/", f"rtsp://me@home:{ENCODED}@cam:554/"),
        ("http://cam/user=a&password={password}&x", f"http://cam/user=a&password={ENCODED}&x"),
        ("http://a:{password}@cam/?pwd={password}", f"http://a:{ENCODED}@cam/?pwd={ENCODED}"),
        ("rtsp://admin:own@cam/live", "rtsp://admin:own@cam/live"),
        ("rtsp://cam/live@2", "rtsp://cam/live@2"),
    ],
)
def test_where_a_password_goes(source: str, expected: str, file: str) -> None:
    assert with_password(source, file) == expected


def test_from_the_credential_or_the_environment(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("FER_EDGE_CAMERA_PASSWORD", raising=False)
    assert with_password("rtsp://admin@cam", None) == "rtsp://admin@cam"
    with pytest.raises(ConfigError, match=r"key source: expected a password for its \{password\}, got none"):
        with_password("rtsp://cam/{password}", None)
    monkeypatch.setenv("FER_EDGE_CAMERA_PASSWORD", "env")
    assert with_password("rtsp://admin@cam", None) == "rtsp://admin:env@cam"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(Path(file).parent))
    assert with_password("rtsp://admin@cam", None) == f"rtsp://admin:{ENCODED}@cam"


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("rtsp://admin:secret@cam/live", True),
        ("http://cam/user=admin&password=secret&stream=0", True),
        ("http://cam/video?pwd=secret", True),
        ("rtsp://admin@cam/live", False),
        ("rtsp://admin:{password}@cam/live", False),
        ("http://cam:8080/video?pwd={password}&size=2", False),
        ("http://cam/a:b@c", False),
        ("password=secret.mp4", False),
    ],
)
def test_what_holds_a_password(source: str, holds: bool) -> None:
    assert holds_password(source) is holds
    assert not (holds and wants_password(source))


def test_a_password_file_needs_an_address() -> None:
    config = Config(camera=Camera(backend="stream", source="film.mp4", password_file="x"))
    assert [(section, keys[0]) for section, keys, _ in combination_errors(config)] == [("camera", "password_file")]


def test_the_camera_gets_it_and_no_message_does(file: str) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response(404 if asked[-1] else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        source = f"http://admin@127.0.0.1:{server.server_port}/video"
        try:
            with pytest.raises(CameraError, match=r"nothing at this path \(404\)") as caught:
                open_camera(Camera(backend="stream", source=source, password_file=file, timeout_seconds=20))
        finally:
            server.shutdown()
            thread.join()
    assert b64decode(asked[-1].removeprefix("Basic ")).decode() == "admin:p@ss/w:rd \u00e9"
    assert "p@ss" not in str(caught.value)
    assert ENCODED not in str(caught.value)
