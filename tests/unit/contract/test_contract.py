"""The contract as data, and a whole daemon held against it."""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from fer_edge.contract import topics
from fer_edge.testing.brokers import SECONDS, Mosquitto, Recorder, wait_for
from tests.support.paths import ROOT

DEVICE = f"kitchen-{os.getpid()}"
"""An id of this process: a machine has one daemon of an id, and other runs of the tests start theirs beside us."""

BASE = f"fer-edge/{DEVICE}/"
CONFIG = (
    f"device: {{id: {DEVICE}}}"
    + """
camera: {backend: replay, source: demo, loop: true}
events: {heartbeat_seconds: 1.0}
zones:
  door: {points: [[0, 0], [1, 0], [1, 1], [0, 1]]}
alerts:
  joy: {expressions: [happiness], for_seconds: 0.2, cooldown_seconds: 0}
summary: {interval_seconds: 2, min_visitors: 1}
readings: {enabled: true}
stats: {interval_seconds: 1}
pictures: {enabled: true, at: [start]}
privacy: {images: true, landmarks: true}
"""
)


@contextmanager
def daemon(
    folder: Path, port: int, config: str = CONFIG, *, version: str = "auto"
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`fer-edge run` with a state folder of its own, ended by SIGTERM; and its configuration file."""
    path = folder / "config.yaml"
    path.write_text(f'{config}\nmqtt: {{port: {port}, version: "{version}"}}\nstate: {{folder: {folder / "state"}}}\n')
    command = [sys.executable, "-m", "fer_edge", "run", "--config", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process, path
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=SECONDS)
        print(output)


@cache
def validator(topic: str) -> Draft202012Validator:
    """Of a topic's payload, by the published schema."""
    schema = json.loads((ROOT / "docs" / "mqtt.schema.json").read_text())
    return Draft202012Validator({**schema["topics"][topic], "$defs": schema["$defs"]})


def check(name: str, payload: bytes) -> None:
    """Hold a message against the published schema."""
    topic = topics.topic_of(name)
    if not isinstance(topic.payload, str):
        validator(topic.name).validate(json.loads(payload))


def test_the_published_page_and_schema_are_current() -> None:
    assert (ROOT / "docs" / "mqtt-payloads.md").read_text() == topics.page()
    assert json.loads((ROOT / "docs" / "mqtt.schema.json").read_text()) == topics.json_schema()


@pytest.mark.parametrize(("options", "file"), [([], "mqtt-payloads.md"), (["--schema"], "mqtt.schema.json")])
def test_the_module_prints_what_is_published(
    options: list[str], file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fer_edge.contract", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("fer_edge.contract", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.rstrip() == (ROOT / "docs" / file).read_text().rstrip()


def test_a_topic_outside_the_contract_is_none_of_ours() -> None:
    assert topics.topic_of("alert/distress").name == "alert/<name>"
    for name in ("alerts", "alert", "camera", ""):
        with pytest.raises(KeyError):
            topics.topic_of(name)


def test_the_schema_refuses_what_is_not_in_the_contract() -> None:
    good: dict[str, Any] = {"v": 1, "faces": 0, "expressions": {}, "dominant": None}
    check("state", json.dumps(good).encode())
    for bad in (good | {"faces": "none"}, {key: value for key, value in good.items() if key != "v"}):
        with pytest.raises(jsonschema.ValidationError):
            check("state", json.dumps(bad).encode())


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_every_message_of_a_whole_run_is_as_the_contract_says(tmp_path: Path, version: str) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        with daemon(tmp_path, broker.port, version=version) as (process, _):
            seen.wait(f"{DEVICE}/event", 3)
            for asked, payload in (
                ("set/detector/min_score", b"0.45"),
                ("set/events/leave", b"0.9"),
                ("request/ping", b'{"transaction": "t-1"}'),
                ("request/reload", b""),
                ("request/snapshot", b""),
                ("request/dance", b"{}"),
            ):
                seen.publish(BASE + asked, payload)
            seen.wait("response/snapshot")
            seen.wait(f"{DEVICE}/snapshot")
            seen.wait(f"{DEVICE}/summary", 2)
            seen.wait(f"{DEVICE}/stats", 2)
            process.send_signal(signal.SIGTERM)
            seen.wait_last(f"{DEVICE}/availability", b"offline")
        ours = [message for message in seen.messages if message.topic.startswith(BASE)]
    names = set()
    for message in ours:
        topic = topics.topic_of(message.topic.removeprefix(BASE))
        names.add(topic.name)
        if message.payload or not topic.received:
            check(message.topic.removeprefix(BASE), message.payload)
        if not topic.received:
            assert message.qos == topic.qos, message.topic
    assert names == {topic.name for topic in topics.TOPICS}


def answers(seen: Recorder, key: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in seen.of(f"config/{key}")]


def test_what_is_set_is_in_force_at_once_is_answered_and_outlasts_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        seen.publish(BASE + "set/events/enter", "0.9", retain=True)  # left over from an earlier day
        with daemon(tmp_path, broker.port):
            seen.wait(f"{DEVICE}/event")
            seen.publish(BASE + "set/stats/interval_seconds", "0.2")
            wait_for(lambda: answers(seen, "stats/interval_seconds")[-1]["value"] == 0.2, "the answer")
            before = len(seen.of(f"{DEVICE}/stats"))
            seen.wait(f"{DEVICE}/stats", before + 4)
            seen.publish(BASE + "set/privacy/images", "true")
            seen.publish(BASE + "set/log/level", "error")
            seen.publish(BASE + "set/alerts/joy/enabled", "OFF")
            wait_for(lambda: answers(seen, "alerts/joy/enabled")[-1]["value"] is False, "the alert's answer")
            refused = json.loads(seen.wait("config/privacy/images")[-1])
            assert (refused["status"], refused["value"]) == ("refused", None)
            assert "only be changed in config.yaml" in refused["reason"]
        started = len(seen.of(f"{DEVICE}/info"))
        capsys.readouterr()
        with daemon(tmp_path, broker.port):
            seen.wait(f"{DEVICE}/info", started + 1)
            seen.wait("stats/interval_seconds", 3)
            assert answers(seen, "stats/interval_seconds")[-1]["value"] == 0.2
            assert answers(seen, "events/enter")[-1]["value"] == 0.5
            assert answers(seen, "log/level")[-1]["value"] == "error"
    assert "connected to" not in capsys.readouterr().out  # that is told at level info


def test_sighup_reads_the_file_again_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder(broker.port) as seen,
        daemon(tmp_path, broker.port) as (process, path),
    ):
        seen.wait(f"{DEVICE}/event")
        path.write_text(path.read_text().replace("heartbeat_seconds: 1.0", "heartbeat_seconds: 0.5"))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: answers(seen, "events/heartbeat_seconds")[-1]["value"] == 0.5, "the new value")
        path.write_text(path.read_text().replace("source: demo", "source: demo, width: 800"))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: json.loads(seen.of(f"{DEVICE}/info")[-1])["restart_required"], "a restart is required")
        path.write_text("events: {enter: much}")
        seen.publish(BASE + "request/reload", b'{"transaction": 5}')
        response = json.loads(seen.wait("response/reload")[-1])
        assert (response["status"], response["transaction"]) == ("error", 5)
        assert "section events, key enter: expected a number" in response["error"]
        assert process.poll() is None


