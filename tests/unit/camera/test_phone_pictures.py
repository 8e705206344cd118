"""HEIC, AVIF and animated pictures: the face is where it is, however the file puts its picture together."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from fer_edge.camera.decoder_words import decoder_words, jpeg_damage
from fer_edge.camera.picture_size import is_heif
from fer_edge.camera.replay import read_picture
from fer_edge.camera.sources import each_source, is_picture, open_source
from fer_edge.config import Config
from fer_edge.errors import CameraError
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Image
from tests.support.gif_file import CLEAR, KEEP, RESTORE, GifPart, gif
from tests.support.heic_file import clap, heic, imir, irot
from tests.support.kinds_of_film import assert_face_at

TURNED: dict[str, tuple[int, bytes, Callable[[Image], Any]]] = {
    "as it lies": (0, b"", lambda image: image),
    "in tiles": (160, b"", lambda image: image),
    "in tiles that stick out": (200, b"", lambda image: image),
    "turned": (128, irot(1), lambda image: np.rot90(image, -1)),
    "upside down": (128, irot(2), lambda image: np.rot90(image, 2)),
    "turned the other way": (0, irot(3), lambda image: np.rot90(image)),
    "mirrored": (0, imir(1), lambda image: image[:, ::-1]),
    "flipped": (128, imir(0), lambda image: image[::-1]),
    "turned, then mirrored": (128, irot(1) + imir(1), lambda image: np.rot90(image[:, ::-1], -1)),
    "cut": (0, clap(640, 480), lambda image: cv2.copyMakeBorder(image, 16, 16, 32, 32, cv2.BORDER_CONSTANT)),
}


@pytest.mark.parametrize("name", TURNED)
def test_a_phones_heic(name: str, tmp_path: Path, pipeline: Pipeline, image: Image, face: Box) -> None:
    tile, turned, stored = TURNED[name]
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(heic(np.ascontiguousarray(stored(image)), tile=tile, turned=turned))
    found = read_picture(path)
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 4, "colours and place"
    assert_face_at(pipeline, found, face)


def test_heic_and_avif_in_a_folder(tmp_path: Path, image: Image, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1.heic").write_bytes(heic(image, tile=256))
    (tmp_path / "2.avif").write_bytes(cv2.imencode(".avif", image)[1].tobytes())
    (tmp_path / "3.jpg").write_bytes(heic(image))  # named by somebody who did not know better
    (tmp_path / "4.heic").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    camera = open_source(Config(), str(tmp_path))
    shapes = [frame.image.shape for frame in iter(camera.read, None)]
    assert (shapes, camera.damaged, caplog.messages) == ([image.shape] * 4, 0, [])


def test_damaged_heic_is_refused_in_a_line(tmp_path: Path, image: Image) -> None:
    whole = heic(image, tile=256)
    path = tmp_path / "a.heic"
    spoiled = [whole[:at] for at in range(0, len(whole), len(whole) // 40)]
    spoiled += [whole.replace(kind, b"xxxx", 1) for kind in (b"meta", b"pitm", b"iloc", b"hvcC", b"dimg", b"idat")]
    for data in spoiled:
        path.write_bytes(data)
        with pytest.raises(CameraError, match=r"a\.heic: (cannot be decoded|is truncated|lacks|holds|has)"):
            read_picture(path)


def test_a_heic_whose_parts_each_are_the_whole_file(tmp_path: Path, image: Image) -> None:
    """A small file must not take gigabytes."""
    whole = heic(image)
    meta, iloc, mdat = (whole.index(kind) - 4 for kind in (b"meta", b"iloc", b"mdat"))  # iloc is meta's last box
    head = struct.pack(">IHHHHHH", 1 << 24, 0x4400, 1, 1, 0, 0, 2000)
    places = head + struct.pack(">II", 0, len(whole)) * 2000
    box = struct.pack(">I", 8 + len(places)) + b"iloc" + places
    inner = whole[meta + 4 : iloc] + box
    path = tmp_path / "a.heic"
    path.write_bytes(whole[:meta] + struct.pack(">I", 4 + len(inner)) + inner + whole[mdat:])
    with pytest.raises(CameraError, match="has parts that are longer than the file together"):
        read_picture(path)


def test_a_heic_that_is_too_large(tmp_path: Path, image: Image) -> None:
    path = tmp_path / "a.heic"
    whole = heic(image, tile=256)
    for old, new in (
        (struct.pack(">II", 640, 480), struct.pack(">II", 40_000, 40_000)),
        (struct.pack(">HH", 640, 480), struct.pack(">HH", 40_000, 40_000)),
    ):
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(CameraError, match="more than 67108864 pixels"):
            read_picture(path)


def test_what_is_heif() -> None:
    assert is_heif(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    assert is_heif(b"\0\0\0\x18ftypxxxx\0\0\0\0abcdavif")
    assert not is_heif(b"\0\0\0\x18ftypisom\0\0\0\0isomavc1")
    assert not is_heif(b"")


def animated(kind: str, path: Path, images: list[Image]) -> None:
    """As FFmpeg writes them; WebP by OpenCV."""
    if kind == "webp":
        animation = cv2.Animation()
        animation.frames = images
        animation.durations = [200] * len(images)
        assert cv2.imwriteanimation(str(path), animation)
        return
    encoder, pixels, container = {
        "png": ("apng", "rgb24", "apng"),
        "avif": ("libsvtav1", "yuv420p", "avif"),
    }[kind]
    if encoder not in av.codecs_available:
        pytest.skip(f"this PyAV has no {encoder}")
    with scheduled_as_before(), av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(encoder, rate=5)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixels)))
        file.mux(stream.encode())


@contextlib.contextmanager
def scheduled_as_before() -> Iterator[None]:
    """SVT-AV1, run as root, makes the thread that calls it a real-time one, which would outlast the test."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@pytest.mark.parametrize("kind", ["webp", "png", "avif"])
