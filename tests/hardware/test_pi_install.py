"""Installing, upgrading and removing: the Debian package and install.sh, on Debian's releases as they boot.

Trixie goes through the long sequences; Bookworm shows that the same package and the same script suit its Python 3.11
and its NumPy 1.24.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hardware.containers import Container
from tests.hardware.installing import (
    CONFIG,
    NEXT,
    archive,
    build_deb,
    configure,
    files,
    machine,
    main_pid,
    next_version,
    only_archive,
    page,
    receive_event,
    units,
    users,
)

ARCHITECTURES = {"amd64": "x86-64", "arm64": "ARM aarch64"}
WITH_DOCUMENTATION = "rm /etc/dpkg/dpkg.cfg.d/*"  # roots are built without
KEEP = "-o Dpkg::Options::=--force-confold"
APT = "DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Use-Pty=0"  # in these roots without what is only recommended


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("debs")
    return {architecture: build_deb(folder, architecture) for architecture in ARCHITECTURES}


@pytest.fixture(scope="module", autouse=True)
def lintian(debs: dict[str, Path]) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Started at once, looked at in the end: it takes long, beside the others."""
    command = ["nice", "lintian", "--allow-root", "--tag-display-limit=0", "--fail-on=error,warning"]
    started = {
        name: subprocess.Popen([*command, str(deb)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for name, deb in debs.items()
    }
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def newer(debs: dict[str, Path]) -> Path:
    return next_version(debs["amd64"], debs["amd64"].parent)


def test_the_same_commit_gives_the_same_bytes(debs: dict[str, Path], tmp_path: Path) -> None:
    again = build_deb(tmp_path, "amd64", umask=0o077)
    assert again.read_bytes() == debs["amd64"].read_bytes()


def test_both_architectures_hold_the_same_files_and_no_foreign_binary(debs: dict[str, Path], tmp_path: Path) -> None:
    lists = []
    for architecture, deb in debs.items():
        tree = tmp_path / architecture
        subprocess.run(["dpkg-deb", "--extract", deb, tree], check=True)
        binaries = [path for path in tree.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
        assert len(binaries) > 15
        assert all(ARCHITECTURES[architecture] in kind for kind in kinds(binaries))
        lists.append({comparable(str(path.relative_to(tree))) for path in tree.rglob("*")})
    only = {"libquadmath.so.0.0.0", "libvpl.so.2.16"}
    assert {path.rpartition("/")[2] for path in lists[0] ^ lists[1]} == only, (
        "Arm has neither such a type nor Intel's decoder"
    )


def comparable(path: str) -> str:
    """The path without what differs between architectures by its nature: sums of contents, their own names."""
    return re.sub(r"-[0-9a-f]{8}(?=\.)|-(x86_64|aarch64)-linux-gnu(?=\.so)", "", path)


def kinds(binaries: list[Path]) -> list[str]:
    """The machines that ELF files are for, in file(1)'s words."""
    machines = {62: "x86-64", 183: "ARM aarch64"}
    return [machines[int.from_bytes(path.read_bytes()[18:20], "little")] for path in binaries]


def test_a_package_lives_through_install_upgrade_removal_and_purge(debs: dict[str, Path], newer: Path) -> None:
    with Container(machine("trixie"), binds=[f"{debs['amd64'].parent}:/debs"]) as pi:
        pi.shell(WITH_DOCUMENTATION)
        before, users_before, units_before = files(pi), users(pi), units(pi)

        message = pi.shell(f"{APT} install /debs/{debs['amd64'].name} 2>&1", timeout=180)
        assert re.search(r"FAIL.* camera .*python3-picamera2", message), "no camera here: said, and no failure"
        assert re.search(r"ok .* models .*ai-edge-litert", message)
        assert "fer-edge: the service runs" in message
        assert pi.run("dpkg", "--verify", "fer-edge") == ""
        assert pi.run("systemctl", "is-enabled", "fer-edge") == "enabled"
        assert set(pi.run("id", "-nG", "fer-edge").split()) == {"fer-edge", "video", "render"}
        assert pi.run("stat", "-c", "%U:%G:%a", "/etc/fer-edge/config.yaml") == "root:fer-edge:640"
        numpy = pi.shell(
            "sed 's/^from fer_edge.*/import numpy, cv2; print(numpy, cv2)/; /^sys.exit/d' /usr/bin/fer-edge | python3"
        )
        assert "numpy' from '/usr/lib/python3/dist-packages" in numpy
        assert "cv2' from '/usr/lib/fer-edge/python3/" in numpy

        configure(pi)
        pi.run("systemctl", "restart", "fer-edge")
        assert json.loads(receive_event(pi))["device_id"] == "pi"
        assert "<html" in page(pi)

        upgrade_keeps_what_the_user_has_edited(pi, newer)
        what_was_stopped_stays_stopped(pi, debs["amd64"])
        a_removal_keeps_configuration_and_a_reinstallation_finds_it(pi, debs["amd64"])

        pi.shell(
            "mkdir -p /etc/credstore && touch /etc/credstore/fer-edge.mqtt-password /etc/credstore/fer-edge.web-token"
            " /etc/credstore/fer-edge.camera-password"
        )
        pi.shell(f"{APT} purge fer-edge 2>&1")
        assert files(pi) - before <= {"/etc/credstore"}
        assert before - files(pi) == set()
        assert users(pi) == users_before
        assert units(pi) == units_before


def upgrade_keeps_what_the_user_has_edited(pi: Container, newer: Path) -> None:
    pid = main_pid(pi)
    message = pi.shell(
        f"{APT} {KEEP} install /debs/{newer.name} 2>&1",
        timeout=180,
    )
    assert "fer-edge: the service runs" in message
    assert pi.run("fer-edge", "--version") == f"fer-edge {NEXT}"
    assert main_pid(pi) not in (pid, "0")
    assert pi.run("cat", "/etc/fer-edge/config.yaml") == CONFIG.rstrip()
    assert "fps: 12.0" in pi.run("cat", "/etc/fer-edge/config.yaml.dpkg-dist")
    assert pi.run("stat", "-c", "%U:%G:%a", "/etc/fer-edge/config.yaml") == "root:fer-edge:640"
    assert receive_event(pi)


def what_was_stopped_stays_stopped(pi: Container, older: Path) -> None:
    pi.run("systemctl", "stop", "fer-edge")
    pi.shell(
        f"{APT} {KEEP} --allow-downgrades install /debs/{older.name} 2>&1",
        timeout=180,
    )
    assert main_pid(pi) == "0"
    pi.run("systemctl", "start", "fer-edge")


def a_removal_keeps_configuration_and_a_reinstallation_finds_it(pi: Container, deb: Path) -> None:
    pi.shell(f"{APT} remove fer-edge 2>&1")
    assert pi.shell("ls /usr/lib/fer-edge /usr/bin/fer-edge 2>/dev/null || true") == ""
    assert pi.run("systemctl", "is-active", "fer-edge", check=False) == "inactive"
    assert pi.run("cat", "/etc/fer-edge/config.yaml") == CONFIG.rstrip()
    assert "fer-edge: the service runs" in pi.shell(f"{APT} {KEEP} install /debs/{deb.name} 2>&1", timeout=180)
    assert pi.run("systemctl", "is-enabled", "fer-edge") == "enabled"


def test_the_same_package_suits_bookworm_and_brings_picamera2(debs: dict[str, Path], tmp_path: Path) -> None:
    binds = [f"{debs['amd64'].parent}:/debs", f"{archive(tmp_path)}:/archive"]
    with Container(machine("bookworm"), binds=binds) as pi:
        pi.shell(WITH_DOCUMENTATION)
        only_archive(pi)
        before, users_before, units_before = files(pi), users(pi), units(pi)
        message = pi.shell(
            f"apt-get update; {APT} --install-recommends install /debs/{debs['amd64'].name} 2>&1", timeout=180
        )
        assert "camera.backend 'picamera2' needs picamera2 (a stand-in)" in message, (
            "the service sees what apt installed"
        )
        assert pi.shell("python3 -c 'import numpy; print(numpy.__version__)'").startswith("1.24.")
        configure(pi)
        pi.run("systemctl", "restart", "fer-edge")
        assert json.loads(receive_event(pi))["expression"]
        assert "<html" in page(pi)
        assert pi.run("dpkg", "--verify", "fer-edge").split()[1:] == ["c", "/etc/fer-edge/config.yaml"]
        pi.shell(f"{APT} purge fer-edge python3-picamera2 2>&1")
        assert files(pi) == before
        assert users(pi) == users_before
        assert units(pi) == units_before


def test_lintian_finds_nothing(lintian: dict[str, subprocess.Popen[str]]) -> None:
    for architecture, process in lintian.items():
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{architecture}: {output}"
