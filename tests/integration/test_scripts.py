"""Scripts and benchmarks, as far as they can be tried without installing anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    own = None if env is None else {**os.environ, **env}
    return subprocess.run(list(map(str, command)), cwd=cwd, env=own, capture_output=True, text=True, check=False)


def test_a_page_that_cannot_be_made_stays_as_it_is(tmp_path: Path) -> None:
    """In a folder whose name has a space."""
    root = tmp_path / "a checkout"
    for folder in ("scripts", "docs", ".venv/bin"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "make-docs", root / "scripts")
    python = root / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho half\n[ "$1" != scripts/make-commands-page ]\n')
    python.chmod(0o755)
    (root / "docs" / "commands.md").write_text("whole\n")
    assert run(root / "scripts" / "make-docs").returncode != 0
    assert {each.name: each.read_text() for each in (root / "docs").iterdir()} == {"commands.md": "whole\n"}


PYTHON = """\
#!/bin/sh
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/pip ;;
    "-m pip --version") [ -e .venv/pip ] ;;
    "-m pip install"*) [ -e .venv/pip ] && echo install >>asked && [ ! -e no-network ] && echo Successfully installed ;;
esac
"""
"""Stands for Python, its venv module and pip."""


def test_setup_goes_on_where_it_was_interrupted_and_does_nothing_twice(tmp_path: Path) -> None:
    """In a folder whose name has a space."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    (root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    for python in (root / "python", root / ".venv" / "bin" / "python"):  # the latter without pip
        python.write_text(PYTHON)
        python.chmod(0o755)
    (root / "no-network").touch()
    env = {"PYTHON": str(root / "python")}
    assert run(root / "scripts" / "setup", "dev", env=env).returncode != 0
    (root / "no-network").unlink()
    done = run(root / "scripts" / "setup", "dev", env=env)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "setup: ready"), done.stderr
    assert run(root / "scripts" / "setup", "dev", env=env).stdout == ""
    assert (root / "asked").read_text() == "install\ninstall\n"


def test_setup_says_which_python_is_too_old(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\n')
    old.chmod(0o755)
    done = run(tmp_path / "scripts" / "setup", env={"PYTHON": str(old)})
    assert (done.returncode, done.stderr) == (1, "setup: Python 3.11 or newer is needed, got: Python 3.9.2\n")
    assert not (tmp_path / ".venv").exists()


def test_wrong_usage_is_answered_from_any_folder() -> None:
    done = run("./test-pi", "nothing", cwd=ROOT / "scripts")
    assert done.returncode == 2
    assert "scripts/test-pi [install|service|" in done.stderr


def test_an_image_takes_no_package_of_another_architecture(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("dpkg-deb"):
        pytest.skip("building images takes root and dpkg-deb")
    (tmp_path / "stage" / "DEBIAN").mkdir(parents=True, mode=0o755)
    control = "Package: fer-edge\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n"
    (tmp_path / "stage" / "DEBIAN" / "control").write_text(control)
    deb = tmp_path / "a package.deb"
    assert run("dpkg-deb", "--build", tmp_path / "stage", deb).returncode == 0
    for asked in ("arm64", "all"):
        done = run(ROOT / "scripts" / "build-image", asked, env={"BUILD_IMAGE_DEB": str(deb)})
        assert done.returncode == 1
        assert done.stderr == f"build-image: {deb} is for amd64: scripts/build-image amd64\n"


@pytest.mark.parametrize(
    ("given", "env", "missing"),
    [((), {}, "DATABASE"), (("--user", "somebody"), {"DATABASE": "postgresql:///x"}, "MQTT_PASSWORD")],
)
def test_the_consumer_names_what_it_lacks(
    tmp_path: Path, given: tuple[str, ...], env: dict[str, str], missing: str
) -> None:
    (tmp_path / "psycopg.py").write_text("")  # it is not among what the tests need
    consumer = ROOT / "examples" / "fleet" / "consumer.py"
    done = run(sys.executable, consumer, "--name", "x", *given, env={"PYTHONPATH": str(tmp_path), **env})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"consumer.py: error: expected {missing} in the environment"


# --- benchmarks ----------------------------------------------------------------------------------------------

BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
RUNNABLE = [path for path in BENCHMARKS if "\nif __name__ == " in path.read_text()]


def test_the_readme_names_every_benchmark_and_no_other() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    rows = re.findall(r"^\| `(?:python -m benchmarks\.(\w+)|(\w+)\.py)` \|", readme, re.MULTILINE)
    assert sorted(module or script for module, script in rows) == [path.stem for path in RUNNABLE]
    assert not [path.name for path in BENCHMARKS if path not in RUNNABLE and f"`{path.name}`" not in readme]


def test_every_benchmark_has_a_help() -> None:
    assert not [path.name for path in RUNNABLE if "ArgumentParser(" not in path.read_text()]


@pytest.mark.parametrize("name", ["films", "signals"])
def test_help_starts_no_measurement(name: str) -> None:
    done = run(sys.executable, "-m", f"benchmarks.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_films_are_asked_for_where_a_folder_has_none(tmp_path: Path) -> None:
    done = run(sys.executable, ROOT / "benchmarks" / "analyze.py", "--clips", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}: expected films (.avi, .mkv, .mp4), found none\n"