def test_an_animated_picture_is_a_film(
    kind: str, tmp_path: Path, pipeline: Pipeline, image: Image, face: Box, caplog: pytest.LogCaptureFixture
) -> None:
    images = [image.copy() for _ in range(4)]
    for number, each in enumerate(images):
        each[400:, 500 + 30 * number :] = 255
    path = tmp_path / f"a.{kind}"
    animated(kind, path, images)
    assert not is_picture(str(path))
    assert each_source([str(tmp_path)], still=False) == [str(path)]
    camera = open_source(Config(), str(path))
    frames = list(iter(camera.read, None))
    assert (len(frames), camera.damaged, caplog.messages) == (4, 0, [])
    assert abs((frames[-1].taken_ns - frames[0].taken_ns) / 1e9 - 0.6) < 0.01
    for frame, stored in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - stored).mean() < 6
        assert_face_at(pipeline, frame.image, face)


@pytest.mark.parametrize("brand", ["msf1", "hevc"])
def test_a_sequence_of_heic_pictures_is_a_film(
    brand: str, tmp_path: Path, pipeline: Pipeline, image: Image, face: Box
) -> None:
    """As Nokia's writers and phones (bursts) make them: a track of pictures instead of a film's."""
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV has no libx265")
    path = tmp_path / "burst.heic"
    with av.open(str(path), "w", format="mp4", options={"brand": brand}) as file:
        stream: Any = file.add_stream("libx265", rate=5, options={"x265-params": "log-level=none:pools=1"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        for _ in range(4):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")))
        file.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"vide", b"pict", 1))
    assert not is_picture(str(path))
    assert each_source([str(tmp_path)], still=False) == [str(path)]
    camera = open_source(Config(), str(path))
    frames = list(iter(camera.read, None))
    assert (len(frames), camera.damaged) == (4, 0)
    assert_face_at(pipeline, frames[-1].image, face)


def test_a_gif_takes_away_what_it_says(tmp_path: Path, pipeline: Pipeline, image: Image, face: Box) -> None:
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    x, y = round(face.x0), round(face.y0)
    cover = np.full((round(face.height), round(face.width)), 200, np.uint8)
    spot = np.full((8, 8), 255, np.uint8)
    parts = [GifPart(gray, 0, 0, KEEP), GifPart(cover, x, y, RESTORE), GifPart(spot, 600, 10, KEEP)]
    parts += [GifPart(cover, x, y, CLEAR), GifPart(spot, 600, 40, KEEP)]
    (tmp_path / "a.gif").write_bytes(gif(640, 480, parts))
    camera = open_source(Config(), str(tmp_path / "a.gif"))
    frames = list(iter(camera.read, None))
    assert (len(frames), camera.damaged) == (5, 0)
    middle = (slice(y + 20, y + 60), slice(x + 20, x + 60))
    for number in (0, 2):
        assert_face_at(pipeline, frames[number].image, face)
    for number in (1, 3, 4):
        assert frames[number].gray[middle].std() < 1, "the face is covered, then cleared"
    assert abs(int(frames[3].gray[middle].mean()) - 200) < 3
    assert abs(int(frames[4].gray[middle].mean()) - 200) > 50
    assert frames[4].gray[14, 604] > 250, "what was to be kept is"
    assert frames[4].gray[44, 604] > 250


