"""The wheels that the Debian package brings along: pinned by version and sha256, downloaded, unpacked."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

HERE = Path(__file__).parent
LOCK = HERE / "wheels.lock"
PYTHONS = ("3.11", "3.13")  # Bookworm's, Trixie's
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # Debian's names and those of wheels
GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")  # Bookworm has 2.36

WANTED = {
    "ai-edge-litert": (  # the interpreter; not the compilers and drivers for other accelerators
        "ai_edge_litert/__init__.py",
        "ai_edge_litert/interpreter.py",
        "ai_edge_litert/metrics_*.py",
        "ai_edge_litert/_pywrap_litert_interpreter_wrapper.so",
        "ai_edge_litert/libpywrap_litert_common.so",
    ),
    "av": ("av/*.py", "av/*.so", "av.libs/*"),
    "msgspec": ("msgspec/*.py", "msgspec/*.so"),
    "opencv-python-headless": ("cv2/*.py", "cv2/*.so", "opencv_python_headless.libs/*"),  # not its Haar cascades
    "paho-mqtt": ("paho/*.py",),
    "segno": ("segno/[!c]*.py", "segno/consts.py"),  # not its command
    **{name: (f"{name}/*.py",) for name in ("anyio", "click", "h11", "idna", "starlette", "uvicorn")},
    "typing-extensions": ("typing_extensions.py",),
    "websockets": ("websockets/*.py", "websockets/*.so"),
}
"""The files of each that are shipped, besides METADATA, by which Python knows the version, and licences."""


def fetch(folder: Path, *, architecture: str, python: str, lock: bool = True) -> list[Path]:
    """Download the wheels for one architecture and one Python into a folder of their own, if they are not there. Raises
    SystemExit."""
    target = folder / f"{architecture}-{python}"
    if lock and is_complete(target):
        return sorted(target.glob("*.whl"))
    machine = MACHINES[architecture]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", *(("--require-hashes",) if lock else ())]
    command += [f"--python-version={python}", "--implementation=cp", *(f"--platform={g}_{machine}" for g in GLIBC)]
    requirements = target.with_name(f"{target.name}.txt")  # not with_suffix: its name has a dot
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    requirements.write_text(LOCK.read_text() if lock else "\n".join(pins()))
    if subprocess.run([*command, f"--dest={target}", f"--requirement={requirements}"], check=False).returncode:
        raise SystemExit(f"build-deb: pip could not download the wheels for {architecture}, Python {python}: see above")
    return sorted(target.glob("*.whl"))


def pins() -> list[str]:
    """name==version of each, from the lock file."""
    return re.findall(r"^[a-z0-9-]+==\S+", LOCK.read_text(), re.MULTILINE)


def relock(folder: Path) -> None:
    """Write the sums of all architectures' and Pythons' wheels of the pinned versions into the lock file."""
    sums: dict[str, set[str]] = {}
    for architecture in MACHINES:
        for python in PYTHONS:
            for wheel in fetch(folder, architecture=architecture, python=python, lock=False):
                sums.setdefault(name_of(wheel), set()).add(sum_of(wheel))
    comments = [line for line in LOCK.read_text().splitlines() if line.startswith("#")]
    lines = (
        " \\\n    ".join((pin, *(f"--hash=sha256:{s}" for s in sorted(sums[pin.split("==")[0]])))) for pin in pins()
    )
    LOCK.write_text("\n".join((*comments, *lines, "")))


def unpack(wheel: Path, root: Path, licences: Path) -> None:
    """Put the files of a wheel that are wanted under root/pythonX.Y, or root/python3 where they suit any."""
    tag = re.search(r"-cp3(\d+)-cp3\1-", wheel.name)
    site = root / (f"python3.{tag[1]}" if tag else "python3")
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
        for name, target in _targets(wheel, files, site, licences):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def _targets(wheel: Path, names: list[str], site: Path, licences: Path) -> Iterator[tuple[str, Path]]:
    for name in names:
        path = PurePosixPath(name)
        if re.search(r"\.dist-info/(licenses/)?(LICENSE|edl|epl)[^/]*$", name):
            yield name, licences / name_of(wheel) / path.name
        elif name.endswith(".dist-info/METADATA") or any(fnmatch(name, each) for each in WANTED[name_of(wheel)]):
            yield name, site / name


def is_complete(folder: Path) -> bool:
    """Whether all wheels are there as they are pinned."""
    found = {sum_of(wheel) for wheel in folder.glob("*.whl")}
    return len(found) == len(pins()) and found <= set(re.findall(r"sha256:([0-9a-f]{64})", LOCK.read_text()))


def name_of(wheel: Path) -> str:
    """The distribution's name, as the lock has it."""
    return wheel.name.split("-")[0].replace("_", "-")


def sum_of(wheel: Path) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(wheel.read_bytes()).hexdigest()
