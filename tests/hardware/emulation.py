"""arm64 programs on this machine: Debian's root, unpacked only, and qemu in name spaces that end with the program.

Nothing of the machine is changed. The kernel's table of foreign programs (binfmt_misc) is one per user name space since
Linux 6.7: the table that names qemu here exists for the guest alone, like its mounts, its processes and its loopback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from tests.hardware.roots import REPOSITORY, Root, build, cache_folder, kept
from tests.hardware.wheels import project_dependencies, wheels

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
MACHINE = "aarch64"  # as wheels name it
CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")  # of Zero 2 W, Pi 4, Pi 5
PACKAGES = ("base-files", "bash", "coreutils", "libstdc++6", "mosquitto", "netbase", "openssl", "python3")
TEST_WHEELS = ("hypothesis", "jinja2", "jsonschema", "pytest", "pytest-timeout")
SAME = ("ai-edge-litert", "opencv-python-headless")  # compared with this machine's: the same release on both

# What the kernel compares a file's first 20 bytes with: 64-bit little-endian ELF, a program or a library, for AArch64.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

SETUP = r"""
set -eu
space=$1 root=$2 shared=$3 table=$4 overlays=$5
shift 5
mount -t tmpfs fer-edge "$space"
mkdir "$space/root" "$space/table"
lay() {  # what is written to $2 is gone at the end; $1 stays as it is
    mkdir -p "$space/$3/up" "$space/$3/work" "$2"
    mount -t overlay -o "lowerdir=$1,upperdir=$space/$3/up,workdir=$space/$3/work" overlay "$2"
}
lay "$root" "$space/root" 0
printf '127.0.0.1 localhost\n' >"$space/root/etc/hosts"
printf 'root:x:0:0:root:/tmp:/bin/sh\n' >"$space/root/etc/passwd"
number=1
while [ "$number" -le "$overlays" ]; do
    lay "$1" "$space/root$2" "$number"
    number=$((number + 1))
    shift 2
done
mkdir "$space/root/shared"
mount --bind "$shared" "$space/root/shared"
mount -t proc proc "$space/root/proc"
mount -t sysfs -o ro sysfs "$space/root/sys"
mount --rbind /dev "$space/root/dev"
mount -t tmpfs tmpfs "$space/root/tmp"
ip link set lo up
mount -t binfmt_misc binfmt_misc "$space/table" || {
    echo "emulation: binfmt_misc in a user name space needs Linux 6.7 or newer, got $(uname -r)" >&2
    exit 1
}
printf '%s' "$table" >"$space/table/register"
unshare --root="$space/root" --wd=/src -- "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Board:
    """An arm64 Debian that has this repository in /src and arm64 packages for its Python, on a CPU of one type."""

    suite: str
    layers: tuple[Path, ...]  # its root and what lies over that; the topmost first
    packages: tuple[Path, ...]  # folders of unpacked wheels
    shared: Path  # what it sees as /shared and may write to
    cpu: str = "cortex-a72"
    variables: tuple[tuple[str, str], ...] = ()  # of its environment

    def with_cpu(self, cpu: str) -> Board:
        """The same with another CPU."""
        return replace(self, cpu=cpu)

    def command(self, *command: str) -> list[str]:
        """What runs a command on it, and ends with whoever started that, even when it is killed."""
        overlays = [(str(REPOSITORY), "/src"), *((str(folder), self.inside(folder)) for folder in self.packages)]
        # F: the kernel opens qemu now, here; P: programs see the name by which they were called
        table = f":fer-edge:M::{MAGIC}:{MASK}:{qemu()}:FP"
        space = cache_folder() / "mounts"
        space.mkdir(exist_ok=True)
        arguments = [
            str(space),
            ":".join(map(str, self.layers)),
            str(self.shared),
            table,
            str(len(overlays)),
            *sum(overlays, ()),
        ]
        spaces = ("--user", "--map-root-user", "--mount", "--pid", "--net", "--fork", "--kill-child")
        return ["setpriv", "--pdeathsig=KILL", "unshare", *spaces, "sh", "-c", SETUP, "sh", *arguments, *command]

    def run(
        self, *command: str, check: bool = True, timeout: float = 600.0, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a command, with more environment; what it printed, and with an error what it said besides."""
        done = subprocess.run(
            self.command(*command),
            env=self.environment(**(environment or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """All that its programs inherit from here."""
        return {
            "HOME": "/tmp",
            "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
            "LANG": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": ":".join(["/src", *map(self.inside, self.packages)]),
            "QEMU_CPU": self.cpu,
            **dict(self.variables),
            **more,
        }

    @staticmethod
    def inside(folder: Path) -> str:
        """Where the board has a folder of packages."""
        return f"/packages/{folder.name}"


def board(suite: str, shared: Path, *, packages: Sequence[Path] | None = None) -> Board:
    """A Debian release with what fer-edge depends on, or with other packages instead."""
    root = build(Root(suite=suite, packages=PACKAGES, architecture="arm64", unpacked=True))
    chosen = (wheels(PYTHONS[suite], MACHINE, dependencies("embedded")),) if packages is None else tuple(packages)
    return Board(suite=suite, layers=(root,), packages=chosen, shared=shared)


def installed_board(suite: str, shared: Path, package: Path) -> Board:
    """A Debian release on which our Debian package is unpacked, with the system's Python packages that it depends on.

    Which BLAS is numpy's would be said by maintainer scripts (update-alternatives): here BLAS stands for itself.
    """
    depends = ("python3-numpy", "python3-rich", "python3-yaml")
    root = build(Root(suite=suite, packages=(*PACKAGES, *depends), architecture="arm64", unpacked=True))
    unpacked = shared / "package"
    subprocess.run(["dpkg-deb", "--extract", str(package), str(unpacked)], check=True)
    blas = ":".join(f"/usr/lib/aarch64-linux-gnu/{name}" for name in ("blas", "lapack"))
    return Board(
        suite=suite,
        layers=(unpacked, root),
        packages=(),
        shared=shared,
        variables=(("LD_LIBRARY_PATH", blas), ("PYTHONPATH", "")),
    )


def dependencies(*extras: str) -> tuple[str, ...]:
    """What pyproject.toml asks for; ai-edge-litert and OpenCV in the release that this machine's environment has."""
    return (*project_dependencies(*extras), *(f"{name}=={version(name)}" for name in SAME))


def tflite_runtime() -> tuple[str, ...]:
    """The extra of that name, with its pins, and what fer-edge depends on besides a runtime."""
    return tuple(line for line in project_dependencies("tflite-runtime") if not line.startswith("ai-edge-litert"))


def qemu() -> Path:
    """qemu-aarch64 of trixie, 10.0, for this machine: bookworm's 7.2 crashes where /sys is mounted."""
    with kept("qemu-aarch64") as (path, there):
        if not there:
            machine = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
            unpacked = build(
                Root(suite="trixie", packages=("qemu-user",), architecture=machine.stdout.strip(), unpacked=True)
            )
            unfinished = path.with_name(f"{path.name}.unfinished")
            shutil.copy(unpacked / "usr/bin/qemu-aarch64", unfinished)
            shutil.rmtree(unpacked)  # half a gigabyte of other machines
            unfinished.rename(path)
    return path


def emulated(process: subprocess.Popen[str]) -> int | None:
    """This machine's id of the one program that a started command has become, as soon as that runs."""
    inside: list[int] = [process.pid]
    while inside:
        pid = inside.pop()
        with suppress(OSError):  # a helper that has ended meanwhile
            if os.readlink(f"/proc/{pid}/exe") == str(qemu()):
                return pid
            inside += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return None
