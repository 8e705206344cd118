"""analyze.py and draw.py: pictures and films in, lines and marked pictures out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.camera import shown
from fer_edge.camera.replay import PICTURES
from fer_edge.commands.analyze import AnalyzeOptions, analyze, shown_by_pictures
from fer_edge.config import Config
from fer_edge.drawing.painter import Painter
from fer_edge.errors import SinkError
from fer_edge.pipeline import Pipeline
from fer_edge.records import LABELS, Image
from tests.support.samples import frame_of

ASTRONAUT = str(PICTURES / "astronaut.jpg")
HOPPER = str(PICTURES / "grace_hopper.jpg")


def run(tmp_path: Path, *sources: str, **options: Any) -> tuple[int, list[dict[str, Any]]]:
    out = tmp_path / "out.jsonl"
    failed = analyze(Config(), AnalyzeOptions(sources=sources, jsonl=str(out), **options))
    return failed, [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory, astronaut: Image) -> Path:
    """Twenty frames at 10 fps in which a face moves a little."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (512, 400))
    for step in range(20):
        writer.write(np.roll(astronaut[:400], step * 2, axis=1))
    writer.release()
    return path


def test_a_still_picture_has_every_field(tmp_path: Path) -> None:
    failed, (line,) = run(tmp_path, ASTRONAUT, still=True)
    assert failed == 0
    assert {key: line[key] for key in ("source", "frame", "t_s", "width", "height")} == {
        "source": ASTRONAUT,
        "frame": 0,
        "t_s": 0.0,
        "width": 512,
        "height": 512,
    }
    (face,) = line["faces"]
    assert set(face) == {
        "track_id", "box", "score", "expression", "confidence", "probabilities", "landmarks", "reason",
    }  # fmt: skip
    assert face["track_id"] is None
    assert (face["expression"], face["reason"]) == ("happiness", None)
    assert face["confidence"] == face["probabilities"]["happiness"] > 0.8
    assert list(face["probabilities"]) == list(LABELS)
    assert np.shape(face["landmarks"]) == (68, 2)
    x0, y0, x1, y1 = face["box"]
    assert 150 < x0 < 220 < x1 < 300
    assert 20 < y0 < 100 < y1 < 220


def test_still_pictures_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    _, lines = run(tmp_path, ASTRONAUT, HOPPER, ASTRONAUT, still=True)
    assert lines[0]["faces"] == lines[2]["faces"]
    assert [line["frame"] for line in lines] == [0, 0, 0]
    assert lines[1]["faces"][0]["expression"] == "neutral"


def test_a_film_is_tracked(tmp_path: Path, film: Path) -> None:
    failed, lines = run(tmp_path, str(film))
    assert failed == 0
    assert [line["frame"] for line in lines] == list(range(20))
    assert [line["t_s"] for line in lines] == pytest.approx([n / 10 for n in range(20)])
    assert [[face["track_id"] for face in line["faces"]] for line in lines] == [[1]] * 20
    assert {face["expression"] for line in lines for face in line["faces"]} == {"happiness"}


def test_ids_start_anew_with_each_source(tmp_path: Path, film: Path) -> None:
    _, lines = run(tmp_path, str(film), str(film))
    assert {face["track_id"] for line in lines for face in line["faces"]} == {1}


def test_a_folder_names_its_pictures_and_skips_damaged_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.jpg", "c.jpg"):
        (folder / name).write_bytes(Path(ASTRONAUT).read_bytes())
    (folder / "b.jpg").write_bytes(b"damaged")
    failed, lines = run(tmp_path, str(folder), still=True)
    assert [Path(line["source"]).name for line in lines] == ["a.jpg", "c.jpg"]
    assert failed == 1
    assert "b.jpg: cannot be decoded: it is a text file, which is not read" in caplog.text


def test_a_source_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(film.read_bytes()[:600])
    failed, lines = run(tmp_path, str(tmp_path / "absent.jpg"), str(damaged), ASTRONAUT)
    assert failed == 2
    assert [line["source"] for line in lines] == [ASTRONAUT]
    assert "absent.jpg does not exist" in caplog.text
    assert "damaged.mp4 cannot be read as a video" in caplog.text


