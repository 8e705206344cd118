"""What CI runs: each part's failure is the run's, and what each printed stands together."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PARTS = ("setup", "check", "test-pi", "test")


def run(folder: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """`.ci/run` in a checkout whose scripts only say that they ran."""
    (folder / ".ci").mkdir()
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    for name in PARTS:
        script = folder / "scripts" / name
        script.write_text(f"#!/bin/sh\necho {name} begins\necho {name} ends\nexit {int(name == failing)}\n")
        script.chmod(0o755)
    return subprocess.run([str(folder / ".ci" / "run")], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("failing", ["", "check", "test-pi", "test"])
def test_each_part_is_run_and_its_failure_counts(failing: str, tmp_path: Path) -> None:
    done = run(tmp_path, failing)
    lines = done.stdout.splitlines()
    ran = [name for name in PARTS if f"{name} begins" in lines]
    assert ran == [name for name in PARTS if name != "test-pi" or "not tested here" not in done.stdout]
    assert done.returncode == int(failing in ran)
    for name in ran:
        at = lines.index(f"{name} begins")
        assert lines[at + 1] == f"{name} ends", "nothing of another part in between"
    assert lines[-1] == "test ends"
    assert ("ci: scripts/check FAILED:" in lines) == (failing == "check")


def test_without_an_installation_nothing_else_is_tried(tmp_path: Path) -> None:
    done = run(tmp_path, "setup")
    assert (done.returncode, done.stdout.splitlines()) == (1, ["setup begins", "setup ends"])
