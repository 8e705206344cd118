"""The service as systemd runs it: ready, watched, restarted, reloaded, stopped, shut in; with a real broker.

In a booted Debian 13; scripts/test-pi service runs it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from service_machine import DEVICE, ERROR, STATE, WARNING, Machine, machine

QUICK = ("WatchdogSec=3", "RestartSec=500ms", "RestartMaxDelaySec=1s")
STOP_SECONDS = 5.0
START_SECONDS = 20.0


@pytest.fixture(scope="module")
def booted() -> Iterator[Machine]:
    with machine() as booted:
        yield booted


@pytest.fixture
def pi(booted: Machine) -> Iterator[Machine]:
    booted.reset()
    with booted.listening():
        yield booted


def began(pi: Machine) -> int:
    """Start, and wait for a face; the daemon's process."""
    pi.start()
    pi.wait_for_event("start")
    return pi.pid()


def noted() -> None:
    """Wait until a face's start is on disk, for its end after a crash (outbox.write_every_seconds)."""
    time.sleep(1.5)


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
    assert [event["event_type"] for event in pi.events() if event["event_type"] != "update"] == [
        "start",
        "end",
        "start",
    ]
    pi.wait_for("the new availability", lambda: pi.messages("availability")[-3:] == ["online", "offline", "online"])
    assert pi.said("faces that it left open and that are ended now: 1", priority=WARNING)


def test_it_starts_with_the_system_when_enabled(booted: Machine) -> None:
    booted.reset()
    booted.run("systemctl", "enable", "fer-edge")
    assert booted.show("ActiveState") == "inactive"
    booted.run("systemctl", "soft-reboot")  # all of user space, from its first process on

    def back() -> bool:
        command = ("systemctl", "show", "--property=SoftRebootsCount", "--value")
        return booted.run(*command, check=False) == "1" and booted.show("ActiveState") == "active"

    booted.wait_for("another boot", back)
    assert booted.show("StatusText") == "Watching"
    booted.run("systemctl", "disable", "fer-edge")


def test_this_systemd_finds_the_unit_correct_and_tight(pi: Machine) -> None:
    assert pi.run("systemd-analyze", "verify", "fer-edge.service") == ""
    pi.run("systemd-analyze", "security", "--threshold=15", "--no-pager", "fer-edge.service")


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
    before = began(pi)
    noted()
    pi.run("systemctl", "kill", "--signal=KILL", "fer-edge")
    restarted(pi, before)
    assert pi.said("Failed with result 'signal'", priority=WARNING)


def test_stopped_dead_the_watchdog_brings_it_back(pi: Machine) -> None:
    pi.drop_in(*QUICK)
    before = began(pi)
    noted()
    begun = time.monotonic()
    pi.run("systemctl", "kill", "--signal=STOP", "fer-edge")
    pi.wait_for("the watchdog", lambda: pi.said("Watchdog timeout (limit 3s)!"), 6.0)
    restarted(pi, before)
    assert time.monotonic() - begun < 3.0 + 10.0
    assert pi.said("code=killed, status=6/ABRT")


def test_a_camera_that_hangs_without_an_error_gets_it_restarted(pi: Machine) -> None:
    pi.drop_in(*QUICK)
    pi.configure(camera={"timeout_seconds": 60.0})
    before = began(pi)
    noted()
    pi.mood("stall")
    pi.wait_for("the watchdog", lambda: pi.said("Watchdog timeout (limit 3s)!"), 6.0)
    pi.mood("send")
    restarted(pi, before)
    said = [line.text for line in pi.journal()]
    assert any("camera/stream.py" in text and text.endswith("in read") for text in said)  # where it hung
    assert pi.run("sh", "-c", f"ls {STATE}/{DEVICE}/core* /core* 2>/dev/null || true") == ""


def test_a_camera_that_stalls_is_told_and_found_again(pi: Machine) -> None:
    pi.configure(camera={"timeout_seconds": 1.0})
    before = began(pi)
    assert pi.messages("camera/availability")[-1] == "online"
    pi.mood("stall")
    pi.wait_last("camera/availability", "offline")
    pi.wait_for_event("end")
    assert pi.show("StatusText") == "The camera is away"
    assert pi.said("sent no frame within 1 s; faces are ended, trying to open it again", priority=ERROR)
    pi.mood("send")
    pi.wait_last("camera/availability", "online")
    pi.wait_for_event("start", count=2)
    assert pi.show("StatusText") == "Watching"
    assert (pi.pid(), pi.show("NRestarts")) == (before, "0")
    assert pi.messages("availability") == ["online"]