def test_a_still_webp_and_avif_are_pictures(tmp_path: Path, image: Image) -> None:
    for name in ("a.webp", "a.avif", "a.png"):
        cv2.imwrite(str(tmp_path / name), image)
        assert is_picture(str(tmp_path / name))


def test_an_animated_webp_that_is_broken(tmp_path: Path, image: Image) -> None:
    images = [np.roll(image, 40 * number, 1) for number in range(4)]
    path = tmp_path / "a.webp"
    animated("webp", path, images)
    data = bytearray(path.read_bytes())
    second = data.index(b"VP8", data.index(b"ANMF", data.index(b"ANMF") + 4))
    data[second : second + 200] = bytes(200)
    path.write_bytes(data)
    camera = open_source(Config(), str(path))
    assert len(list(iter(camera.read, None))) == 3
    assert camera.damaged == 1


def test_an_animated_webp_with_a_frame_that_announces_too_many_pixels(tmp_path: Path) -> None:
    """Its canvas is small, and so is the frame's place on it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content

    side = 16_384
    picture = chunk(b"VP8L", b"\x2f" + struct.pack("<I", side - 1 | side - 1 << 14) + bytes(65))
    places = b"".join(number.to_bytes(3, "little") for number in (0, 0, 9, 9, 100))
    canvas = chunk(b"VP8X", bytes([2, 0, 0, 0, 9, 0, 0, 9, 0, 0]))
    body = b"WEBP" + canvas + chunk(b"ANMF", places + b"\0" + picture)
    path = tmp_path / "a.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    camera = open_source(Config(), str(path))
    with pytest.raises(CameraError, match="contains no picture that can be decoded"):
        camera.read()


def test_an_animated_webp_that_is_larger_than_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    with path.open("wb") as file:
        file.write(b"RIFF" + bytes(4) + b"WEBPVP8X\x0a\0\0\0\x02" + bytes(9))
        file.truncate(300_000_001)  # of which the disk has a page
    with pytest.raises(CameraError, match="has 300000001 bytes, expected at most 300000000 in an animated WebP"):
        open_source(Config(), str(path))


def test_a_jpeg_that_is_damaged_within_is_named_and_left_out(
    tmp_path: Path, image: Image, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = cv2.imencode(".jpg", image)[1].tobytes()
    middle = len(whole) // 2
    (tmp_path / "1.jpg").write_bytes(whole)
    (tmp_path / "2.jpg").write_bytes(whole[:middle] + bytes(3000) + whole[middle + 3000 :])
    (tmp_path / "3.jpg").write_bytes(whole[:-2] + bytes(20) + whole[-2:])  # filled up, as some cameras do
    camera = open_source(Config(), str(tmp_path))
    assert len(list(iter(camera.read, None))) == 2
    assert camera.damaged == 1
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}/2.jpg: is damaged (Corrupt JPEG data")
    assert capfd.readouterr().err == ""


def test_what_others_print_meanwhile_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with decoder_words() as words:
        os.write(2, b"Corrupt JPEG data: premature end of data segment\nanother thread's line\n")
    assert words == ["Corrupt JPEG data: premature end of data segment"]
    assert jpeg_damage(words)
    assert capfd.readouterr().err == "another thread's line\n"


def test_odd_files_in_a_folder(tmp_path: Path, image: Image, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "dead.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "12:30 %41.png"), image)
    cv2.imwrite(str(tmp_path / "gray.tif"), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "one.png"), image[:1, :1])
    cv2.imwrite(str(tmp_path / "tall.png"), np.zeros((10_000, 3, 3), np.uint8))
    camera = open_source(Config(), str(tmp_path))
    shapes = [frame.image.shape for frame in iter(camera.read, None)]
    assert shapes == [image.shape, image.shape, (1, 1, 3), (8192, 2, 3)]
    links, empty = caplog.messages
    assert "1 file (.jpg) is left out" in links
    assert empty.endswith("empty.png: cannot be decoded: it is empty, skipped")
