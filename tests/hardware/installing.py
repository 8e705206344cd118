"""What the tests of installing install: the package and its next version, and wheels for pip."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.hardware.containers import Container
from tests.hardware.roots import REPOSITORY, SERVICE, Root, build, cache_folder, kept

VERSION = re.findall('__version__ = "(.+)"', (REPOSITORY / "fer_edge/__init__.py").read_text())[0]
NEXT = f"{VERSION}+next"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}

CONFIG = """\
device: {id: pi}
camera: {backend: replay, source: demo, loop: true}
mqtt: {broker: 127.0.0.1}
events: {heartbeat_seconds: 1.0}
web: {enabled: true}
"""
CHANGED_DEFAULT = ("fps: 15.0", "fps: 12.0")

NOISE = (
    r"^/(dev|proc|sys|run|tmp|var/(tmp|log|cache|backups|lib/(apt|dpkg/.*-old|systemd|mosquitto)))(/|$)"
    r"|^/usr/lib/python3.*/__pycache__(/|$)"
)
"""What a running system writes by itself, and bytecode of the system's Python."""


def machine(suite: str) -> Path:
    """A root with what the package depends on and a broker; picamera2 is not in Debian's archive."""
    return build(Root(suite=suite, packages=SERVICE))


def build_deb(folder: Path, architecture: str, *, umask: int = 0o022) -> Path:
    """Run scripts/build-deb as a user does, only hardly compressed."""
    with kept("deb-wheels") as (wheels, _):  # one build at a time downloads
        command = ["scripts/build-deb", architecture, "--fast", f"--output={folder}", f"--wheels={wheels}"]
        subprocess.run(command, cwd=REPOSITORY, check=True, umask=umask)
    return folder / f"fer-edge_{VERSION}_{architecture}.deb"


def next_version(deb: Path, folder: Path) -> Path:
    """The package as its next version, with another default in its config.yaml."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    edit(tree / "DEBIAN/control", f"Version: {VERSION}", f"Version: {NEXT}")
    edit(tree / "usr/lib/fer-edge/python3/fer_edge/__init__.py", VERSION, NEXT)
    edit(tree / "etc/fer-edge/config.yaml", *CHANGED_DEFAULT)
    target = folder / f"fer-edge_{NEXT}_amd64.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--build", tree, target], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return target


def next_checkout(folder: Path) -> Path:
    """What install.sh needs of this repository, as its next version."""
    for name in ("fer_edge", "models", "systemd", "docs"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    edit(folder / "fer_edge/__init__.py", VERSION, NEXT)
    edit(folder / "config.yaml", *CHANGED_DEFAULT)
    return folder


def archive(folder: Path) -> Path:
    """An archive as Raspberry Pi OS has it and Debian has not: with a python3-picamera2, which is only a stand-in."""
    tree = folder / "tree"
    module = tree / "usr/lib/python3/dist-packages/picamera2/__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text('raise ImportError("a stand-in")\n')
    control = (
        "Package: python3-picamera2\nVersion: 0.3.30-1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        "Recommends: python3-pyqt5\nDescription: a stand-in\n"
    )
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(control)
    deb = folder / "python3-picamera2.deb"
    subprocess.run(["dpkg-deb", "--build", tree, deb], check=True, stdout=subprocess.DEVNULL)
    content = deb.read_bytes()
    size, sha256 = len(content), hashlib.sha256(content).hexdigest()
    (folder / "Packages").write_text(f"{control}Filename: ./{deb.name}\nSize: {size}\nSHA256: {sha256}\n")
    folder.chmod(0o755)  # apt reads it as a user without rights
    return folder


def only_archive(container: Container) -> None:
    """Let apt know this one, in /archive, and no other: there is no network."""
    container.shell(
        "rm -f /etc/apt/sources.list; echo 'deb [trusted=yes] file:/archive ./' >/etc/apt/sources.list.d/pi.list"
    )


def edit(path: Path, old: str, new: str) -> None:
    """Replace what must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def pip_wheels(suite: str) -> Path:
    """All wheels that install.sh's pip asks for on this release, downloaded once and kept, with the lock's sums."""
    wanted = re.findall(r"^[a-z0-9-]+==\S+", (REPOSITORY / "systemd/debian/wheels.lock").read_text(), re.MULTILINE)
    with kept(f"pip-{suite}-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:10]}") as (path, there):
        if not there:
            unfinished = cache_folder() / f"{path.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += [f"--python-version={PYTHONS[suite]}", f"--dest={unfinished}"]
            command += [f"--platform={each}_x86_64" for each in ("manylinux_2_28", "manylinux_2_27", "manylinux2014")]
            subprocess.run([*command, *wanted], check=True)
            unfinished.rename(path)
    return path


def files(container: Container) -> set[str]:
    """All paths of a system but what it writes by itself."""
    found = container.shell("find / -xdev -mount 2>/dev/null || true", timeout=120).splitlines()
    return {path for path in found if not re.search(NOISE, path)}


def users(container: Container) -> str:
    """Who is known, in which groups."""
    return container.shell("getent passwd; getent group")


def units(container: Container) -> str:
    """The names and states of all unit files."""
    return container.run("systemctl", "list-unit-files", "--no-legend", "--no-pager")


def receive_event(container: Container) -> str:
    """Wait for an event at a subscriber of the broker."""
    return container.shell("mosquitto_sub -h 127.0.0.1 -t fer-edge/pi/event -C 1 -W 30", timeout=40)


def configure(pi: Container) -> None:
    """The demo's pictures as camera, and the broker beside it."""
    pi.shell(f"cat >/etc/fer-edge/config.yaml <<'END'\n{CONFIG}END\nsystemctl start mosquitto")


def main_pid(pi: Container) -> str:
    return pi.run("systemctl", "show", "--value", "--property=MainPID", "fer-edge")


def page(pi: Container) -> str:
    """What the live page answers, in a browser's place."""
    return pi.run(
        "python3", "-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/').read().decode())"
    )
