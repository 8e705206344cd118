"""`fer-edge forget`: nothing of a device stays on the broker, nothing of another goes."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.__main__ import main
from fer_edge.config import Config, Mqtt
from fer_edge.testing.brokers import Mosquitto, Recorder, free_port, wait_for
from tests.support.face_events import IDENTITY
from tests.support.sink_helpers import kept, mqtt_sink

KITCHEN, HALL = f"kitchen-{os.getpid()}", f"hall-{os.getpid()}"  # no daemon of another test has this id


def run_once(port: int, device: str) -> None:
    sink = mqtt_sink(Config(mqtt=Mqtt(broker="127.0.0.1", port=port)), replace(IDENTITY, device_id=device))
    sink.start()
    wait_for(lambda: sink.settled, "all is said")
    sink.close(5)


def settings(folder: Path, port: int) -> list[str]:
    file = folder / "config.yaml"
    file.write_text(json.dumps({"device": {"id": KITCHEN}, "mqtt": {"broker": "127.0.0.1", "port": port}}))
    return ["--config", str(file)]


def test_a_device_is_forgotten_and_another_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        run_once(broker.port, KITCHEN)
        run_once(broker.port, HALL)
        with Recorder(broker.port) as stranger:
            stranger.publish(f"homeassistant/sensor/fer-edge-{KITCHEN}/theirs/config", b'{"name":"x"}', retain=True)
        assert main(["forget", *settings(tmp_path, broker.port)]) == 0
        assert f"{KITCHEN} at 127.0.0.1" in capsys.readouterr().out
        left = kept(broker.port)
        ours = {topic for topic in left if KITCHEN in topic}
        assert ours == {f"homeassistant/sensor/fer-edge-{KITCHEN}/theirs/config"}
        assert {f"fer-edge/{HALL}/info", f"homeassistant/device/fer-edge-{HALL}/config"} <= left.keys()
        assert main(["forget", KITCHEN, *settings(tmp_path, broker.port)]) == 0
        assert "nothing was kept of it" in capsys.readouterr().out


def test_a_device_that_runs_is_not_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        seen.publish(f"fer-edge/{HALL}/availability", b"online", retain=True)
        assert main(["forget", HALL, *settings(tmp_path, broker.port)]) == 1
        assert f"the daemon of {HALL} runs" in capsys.readouterr().err
        assert f"fer-edge/{HALL}/availability" in kept(broker.port)


def test_a_list_of_topics_that_cannot_be_deleted_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the service's, and this user is another one; the next device would not be forgotten any more."""

    def refuse(self: Path, **_: bool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        seen.publish(f"fer-edge/{HALL}/state", b"{}", retain=True)
        monkeypatch.setattr(Path, "unlink", refuse)
        code = main(["forget", HALL, *settings(tmp_path, broker.port)])
        monkeypatch.undo()
    assert (code, capsys.readouterr().out.splitlines()[-1].split(": ", 1)[1]) == (0, "topics removed: 2")


def test_what_hinders_it_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", *settings(tmp_path, free_port())]) == 1
    assert "connection refused: no broker listens there" in capsys.readouterr().err
    assert main(["forget", "a/b", *settings(tmp_path, 1883)]) == 1
    assert 'forget: device "a/b": expected 1 to 64 letters' in capsys.readouterr().err
    assert main(["forget", "../b", "--pictures", *settings(tmp_path, 1883)]) == 1
    assert 'forget: device "../b": expected 1 to 64 letters' in capsys.readouterr().err
