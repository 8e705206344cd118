"""Python packages for another Python or another machine: folders of unpacked wheels, fetched by this pip and kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from tests.hardware.roots import REPOSITORY, kept

TAGS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in (17, 24, 26, 27, 28, 31, 34)))  # Bookworm has glibc 2.36


def project_dependencies(*extras: str) -> tuple[str, ...]:
    """What pyproject.toml asks for, alone or with extras."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return (
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    )


def wheels(python: str, machine: str, *groups: Sequence[str]) -> Path:
    """A folder of wheels for a Python, as in "3.13", and a machine, as in "aarch64"; nothing is run, 10 to 30 s.

    Each of the `groups` is requirements and options of pip install, for one call of it.
    """
    made_of = hashlib.sha256("\n".join((*chain(*groups), *TAGS)).encode()).hexdigest()[:10]
    with kept(f"wheels-{python}-{machine}-{made_of}") as (path, there):
        if there:
            return path
        print(f"test-pi: unpacking {path.name}", flush=True)
        unfinished = path.with_name(f"{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        only = ("--only-binary=:all:", "--implementation=cp", f"--python-version={python}", "--no-compile")
        tags = [f"--platform={tag}_{machine}" for tag in TAGS]
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        for group in groups:
            command = [*pip, "--root-user-action=ignore", f"--target={unfinished}", *only, *tags, *group]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"pip failed: {' '.join(command)}\n{done.stderr}")
        unfinished.rename(path)
    return path
