"""A still picture with a film or a sequence in its file: live and motion photos, bursts. The picture is read, and that
there is more is said."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import pytest

from fer_edge.__main__ import main
from fer_edge.camera.picture_size import has_film_beside
from fer_edge.camera.sources import open_source
from fer_edge.config import Config
from fer_edge.records import Image
from tests.support.heic_file import heic

MP4 = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + struct.pack(">I", 108) + b"moov" + bytes(100)
SAID = "the film or sequence beside 1 picture is not read"


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def write(kind: str, folder: Path, image: Image) -> Path:
    content = {
        "burst.heic": lambda: heic(image) + box(b"moov", bytes(400)),  # iPhone: heic, with msf1 beside it
        "motion.heic": lambda: heic(image) + box(b"mpvd", MP4),  # Pixel, Samsung
        "motion.jpg": lambda: jpeg(image) + MP4,  # Google
        "samsung.jpg": lambda: jpeg(image) + b"\0\0\x30\x0aMotionPhoto_Data" + MP4 + b"SEFT",
    }[kind]()
    (folder / kind).write_bytes(content)
    return folder / kind


KINDS = ["burst.heic", "motion.heic", "motion.jpg", "samsung.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_line_and_the_report_say_that_there_is_more(
    kind: str, tmp_path: Path, image: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(kind, tmp_path, image)
    jsonl = tmp_path / "out.jsonl"
    report = tmp_path / "out.html"
    assert main(["analyze", str(path), "--jsonl", str(jsonl), "--report", str(report)]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert f"1 face in 1 of them; {SAID}; wrote" in lines[-1]
    assert SAID in report.read_text()
    (line,) = map(json.loads, jsonl.read_text().splitlines())
    assert (line["width"], line["height"], len(line["faces"])) == (640, 480, 1)


def test_a_folder_says_it_once(tmp_path: Path, image: Image, caplog: pytest.LogCaptureFixture) -> None:
    for kind in KINDS:
        write(kind, tmp_path, image)
    cv2.imwrite(str(tmp_path / "plain.png"), image)
    camera = open_source(Config(), str(tmp_path))
    assert len(list(iter(camera.read, None))) == 5
    note = "the films or sequences beside 4 pictures are not read"
    assert (camera.note, camera.damaged, camera.trouble) == (note, 0, None)
    assert [message.partition(": ")[2] for message in caplog.messages] == [note]


def test_a_plain_picture_has_none(image: Image) -> None:
    stereo = jpeg(image) + jpeg(image)
    pictures = [jpeg(image), stereo, heic(image), heic(image, tile=256), cv2.imencode(".png", image)[1].tobytes(), b""]
    assert not any(map(has_film_beside, pictures))
    assert not has_film_beside(heic(image, brand=b"hevc") + box(b"moov", b"")), "it is a film itself"
