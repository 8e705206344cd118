"""A file of another kind than expected: read as what it is, or named in one line with what to do."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.camera.file_kinds import FileKind, file_kind
from fer_edge.camera.replay import ReplayCamera, read_picture
from fer_edge.camera.sources import is_picture, open_source
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.config import Config
from fer_edge.errors import CameraError
from fer_edge.records import Image
from tests.support.films import write_avi
from tests.support.heic_file import heic

SMALL = np.full((48, 64, 3), 90, np.uint8)
READ_AS_FILMS = (".bmp", ".heic")
NOT_READ = {
    "a.psd": (b"8BPS\0\1" + bytes(600), "a Photoshop picture"),
    "a.jxl": (b"\xff\x0a" + bytes(600), "a JPEG XL picture"),
    "b.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(600), "a JPEG XL picture"),
    "a.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "a.pdf": (b"%PDF-1.7\n" + bytes(600), "a PDF or PostScript document"),
    "a.cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(600), "a raw picture"),
    "a.cr3": (struct.pack(">I", 24) + b"ftypcrx " + bytes(600), "a raw picture"),
    "a.dng": (b"II*\0\x08\0\0\0" + bytes(600), "a raw picture"),
    "a.html": (b"<!DOCTYPE html><html></html>", "a web page"),
    "a.csv": ("name,größe\n".encode() * 50, "a text file"),
    "a.zip": (b"PK\x03\x04" + bytes(600), "an archive"),
    "a.mp3": (b"ID3\3" + bytes(600), "sound alone"),
    "a.wav": (b"RIFF\0\1\0\0WAVEfmt " + bytes(600), "sound alone"),
    "empty": (b"", "empty"),
}


def refused(path: Path) -> list[str]:
    """What `analyze` says, and `run` with both backends."""
    messages = []
    for opened in (lambda: open_source(Config(), str(path)), lambda: replay(path), lambda: stream(path)):
        with pytest.raises(CameraError) as raised:
            opened()
        messages.append(str(raised.value))
    return messages


def replay(path: Path) -> ReplayCamera:
    camera = ReplayCamera(CameraConfig(backend="replay", source=str(path), pace="max"))
    camera.open()
    return camera


def stream(path: Path) -> StreamCamera:
    camera = StreamCamera(CameraConfig(backend="stream", source=str(path), pace="max"))
    camera.open()
    return camera


@pytest.mark.parametrize("name", NOT_READ)
@pytest.mark.parametrize("suffix", ["", ".jpg", ".mp4"])
def test_what_is_not_read_is_named(name: str, suffix: str, tmp_path: Path) -> None:
    content, words = NOT_READ[name]
    path = tmp_path / (name + suffix)
    if name == "a.dng" and suffix:
        return  # by its name alone
    path.write_bytes(content)
    for message in refused(path):
        assert f": it is {words}" in message, message
        assert "\n" not in message


@pytest.mark.parametrize("name", ["film.avi", "film.jpg", "film"])
def test_a_film_that_is_replayed(name: str, tmp_path: Path) -> None:
    write_avi(tmp_path / "film.avi", [SMALL] * 3)
    path = (tmp_path / "film.avi").rename(tmp_path / name)
    with pytest.raises(CameraError, match=r"it is a film \(AVI\); films are read by camera\.backend: stream"):
        replay(path)
    camera = open_source(Config(), str(path))
    assert len(list(iter(camera.read, None))) == 3, "analyze goes by the content"
    camera.close()


@pytest.mark.parametrize("kind", [".tif", ".bmp", ".jp2", ".heic", ".ppm"])
def test_a_picture_that_is_streamed(kind: str, tmp_path: Path, image: Image) -> None:
    path = tmp_path / "picture"
    path.write_bytes(heic(image) if kind == ".heic" else cv2.imencode(kind, image)[1].tobytes())
    assert is_picture(str(path)), "analyze goes by the content"
    assert read_picture(path).shape == image.shape
    if kind in READ_AS_FILMS:
        assert stream(path).read()
    else:
        with pytest.raises(CameraError, match=r"pictures are read by camera\.backend: replay"):
            stream(path)


@pytest.mark.parametrize("name", ["a.mpo", "a.jfif", "a.JPE"])
def test_other_names_of_jpeg(name: str, tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", SMALL)[1].tobytes()
    (tmp_path / name).write_bytes(jpeg + jpeg)  # a stereo picture has a second one behind it
    for source in (tmp_path, tmp_path / name):
        camera = open_source(Config(), str(source))
        assert [frame.image.shape for frame in iter(camera.read, None)] == [SMALL.shape]
        assert camera.damaged == 0


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_no_film_and_no_picture(device: str, tmp_path: Path) -> None:
    for name, message in (("a.mp4", "is a device; expected a film. A webcam is"), ("a.jpg", "not a regular file")):
        (tmp_path / name).symlink_to(device)
        with pytest.raises(CameraError, match=message):
            open_source(Config(), str(tmp_path / name))


def test_a_truncated_png_says_so_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)
    png = cv2.imencode(".png", noise)[1].tobytes()
    (tmp_path / "a.png").write_bytes(png[: len(png) // 2])
    with pytest.raises(CameraError, match=r"a\.png: cannot be decoded: it is truncated"):
        read_picture(tmp_path / "a.png")
    assert capfd.readouterr().err == ""


def test_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 8)
    assert file_kind(path) is None
    path.write_bytes("ä".encode() * 4096)  # cut within a character
    assert file_kind(path) == FileKind("a text file", "other")
    assert file_kind(tmp_path) is None
    os.mkfifo(tmp_path / "fifo")
    assert file_kind(tmp_path / "fifo") is None
