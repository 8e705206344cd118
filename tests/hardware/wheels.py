"""fer-edge's dependencies as a folder of wheels for another Python, fetched by this one and kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from roots import kept

PROJECT = Path(__file__).parents[2]
PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in (17, 27, 28)))


def wheels(python: str = "3.13") -> Path:
    """A folder for PYTHONPATH; for x86-64 machines with glibc 2.28 or newer."""
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    name = f"wheels-{python}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:10]}"
    with kept(name) as (path, there):
        if there:
            return path
        print(f"test-pi: fetching {name}", flush=True)
        unfinished = path.with_name(f"{name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", "--no-compile"]
        options += [f"--platform={platform}" for platform in PLATFORMS]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            "--root-user-action=ignore",
        ]
        subprocess.run([*pip, f"--target={unfinished}", *options, *wanted], check=True, stderr=subprocess.DEVNULL)
        unfinished.rename(path)
    return path
