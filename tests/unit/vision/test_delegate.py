"""delegate.py and tflite.py with a real external delegate, which watches that its interface's rules are kept."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.__main__ import main
from fer_edge.config import Config, Models
from fer_edge.config import Detector as DetectorConfig
from fer_edge.errors import ConfigError, ModelError
from fer_edge.pipeline import load_models
from fer_edge.records import Image
from fer_edge.settings.loader import parse_config
from fer_edge.vision.delegate import Delegate, Share
from fer_edge.vision.detector import Detector
from fer_edge.vision.model_card import models_folder
from fer_edge.vision.tflite import Model
from tests.support.delegates import Strict, build, compiled_for_strict
from tests.support.paths import DATA
from tests.support.runtimes import each_runtime
from tests.support.samples import frame_of

MODELS = models_folder()
SHARES = {"detector": (4, 66), "landmarks": (1, 20), "expression": (0, 17)}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("delegate"))


@pytest.fixture
def strict(library: Path, tmp_path: Path) -> Strict:
    return Strict(library, tmp_path / "delegate.log")


def load(role: Any, delegate: Delegate | None, *, folder: Path = MODELS, name: str = "", **options: Any) -> Model:
    return Model(folder, name or role, role=role, delegate=delegate, **options)


def refusal(delegate: Delegate, role: str = "landmarks", **options: Any) -> str:
    """The one line that a user reads."""
    with pytest.raises(ModelError) as caught:
        load(role, delegate, **options)
    (line,) = str(caught.value).splitlines()
    return line


def noise(model: Model) -> Image:
    width, height = model.size
    return np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)


@each_runtime
class TestComputing:
    @pytest.mark.parametrize("role", SHARES)
    def test_what_it_computes_is_bit_for_bit_what_the_cpu_computes(
        self, strict: Strict, runtime: str, role: str
    ) -> None:
        alone, helped = load(role, None, runtime=runtime), load(role, strict.delegate(), runtime=runtime)
        assert alone.share is None
        assert helped.share == Share(str(strict.library), *SHARES[role])
        for one, other in zip(alone.infer(noise(alone)), helped.infer(noise(alone)), strict=True):
            assert (one == other).all()
        assert bool(strict.lines("run")) == (SHARES[role][0] > 0)  # it did compute, where it took something
        del helped
        gc.collect()
        strict.assert_clean(1)

    def test_a_model_that_runs_on_the_accelerator_only(self, strict: Strict, runtime: str, tmp_path: Path) -> None:
        """As the compiled models of an Edge TPU: a card and a name of its own, and an operator that no runtime has."""
        compiled_for_strict(MODELS, "landmarks", tmp_path)
        helped = load("landmarks", strict.delegate(), folder=tmp_path, name="landmarks_strict", runtime=runtime)
        assert str(helped.share) == "1 of 20"
        alone = load("landmarks", None, runtime=runtime)
        for one, other in zip(alone.infer(noise(alone)), helped.infer(noise(alone)), strict=True):
            assert (one == other).all()
        with pytest.raises(ModelError, match=r"strict-copy.*; it is compiled for an accelerator: name its library"):
            load("landmarks", None, folder=tmp_path, name="landmarks_strict", runtime=runtime)

    @pytest.mark.parametrize("threads", [1, 3])
    def test_it_is_told_the_threads(self, strict: Strict, runtime: str, threads: int) -> None:
        """models.threads reaches the runtime's context, which its own kernels read too."""
        load("landmarks", strict.delegate(), runtime=runtime, threads=threads)
        (line,) = strict.lines("prepare")
        assert line.endswith(f": 1 of 20 nodes, {threads} threads")

    def test_it_outlives_its_interpreter_and_is_destroyed_once(self, strict: Strict, runtime: str) -> None:
        models = [load("detector", strict.delegate(), runtime=runtime) for _ in range(3)]
        models[0].infer(noise(models[0]))
        assert strict.lines("destroy") == []
        for left in (2, 1, 0):
            models.pop()
            gc.collect()
            assert len(strict.lines("destroy")) == 3 - left
        strict.assert_clean(3)
        freed = [line.split()[-1] for line in strict.lines("kernel") if "freed" in line]
        assert len(freed) == 6  # two each

    def test_it_outlives_its_interpreter_in_a_cycle_too(self, strict: Strict, runtime: str) -> None:
        """Python's collector ends the parts of a cycle in any order."""
        for _ in range(3):
            cycle: list[Any] = [load("detector", strict.delegate(), runtime=runtime)]
            cycle.append(cycle)
            del cycle
            gc.collect()
        strict.assert_clean(3)

    def test_it_fails_when_it_runs(self, strict: Strict, runtime: str) -> None:
        """At the start, where it never works; later, where the accelerator is pulled out."""
        start = (
            f"{MODELS / 'landmarks.tflite'}: the TFLite runtime failed to run this model "
            f"(nodes of it run on {strict.library}): strict delegate: the accelerator is gone"
        )
        assert refusal(strict.delegate(fail="run"), runtime=runtime).startswith(start)
        model = load("landmarks", strict.delegate(fail="later"), runtime=runtime)
        with pytest.raises(ModelError) as caught:
            model.infer(noise(model))
        assert str(caught.value).startswith(start)
        assert "\n" not in str(caught.value)

    def test_a_graph_or_tensors_that_it_refuses(self, strict: Strict, runtime: str) -> None:
        start = f"{MODELS / 'landmarks.tflite'}: the TFLite runtime rejected this model with models.delegate "
        where = f"{start}'{strict.library}': strict delegate: "
        advice = "; use a model that is compiled for it"
        line = refusal(strict.delegate(fail="prepare"), runtime=runtime)
        assert line == f"{where}this graph is not for me{advice}"
        line = refusal(strict.delegate(fail="kernel"), runtime=runtime)
        assert line.startswith(f"{where}no room for these tensors Node number ")
        assert line.endswith(f"failed to prepare.{advice}")
        gc.collect()
        assert strict.lines("VIOLATION") == []
        assert len(strict.lines("create")) == len(strict.lines("destroy")) == 2

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"refuse": "no accelerator on usb"}, "option refuse: no accelerator on usb"),
            ({"devise": "usb"}, "option devise: unknown option"),
            ({"level": 12}, "option level: expected a whole number from 0 to 9"),
            ({"level": 1.5}, "option level: expected a whole number from 0 to 9"),
        ],
    )
    def test_options_that_it_refuses(
        self, strict: Strict, runtime: str, options: dict[str, str | float], reason: str
    ) -> None:
        line = refusal(strict.delegate(**options), runtime=runtime)
        assert line == (
            f"models.delegate '{strict.library}' cannot be used: {reason}; check the device and models.delegate_options"
        )
        assert strict.lines() == ["refused"]

    def test_options_reach_it_as_text(self, strict: Strict, runtime: str) -> None:
        load("landmarks", strict.delegate(level=7, take="nothing"), runtime=runtime)
        gc.collect()
        strict.assert_clean(1)
        assert "0 of 20" in strict.lines("prepare")[0]

    @pytest.mark.parametrize("name", ["/nowhere/libedgetpu.so.1", "libno-such-accelerator.so.1"])
    def test_a_library_that_is_not_there(self, runtime: str, name: str) -> None:
        assert refusal(Delegate(name), runtime=runtime) == (
            f"models.delegate {name!r} cannot be loaded: {name}: cannot open shared object file: "
            "No such file or directory; install it, or give its path"
        )

    def test_a_library_that_is_no_delegate(self, runtime: str) -> None:
        assert refusal(Delegate("libm.so.6"), runtime=runtime) == (
            "models.delegate 'libm.so.6' is not a TFLite delegate: expected it to export "
            "tflite_plugin_create_delegate, such as libedgetpu.so.1"
        )

    def test_a_file_that_is_no_library(self, runtime: str) -> None:
        assert "invalid ELF header; install it" in refusal(Delegate(str(DATA / "bright.json")), runtime=runtime)


