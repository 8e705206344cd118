"""Models that are not the package's own are tried in another process first."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_edge.vision import probe
from fer_edge.vision.model_card import models_folder

MODULE = "a_runtime"


def runtime(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime whose interpreter does this when it is made."""
    (folder / f"{MODULE}.py").write_text(
        f"import os, signal, time\nclass Interpreter:\n  def __init__(self, **_): {body}\n"
    )
    monkeypatch.syspath_prepend(folder)


def test_a_model_that_crashes_the_runtime_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)", monkeypatch)
    with pytest.raises(ModelError, match=r"own\.tflite: the TFLite runtime crashes \(SIGSEGV\) on this model"):
        probe.try_model(b"crash", tmp_path / "own.tflite", module=MODULE)


def test_so_is_one_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime(tmp_path, "time.sleep(600)", monkeypatch)
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    with pytest.raises(ModelError, match="does not finish within 1 s"):
        probe.try_model(b"endless", tmp_path / "own.tflite", module=MODULE)


def test_what_is_only_refused_is_left_to_the_one_who_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime(tmp_path, "raise ValueError", monkeypatch)
    probe.try_model(b"refused", tmp_path / "own.tflite", module=MODULE)


def test_the_packages_own_models_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_end", lambda *_: pytest.fail("it was tried"))
    probe.try_model(b"any", models_folder() / "detector.tflite", module=MODULE)