def test_what_happens_while_the_broker_is_away_is_told_later(pi: Machine) -> None:
    pi.configure(camera={"timeout_seconds": 1.0})
    began(pi)
    pi.run("systemctl", "stop", "mosquitto")
    pi.wait_for("the line", lambda: pi.said("broker.test:1883", priority=WARNING))
    pi.mood("refuse")
    pi.wait_for("the lost camera", lambda: pi.show("StatusText") == "The camera is away")
    pi.mood("send")
    pi.wait_for("the camera", lambda: pi.show("StatusText") == "Watching")
    time.sleep(1.0)  # for a face to be confirmed
    pi.run("systemctl", "restart", "fer-edge")
    pi.run("systemctl", "start", "mosquitto")
    pi.wait_for_event("start", count=3)
    told = [event for event in pi.events() if event["event_type"] != "update"]
    first, second = told[0]["boot_id"], told[-1]["boot_id"]
    assert [(event["boot_id"], event["event_type"], event["replayed"]) for event in told] == [
        (first, "start", False),
        *((first, kind, True) for kind in ("end", "start", "end")),
        (second, "start", True),
    ]
    numbers = [event["seq"] for event in pi.events() if event["boot_id"] == first]
    assert numbers == list(range(1, len(numbers) + 1))


def test_reload_takes_over_what_is_right_and_refuses_what_is_wrong(pi: Machine) -> None:
    before = began(pi)
    pi.configure(events={"enter": 0.6})
    pi.run("systemctl", "reload", "fer-edge")
    pi.wait_for("the new threshold", lambda: setting(pi, "events/enter")["value"] == 0.6)
    assert pi.said("changed: events.enter; keys that need a restart: none")
    lines = len(pi.journal(priority=ERROR))
    pi.configure(events={"enter": 7})
    pi.run("systemctl", "reload", "fer-edge")
    pi.wait_for("the refusal", lambda: len(pi.journal(priority=ERROR)) > lines)
    refusal = pi.journal(priority=ERROR)[lines:]
    assert len(refusal) == 1
    assert "the configuration stays as it was: /etc/fer-edge/config.yaml:1: section events" in refusal[0].text
    assert setting(pi, "events/enter")["value"] == 0.6
    assert (pi.pid(), pi.show("ActiveState")) == (before, "active")


def setting(pi: Machine, key: str) -> dict[str, Any]:
    return dict(json.loads(pi.messages(f"config/{key}")[-1]))


@pytest.mark.parametrize("trouble", ["none", "the broker is away", "the camera hangs"])
def test_it_stops_in_time(pi: Machine, trouble: str) -> None:
    pi.configure(camera={"timeout_seconds": 60.0})
    began(pi)
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
        assert pi.said("wait on disk for broker.test:1883 and the next start")
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
    said = [line.text for line in pi.journal(priority=ERROR) if line.program == "fer-edge"]
    assert len(said) == 1
    assert said[0].startswith("fer-edge: /etc/fer-edge/config.yaml:1: section camera, key fsp: unknown")
    pi.configure()
    began(pi)


def test_a_missing_camera_is_waited_for_with_growing_pauses(pi: Machine) -> None:
    pi.drop_in("RestartSec=200ms", "RestartSteps=3", "RestartMaxDelaySec=2s")
    pi.mood("refuse")
    pi.run("systemctl", "start", "--no-block", "fer-edge")
    pauses: dict[str, float] = {}

    def at_the_longest() -> bool:
        command = ("systemctl", "show", "fer-edge", "--property=SubState,NRestarts,RestartUSecNext")
        found = dict(line.split("=", 1) for line in pi.run(*command).splitlines())
        if found["SubState"] == "auto-restart":
            pauses[found["NRestarts"]] = seconds(found["RestartUSecNext"])
        return "3" in pauses

    pi.wait_for("the fourth pause", at_the_longest)
    assert list(pauses.values()) == sorted(set(pauses.values()))
    assert (len(pauses) >= 3, pauses["3"]) == (True, 2.0)
    assert pi.said("http://127.0.0.1:8080/ cannot be opened", priority=ERROR)
    pi.mood("send")
    pi.wait_for_event("start")
    assert pi.show("ActiveState") == "active"


def seconds(span: str) -> float:
    """Of less than a minute, as systemd writes it: 1s 200ms."""
    parts = re.fullmatch(r"(?:([\d.]+)s)? ?(?:([\d.]+)ms)?", span)
    assert parts, span
    return float(parts[1] or 0) + float(parts[2] or 0) / 1000


def test_the_password_comes_from_the_credential(booted: Machine) -> None:
    booted.reset()
    booted.shell(
        """
        mosquitto_passwd -b -c /etc/mosquitto/passwords camera 'open sesame'
        chown mosquitto /etc/mosquitto/passwords
        printf 'listener 1883 127.0.0.1\\npassword_file /etc/mosquitto/passwords\\n' > /etc/mosquitto/conf.d/test.conf
        systemctl restart mosquitto
        mkdir -m 700 /etc/credstore
        """
    )
    booted.configure(mqtt={"username": "camera"})
    with booted.listening("--username", "camera", "--pw", "open sesame"):
        booted.start()
        booted.wait_for("the refusal", lambda: booted.said("ot authorized", priority=WARNING))
        assert booted.messages("availability") == []
        booted.write("/etc/credstore/fer-edge.mqtt-password", "open sesame\n")
        booted.run("chmod", "600", "/etc/credstore/fer-edge.mqtt-password")
        booted.run("systemctl", "restart", "fer-edge")
        booted.wait_last("availability", "online")
        assert not booted.said("open sesame")
        assert "sesame" not in booted.run("cat", f"/proc/{booted.pid()}/environ").replace("\0", "\n")


