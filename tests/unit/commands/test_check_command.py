"""`fer-edge check` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fer_edge.__main__ import main
from fer_edge.testing.brokers import Mosquitto
from fer_edge.vision.model_card import models_folder
from tests.support.paths import DATA


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["check", "--schema"])
    assert not done.value.code
    assert json.loads(capsys.readouterr().out)["title"] == "fer-edge config.yaml"


def test_check_red_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"models: {{folder: {tmp_path}}}\n"
        "camera: {backend: replay, source: /nowhere.jpg}\n"
        "mqtt: {broker: 127.0.0.1, port: 1}\n"
        "jsonl: {enabled: true, path: /proc/nowhere/x}\n"
    )
    assert main(["check", "-c", str(path)]) == 1
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["models"].startswith("FAIL")
    assert "detector.json: cannot read the model card" in lines["models"]
    assert lines["camera"].startswith("FAIL")
    assert lines["broker"].startswith("warn")  # events wait for a broker that is away
    assert "connection refused" in lines["broker"]
    assert lines["permissions"].startswith("FAIL")


def test_check_names_a_detector_that_cannot_be_resized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models_folder(), folder)
    for path in DATA.glob("stiff.*"):
        shutil.copy(path, folder)
    path = tmp_path / "config.yaml"
    path.write_text(
        f"models: {{folder: {folder}, detector: stiff}}\n"
        "camera: {backend: replay, source: demo}\n"
        "mqtt: {enabled: false}\n"
    )
    assert main(["check", "-c", str(path)]) == 1
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["models"].startswith("FAIL")
    assert "stiff.tflite: not fully convolutional: cannot take 112x64" in lines["models"]


def test_check_with_the_embedded_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("camera: {backend: replay, source: demo}\nmqtt: {broker: embedded, port: 0}\n")
    assert main(["check", "-c", str(path)]) == 0
    assert "the embedded broker can listen on 127.0.0.1:" in capsys.readouterr().out


def test_check_meets_a_real_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    with Mosquitto.with_password(tmp_path / "broker", "me", "right") as broker:
        for password, word, outcome in (
            ("right", "ok", "accepted the connection"),
            ("wrong", "FAIL", "check user name and password"),
        ):
            (tmp_path / "secret").write_text(password)
            path.write_text(
                "camera: {backend: replay, source: demo}\n"
                f"mqtt: {{broker: 127.0.0.1, port: {broker.port}, username: me, password_file: {tmp_path}/secret}}\n"
            )
            assert main(["check", "-c", str(path)]) == (word == "FAIL")
            (line,) = (line for line in capsys.readouterr().out.splitlines() if " broker " in line)
            assert line.startswith(word)
            assert outcome in line
            assert "wrong" not in line
