"""What `analyze` writes beside lines and films: tables, events and a report; and what cannot be asked for together."""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from arro3.core import DataType
from arro3.io import read_parquet

from fer_edge.__main__ import main
from fer_edge.camera.replay import PICTURES
from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.commands.analyze.rows import COLUMNS, NEVER_NULL, columns_of, header, write_parquet
from fer_edge.commands.analyze.timeline import MOST_STEPS, FilmTimeline, shortened
from fer_edge.commands.report.summary import figures
from fer_edge.config import Attention, Balance, Config, Zone
from fer_edge.errors import ConfigError, FerEdgeError, SinkError
from fer_edge.pipeline import Pipeline
from fer_edge.records import LABELS, Frame, Image, Update
from tests.support.films import json_lines, pan, wanted, write_avi, write_uneven
from tests.support.full_disk import disk_that_ends_at
from tests.support.paths import ROOT

ASTRONAUT = str(PICTURES / "astronaut.jpg")
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, astronaut: Image) -> Path:
    """Everything of a film of eight seconds."""
    path = tmp_path_factory.mktemp("outputs")
    write_avi(path / "film.avi", pan(astronaut, 240))
    options = wanted(path / "out", path / "film.avi", only=("jsonl", "csv", "parquet", "events", "report"))
    assert analyze(Config(), options) == 0
    return path / "out"


