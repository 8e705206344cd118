"""check.py: what it says of the state folder; the other lines are tested with the command line (test_main.py)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from msgspec import structs

from fer_edge.commands.check import _broker, _permissions, _zones, findings
from fer_edge.config import Camera, Config, Detector, Device, Mqtt, Privacy, Rate, State, Web, Zone
from fer_edge.testing.brokers import Mosquitto, Recorder
from tests.support.boards import Board
from tests.support.full_disk import disk_that_ends_at


def lines(folder: Path, rate: Rate | None = None) -> dict[str, str]:
    config = Config(device=Device(id="kitchen"), state=State(folder=str(folder)), rate=rate or Rate())
    return {
        name: finding.text if finding.ok else f"warn: {finding.text}"
        for name, finding in findings(config, None)
        if name in ("settings", "permissions", "thermal")
    }


def test_the_purpose_is_shown() -> None:
    config = Config(device=Device(id="kitchen"))
    assert next(findings(config, None))[1].text.endswith("; device id kitchen; purpose not declared (privacy.purpose)")
    declared = structs.replace(config, privacy=Privacy(purpose="education", medical_or_safety=True))
    assert next(findings(declared, None))[1].text.endswith("; purpose education for medical or safety reasons")


def test_a_state_folder_that_can_be_made(tmp_path: Path) -> None:
    shown = lines(tmp_path / "state")
    assert shown["permissions"].startswith(f"{tmp_path / 'state' / 'kitchen'} can be written; ")
    assert shown["settings"] == "set over MQTT, instead of config.yaml: nothing"
    assert not (tmp_path / "state").exists()  # looking changes nothing


def test_a_state_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in lines(tmp_path / "file")["permissions"]
    assert "events are queued in memory only" in lines(tmp_path / "file")["permissions"]


def test_what_was_set_over_mqtt_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "kitchen" / "tuning.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"events.enter": 0.7, "readings.enabled": True}))
    assert lines(tmp_path)["settings"].endswith(": events.enter: 0.7, readings.enabled: True")
    path.write_text("{")
    assert lines(tmp_path)["settings"].startswith(f"warn: {path}: cannot read what was set over MQTT")


def test_heat_and_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(tmp_path / "board", monkeypatch)
    assert lines(tmp_path)["thermal"] == "no temperature is reported"
    board.temperature("55400")
    board.throttled("0")
    assert lines(tmp_path)["thermal"] == "55 C"
    board.throttled("50000")
    advice = "check power supply and cooling"
    assert lines(tmp_path)["thermal"] == f"warn: 55 C, under-voltage, throttled since the start: {advice}"
    board.throttled("50005")
    slower = "; fewer frames are processed (section rate)"
    assert lines(tmp_path)["thermal"] == f"warn: 55 C, under-voltage, throttled now: {advice}{slower}"
    board.throttled("0")
    board.temperature("78000")
    assert lines(tmp_path)["thermal"] == f"warn: 78 C: {advice}{slower}"
    assert lines(tmp_path, Rate(enabled=False))["thermal"] == f"warn: 78 C: {advice}"


def test_a_full_disk_is_not_ok(tmp_path: Path) -> None:
    config = Config(state=State(folder=str(tmp_path)))
    assert _permissions(config).ok
    with disk_that_ends_at(1000):
        finding = _permissions(config)
    assert not finding.ok
    assert "cannot be written: File too large" in finding.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("max_qos 0", "it supports QoS 0 only"),
        ("retain_available false", "it does not support retained messages"),
        ("max_packet_size 600", "it takes messages of 600 bytes at most"),
        ("acl_file {acl}", "response/check: Not authorized; allow this user to write there"),
    ],
)
def test_what_a_broker_does_not_take_is_said(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "acl").write_text("topic read fer-edge/#\n")
    device = f"check-{os.getpid()}"
    with Mosquitto(tmp_path / "broker", line.format(acl=tmp_path / "acl")) as broker:
        config = Config(device=Device(id=device), mqtt=Mqtt(broker="127.0.0.1", port=broker.port, version="5"))
        finding = _broker(config)
        assert words in finding.text
        assert not finding.ok
        assert f"as fer-edge-{device}" in broker.log.read_text()  # as the daemon connects
        with Recorder(broker.port, topic="#") as seen:
            if "max_qos" in line:
                seen.publish("end/of/it", "x", qos=0)
                seen.wait("of/it")
            else:
                seen.publish("end/of/it", "x")
            assert not seen.of("availability")  # it disconnects, so there is no will


def secrets_of(config: Config, path: Path) -> dict[str, str]:
    found = {name: finding for name, finding in findings(config, path) if name == "secrets"}
    return {name: finding.text if finding.ok else f"warn: {finding.text}" for name, finding in found.items()}


def test_files_that_others_can_read_are_warned_of(tmp_path: Path) -> None:
    password, token, path = tmp_path / "password", tmp_path / "token", tmp_path / "config.yaml"
    for each in (password, token, path):
        each.write_text("0123456789abcdef")
        each.chmod(0o644)
    config = Config(
        device=Device(id="kitchen"),
        state=State(folder=str(tmp_path)),
        mqtt=Mqtt(enabled=False, username="me", password_file=str(password)),
        web=Web(enabled=True, port=0, token_file=str(token)),
        camera=Camera(backend="stream", source="rtsp://127.0.0.1:9/"),
    )
    wide = secrets_of(config, path)["secrets"]
    files = f"{password}, {token}: chmod o-r {password} {token}"
    assert wide == f"warn: every user of this machine can read {files}"
    for each in (password, token):
        each.chmod(0o640)
    assert secrets_of(config, path)["secrets"] == f"no other user can read {password}, {token}"


def test_files_that_cannot_be_looked_for_are_no_end_of_the_checks(tmp_path: Path) -> None:
    """As in a folder that this user may not enter, which root always may."""
    never = str(tmp_path / ("x" * 300))
    config = Config(
        device=Device(id="kitchen"),
        camera=Camera(backend="replay", source="demo", width=64, height=48),
        mqtt=Mqtt(enabled=False, username="me", password_file=never),
        state=State(folder=never),
    )
    found = dict(findings(config, None))
    assert found["secrets"].ok
    assert {"permissions", "instance", "clock"} <= found.keys()


def test_a_password_in_the_address_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("")
    path.chmod(0o644)
    camera = Camera(backend="stream", source="rtsp://me:s3cret@127.0.0.1:9/")
    config = Config(device=Device(id="kitchen"), state=State(folder=str(tmp_path)), camera=camera)
    assert secrets_of(config, path)["secrets"] == (
        f"warn: every user of this machine can read {path}: chmod o-r {path}"
    )
    path.chmod(0o600)
    reported = secrets_of(config, path)["secrets"]
    assert reported.startswith(f"warn: {path} holds a camera's password: put it into camera.password_file")
    assert "s3cret" not in reported
    assert not secrets_of(Config(device=Device(id="kitchen"), mqtt=Mqtt(enabled=False)), path), "nothing to keep secret"


def test_zones_are_shown_and_one_where_no_face_is_found_is_worth_a_warning(tmp_path: Path) -> None:
    zones = {"door": Zone(points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))}
    found = _zones(Config(zones=zones))
    assert (found.ok, found.text) == (True, "door (50% of the picture)")
    outside = _zones(Config(zones=zones, detector=Detector(region=(0.6, 0, 1, 1))))
    assert (outside.ok, outside.fatal) == (False, False)
    assert "outside detector.region, where no new face is found: door" in outside.text
