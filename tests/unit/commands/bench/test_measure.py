"""`fer-edge bench`: figures of the pipeline and of each model, as a table and as JSON."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from fer_edge.__main__ import main
from fer_edge.camera.replay import PICTURES
from fer_edge.commands.bench import measure
from fer_edge.vision.model_card import models_folder, read_card
from fer_edge.vision.tflite import Model
from tests.support.paths import DATA

ASTRONAUT = str(PICTURES / "astronaut.jpg")


def test_bench_as_table_and_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "--frames", "20"]) == 0
    assert "frames/s over 20 frames" in capsys.readouterr().out.replace("\n", " ")
    assert main(["bench", "--frames", "20", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"] == 20
    assert set(figures["stages_ms"]["total"]) == {"p50", "p95", "mean_per_frame", "share_of_frames"}
    assert main(["bench", ASTRONAUT, "--frames", "3", "--json"]) == 0  # looked at again and again
    assert json.loads(capsys.readouterr().out)["frames"] == 3


class TestBenchModels:
    def test_json_and_table_say_what_the_cards_say(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bench", "--models", "--json"]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures["runs"] >= 200
        assert figures["threads"] == 1
        assert figures["runtime"].startswith("ai-edge-litert 2.")
        assert [row["role"] for row in figures["models"]] == ["detector", "landmarks", "expression"]
        for row in figures["models"]:
            card = read_card(models_folder(), row["name"])
            assert (row["macs"], row["parameters"], row["bytes"]) == (card.macs, card.parameters, card.bytes)
            assert row["bytes"] == (models_folder() / card.file).stat().st_size
            assert row["input"] == list(card.input.shape)
            assert 0 < row["median_ms"] <= row["p95_ms"] < 1000
        assert main(["bench", "--models"]) == 0
        table = capsys.readouterr().out
        for row in figures["models"]:
            assert f"{row['macs'] / 1e6:.1f}" in table
            assert f"{row['bytes']:,}" in table
            assert f"{row['input'][2]}x{row['input'][1]} {row['dtype']}" in table
        assert "300 runs each; 1 thread, ai-edge-litert 2." in table

    @pytest.mark.parametrize("name", ["bright", "red"])
    def test_the_first_runs_do_not_count(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        spent = [9.0] * measure.WARM_UP + [n / 1000 for n in range(measure.RUNS)]  # seconds: 0, 1, 2 ... 299 ms
        readings = itertools.chain.from_iterable((0.0, seconds) for seconds in spent)
        monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=partial(next, readings)))
        figures = measure.measure_model(Model(DATA, name, role="detector"))
        assert figures["median_ms"] == pytest.approx(150, abs=1)
        assert figures["p95_ms"] == pytest.approx(285, abs=1)

    def test_a_card_without_figures(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for path in models_folder().iterdir():
            shutil.copy(path, tmp_path)
        card = json.loads((tmp_path / "expression.json").read_text())
        del card["macs"], card["parameters"]
        (tmp_path / "expression.json").write_text(json.dumps(card))
        config = tmp_path / "config.yaml"
        config.write_text(f"models: {{folder: {tmp_path}, threads: 2}}\n")
        assert main(["bench", "--models", "-c", str(config)]) == 0
        table = capsys.readouterr().out
        assert table.count(" ? ") == 2
        assert "2 threads" in table

    @pytest.mark.parametrize(
        ("models", "words"),
        [
            ("{detector: nothing}", r"nothing.json: cannot read the model card: No such file .*: .*expression"),
            ("{detector: expression}", r"expression.json: expected role 'detector', got 'expression'"),
            ("{folder: /nowhere}", r"/nowhere/detector.json: cannot read the model card"),
        ],
    )
    def test_a_model_that_is_not_there(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], models: str, words: str
    ) -> None:
        config = tmp_path / "config.yaml"
        config.write_text(f"models: {models}\n")
        assert main(["bench", "--models", "-c", str(config)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(words, line)
