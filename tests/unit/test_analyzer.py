"""The Python API: what its page shows, and that it says what the command says."""

from __future__ import annotations

import csv
import doctest
import json
import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fer_edge
from fer_edge.__main__ import main
from fer_edge.analyzer import Analyzer, Colours
from fer_edge.camera.replay import PICTURES
from fer_edge.commands.analyze.face_rows import FaceRow, FaceTable
from fer_edge.commands.analyze.rows import COLUMNS
from fer_edge.config import Config
from fer_edge.errors import ArgumentError, CameraError, ConfigError, ModelError
from fer_edge.records import LABELS, Image
from tests.support.films import pan, write_avi
from tests.support.paths import ROOT

ASTRONAUT = str(PICTURES / "astronaut.jpg")


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, astronaut: Image) -> Path:
    path = tmp_path_factory.mktemp("film") / "clip.avi"
    write_avi(path, pan(astronaut, 120))
    return path


@pytest.fixture(scope="module")
def rows(analyzer: Analyzer, film: Path) -> FaceTable:
    return analyzer.film(film)


def test_the_page_is_right(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ASTRONAUT, tmp_path / "holiday.jpg")
    shutil.copy(film, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "docs/python.md"), module_relative=False)
    assert failed == 0
    assert tried > 20


def test_importing_the_package_loads_nothing() -> None:
    loaded = "print(sorted({'cv2', 'numpy'} & set(sys.modules)))"
    for code, expected in (("import fer_edge", "[]"), ("from fer_edge import Analyzer", "['cv2', 'numpy']")):
        done = subprocess.run([sys.executable, "-c", f"import sys; {code}; {loaded}"], check=True, capture_output=True)
        assert done.stdout.decode().strip() == expected
    assert "Analyzer" in dir(fer_edge)
    with pytest.raises(AttributeError, match="no attribute 'Analyser'"):
        _ = fer_edge.Analyser


def test_a_picture_as_the_command_sees_it(analyzer: Analyzer, tmp_path: Path) -> None:
    arguments = [
        "analyze",
        ASTRONAUT,
        "--still",
        "--jsonl",
        str(tmp_path / "o.jsonl"),
        "--csv",
        str(tmp_path / "o.csv"),
    ]
    assert main(arguments) == 0
    (line,) = json.loads((tmp_path / "o.jsonl").read_text())["faces"]
    image = cv2.imread(ASTRONAUT)
    assert image is not None
    seen = [analyzer.look(ASTRONAUT), analyzer.look(np.asarray(image, np.uint8))]
    for (face,) in seen:
        assert [face.box.x0, face.box.y0, face.box.x1, face.box.y1] == line["box"]
        assert (face.score, face.expression, face.confidence) == (
            line["score"],
            line["expression"],
            line["confidence"],
        )
        assert (face.reason, face.track_id, face.probabilities) == (None, None, line["probabilities"])
        assert face.landmarks.tolist() == np.asarray(line["landmarks"], np.float32).tolist()
    assert (seen[0][0].source, seen[1][0].source) == (ASTRONAUT, "")


