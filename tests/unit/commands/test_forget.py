"""`fer-edge forget`: nothing of a device stays on the broker, nothing of another goes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from fer_edge.__main__ import main
from fer_edge.commands import forget as module
from fer_edge.config import Config, Mqtt
from fer_edge.errors import SinkError
from fer_edge.sinks.mqtt.limits import Message
from fer_edge.testing.brokers import Mosquitto, Recorder, free_port, wait_for
from tests.support.face_events import IDENTITY
from tests.support.sink_helpers import kept, mqtt_sink

KITCHEN, HALL = f"kitchen-{os.getpid()}", f"hall-{os.getpid()}"  # no daemon of another test has this id


@pytest.fixture(autouse=True)
def removed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Home Assistant gets two seconds otherwise; here nobody needs them."""
    monkeypatch.setattr(module, "REMOVE_SECONDS", 0.05)


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


class Broker:
    """A connection to a broker that keeps `kept`, and answers each removal, or other numbers, or not at all."""

    kept: ClassVar[dict[str, bytes]] = {}
    refusal: ClassVar[str | None] = None
    acknowledged: ClassVar[str] = "each"
    removed: ClassVar[list[str]]

    def __init__(self, *_: object, on_ack: Callable[..., None], on_message: Callable[..., None]) -> None:
        self._ack, self._message = on_ack, on_message
        self._answers: list[tuple[int, str | None]] = []

    def connect(self, _: float) -> None:
        """It is there."""

    def close(self) -> None:
        """It was there."""

    def subscribe(self, topics: list[str], *, needed: bool = True) -> None:
        """What is kept comes with the first `poll`, whatever is asked for."""

    def poll(self, _: float) -> None:
        kept, self.kept = self.kept, {}  # type: ignore[misc]  # of this connection; each is sent once
        for topic, payload in kept.items():
            self._message(topic, payload, retained=True)
        self._message("fer-edge/kitchen/event", b"{}", retained=False)
        for answer in self._answers:
            self._ack(*answer)
        self._answers.clear()

    def publish(self, message: Message) -> int:
        assert (message.payload, message.retain) == (b"", True)
        self.removed.append(message.topic)
        if self.acknowledged != "none":
            self._answers.append((len(self.removed) if self.acknowledged == "each" else 99, self.refusal))
        return len(self.removed)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> type[Broker]:
    """Whoever connects meets this one, which is quick."""

    class Own(Broker):
        removed: ClassVar[list[str]] = []

    monkeypatch.setattr(module, "Connection", Own)
    for name in ("QUIET_SECONDS", "REMOVE_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)
    return Own


STATE = "fer-edge/kitchen/state"
OURS = "homeassistant/device/fer-edge-kitchen/config"


def forget_kitchen() -> int:
    return module.forget(Mqtt(broker="far", port=1883), "kitchen", prefix="homeassistant")


def test_entities_go_before_the_values_that_they_read(broker: type[Broker]) -> None:
    broker.kept = {STATE: b"{}", OURS: b'{"o":{"name":"fer-edge"}}', "fer-edge/kitchen/info": b"{}"}
    assert forget_kitchen() == 3
    assert broker.removed == [OURS, "fer-edge/kitchen/info", STATE]


@pytest.mark.parametrize(
    "payload", [b"{", b"\xff", b"[1]", b"7", b"null", b"{}", b'{"o":[]}', b'{"origin":{"name":"zigbee2mqtt"}}']
)
def test_what_others_describe_stays(payload: bytes, broker: type[Broker]) -> None:
    theirs = "homeassistant/sensor/fer-edge-kitchen/theirs/config"
    broker.kept = {STATE: b"{}", theirs: payload}
    forget_kitchen()
    assert theirs not in broker.removed
    assert STATE in broker.removed


def test_a_removal_that_the_broker_refuses_is_one_line(broker: type[Broker]) -> None:
    broker.kept = {STATE: b"{}"}
    broker.refusal = "Not authorized"
    with pytest.raises(SinkError, match=r"it does not let this user remove .* \(Not authorized\); use a user who may"):
        forget_kitchen()


@pytest.mark.parametrize("acknowledged", ["none", "others"])
def test_a_removal_that_is_not_acknowledged_is_one_line(
    acknowledged: str, broker: type[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.03)
    broker.kept = {STATE: b"{}"}
    broker.acknowledged = acknowledged
    with pytest.raises(SinkError, match="far:1883: it did not acknowledge in time; try again"):
        forget_kitchen()


def test_a_device_or_a_camera_but_not_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", HALL, "--camera", "front", *settings(tmp_path, 1883)]) == 1
    words = capsys.readouterr().err
    assert HALL in words
    assert "front" in words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "belong to another user, such as the service; run",
        ),
        (OSError(errno.EIO, "Input/output error"), "cannot delete the pictures there: Input/output error"),
    ],
)
def test_pictures_that_cannot_be_deleted_are_one_line(
    error: OSError, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> int:
        raise error

    monkeypatch.setattr(module, "delete_pictures", refuse)
    assert main(["forget", "--pictures", *settings(tmp_path, 1883)]) == 1
    line = capsys.readouterr().err
    assert words in line
    assert str(tmp_path / "state" / KITCHEN / "pictures") in line


def test_a_daemon_that_runs_here_is_named_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_running", lambda device: device == "kitchen")
    with pytest.raises(SinkError, match="the daemon of kitchen runs"):
        forget_kitchen()
