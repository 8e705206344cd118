"""install.sh and uninstall.sh, on Debian's releases as they boot; pip finds its wheels in a folder.

Trixie goes through the long sequence, Bookworm shows that the script suits its Python 3.11 and NumPy 1.24.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hardware.containers import Container
from tests.hardware.installing import (
    CONFIG,
    NEXT,
    VERSION,
    archive,
    configure,
    files,
    machine,
    main_pid,
    next_checkout,
    only_archive,
    page,
    pip_wheels,
    receive_event,
    units,
    users,
)
from tests.hardware.roots import REPOSITORY

OFFLINE = "PIP_NO_COMPILE=1 PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"  # not compiled: to be quick
HERE, NEWER = f"{OFFLINE} /here/systemd/install.sh 2>&1", f"{OFFLINE} /newer/systemd/install.sh 2>&1"
SCRIPT = "/here/systemd/install.sh"
REFUSALS = {
    f"setpriv --reuid=1000 {SCRIPT}": f"root is needed: sudo {SCRIPT}",
    f"PATH=/tmp/armhf:$PATH {SCRIPT}": (
        "a 64-bit system is needed (amd64 or arm64), got armhf: use the 64-bit Raspberry Pi OS"
    ),
    f"unshare --mount sh -c 'mount --bind /tmp/python3 /usr/bin/python3; {SCRIPT}'": (
        "/usr/bin/python3: 3.11 or newer is needed (Bookworm, Trixie), got: Python 3.9.2"
    ),
}
KEPT = {"/etc/fer-edge", "/etc/fer-edge/config.yaml", "/etc/fer-edge/config.yaml.new"}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next_checkout(tmp_path_factory.mktemp("checkout"))


def pi_of(suite: str, newer: Path, *binds: str) -> Container:
    wheels = pip_wheels(suite)
    return Container(machine(suite), binds=[f"{REPOSITORY}:/here", f"{newer}:/newer", f"{wheels}:/wheels", *binds])


def test_a_machine_that_does_not_suit_is_refused_in_one_line(newer: Path) -> None:
    with pi_of("trixie", newer) as pi:
        before = files(pi)
        pi.shell(
            r"""
            mkdir /tmp/armhf
            printf '#!/bin/sh\necho armhf\n' >/tmp/armhf/dpkg
            printf '#!/bin/sh\n[ $1 = -c ] || echo Python 3.9.2; exit 1' >/tmp/python3
            chmod +x /tmp/armhf/dpkg /tmp/python3
            """
        )
        for how, line in REFUSALS.items():
            assert pi.shell(f"{how} 2>&1 || echo code $?").splitlines() == [f"install: {line}", "code 1"]

        message = pi.shell("PIP_RETRIES=0 /here/systemd/install.sh 2>&1 || true", timeout=120).splitlines()
        assert (
            message[-1] == "install: pip failed: is there a network? All that was said: /var/log/fer-edge-install.log"
        )
        assert files(pi) - before == {"/opt/fer-edge", "/opt/fer-edge/.lock"}


def test_install_sh_installs_upgrades_survives_and_leaves_nothing(newer: Path) -> None:
    with pi_of("trixie", newer) as pi:
        pi.shell("rm /etc/apt/sources.list")  # there is no network, and asking takes time
        before, users_before, units_before = files(pi), users(pi), units(pi)
        message = pi.shell(HERE, timeout=300)
        assert "python3-picamera2" in message
        assert "install: the service runs" in message, "without a camera it waits for one"
        assert pi.run("systemctl", "is-enabled", "fer-edge") == "enabled"
        assert numpy_of(pi).startswith("/usr/lib/python3/dist-packages/")
        assert pi.run("stat", "-c", "%U:%G:%a", "/etc/fer-edge/config.yaml") == "root:fer-edge:640"
        configure(pi)
        pi.run("systemctl", "restart", "fer-edge")
        assert json.loads(receive_event(pi))["device_id"] == "pi"
        assert "<html" in page(pi)

        again_changes_nothing_of_the_users(pi)
        killed_half_way_leaves_the_old_version_running(pi)
        without_a_network_leaves_the_old_version_running(pi)
        an_upgrade_keeps_the_configuration(pi)
        uninstalled_it_keeps_what_the_user_made(pi, before)

        pi.shell(
            "mkdir -p /etc/credstore; cd /etc/credstore;"
            "touch fer-edge.mqtt-password fer-edge.web-token fer-edge.camera-password;"
            "/here/systemd/uninstall.sh --purge"
        )
        assert files(pi) - before <= {"/etc/credstore"}
        assert before - files(pi) == set()
        assert users(pi) == users_before
        assert units(pi) == units_before


def again_changes_nothing_of_the_users(pi: Container) -> None:
    pid = main_pid(pi)
    assert "install: the service runs" in pi.shell(HERE, timeout=300)
    assert main_pid(pi) not in (pid, "0")
    assert pi.run("cat", "/etc/fer-edge/config.yaml") == CONFIG.rstrip()
    assert pi.shell("ls /etc/fer-edge") == "config.yaml", "no new defaults, so no file with them"
    assert len(versions(pi)) == 1


def killed_half_way_leaves_the_old_version_running(pi: Container) -> None:
    pid, before = main_pid(pi), versions(pi)
    upgrade = pi.start("sh", "-c", f"exec setsid --wait {NEWER.replace(OFFLINE, f'env {OFFLINE}')}")
    pi.wait_for("pip", lambda: pi.run("pgrep", "-f", "pip install", check=False) != "", 60)
    pi.wait_for(
        "its first package", lambda: pi.shell("ls -d /opt/fer-edge/*/lib/python3*/site-packages/paho || true") != "", 60
    )
    pi.run("pkill", "-KILL", "-f", "newer/systemd/install.sh|pip install")
    upgrade.communicate()
    assert versions(pi) > before
    still_the_old_one(pi, pid)


def without_a_network_leaves_the_old_version_running(pi: Container) -> None:
    pid = main_pid(pi)
    message = pi.shell("PIP_RETRIES=0 /newer/systemd/install.sh 2>&1 || true", timeout=120)
    assert "pip failed: is there a network? The version before this one still runs." in message
    assert len(versions(pi)) == 1, "what was killed before is removed too"
    still_the_old_one(pi, pid)


def still_the_old_one(pi: Container, pid: str) -> None:
    assert main_pid(pi) == pid
    assert pi.run("fer-edge", "--version") == f"fer-edge {VERSION}"
    assert receive_event(pi)


def an_upgrade_keeps_the_configuration(pi: Container) -> None:
    message = pi.shell(NEWER, timeout=300)
    assert "/etc/fer-edge/config.yaml is kept; the new defaults are in /etc/fer-edge/config.yaml.new" in message
    assert pi.run("fer-edge", "--version") == f"fer-edge {NEXT}"
    assert pi.run("cat", "/etc/fer-edge/config.yaml") == CONFIG.rstrip()
    assert "fps: 12.0" in pi.run("cat", "/etc/fer-edge/config.yaml.new")
    assert len(versions(pi)) == 1
    assert receive_event(pi)


def uninstalled_it_keeps_what_the_user_made(pi: Container, before: set[str]) -> None:
    pi.run("/opt/fer-edge/uninstall.sh")
    left = files(pi) - before
    assert {path for path in left if not path.startswith("/var/lib/fer-edge")} == KEPT
    assert pi.run("systemctl", "is-active", "fer-edge", check=False) == "inactive"


def test_install_sh_suits_bookworm_and_takes_picamera2_from_the_archive(newer: Path, tmp_path: Path) -> None:
    with pi_of("bookworm", newer, f"{archive(tmp_path)}:/archive") as pi:
        only_archive(pi)
        before, users_before, units_before = files(pi), users(pi), units(pi)
        message = pi.shell(HERE, timeout=300)
        assert "with the system's NumPy 1.24.2" in message
        assert "camera.backend 'picamera2' needs picamera2 (a stand-in)" in message, (
            "the service sees what apt installed"
        )
        assert numpy_of(pi).startswith("/usr/lib/python3/dist-packages/")
        configure(pi)
        pi.run("systemctl", "restart", "fer-edge")
        assert receive_event(pi)
        pi.run("/opt/fer-edge/uninstall.sh", "--purge")
        pi.shell("apt-get purge -y python3-picamera2")
        assert files(pi) == before
        assert users(pi) == users_before
        assert units(pi) == units_before


def numpy_of(pi: Container) -> str:
    return pi.run("/opt/fer-edge/current/bin/python", "-c", "import numpy; print(numpy.__file__)")


def versions(pi: Container) -> set[str]:
    return set(pi.shell("cd /opt/fer-edge; ls -d *-20*").splitlines())