@pytest.mark.parametrize("still", [False, True])
def test_a_film_as_the_command_sees_it(analyzer: Analyzer, film: Path, still: bool, tmp_path: Path) -> None:
    assert main(["analyze", str(film), "--csv", str(tmp_path / "o.csv"), *(["--still"] if still else [])]) == 0
    with (tmp_path / "o.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    rows = analyzer.film(film, still=still)
    assert len(rows) == len(written) > 30
    for row, line in zip(rows, written, strict=True):
        assert {name: "" if (value := getattr(row, name)) is None else str(value) for name in COLUMNS} == line
    again = [face for frame in analyzer.frames(film, still=still) for face in frame.faces]
    assert FaceTable(again) == rows == analyzer.film(str(film), still=still), "nothing is left of the run before"


def test_records_have_the_columns(rows: FaceTable) -> None:
    assert [field.name for field in fields(FaceRow)] == [*COLUMNS, "landmarks"]
    with pytest.raises(FrozenInstanceError):
        rows[0].expression = "fear"  # type: ignore[misc]
    with pytest.raises(TypeError):
        rows[0] = rows[1]  # type: ignore[index]
    assert rows[:2][1] == rows[1]
    assert rows[-1].frame > rows[0].frame


def test_tables(rows: FaceTable, film: Path, tmp_path: Path) -> None:
    from arro3.io import read_parquet

    assert main(["analyze", str(film), "--parquet", str(tmp_path / "o.parquet")]) == 0
    written = read_parquet(str(tmp_path / "o.parquet")).read_all()
    table = rows.to_arrow()
    assert table.schema.names == written.schema.names == list(COLUMNS)
    for name in COLUMNS:
        assert table[name].type == written[name].type
        assert table[name].to_pylist() == written[name].to_pylist()
    assert FaceTable(()).to_arrow().num_rows == 0


def test_pandas(rows: FaceTable) -> None:
    pandas = pytest.importorskip("pandas")
    frame = rows.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["track_id"].tolist() == [row.track_id for row in rows]
    assert frame[frame.expression.notna()][list(LABELS)].sum(axis=1).round(2).eq(1).all()
    assert FaceTable(()).to_pandas().empty


def test_rows_and_tables_have_the_signals_that_config_switches_on(film: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with Analyzer({"attention": {"enabled": True}, "balance": {"enabled": True}}) as analyzer:
        faces = analyzer.film(film)
    assert list(faces.columns) == [*COLUMNS, "looks", "balance"]
    assert faces.to_arrow().schema.names == list(faces.columns)
    frame = faces.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["looks"].dtype == "boolean"
    assert frame["looks"].any()
    assert frame["balance"].between(-1, 1).any()
    last = faces[-1]
    assert last.cell("looks") == frame["looks"].tolist()[-1]
    assert list(faces[:3].to_pandas().columns) == list(frame.columns)


def test_the_order_of_colours(analyzer: Analyzer) -> None:
    image = np.asarray(cv2.imread(ASTRONAUT), np.uint8)
    before = image.copy()
    (face,) = analyzer.look(image)
    same: dict[Colours, Image] = {
        "RGB": np.ascontiguousarray(image[:, :, ::-1]),
        "BGR": np.asarray(np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]), np.uint8),
    }
    for order, picture in same.items():
        assert analyzer.look(picture, colours=order) == FaceTable([face])
    rgba = np.dstack([image[:, :, ::-1], np.zeros(image.shape[:2], np.uint8)])
    assert analyzer.look(rgba, colours="RGB") == FaceTable([face])
    read_only = image.view()
    read_only.flags.writeable = False
    assert analyzer.look(read_only) == FaceTable([face])
    assert len(analyzer.look(image.mean(axis=2).astype(np.uint8))) == 1
    assert (image == before).all()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3)), r"got float64\[4, 4, 3\]; for values from 0 to 1"),
        (np.zeros((4, 4, 2), np.uint8), r"got uint8\[4, 4, 2\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got uint8\[1, 4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8\[0, 4, 3\]"),
        (None, "expected a numpy array or a path, got NoneType"),
        ([[0]], "got list"),
    ],
)
def test_what_is_no_picture(analyzer: Analyzer, image: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        analyzer.look(image)


def test_other_mistakes(analyzer: Analyzer, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match='expected "BGR" or "RGB", got \'rgb\''):
        analyzer.look(np.zeros((4, 4, 3), np.uint8), colours="rgb")  # type: ignore[arg-type]
    for look in (analyzer.look, analyzer.film, lambda path: list(analyzer.frames(path))):
        with pytest.raises(CameraError, match="absent"):
            look(tmp_path / "absent.png")
    with pytest.raises(ConfigError, match=r"absent.yaml: cannot read the configuration"):
        Analyzer(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="section events, key enter"):
        Analyzer({"events": {"enter": 3}})
    with pytest.raises(ArgumentError, match="expected sections of plain numbers"):
        Analyzer({"events": {"enter": object()}})
    with pytest.raises(ModelError, match="nowhere"):
        Analyzer({"models": {"folder": "/nowhere"}})


def test_several_with_their_own_thresholds(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("detector: {min_face_px: 500}\n")
    with Analyzer() as usual, Analyzer(path) as large_only, Analyzer(Config()) as same:
        assert [len(each.look(ASTRONAUT)) for each in (usual, large_only, same, usual)] == [1, 0, 1, 1]
    with pytest.raises(ArgumentError, match="this Analyzer is closed"):
        usual.look(ASTRONAUT)
    usual.close()


def test_a_film_that_breaks_off_says_so(analyzer: Analyzer, film: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.avi").write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    rows = analyzer.film(tmp_path / "cut.avi")
    assert len(rows) > 5
    assert rows.trouble
    assert rows[:1].trouble == rows.trouble
