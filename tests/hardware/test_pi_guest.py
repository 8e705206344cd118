"""The machines with a kernel of their own, which the tests of devices run on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hardware.guest import GUEST, Guest, image
from tests.hardware.roots import REPOSITORY, SYSTEM, Root, build

ROOT = Root(suite="trixie", packages=(*SYSTEM, *GUEST))


def test_a_guest_boots_runs_shows_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/file").write_text("from here")
    (tmp_path / "taken").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/file").write_text("from a disk")
    root, disk = build(ROOT), tmp_path / "disk.ext4"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-F", "-d", str(tmp_path / "disk"), str(disk), "8M"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    written = image(root).stat().st_mtime_ns, disk.stat().st_mtime_ns
    with Guest(
        root,
        binds=[f"{tmp_path}/given:/given", f"{tmp_path}/taken:/taken:rw"],
        disks=[f"{disk}:/disk"],
        devices=["VGA"],
    ) as guest:
        assert guest.run("uname", "-r") == next((root / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
        assert guest.run("cat", "/given/file", "/disk/file") == "from herefrom a disk"
        assert guest.shell("printf 'two\nlines\n'") == "two\nlines"
        guest.shell("echo gone | tee /mark /disk/file\ncp /mark /taken/mark")
        with pytest.raises(AssertionError, match="exit code 1"):
            guest.shell("false\necho not reached")
        with pytest.raises(AssertionError, match=r"waited up to 0\.5 s for sleep 1"):
            guest.run("sleep", "1", timeout=0.5)
    assert (tmp_path / "taken/mark").read_text() == "gone\n"
    assert (image(root).stat().st_mtime_ns, disk.stat().st_mtime_ns) == written


def test_devices_come_with_udev_and_the_screen_can_be_seen() -> None:
    with Guest(build(ROOT), devices=["VGA"]) as guest:
        guest.udev()
        assert "card0" in guest.run("ls", "/dev/dri")
        guest.shell("printf '\\033[41m\\033[2J\\033[?25l' >/dev/tty1")  # red, all of it
        time.sleep(1)
        picture = guest.screen()
    assert (picture.reshape(-1, 3) == (0, 0, 0xAA)).all(axis=1).mean() > 0.9


def test_a_guest_ends_with_whoever_is_killed() -> None:
    script = (
        "import time\nfrom tests.hardware import guest, test_pi_guest\n"
        "with guest.Guest(test_pi_guest.build(test_pi_guest.ROOT)) as machine:\n"
        "    print(machine._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert owner.stdout
    machine = int(owner.stdout.readline())
    assert "qemu" in Path(f"/proc/{machine}/comm").read_text()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    limit = time.monotonic() + 20
    while Path(f"/proc/{machine}").exists():
        assert time.monotonic() < limit, "the machine outlives whoever started it"
        time.sleep(0.05)
