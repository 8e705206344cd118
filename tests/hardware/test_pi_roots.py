"""The machines that the other tests of this folder run on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.hardware.containers import Container
from tests.hardware.roots import REPOSITORY, SYSTEM, Root, build, mirrors

TRIXIE = Root(suite="trixie", packages=SYSTEM)


def test_mirrors_come_from_both_forms_of_apt_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb [arch=amd64] https://mirror.example/debian/ bookworm main\n")
    (tmp_path / "sources.list.d").mkdir()
    assert mirrors("trixie", tmp_path) == ["deb https://mirror.example/debian trixie main"]
    (tmp_path / "sources.list").unlink()
    assert mirrors("trixie", tmp_path) == []
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://other.example/debian\nSuites: x\n"
    )
    assert mirrors("trixie", tmp_path) == ["deb http://other.example/debian trixie main"]


def test_a_container_boots_runs_and_leaves_nothing() -> None:
    before = Path("/proc/mounts").read_text()
    with Container(build(TRIXIE)) as container:
        assert container.run("cat", "/proc/1/comm") == "systemd"
        container.shell("echo gone > /root/mark")
        assert "inet 127.0.0.1" in container.run("ip", "address")
    assert not (build(TRIXIE) / "root/mark").exists()
    assert Path("/proc/mounts").read_text() == before
    assert not Path(f"/run/systemd/nspawn/propagate/{container.name}").exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{container.name}"))


def test_containers_do_not_meet() -> None:
    with Container(build(TRIXIE)) as one, Container(build(TRIXIE)) as other:
        for container in (one, other):
            container.shell("systemd-run --quiet --unit=sleeper sleep 600")
        one.shell("systemctl kill --signal=KILL sleeper; systemctl stop sleeper 2>/dev/null || true")
        assert other.run("systemctl", "is-active", "sleeper") == "active"
        assert len(other.run("systemctl", "show", "--property=ControlGroup", "--value", "sleeper").split()) == 1
        # a root's first process, which only its own helper knows
        where = [Path(f"/proc/{each._leader}/cgroup").read_text() for each in (one, other)]
        assert where[0] != where[1]


def test_a_container_ends_with_whoever_is_killed() -> None:
    script = (
        "import time\nfrom tests.hardware import containers, roots, test_pi_roots\n"
        "with containers.Container(roots.build(test_pi_roots.TRIXIE)) as container:\n"
        "    print(container._leader, flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert owner.stdout
    leader = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    limit = time.monotonic() + 20
    while Path(f"/proc/{leader}").exists():
        assert time.monotonic() < limit, "the container outlives whoever started it"
        time.sleep(0.05)