def test_an_alert_that_a_reload_removes_leaves_nothing_behind(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        with daemon(tmp_path, broker.port) as (process, path):
            wait_for(lambda: any(b'"ON"' in payload for payload in seen.of("alert/joy")), "the alert is on")
            path.write_text(path.read_text().replace("  joy: {", "  glee: {"))
            process.send_signal(signal.SIGHUP)
            seen.wait("alert/glee")
            seen.wait_last("alert/joy", b"")  # when Home Assistant has let go of the entity
            wait_for(lambda: not seen.of("config/alerts/joy/min_faces")[-1], "its settings are gone too")
        with Recorder(broker.port) as late:
            late.wait("alert/glee")
            late.publish(BASE + "end", "x")
            late.wait(f"{DEVICE}/end")
            assert not [message.topic for message in late.messages if "joy" in message.topic]


def test_faces_that_a_kill_left_open_are_ended_at_the_next_start(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Recorder(broker.port) as seen:
        with daemon(tmp_path, broker.port) as (process, _):
            first = json.loads(seen.wait(f"{DEVICE}/event")[0])
            wait_for(lambda: written(tmp_path), "the open face is on the disk")
            process.kill()
        with daemon(tmp_path, broker.port):
            wait_for(lambda: ends(seen, first["boot_id"]), "its end")
            end = ends(seen, first["boot_id"])[0]
            assert (end["track_id"], end["replayed"], end["face_count"]) == (first["track_id"], True, 0)
            assert end["seq"] > 1_000_000


def ends(seen: Recorder, boot_id: str) -> list[dict[str, Any]]:
    reported = [json.loads(payload) for payload in seen.of(f"{DEVICE}/event")]
    return [event for event in reported if event["event_type"] == "end" and event["boot_id"] == boot_id]


def written(folder: Path) -> bool:
    """Whether a face stands in the file as open."""
    path = folder / "state" / DEVICE / "outbox.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return bool(db.execute("SELECT count(*) FROM open_faces").fetchone()[0])


def test_events_outlast_the_daemon_while_the_broker_is_away(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker", persistent=True)
    with broker, Recorder(broker.port, session="recorder"):
        wait_for((tmp_path / "broker" / "mosquitto.db").exists, "the recorder's session on disk")
    with daemon(tmp_path, broker.port) as (process, _):  # nobody listens there now
        wait_for(lambda: waiting(tmp_path) >= 3, "events on the disk")
        process.kill()
    held = waiting(tmp_path)
    with broker, Recorder(broker.port, session="recorder") as seen, daemon(tmp_path, broker.port):
        reported = [json.loads(payload) for payload in seen.wait(f"{DEVICE}/event", held + 1)]
        old = [event for event in reported if event["boot_id"] == reported[0]["boot_id"] and event["seq"] < 1_000_000]
        assert [event["seq"] for event in old] == list(range(1, held + 1))
        assert all(event["replayed"] for event in old)


def waiting(folder: Path) -> int:
    """How many events stand in the file."""
    path = folder / "state" / DEVICE / "outbox.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:  # just being made
            return 0


NO_CAMERA = CONFIG.replace("{backend: replay, source: demo, loop: true}", "{backend: v4l2, source: /dev/video987}")


def test_no_camera_at_the_start_is_said_and_waited_for(tmp_path: Path) -> None:
    """As a camera that is lost later: the daemon is ready, and says why there is no picture."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(SECONDS)
        with (
            Mosquitto(tmp_path / "broker") as broker,
            Recorder(broker.port) as seen,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("NOTIFY_SOCKET", str(address))  # not for mosquitto, which would say that it is ready too
            with daemon(tmp_path, broker.port, NO_CAMERA) as (process, _):
                wait_for(lambda: any(b"/dev/video987" in status for status in seen.of("camera/status")), "the reason")
                status = json.loads(seen.of("camera/status")[-1])
                assert status["state"] == "away"
                check("camera/status", seen.of("camera/status")[-1])
                seen.wait_last(f"{DEVICE}/availability", b"online")
                assert seen.of("camera/availability")[-1] == b"offline"
                seen.wait(f"{DEVICE}/stats")
                received = systemd.recv(4096)
                while b"READY=1" not in received:
                    received = systemd.recv(4096)
                assert b"No picture from the camera: /dev/video987" in received
                seen.publish(BASE + "set/camera/paused", "ON")
                wait_for(lambda: json.loads(seen.of("camera/status")[-1])["state"] == "paused", "the pause")
                assert process.poll() is None


def test_a_pause_closes_the_camera_and_is_over_when_it_is_lifted(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder(broker.port) as seen,
        daemon(tmp_path, broker.port) as (process, _),
    ):
        seen.wait(f"{DEVICE}/event")
        seen.publish(BASE + "set/camera/paused", "ON")
        seen.wait_last("camera/availability", b"offline")
        wait_for(lambda: json.loads(seen.of("camera/status")[-1])["state"] == "paused", "the pause")
        assert json.loads(seen.of(f"{DEVICE}/state")[-1])["faces"] == 0
        seen.publish(BASE + "set/camera/paused", "OFF")
        seen.wait_last("camera/availability", b"online")
        assert process.poll() is None


def test_a_restart_that_is_asked_for_ends_the_daemon_so_that_systemd_starts_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOCATION_ID", "0123456789abcdef")
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder(broker.port) as seen,
        daemon(tmp_path, broker.port) as (process, _),
    ):
        seen.wait(f"{DEVICE}/event")
        seen.publish(BASE + "request/restart", b"{}")
        assert process.wait(SECONDS) == os.EX_TEMPFAIL
        assert json.loads(seen.wait("response/restart")[-1])["status"] == "ok"
        seen.wait_last(f"{DEVICE}/availability", b"offline")
