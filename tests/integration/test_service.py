"""systemd/fer-edge.service as systemd reads it. What it does is shown by tests/hardware/test_pi_service.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

UNIT = ROOT / "systemd/fer-edge.service"

WORST_EXPOSURE = 15
"""Tenths, of 10.0 for a service that nothing is held against."""

OPEN = {
    "DeviceAllow": "the camera and the screen",
    "PrivateDevices": "the same",
    "SupplementaryGroups": "video and render, whose devices these are",
    "PrivateNetwork": "the broker",
    "IPAddressDeny": "the broker may be anywhere",
    "RestrictAddressFamilies_AF_INET_INET6": "the broker",
    "RestrictAddressFamilies_AF_UNIX": "systemd's notifications",
    "RestrictAddressFamilies_AF_NETLINK": "libcamera and the resolver",
    "ProcSubset": "/proc/cpuinfo",
    "PrivateUsers": "devices belong to groups of the system",
    "RootDirectoryOrRootImage": "the program is in the system",
}
"""What the sandbox leaves open, and what for."""

SINCE_254 = ("RestartSteps", "RestartMaxDelaySec")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (apt-get install systemd)")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_every_line_is_understood(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/fer-edge/bin/fer-edge", "/bin/true"))  # it is not installed here
    done = analyze("verify", str(unit))
    assert done.returncode == 0, done.stderr
    message = [line for line in done.stderr.splitlines() if not any(f"'{key}'" in line for key in SINCE_254)]
    assert message == []


def test_the_sandbox_is_as_tight_as_promised() -> None:
    done = analyze("security", "--offline=yes", f"--threshold={WORST_EXPOSURE}", "--no-pager", str(UNIT))
    assert done.returncode == 0, done.stdout


def test_nothing_is_open_but_what_is_needed() -> None:
    done = analyze("security", "--offline=yes", "--json=short", "--no-pager", str(UNIT))
    assert {each["json_field"] for each in json.loads(done.stdout) if each["exposure"]} == set(OPEN)


def test_the_libraries_start_no_threads_of_their_own() -> None:
    variables = re.findall(r"^Environment=(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)
    script = "import os, cv2, numpy; cv2.setNumThreads(1); print(len(os.listdir('/proc/self/task')))"
    run = [sys.executable, "-c", script]
    started = subprocess.run(run, env={**os.environ, **dict(variables)}, capture_output=True, text=True, check=True)
    assert int(started.stdout) == 1
