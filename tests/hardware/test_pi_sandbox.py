"""What the service's sandbox refuses, and what works in it all the same: models, broker, state, password, clock.

In a booted Debian 13; scripts/test-pi service runs it.
"""

from __future__ import annotations

import json
from typing import Any

from tests.hardware.service_machine import DEVICE, PYTHON, STATE, WARNING, Machine

pytest_plugins = ["tests.hardware.service_fixtures"]  # the fixtures booted and pi


def test_this_systemd_finds_the_unit_correct_and_tight(pi: Machine) -> None:
    assert pi.run("systemd-analyze", "verify", "fer-edge.service") == ""
    pi.run("systemd-analyze", "security", "--threshold=15", "--no-pager", "fer-edge.service")
    pi.start()
    promised = {"Type": "notify", "WatchdogUSec": "30s", "Restart": "on-failure", "StartLimitIntervalUSec": "0"}
    assert {name: pi.show(name) for name in promised} == promised  # the other tests shorten times


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
        booted.wait_for("the refusal", lambda: booted.logged("ot authorized", priority=WARNING))
        assert booted.messages("availability") == []
        booted.write("/etc/credstore/fer-edge.mqtt-password", "open sesame\n")
        booted.run("chmod", "600", "/etc/credstore/fer-edge.mqtt-password")
        booted.run("systemctl", "restart", "fer-edge")
        booted.wait_last("availability", "online")
        assert not booted.logged("open sesame")
        assert "sesame" not in booted.run("cat", f"/proc/{booted.pid()}/environ").replace("\0", "\n")


def test_state_outlasts_a_restart_and_belongs_to_the_service(pi: Machine) -> None:
    pi.begin()
    pi.shell("mosquitto_pub --qos 1 --topic fer-edge/pi/set/events/enter --message 0.65")
    pi.wait_for("the new threshold", lambda: pi.setting("events/enter") == 0.65)
    pi.run("systemctl", "restart", "fer-edge")
    pi.wait_for_event("start", count=2)
    assert pi.setting("events/enter") == 0.65
    found = pi.run("find", STATE, "/run/fer-edge", "-printf", "%U %G %m %y %p\n").splitlines()
    user, group = pi.run("id", "-u", "fer-edge"), pi.run("id", "-g", "fer-edge")
    modes = {"d": "700", "f": "600"}
    assert [line for line in found if line.split()[:3] != [user, group, modes[line.split()[3]]]] == []
    assert {f"{STATE}/{DEVICE}/{name}" for name in ("outbox.sqlite", "tuning.json")} <= {
        line.split()[4] for line in found
    }


def test_whether_the_clock_is_right_is_known_inside_too(pi: Machine) -> None:
    pi.begin()
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
    "write /usr/lib/fer-edge": "EROFS",
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
    command = f"{PYTHON} /tests/sandbox_probe.py {out} broker.test"
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
    pi.shell(f"{PYTHON} /tests/sandbox_probe.py /root/probe.json")
    outside, inside = json.loads(pi.run("cat", "/root/probe.json")), probed(pi)
    assert outside["attempts"]["adjtimex"] == "done"  # the container itself does not refuse it
    assert inside["faces"] == outside["faces"]
    for name, here in outside["models"].items():
        there = inside["models"][name]
        assert (there["sha256"], there["xnnpack"]) == (here["sha256"], True)
        # without XNNPACK it takes several hundred times as long; the rest is what a busy machine does
        assert there["ms"] < 3 * here["ms"] + 1, name
