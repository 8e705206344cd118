"""analyze/film.py: films are decoded again and compared with what went in."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.commands.analyze.film import SECTION_FRAMES, Film, boxes
from fer_edge.config import Config
from fer_edge.errors import SinkError
from fer_edge.records import Image
from tests.support.films import decoded, pan, wanted, write_uneven
from tests.support.full_disk import disk_that_ends_at

FRAME_NS = 33_333_333


def filled(film: Film, images: list[Image], *, first: int = 0) -> None:
    """Add pictures at 30 a second, the first of them with this number."""
    for number, image in enumerate(images, first):
        film.add(image, number * FRAME_NS)
        if (number + 1) % SECTION_FRAMES == 0:
            film.section()


def kinds(path: Path) -> list[bytes]:
    return [box[4:8] for box in boxes(path.read_bytes())]


def far(one: Image, other: Image) -> float:
    """Mean difference of two pictures, gray levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_a_film_is_what_browsers_play_and_shows_what_went_in(tmp_path: Path, astronaut: Image) -> None:
    images, path = pan(astronaut, 300), tmp_path / "x.mp4"
    film = Film(path)
    film.start()
    filled(film, images)
    film.section()
    assert kinds(path) == [b"ftyp", b"moov", *[b"moof", b"mdat"] * (kinds(path).count(b"moof"))]
    plain = film.plain()
    assert plain is not None
    assert [kind for kind in kinds(plain) if kind in (b"moov", b"moof", b"mdat")] == [b"moov", b"mdat"]
    for each in (path, plain):
        with av.open(str(each)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt, context.profile) == ("h264", "yuv420p", "High")
            assert container.duration == pytest.approx(10e6, abs=20)
        shown, times = decoded(each)
        assert times == pytest.approx([number / 30 for number in range(300)], abs=2e-5)
        assert max(far(one, other) for one, other in zip(shown, images, strict=True)) < 4
        assert far(shown[0], images[80]) > 8  # so the comparison can tell


def test_sections_go_on_from_each_other(tmp_path: Path, astronaut: Image) -> None:
    images = pan(astronaut, 300)
    for name in ("whole", "broken"):
        film = Film(tmp_path / name)
        film.start()
        filled(film, images[:200])
        if name == "broken":
            reached = film.reached
            film.section()  # what a stop adds, and a later run takes back
            film.close()
            film = Film(tmp_path / name)
            film.start(reached)
            filled(film, images[120:200], first=120)
        filled(film, images[200:], first=200)
        film.section()
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "broken").read_bytes()


def test_a_section_that_has_begun_is_left_out(tmp_path: Path, astronaut: Image) -> None:
    film = Film(tmp_path / "x.mp4")
    film.start()
    filled(film, pan(astronaut, SECTION_FRAMES + 50))
    film.close()
    film.section()
    assert len(decoded(tmp_path / "x.mp4")[0]) == SECTION_FRAMES


def test_a_film_of_nothing(tmp_path: Path) -> None:
    film = Film(tmp_path / "x.mp4")
    film.start()
    film.section()
    assert film.plain() is None


