"""Which room may import which: the contracts in pyproject.toml, and that they do not let an import upward through."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

LINTER = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A copy of the packages and their contracts."""
    for package in ("fer_edge", "quantize"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.png", "*.jpg")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(packages: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--no-cache"]
    return subprocess.run(
        command,
        cwd=packages,
        env={"PYTHONPATH": str(packages), "COLUMNS": "300"},
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_contracts_hold(packages: Path) -> None:
    assert lint(packages).returncode == 0


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("vision/quality.py", "import fer_edge.settings.loader", "imports only go down"),
        ("sinks/jsonl.py", "import fer_edge.sinks.web.app", "Sinks know nothing of each other"),
        ("pipeline.py", "import fer_edge.commands.check", "imports only go down"),
        ("tracking/events.py", "import quantize.metrics", "Nothing in the daemon knows the toolkit"),
    ],
)
def test_an_import_upward_is_refused_and_named(packages: Path, file: str, line: str, contract: str) -> None:
    path = packages / "fer_edge" / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = lint(packages)
    assert done.returncode == 1
    assert any(contract in message and "BROKEN" in message for message in done.stdout.splitlines())