def test_a_row_a_face_a_frame(folder: Path) -> None:
    lines = json_lines(folder / "out.jsonl")
    with (folder / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    faces = [(line, face) for line in lines for face in line["faces"]]
    assert len(table) == len(faces) > 50
    for row, (line, face) in zip(table, faces, strict=True):
        assert list(row) == list(COLUMNS)
        assert (int(row["frame"]), float(row["t_s"]), row["source"]) == (line["frame"], line["t_s"], line["source"])
        assert [float(row[side]) for side in ("x0", "y0", "x1", "y1")] == face["box"]
        assert (row["expression"] or None, row["reason"] or None) == (face["expression"], face["reason"])
        assert {label: float(row[label]) for label in LABELS if row[label]} == face["probabilities"]
    assert {row["track_id"] for row in table} == {str(face["track_id"]) for _, face in faces}


def test_the_same_rows_typed(folder: Path) -> None:
    table = read_parquet(folder / "out.parquet").read_all()
    found = [
        (field.name, field.type, field.nullable)
        for field in (table.schema.field(number) for number in range(table.num_columns))
    ]
    kinds = {name: getattr(DataType, kind)() for name, kind in COLUMNS.items()}
    assert found == [(name, kind, name not in NEVER_NULL) for name, kind in kinds.items()]
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table.num_rows == len(rows)
    for name, kind in COLUMNS.items():
        values = table[name].to_pylist()
        if kind == "string":
            assert values == [row[name] or None for row in rows]
        else:
            expected = [float(row[name]) if row[name] else np.nan for row in rows]
            np.testing.assert_allclose([np.nan if value is None else value for value in values], expected, rtol=1e-6)


def test_pictures_have_no_tracks_in_tables(tmp_path: Path) -> None:
    assert analyze(Config(), wanted(tmp_path / "o", ASTRONAUT, only=("csv", "parquet"), still=True)) == 0
    (row,) = csv.DictReader((tmp_path / "o" / "out.csv").read_text().splitlines())
    assert (row["track_id"], row["expression"], row["source"]) == ("", "happiness", ASTRONAUT)
    assert read_parquet(tmp_path / "o" / "out.parquet").read_all()["track_id"].to_pylist() == [None]


def test_a_parquet_file_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(header())
    write_parquet(tmp_path / "x.csv", tmp_path / "x.parquet")
    table = read_parquet(tmp_path / "x.parquet").read_all()
    assert (table.num_rows, table.num_columns) == (0, len(COLUMNS))


def test_parquet_on_a_full_disk(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.parquet"
    target.write_text("what was there")
    with disk_that_ends_at(2000), pytest.raises(OSError, match="File too large"):
        write_parquet(folder / "out.csv", target)
    assert target.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [target]


def test_events_are_what_mqtt_would_have(folder: Path) -> None:
    contract = json.loads((DOCS / "mqtt.schema.json").read_text())
    events = json_lines(folder / "events.jsonl")
    assert [event["event_type"] for event in events].count("start") >= 2
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert event.pop("source").endswith("film.avi")
        jsonschema.validate(event, {**contract, "$ref": "#/$defs/EventPayload"})
        assert datetime.fromisoformat(event["ts"]).timestamp() == pytest.approx(event["mono_ns"] / 1e9, abs=1e-3)
        assert event["clock_synced"] is False
    started, ended = ([e["track_id"] for e in events if e["event_type"] == kind] for kind in ("start", "end"))
    assert sorted(started) == sorted(ended)


def test_a_report_of_a_film(folder: Path) -> None:
    page = (folder / "out.html").read_text()
    assert "Faces in film.avi" in page
    assert "8.0 s of film" in page
    assert "arrivals per second" in page, "a short film is told in short steps"
    assert "time in the film, s" in page
    assert "happiness" in page
    visitors = len([event for event in json_lines(folder / "events.jsonl") if event["event_type"] == "start"])
    assert f"<dt>faces that came</dt><dd>{visitors}</dd>" in page


def test_a_film_of_few_frames_was_watched_all_the_time(tmp_path: Path, astronaut: Image) -> None:
    write_uneven(tmp_path / "x.mkv", [np.ascontiguousarray(astronaut[:400])] * 6, [5000 * n for n in range(6)])
    assert analyze(Config(), wanted(tmp_path / "o", tmp_path / "x.mkv", only=("report",))) == 0
    page = (tmp_path / "o" / "out.html").read_text()
    assert "30 s of film" in page
    seconds = float(re.findall(r"<dt>face time</dt><dd>([0-9.]+) s", page)[0])
    assert 20 <= seconds <= 30
    assert "Hatched" not in page


def test_a_report_of_nobody(tmp_path: Path) -> None:
    write_avi(tmp_path / "x.avi", [np.full((96, 128, 3), 90, np.uint8)] * 20)
    assert analyze(Config(), wanted(tmp_path / "o", tmp_path / "x.avi", only=("report",))) == 0
    assert "Nobody was seen." in (tmp_path / "o" / "out.html").read_text()


def test_damaged_frames_are_noted(tmp_path: Path, astronaut: Image) -> None:
    write_avi(tmp_path / "x.avi", pan(astronaut, 60))
    (tmp_path / "x.avi").write_bytes((tmp_path / "x.avi").read_bytes()[: (tmp_path / "x.avi").stat().st_size // 2])
    analyze(Config(), wanted(tmp_path / "o", tmp_path / "x.avi", only=("report",)))
    assert re.search(r"x\.avi: .*ended after \d+ of 60 frames, truncated", (tmp_path / "o" / "out.html").read_text())


def asked_for(option: str, path: Path) -> AnalyzeOptions:
    outputs: dict[str, Any] = {option: path}
    return AnalyzeOptions(sources=["demo"], **outputs)


def step(pipeline: Pipeline, image: Image, t_s: float) -> Update:
    gray = np.ascontiguousarray(image[:, :, 0])
    return pipeline.step(Frame(0, round(t_s * 1e9), image, gray))


def test_a_long_film_is_told_in_coarser_steps(pipeline: Pipeline) -> None:
    nothing, chronicle = np.zeros((32, 32, 3), np.uint8), FilmTimeline()
    chronicle.begin("long")
    for t_s in range(MOST_STEPS + 100):
        chronicle.add(step(pipeline, nothing, float(t_s)))
    chronicle.end(pipeline.end_all(0))
    assert chronicle.maker.seconds == 5
    assert len(chronicle.steps) < MOST_STEPS / 3
    assert {minute.begin_s % 5 for minute in chronicle.steps} == {0}
    story = chronicle.story()
    assert (story.end_s, figures(story).watched_s) == (MOST_STEPS + 100, MOST_STEPS + 100)


def test_films_follow_each_other(pipeline: Pipeline) -> None:
    nothing, chronicle = np.zeros((32, 32, 3), np.uint8), FilmTimeline()
    for name in ("one.avi", "two.avi"):
        chronicle.begin(name)
        for number in range(10):
            chronicle.add(step(pipeline, nothing, number / 10))
        chronicle.end(pipeline.end_all(0), "ended early" if name == "two.avi" else None)
    assert [(reel.begin_s, round(reel.end_s, 6)) for reel in chronicle.reels] == [(0.0, 1.0), (pytest.approx(1.0), 2.0)]
    story = chronicle.story("The run was stopped.")
    assert list(story.notes) == [
        "The run was stopped.",
        "two.avi: ended early.",
        "Times run through all films, one after the other: one.avi from 0:00:00, two.avi from 0:00:01.",
    ]
    assert figures(story).watched_s == pytest.approx(2.0)


def test_long_names_are_shortened() -> None:
    assert shortened("a.mkv") == "a.mkv"
    assert shortened("x" * 40 + ".mkv") == "…" + "x" * 19 + ".mkv"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"video": Path("x.mp4"), "sources": ["a.mkv", "b.mkv"]}, "--video: expected one source, got 2"),
        ({"events": "e", "still": True}, "--events: reports changes over time"),
        ({"jsonl": "-", "csv": "-"}, "--csv -: --jsonl is written there already"),
        ({"jsonl": "x", "events": "./x"}, r"--events \./x: --jsonl is written there already"),
        ({"video": Path("demo")}, "--video demo: is a source; it would be overwritten"),
        ({"video": Path()}, r"--video \.: is a folder; expected a file in it"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        analyze(Config(), replace(AnalyzeOptions(sources=["demo"]), **options))
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_pictures(tmp_path: Path, astronaut: Image) -> None:
    (tmp_path / "in").mkdir()
    write_avi(tmp_path / "in" / "film.avi", pan(astronaut, 3))
    (tmp_path / "in" / "a.jpg").write_bytes(Path(ASTRONAUT).read_bytes())
    (tmp_path / "in" / "b.jpg").write_bytes(b"damaged")
    assert analyze(Config(), wanted(tmp_path / "o", tmp_path / "in", only=("report",), still=True)) == 1
    page = (tmp_path / "o" / "out.html").read_text()
    assert "Faces in 4 pictures" in page
    assert "<dt>faces</dt><dd>4</dd>" in page
    assert '<th scope="row">a.jpg</th><td class="number">1</td><td>happiness</td>' in page
    assert "film.avi, frame 2" in page
    assert "in: 1 of 2 pictures could not be decoded." in page


def test_pictures_may_go_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert analyze(Config(), AnalyzeOptions(sources=["demo"], draw=Path())) == 0
    assert (tmp_path / "000000.jpg").exists()


@pytest.mark.parametrize(
    ("module", "option", "words"),
    [
        ("arro3.io", "parquet", r"--parquet needs arro3-io: pip install 'fer-edge\[analyze\]'"),
        ("matplotlib", "report", r"a report needs matplotlib: pip install 'fer-edge\[report\]'"),
        ("jinja2", "report", r"a report needs jinja2: pip install 'fer-edge\[report\]'"),
    ],
)
def test_without_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, option: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fer_edge.commands.report.charts", raising=False)
    with pytest.raises(FerEdgeError, match=words):
        analyze(Config(), asked_for(option, tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_lines_go_to_stdout_only_where_nothing_else_is_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", ASTRONAUT, "--still", "--csv", str(tmp_path / "x.csv")]) == 0
    assert capfd.readouterr().out == ""
    assert main(["analyze", ASTRONAUT, "--still", "--csv", "-"]) == 0
    assert capfd.readouterr().out == (tmp_path / "x.csv").read_text()


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_save_every(seconds: str) -> None:
    with pytest.raises(SystemExit):
        main(["analyze", "demo", "--save-every", seconds])


def test_an_output_that_cannot_be_opened(tmp_path: Path) -> None:
    for option in ("csv", "parquet", "events", "video", "report"):
        options = asked_for(option, tmp_path / "no" / "x")
        with pytest.raises(
            SinkError, match=rf"no/x.*: cannot write: No such file or directory; choose another --{option}"
        ):
            analyze(Config(), options)


@pytest.mark.parametrize("name", ["=1+2.png", "+a.png", "-a.png", "@a.png"])
def test_a_name_is_no_formula_in_a_table(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spreadsheets run what begins so, and whoever sends pictures chooses their names."""
    (tmp_path / name).write_bytes(Path(ASTRONAUT).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert analyze(Config(), wanted(tmp_path / "o", name, only=("csv",), still=True)) == 0
    (row,) = csv.DictReader((tmp_path / "o" / "out.csv").read_text().splitlines())
    assert row["source"] == f"'{name}"


WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
WATCHED = Config(
    attention=Attention(enabled=True),
    balance=Balance(enabled=True),
    zones={"left": Zone(points=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))), "all": Zone(points=WHOLE)},
)


def test_zones_and_signals_have_columns_where_config_has_any(tmp_path: Path, astronaut: Image) -> None:
    write_avi(tmp_path / "film.avi", pan(astronaut, 60))
    options = wanted(tmp_path / "o", tmp_path / "film.avi", only=("jsonl", "csv", "parquet"))
    assert analyze(WATCHED, options) == 0
    more = {"zones": "string", "looks": "bool", "balance": "float32"}
    assert columns_of(WATCHED) == COLUMNS | more
    with (tmp_path / "o" / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    faces = [face for line in json_lines(tmp_path / "o" / "out.jsonl") for face in line["faces"]]
    words = {True: "true", False: "false", None: ""}
    for row, face in zip(table, faces, strict=True):
        assert row["zones"] == ";".join(face["zones"])
        assert row["looks"] == words[face["signals"]["looks"]["on"]]
        assert (float(row["balance"]) if row["balance"] else None) == face["signals"]["balance"]["value"]
    assert {frozenset(row["zones"].split(";")) for row in table} >= {frozenset({""}), frozenset({"left", "all"})}
    assert "true" in {row["looks"] for row in table}
    typed = read_parquet(tmp_path / "o" / "out.parquet").read_all()
    assert typed["looks"].to_pylist() == [{"true": True, "false": False, "": None}[row["looks"]] for row in table]
    assert typed["zones"].to_pylist() == [row["zones"] or None for row in table]


def test_pictures_have_no_zones_or_signals(tmp_path: Path) -> None:
    assert analyze(WATCHED, wanted(tmp_path / "o", ASTRONAUT, only=("jsonl", "csv"), still=True)) == 0
    (row,) = csv.DictReader((tmp_path / "o" / "out.csv").read_text().splitlines())
    assert (row["zones"], row["looks"], row["balance"]) == ("", "", "")
    (line,) = json_lines(tmp_path / "o" / "out.jsonl")
    assert not {"zones", "signals"} & set(line["faces"][0])
