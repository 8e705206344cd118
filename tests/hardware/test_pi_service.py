"""The service as systemd runs it: ready, watched, restarted, reloaded, stopped, shut in; with a real broker.

In a booted Debian 13; scripts/test-pi service runs it.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

import pytest

from tests.hardware.service_machine import DEVICE, ERROR, STATE, WARNING, Machine

pytest_plugins = ["tests.hardware.service_fixtures"]  # the fixtures booted and pi

QUICK = ("WatchdogSec=3", "RestartSec=500ms", "RestartMaxDelaySec=1s")
STOP_SECONDS = 5.0
START_SECONDS = 20.0


ON_DISK = f"""
import sqlite3
db = sqlite3.connect("file:{STATE}/{DEVICE}/outbox.sqlite?mode=ro", uri=True)
print(*(db.execute(f"SELECT count(*) FROM {{table}}").fetchone()[0] for table in ("open_faces", "events")))
"""


def noted(pi: Machine) -> None:
    """Wait until it is on disk that a face has started, for its end after a crash, and that the broker has taken the
    start, which would be sent again (outbox.write_every_seconds)."""
    pi.wait_for("the face on disk", lambda: pi.run("python3", "-c", ON_DISK, check=False) == "1 0")


def restarted(pi: Machine, before: int) -> None:
    """Wait until another process is ready, and hold it against what the broker was told."""
    pi.wait_for(
        "another daemon", lambda: pi.pid() not in (0, before) and pi.show("ActiveState") == "active", START_SECONDS
    )
    assert pi.show("NRestarts") == "1"
    first, last = pi.wait_for_event("start"), pi.wait_for_event("start", count=2)
    end = pi.wait_for_event("end")
    assert (end["boot_id"], end["track_id"]) == (first["boot_id"], first["track_id"])
    assert last["boot_id"] != first["boot_id"]
    assert [event["event_type"] for event in pi.events()] == ["start", "end", "start"]
    pi.wait_for("the new availability", lambda: pi.messages("availability")[-3:] == ["online", "offline", "online"])
    assert pi.logged("faces that it left open are ended now: 1", priority=WARNING)


def test_it_starts_with_the_system(booted: Machine) -> None:
    booted.reset()
    assert (booted.show("UnitFileState"), booted.show("ActiveState")) == ("enabled", "inactive")
    booted.run("systemctl", "soft-reboot")  # all of user space, from its first process on

    def back() -> bool:
        with suppress(subprocess.TimeoutExpired):  # whoever asks a systemd that ends may wait for ever
            command = ("systemctl", "show", "--property=SoftRebootsCount", "--value")
            return booted.run(*command, check=False, timeout=3.0) == "1" and booted.show("ActiveState") == "active"
        return False

    booted.wait_for("another boot", back)
    assert booted.show("StatusText") == "Watching"


def test_ready_only_after_the_first_frame(pi: Machine) -> None:
    pi.mood("stall")
    pi.configure(camera={"timeout_seconds": 30.0})
    pi.run("systemctl", "start", "--no-block", "fer-edge")
    until = time.monotonic() + 4.0
    while time.monotonic() < until:
        assert pi.show("ActiveState") == "activating"
        time.sleep(0.2)
    pi.mood("send")
    pi.wait_for("readiness", lambda: pi.show("ActiveState") == "active", START_SECONDS)
    assert pi.show("StatusText") == "Watching"
    assert pi.show("NRestarts") == "0"
    pi.wait_for_event("start")


def test_killed_it_comes_back_and_ends_what_was_open(pi: Machine) -> None:
    pi.drop_in(*QUICK)
    before = pi.begin()
    noted(pi)
    pi.run("systemctl", "kill", "--signal=KILL", "fer-edge")
    restarted(pi, before)
    assert pi.logged("Failed with result 'signal'", priority=WARNING)


def test_stopped_dead_the_watchdog_brings_it_back(pi: Machine) -> None:
    pi.drop_in(*QUICK)
    before = pi.begin()
    noted(pi)
    pi.run("systemctl", "kill", "--signal=STOP", "fer-edge")
    pi.wait_for("the watchdog", lambda: pi.logged("Watchdog timeout (limit 3s)!"))
    restarted(pi, before)
    # by its signal or in the midst of saying where it hung, which reads what other threads change
    assert pi.logged("Failed with result 'watchdog'", priority=WARNING), [line.text for line in pi.journal()]


def test_a_camera_that_hangs_without_an_error_gets_it_restarted(pi: Machine) -> None:
    pi.drop_in(*QUICK)
    pi.configure(camera={"timeout_seconds": 60.0})
    before = pi.begin()
    noted(pi)
    pi.mood("stall")
    pi.wait_for("the watchdog", lambda: pi.logged("Watchdog timeout (limit 3s)!"))
    pi.mood("send")
    restarted(pi, before)
    lines = [line.text for line in pi.journal()]
    assert any("camera/stream.py" in text and text.endswith("in read") for text in lines)  # where it hung
    assert pi.run("sh", "-c", f"ls {STATE}/{DEVICE}/core* /core* 2>/dev/null || true") == ""


def test_a_camera_that_stalls_is_told_and_found_again(pi: Machine) -> None:
    pi.configure(camera={"timeout_seconds": 1.0})
    before = pi.begin()
    assert pi.messages("camera/availability")[-1] == "online"
    pi.mood("stall")
    pi.wait_last("camera/availability", "offline")
    pi.wait_for_event("end")
    assert pi.show("StatusText").startswith("No picture from the camera: ")
    assert pi.logged("sent no frame within 1 s; all faces are ended; trying to open it again", priority=ERROR)
    pi.mood("send")
    pi.wait_last("camera/availability", "online")
    pi.wait_for_event("start", count=2)
    assert pi.show("StatusText") == "Watching"
    assert (pi.pid(), pi.show("NRestarts")) == (before, "0")
    assert pi.messages("availability") == ["online"]


def test_what_happens_while_the_broker_is_away_is_told_later(pi: Machine) -> None:
    pi.configure(camera={"timeout_seconds": 1.0})
    pi.begin()
    pi.run("systemctl", "stop", "mosquitto")
    pi.wait_for("the line", lambda: pi.logged("broker.test:1883", priority=WARNING))
    pi.mood("refuse")
    pi.wait_for("the lost camera", lambda: pi.show("StatusText").startswith("No picture from the camera: "))
    pi.mood("send")
    pi.wait_for("the camera", lambda: pi.show("StatusText") == "Watching")
    time.sleep(1.0)  # for a face to be confirmed
    pi.run("systemctl", "restart", "fer-edge")
    pi.run("systemctl", "start", "mosquitto")
    pi.wait_for_event("start", count=3)
    reported = [event for event in pi.events() if event["event_type"] != "update"]
    first, second = reported[0]["boot_id"], reported[-1]["boot_id"]
    kinds = [(event["boot_id"], event["event_type"]) for event in reported]
    assert kinds == [(first, "start"), (first, "end"), (first, "start"), (first, "end"), (second, "start")]
    assert all(event["replayed"] for event in reported[1:4])
    numbers = [event["seq"] for event in pi.events() if event["boot_id"] == first]
    assert numbers == list(range(1, len(numbers) + 1))


def test_reload_takes_over_what_is_right_and_refuses_what_is_wrong(pi: Machine) -> None:
    before = pi.begin()
    pi.configure(events={"enter": 0.6})
    pi.run("systemctl", "reload", "fer-edge")
    pi.wait_for("the new threshold", lambda: pi.setting("events/enter") == 0.6)
    assert pi.logged("changed: events.enter; keys that need a restart: none")
    lines = len(pi.journal(priority=ERROR))
    pi.configure(events={"enter": 7})
    pi.run("systemctl", "reload", "fer-edge")
    pi.wait_for("the refusal", lambda: len(pi.journal(priority=ERROR)) > lines)
    refusal = pi.journal(priority=ERROR)[lines:]
    assert len(refusal) == 1
    assert "the configuration is unchanged: /etc/fer-edge/config.yaml:1: section events" in refusal[0].text
    assert pi.setting("events/enter") == 0.6
    assert (pi.pid(), pi.show("ActiveState")) == (before, "active")


@pytest.mark.parametrize("trouble", ["none", "the broker is away", "the camera hangs"])
def test_it_stops_in_time(pi: Machine, trouble: str) -> None:
    pi.configure(camera={"timeout_seconds": 60.0})
    pi.begin()
    if trouble == "the broker is away":
        pi.run("systemctl", "stop", "mosquitto")
    if trouble == "the camera hangs":
        pi.mood("stall")
        time.sleep(0.5)
    begun = time.monotonic()
    pi.run("systemctl", "stop", "fer-edge")
    assert time.monotonic() - begun < STOP_SECONDS
    assert (pi.show("Result"), pi.show("ExecMainStatus")) == ("success", "0")
    if trouble == "the broker is away":
        assert pi.logged("events kept on disk for broker.test:1883 until the next start: ")
        pi.run("systemctl", "start", "mosquitto")
        pi.start()
    end = pi.wait_for_event("end")
    assert end["track_id"] == pi.wait_for_event("start")["track_id"]
    assert pi.messages("availability")[:2] == ["online", "offline"]


def test_a_wrong_configuration_is_not_tried_again(pi: Machine) -> None:
    pi.drop_in("RestartSec=100ms")
    pi.configure(camera={"fsp": 15})
    pi.run("systemctl", "start", "fer-edge", check=False)
    time.sleep(1.5)
    assert (pi.show("ActiveState"), pi.show("NRestarts"), pi.show("ExecMainStatus")) == ("failed", "0", "78")
    lines = [line.text for line in pi.journal(priority=ERROR) if line.program == "fer-edge"]
    assert len(lines) == 1
    assert lines[0].startswith("fer-edge: /etc/fer-edge/config.yaml:1: section camera, key fsp: unknown")
    pi.configure()
    pi.begin()


def test_a_missing_camera_is_waited_for_as_one_that_was_lost(pi: Machine) -> None:
    pi.mood("refuse")
    pi.configure()
    pi.run("systemctl", "start", "fer-edge")
    pi.wait_for(
        "the reason", lambda: pi.show("StatusText").startswith("No picture from the camera: http://127.0.0.1:8080/")
    )
    assert pi.show("ActiveState") == "active"
    assert pi.logged("waiting for it", priority=ERROR)
    pi.wait_last("camera/availability", "offline")
    pi.mood("send")
    pi.wait_for_event("start")
    assert (pi.show("StatusText"), pi.show("NRestarts")) == ("Watching", "0")