def test_the_detector_keeps_the_size_of_its_card(strict: Strict) -> None:
    """A compiled model has one size: frames of any shape are letterboxed into it."""
    settings = DetectorConfig(min_score=0.5)
    wide = np.zeros((64, 320, 3), np.uint8)
    model = load("detector", strict.delegate(), folder=DATA, name="bright")
    detector = Detector(model, settings)
    detector(frame_of(wide))
    assert not model.resizable
    assert model.size == (96, 64)
    free = load("detector", None, folder=DATA, name="bright")
    Detector(free, settings)(frame_of(wide))
    assert free.size != (96, 64)
    assert strict.lines("VIOLATION") == []  # it was given one graph, once


def test_only_the_named_roles_run_on_it(strict: Strict) -> None:
    options: dict[str, str | int | float] = {"log": str(strict.log)}
    config = Models(delegate=str(strict.library), delegate_options=options, delegate_roles=("landmarks",))
    assert [str(model.share) for model in load_models(config)] == ["None", "1 of 20", "None"]
    gc.collect()
    strict.assert_clean(1)
    assert all(model.share is None for model in load_models(Config().models))


def test_one_that_takes_nothing_is_warned_of(strict: Strict, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for role in ("landmarks", "expression"):
            load(role, strict.delegate())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"{MODELS / 'landmarks.tflite'}: 1 of 20 nodes on {strict.library}"),
        ("WARNING", f"{MODELS / 'expression.tflite'}: 0 of 17 nodes on {strict.library}"),
    ]


