"""What `analyze` is given: folders with films, the demo, pictures that share a name; and what it says at its end."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import pytest

from fer_edge.__main__ import main
from fer_edge.camera.replay import PICTURES
from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.config import Config, Events
from fer_edge.errors import ConfigError
from fer_edge.records import Image
from tests.support.films import pan, write_avi

ASTRONAUT = PICTURES / "astronaut.jpg"


@pytest.fixture
def folder(tmp_path: Path, astronaut: Image) -> Path:
    """Two pictures, a film, a GIF that moves, an animated PNG, a raw picture, a note."""
    path = tmp_path / "holiday"
    path.mkdir()
    shutil.copy(ASTRONAUT, path / "10.jpg")
    cv2.imwrite(str(path / "9.png"), pan(astronaut, 1)[0])
    write_avi(path / "clip.avi", pan(astronaut, 5))
    for name, codec in (("dance.gif", "gif"), ("wave.png", "apng")):
        animation(path / name, codec, pan(astronaut, 3))
    (path / "raw.CR2").write_bytes(b"raw")
    (path / "notes.txt").write_text("sun")
    return path


def animation(path: Path, codec: str, images: Sequence[Image]) -> None:
    with av.open(str(path), "w", format=codec) as file:
        stream = file.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "rgb8" if codec == "gif" else "rgb24"
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=stream.pix_fmt)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def lines_of(tmp_path: Path, *sources: object, **options: Any) -> list[dict[str, Any]]:
    out = tmp_path / "out.jsonl"
    wanted = AnalyzeOptions(sources=[str(source) for source in sources], jsonl=str(out), **options)
    assert analyze(options.pop("config", Config()), wanted) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_folder_is_its_pictures_and_then_its_films(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = lines_of(tmp_path, folder, still=True)
    assert [(Path(line["source"]).name, line["frame"]) for line in lines] == [
        ("9.png", 0),
        ("10.jpg", 1),
        *(("clip.avi", frame) for frame in range(5)),
        *(("dance.gif", frame) for frame in range(3)),
        *(("wave.png", frame) for frame in range(3)),
    ]
    (output,) = [message for message in caplog.messages if "left out" in message]
    assert output.endswith("1 file (.cr2) is left out: raw pictures are not read here")


def test_a_folder_of_films_alone_says_what_it_leaves_out(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("9.png", "10.jpg"):
        (folder / name).unlink()
    lines = lines_of(tmp_path, folder)
    assert {Path(line["source"]).name for line in lines} == {"clip.avi", "dance.gif", "wave.png"}
    assert [message.partition(": ")[2] for message in caplog.messages if "left out" in message] == [
        "1 file (.cr2) is left out: raw pictures are not read here"
    ]


def test_what_is_being_written_is_no_source(tmp_path: Path, astronaut: Image) -> None:
    write_avi(tmp_path / "clip.avi", pan(astronaut, 5))
    for _ in range(2):  # the second time the folder holds the first one's film
        options = AnalyzeOptions(sources=[str(tmp_path)], video=tmp_path / "marked.mp4", csv=str(tmp_path / "x.csv"))
        assert analyze(Config(), options) == 0
    assert "marked.mp4" not in (tmp_path / "x.csv").read_text()


def test_marked_pictures_keep_their_names(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("10.jpg", "9.JPG", "Über.jpeg"):
        shutil.copy(ASTRONAUT, other / name)
    lines_of(tmp_path, folder, other, ASTRONAUT, still=True, draw=tmp_path / "marked")
    drawn = (path for path in (tmp_path / "marked").rglob("*") if path.is_file())
    found = sorted(str(path.relative_to(tmp_path / "marked")) for path in drawn)
    films = [
        f"{film}/{n:06d}.jpg"
        for film, length in (("clip.avi", 5), ("dance.gif", 3), ("wave.png", 3))
        for n in range(length)
    ]
    assert found == sorted(["9.jpg", "10.jpg", "9-2.JPG", "10-2.jpg", "Über.jpeg", "astronaut.jpg", *films])
    small = cv2.imread(str(tmp_path / "marked" / "10-2.jpg"))
    assert small is not None
    assert small.shape == (512, 512, 3)


def test_two_films_of_one_name_are_drawn_apart(tmp_path: Path, astronaut: Image) -> None:
    for name, length in (("a", 3), ("b", 2)):
        (tmp_path / name).mkdir()
        write_avi(tmp_path / name / "clip.avi", pan(astronaut, length))
    lines_of(tmp_path, tmp_path / "a" / "clip.avi", tmp_path / "b" / "clip.avi", draw=tmp_path / "marked")
    assert {path.name: len(list(path.iterdir())) for path in (tmp_path / "marked").iterdir()} == {
        "clip.avi": 3,
        "clip-2.avi": 2,
    }


@pytest.mark.parametrize("named", ["", "10.jpg"], ids=["the folder", "a picture in it"])
def test_originals_are_never_drawn_over(folder: Path, named: str) -> None:
    with pytest.raises(ConfigError, match="would be overwritten"):
        analyze(Config(), AnalyzeOptions(sources=[str(folder / named)], draw=folder, still=True))
    assert (folder / "10.jpg").read_bytes() == ASTRONAUT.read_bytes()


def test_the_demo_as_pictures_shows_a_face_at_once(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "demo", still=True, draw=tmp_path / "faces")
    assert [(line["source"], len(line["faces"])) for line in lines] == [("astronaut.jpg", 1), ("grace_hopper.jpg", 1)]
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["astronaut.jpg", "grace_hopper.jpg"]


def test_a_picture_without_a_sure_expression_has_none(tmp_path: Path) -> None:
    (sure,) = lines_of(tmp_path, ASTRONAUT, still=True)
    confidence = sure["faces"][0]["confidence"]
    surer = msgspec.structs.replace(Config(), events=Events(enter=min(1.0, confidence + 0.005)))
    out = tmp_path / "unsure.jsonl"
    assert analyze(surer, AnalyzeOptions(sources=[str(ASTRONAUT)], jsonl=str(out), still=True)) == 0
    (face,) = json.loads(out.read_text())["faces"]
    assert (face["expression"], face["reason"], face["confidence"]) == (None, "uncertain", 0.0)
    assert face["probabilities"]["happiness"] == confidence


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (
            ["{holiday}", "--still", "--csv", "{out}"],
            r"read 2 pictures and 11 frames of 4 sources: \d+ faces in \d+ of them; wrote \S+/o",
        ),
        (["{holiday}/10.jpg", "--still"], r"read 1 picture of \S+/10.jpg: 1 face in 1 of them; took"),
        (["demo", "--csv", "{out}"], r"read 180 frames of demo: 3 faces, in view in \d+ of them; wrote \S+/o; took"),
        (["{empty}", "--csv", "{out}"], r"read 1 picture of \S+/black.png: no faces; wrote"),
        (
            ["{absent}", "{holiday}/10.jpg", "--still"],
            r"read 1 picture of 2 sources \(1 failed or incomplete\): 1 face",
        ),
    ],
    ids=["folder", "picture", "film", "nobody", "absent"],
)
def test_a_line_at_the_end(
    arguments: list[str], reported: str, tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((64, 64, 3), np.uint8))
    places = {"holiday": folder, "out": tmp_path / "o", "empty": black, "absent": tmp_path / "absent.png"}
    main(["analyze", *(argument.format(**places) for argument in arguments)])
    last = capfd.readouterr().err.splitlines()[-1]
    assert re.match(f"fer-edge: {reported}", last), last
    assert re.search(r"; took [\d.]+ s, [\d.e+]+ (frame|picture)s a second$", last)


@pytest.mark.parametrize("name", ["two\nlines.jpg", "\x1b[31mred.jpg"])
def test_a_name_does_not_control_the_terminal(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((64, 64, 3), np.uint8))
    path = (tmp_path / "a.jpg").rename(tmp_path / name)
    assert main(["analyze", str(path), "--csv", str(tmp_path / "o")]) == 0
    (last,) = capfd.readouterr().err.splitlines()
    assert last.startswith("fer-edge: read 1 picture of")
    assert "\x1b" not in last