def test_a_film_that_breaks_off_gives_what_it_has(tmp_path: Path, film: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    failed, lines = run(tmp_path, str(cut))
    assert 5 <= len(lines) < 20
    assert failed in (0, 1)  # without its index the container may not know how long it was


@pytest.mark.parametrize("channels", ["gray", "rgba"])
def test_gray_and_transparent_pictures(tmp_path: Path, astronaut: Image, channels: str) -> None:
    picture = cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY if channels == "gray" else cv2.COLOR_BGR2BGRA)
    cv2.imwrite(str(tmp_path / "x.png"), picture)
    _, (line,) = run(tmp_path, str(tmp_path / "x.png"), still=True)
    assert line["faces"][0]["expression"] == "happiness"


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"nowhere/out: cannot write: No such file or directory; choose another"):
        analyze(Config(), AnalyzeOptions(sources=[ASTRONAUT], jsonl=str(tmp_path / "nowhere" / "out")))
    with pytest.raises(SinkError, match=r"/dev/full: cannot write any more: No space left"):
        analyze(Config(), AnalyzeOptions(sources=[ASTRONAUT], jsonl="/dev/full"))


def test_marked_pictures(tmp_path: Path, film: Path, astronaut: Image) -> None:
    run(tmp_path, str(film), draw=tmp_path / "drawn")
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == [f"{n:06d}.jpg" for n in range(20)]
    drawn = cv2.imread(str(tmp_path / "drawn" / "000000.jpg"))
    assert drawn is not None
    assert drawn.shape == (400, 512, 3)
    changed = np.abs(drawn.astype(int) - astronaut[:400]).max(axis=2) > 100
    assert 300 < changed.sum() < 20_000  # lines and a caption, not the whole picture
    _ys, xs = np.nonzero(changed)
    assert 130 < xs.min() < xs.max() < 340
    with pytest.raises(SinkError, match="cannot write"):
        analyze(Config(), AnalyzeOptions(sources=[ASTRONAUT], draw=film / "below_a_file"))
    (tmp_path / "full" / "astronaut.jpg").mkdir(parents=True)
    with pytest.raises(SinkError, match=r"full: cannot write any more: Is a directory"):
        analyze(Config(), AnalyzeOptions(sources=[ASTRONAUT], draw=tmp_path / "full"))


def test_drawing_says_why_it_abstains_and_leaves_the_original_alone(pipeline: Pipeline, astronaut: Image) -> None:
    dark = (astronaut // 12).astype(np.uint8)
    before = dark.copy()
    update = pipeline.look(frame_of(dark))
    assert update.tracks[0].expression is None
    drawn = Painter().paint(frame_of(dark), shown_by_pictures(update, pipeline))
    assert (dark == before).all()
    assert (drawn != before).any()
    assert (Painter().paint(frame_of(dark), ()) == before).all()


def test_a_face_at_the_edge_keeps_its_caption_in_the_picture(pipeline: Pipeline, astronaut: Image) -> None:
    cut = np.ascontiguousarray(astronaut[60:200, 160:290])
    update = pipeline.look(frame_of(cut))
    drawn = Painter().paint(frame_of(cut), shown_by_pictures(update, pipeline))
    assert drawn.shape == cut.shape
    assert (drawn != cut).any()


def test_odd_file_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.jpg"  # Latin-1, as old disks have it
    with open(odd, "wb") as file:
        file.write(Path(ASTRONAUT).read_bytes())
    failed, (line,) = run(tmp_path, os.fsdecode(odd), "x" * 300, still=True)
    assert failed == 1  # the one whose name no file can have
    assert line["source"].endswith("caf\ufffd.jpg")
    assert len(line["faces"]) == 1


def test_many_sources_do_not_pile_up(tmp_path: Path, film: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    run(tmp_path, *[str(film)] * 5)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_password_of_a_stream_is_written_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = "http://me:hunter2@127.0.0.1:1/x.mjpg?token=hunter2"
    failed, lines = run(tmp_path, address)
    assert (failed, lines) == (1, [])
    assert "//***@127.0.0.1:1/x.mjpg" in caplog.text
    assert "hunter2" not in caplog.text
    assert shown(address) == "http://***@127.0.0.1:1/x.mjpg?***"
    assert shown("rtsp://u:a/b@c@host/1") == "rtsp://***@host/1"
    assert shown("/films/what?.mp4") == "/films/what?.mp4"
