"""check.py: what it says of the state folder; the other lines are tested with the command line (test_main.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fer_edge.commands.check import findings
from fer_edge.config import Config, Device, Rate, State
from tests.support.boards import Board


def lines(folder: Path, rate: Rate | None = None) -> dict[str, str]:
    config = Config(device=Device(id="kitchen"), state=State(folder=str(folder)), rate=rate or Rate())
    return {
        name: finding.text if finding.ok else f"warn: {finding.text}"
        for name, finding in findings(config, None)
        if name in ("settings", "permissions", "thermal")
    }


def test_a_state_folder_that_can_be_made(tmp_path: Path) -> None:
    shown = lines(tmp_path / "state")
    assert shown["permissions"].startswith(f"{tmp_path / 'state' / 'kitchen'} can be written; ")
    assert shown["settings"] == "set over MQTT, instead of config.yaml: nothing"
    assert not (tmp_path / "state").exists()  # looking changes nothing


def test_a_state_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in lines(tmp_path / "file")["permissions"]
    assert "events wait in memory only" in lines(tmp_path / "file")["permissions"]


def test_what_was_set_over_mqtt_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "kitchen" / "tuning.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"events.enter": 0.7, "readings.enabled": True}))
    assert lines(tmp_path)["settings"].endswith(": events.enter: 0.7, readings.enabled: True")
    path.write_text("{")
    assert lines(tmp_path)["settings"].startswith(f"warn: {path}: cannot read what was set over MQTT")


def test_heat_and_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(tmp_path / "board", monkeypatch)
    assert lines(tmp_path)["thermal"] == "no temperature is told"
    board.temperature("55400")
    board.throttled("0")
    assert lines(tmp_path)["thermal"] == "55 C"
    board.throttled("50000")
    advice = "check power supply and cooling"
    assert lines(tmp_path)["thermal"] == f"warn: 55 C, under-voltage, throttled since the start: {advice}"
    board.throttled("50005")
    slower = "; fewer frames are looked at (section rate)"
    assert lines(tmp_path)["thermal"] == f"warn: 55 C, under-voltage, throttled now: {advice}{slower}"
    board.throttled("0")
    board.temperature("78000")
    assert lines(tmp_path)["thermal"] == f"warn: 78 C: {advice}{slower}"
    assert lines(tmp_path, Rate(enabled=False))["thermal"] == f"warn: 78 C: {advice}"