@pytest.mark.parametrize(("shape", "size"), [((75, 101), (102, 76)), ((5, 3), (16, 16)), ((9, 9000), (4096, 16))])
def test_sizes_that_yuv420p_cannot_have(tmp_path: Path, shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 200, np.uint8)
    film = Film(tmp_path / "x.mp4")
    film.start()
    film.add(image, 0)
    film.section()
    (shown,), _ = decoded(tmp_path / "x.mp4")
    assert shown.shape == (size[1], size[0], 3)
    middle = shown[size[1] // 2, size[0] // 2].astype(int)
    assert np.abs(middle - 200).max() < 8


def test_pictures_of_other_sizes_are_fitted_in(tmp_path: Path) -> None:
    film = Film(tmp_path / "x.mp4")
    film.start()
    film.add(np.full((64, 96, 3), 200, np.uint8), 0)
    film.add(np.full((200, 100, 3), 200, np.uint8), FRAME_NS)
    film.section()
    (_, tall), _ = decoded(tmp_path / "x.mp4")
    assert tall.shape == (64, 96, 3)
    assert tall[32, 48].min() > 180
    assert tall[32, :20].max() < 20


def test_times_that_stand_still_still_rise(tmp_path: Path) -> None:
    film = Film(tmp_path / "x.mp4")
    film.start()
    for t_ns in (0, 0, 5, 1_000_000_000):
        film.add(np.zeros((32, 32, 3), np.uint8), t_ns)
    film.section()
    _, times = decoded(tmp_path / "x.mp4")
    assert times == sorted(set(times))
    assert times[-1] == 1.0


def test_a_full_disk_takes_nothing_away(tmp_path: Path, astronaut: Image) -> None:
    path, film = tmp_path / "x.mp4", Film(tmp_path / "x.mp4")
    film.start()
    filled(film, pan(astronaut, SECTION_FRAMES))
    before = path.read_bytes()
    with disk_that_ends_at(len(before) + 1000):
        filled(film, pan(astronaut, 50), first=SECTION_FRAMES)
        with pytest.raises(OSError, match="File too large"):
            film.section()
    with disk_that_ends_at(len(before) // 2), pytest.raises(OSError, match="File too large"):
        film.plain()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]


def test_the_command_marks_faces_and_keeps_uneven_times(tmp_path: Path, astronaut: Image) -> None:
    images, times_ms = pan(astronaut, 40), [round(number * 20 + (number % 7) * 31) for number in range(40)]
    times_ms = sorted(times_ms)
    write_uneven(tmp_path / "in.mkv", images, times_ms)
    options = wanted(tmp_path / "o", tmp_path / "in.mkv", only=("video", "jsonl"))
    assert analyze(Config(), options) == 0
    shown, times = decoded(tmp_path / "o" / "out.mp4")
    assert times == pytest.approx([time_ms / 1000 for time_ms in times_ms], abs=2e-3)
    marks = np.abs(shown[0].astype(int) - images[0].astype(int)).max(axis=2) > 90
    ys, xs = np.nonzero(marks)
    assert 200 < marks.sum() < 8000, "lines and a caption, not the whole picture"
    assert 60 < xs.min() < xs.max() < 240
    assert ys.min() < 100


def test_pictures_make_a_film_too(tmp_path: Path, astronaut: Image) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), astronaut)
    options = wanted(tmp_path / "o", tmp_path / "in", only=("video",), still=True)
    assert analyze(Config(), options) == 0
    assert len(decoded(tmp_path / "o" / "out.mp4")[0]) == 2


def test_where_nothing_can_be_read_there_is_no_film(tmp_path: Path) -> None:
    assert analyze(Config(), wanted(tmp_path / "o", tmp_path / "absent.mkv", only=("video", "jsonl"))) == 1
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["out.jsonl"]


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SinkError, match=r"--video needs PyAV: pip install 'fer-edge\[analyze\]'"):
        analyze(Config(), AnalyzeOptions(sources=["demo"], video=tmp_path / "x.mp4"))
    assert list(tmp_path.iterdir()) == []


def test_a_link_where_a_neighbour_was_is_not_followed(tmp_path: Path, astronaut: Image) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("out.mp4.new", "out.parquet.rows"):
        (tmp_path / name).symlink_to(precious)
    write_uneven(tmp_path / "film.mkv", [astronaut] * 3, [0, 40, 80])
    options = AnalyzeOptions(
        sources=[str(tmp_path / "film.mkv")], video=tmp_path / "out.mp4", parquet=tmp_path / "out.parquet"
    )
    assert analyze(Config(), options) == 0
    assert precious.read_text() == "mine"
    assert len(decoded(tmp_path / "out.mp4")[0]) == 3
    assert not list(tmp_path.glob(".*.partial"))