class TestCommands:
    @pytest.fixture
    def config(self, strict: Strict, tmp_path: Path) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(
            f"device: {{id: delegate-{os.getpid()}}}\n"
            f"models: {{delegate: {strict.library}, delegate_options: {{log: {strict.log}, level: 3}}}}\n"
            "camera: {backend: replay, source: demo, pace: max}\n"
            "mqtt: {enabled: false}\n"
            f"jsonl: {{enabled: true, path: {tmp_path / 'events.jsonl'}}}\n"
        )
        return path

    def models_line(self, config: Path, capsys: pytest.CaptureFixture[str]) -> str:
        main(["check", "-c", str(config)])
        (line,) = (line for line in capsys.readouterr().out.splitlines() if line[5:].startswith("models "))
        return line

    def test_check_names_it_and_how_much_it_takes(
        self, config: Path, strict: Strict, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = self.models_line(config, capsys)
        assert line.startswith("warn")
        assert f"; nodes on {strict.library}: detector 4 of 66, landmarks 1 of 20, expression 0 of 17; " in line
        assert line.endswith(
            "all of expression runs on the CPU: use a model compiled for it, or shorten models.delegate_roles"
        )
        text = config.read_text().replace("level: 3}}", "level: 3}, delegate_roles: [detector, landmarks]}")
        config.write_text(text)
        line = self.models_line(config, capsys)
        assert line.startswith("ok")
        assert line.endswith(f"; nodes on {strict.library}: detector 4 of 66, landmarks 1 of 20")
        config.write_text(text.replace(str(strict.library), "/nowhere/lib.so"))
        assert self.models_line(config, capsys).startswith("FAIL models      models.delegate '/nowhere/lib.so' cannot")

    def test_bench_names_it(self, config: Path, strict: Strict, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bench", "--models", "-c", str(config), "--json"]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures["delegate"] == str(strict.library)
        parts = {row["role"]: (row["delegate"]["taken"], row["delegate"]["nodes"]) for row in figures["models"]}
        assert parts == SHARES
        assert main(["bench", "--models", "-c", str(config)]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "nodes on the delegate: detector 4 of 66, landmarks 1 of 20, expression 0 of 17" in shown

    def test_a_whole_run(self, config: Path, strict: Strict, tmp_path: Path) -> None:
        """A process from start to end: faces are found as without it, and at the end each delegate has gone, once."""
        command = [sys.executable, "-m", "fer_edge", "run", "-c", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        strict.assert_clean(3)
        assert len(strict.lines("run")) > 100
        events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert {event["track_id"] for event in events} == {1, 2, 3}


class TestConfig:
    def findings(self, text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            parse_config(text)
        return list(caught.value.findings)

    def test_values(self) -> None:
        options = "delegate_options: {device: usb, n: 3, x: 0.5}, delegate_roles: [expression]"
        models = parse_config(f"models: {{delegate: libedgetpu.so.1, {options}}}").models
        assert models.delegate_options == {"device": "usb", "n": 3, "x": 0.5}
        assert models.delegate_roles == ("expression",)

    @pytest.mark.parametrize(
        ("models", "finding"),
        [
            ('delegate: ""', 'key delegate: expected text of length >= 1, got ""'),
            ("delegate_options: {a: 1}", 'key delegate_options: expected models.delegate to be set too, got {"a": 1}'),
            ("delegate_options: {a: true}", 'key delegate_options: expected a number or text, got {"a": true}'),
            ("delegate_options: [a]", 'key delegate_options: expected keys below it, got ["a"]'),
            (
                r'delegate_options: {a: "x\x07"}',
                'key delegate_options: expected text without control characters, got {"a": "x\\u0007"}',
            ),
            (
                "delegate_roles: [eyes]",
                'key delegate_roles: expected one or more of "detector", "expression", "landmarks", got ["eyes"]',
            ),
            (
                "delegate_roles: []",
                'key delegate_roles: expected one or more of "detector", "expression", "landmarks", got []',
            ),
        ],
    )
    def test_findings(self, models: str, finding: str) -> None:
        assert self.findings(f"models:\n  {models}\n") == [f"config.yaml:2: section models, {finding}"]

    def test_a_size_for_a_detector_whose_size_is_fixed(self) -> None:
        text = "models: {delegate: x.so}\ndetector: {input_size: [320, 256]}\n"
        assert self.findings(text) == [
            "config.yaml:2: section detector, key input_size: expected null: a detector on models.delegate keeps "
            "the input size of its card, got [320, 256]"
        ]
        assert parse_config(text.replace("x.so", "x.so, delegate_roles: [expression]")).detector.input_size


def test_a_skip_says_why_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="gcc is not installed"):
        build(tmp_path)