def test_state_outlasts_a_restart_and_belongs_to_the_service(pi: Machine) -> None:
    began(pi)
    pi.shell("mosquitto_pub --qos 1 --topic fer-edge/pi/set/events/enter --message 0.65")
    pi.wait_for("the new threshold", lambda: setting(pi, "events/enter")["value"] == 0.65)
    pi.run("systemctl", "restart", "fer-edge")
    pi.wait_for_event("start", count=2)
    assert setting(pi, "events/enter")["value"] == 0.65
    found = pi.run("find", STATE, "/run/fer-edge", "-printf", "%U %G %m %y %p\n").splitlines()
    user, group = pi.run("id", "-u", "fer-edge"), pi.run("id", "-g", "fer-edge")
    modes = {"d": "700", "f": "600"}
    assert [line for line in found if line.split()[:3] != [user, group, modes[line.split()[3]]]] == []
    assert {f"{STATE}/{DEVICE}/{name}" for name in ("outbox.sqlite", "tuning.json")} <= {
        line.split()[4] for line in found
    }


def test_whether_the_clock_is_right_is_known_inside_too(pi: Machine) -> None:
    began(pi)
    asked = "systemctl show --property=InvocationID --value systemd-timedated"
    pi.wait_for("a question to timedated", lambda: pi.shell(asked) != "")
    assert not any(event["clock_synced"] for event in pi.events())
    pi.shell("mkdir /run/systemd/timesync; touch /run/systemd/timesync/synchronized")
    pi.run("systemctl", "restart", "fer-edge")
    assert pi.wait_for_event("start", count=2)["clock_synced"]
    pi.run("rm", "-r", "/run/systemd/timesync")


REFUSED = {
    "write /etc": "EROFS",
    "write /usr": "EROFS",
    "write /opt": "EROFS",
    "list /home": "EACCES",
    "list /root": "EACCES",
    "write /proc/sys": "EROFS",
    "open /dev/probe": "EPERM",
    "adjtimex": "EPERM",
    "mount": "EPERM",
    "unshare a user namespace": "EPERM",
    "ptrace": "EPERM",
    "personality": "EPERM",
    "lower the priority": "EPERM",
    "real time": "EPERM",
    "memory to write and execute": "EACCES",
    "set-user-id file": "EPERM",
    "packet socket": "EAFNOSUPPORT",
}
"""What even root may not do in there, and by which error."""

ALLOWED = (
    "write /tmp",
    "write /run/fer-edge",
    "write /var/lib/fer-edge",
    "resolve and connect",
    "read /proc/cpuinfo",
    "open /dev/urandom",
)


def probed(pi: Machine, *lines: str) -> dict[str, Any]:
    """What sandbox_probe.py finds within the unit's sandbox."""
    out = f"{STATE}/probe.json"
    command = f"{pi.python} /tests/sandbox_probe.py {out} broker.test"
    pi.drop_in("Type=oneshot", "Restart=no", "ExecStart=", f"ExecStart={command}", *lines)
    pi.start()
    return dict(json.loads(pi.run("cat", out)))


def test_the_sandbox_holds(pi: Machine) -> None:
    minor = pi.run("awk", '$2 == "cpu_dma_latency" {print $1}', "/proc/misc")  # a device that everybody has
    pi.shell(f"mknod --mode=666 /dev/probe c 10 {minor}")
    for user in ("root", "fer-edge"):
        found = probed(pi, f"User={user}", f"Group={user}")
        assert {name: found["attempts"][name] for name in ALLOWED} == dict.fromkeys(ALLOWED, "done")
        refused = {name: found["attempts"][name] for name in REFUSED}
        if user == "root":  # whom nothing but the sandbox hinders
            assert refused == REFUSED
        assert "done" not in refused.values()
        assert (found["status"]["NoNewPrivs"], found["status"]["Seccomp"]) == ("1", "2")
        assert [int(found["status"][name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == [0, 0, 0, 0]


def test_the_models_answer_inside_as_they_do_outside(pi: Machine) -> None:
    pi.shell(f"{pi.python} /tests/sandbox_probe.py /root/probe.json")
    outside, inside = json.loads(pi.run("cat", "/root/probe.json")), probed(pi)
    assert outside["attempts"]["adjtimex"] == "done"  # the container itself does not refuse it
    assert inside["faces"] == outside["faces"]
    for name, here in outside["models"].items():
        there = inside["models"][name]
        assert (there["sha256"], there["xnnpack"]) == (here["sha256"], True)
        # without XNNPACK it takes several hundred times as long; the rest is what a busy machine does
        assert there["ms"] < 3 * here["ms"] + 1, name
