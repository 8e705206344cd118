"""Root file systems of Debian releases, built once and kept.

They come from the mirrors that this machine's own apt uses, by mmdebstrap, into FER_EDGE_PI_CACHE (default
~/.cache/fer-edge/pi). A root is never written to after it is built: containers lay a volatile overlay over it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LEAN = ("man", "doc", "locale", "info")  # of /usr/share: nobody reads there
SYSTEM = ("systemd", "systemd-sysv", "dbus", "udev", "procps", "iproute2", "ca-certificates")
"""What makes a root boot, in every one that does."""
SERVICE = (
    *(*SYSTEM, "python3", "python3-numpy", "python3-yaml", "python3-rich", "python3-venv"),
    *("mosquitto", "mosquitto-clients"),
)
"""What fer-edge takes from the archive, and a broker: one root for the tests of installing and of the service."""

MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"  # /bin and /lib are links: a maintainer script's work otherwise


@dataclass(frozen=True, kw_only=True)
class Root:
    """What a root is made of."""

    suite: str  # bookworm: Python 3.11, trixie: Python 3.13
    packages: tuple[str, ...] = ()
    architecture: str = "amd64"
    environment: tuple[tuple[str, str], ...] = ()  # for the build: QEMU_CPU, for one
    unpacked: bool = False  # only unpacked: no maintainer script runs, so any architecture's is made in 20 s

    @property
    def name(self) -> str:
        """Tells this root from any other one."""
        made_of = " ".join((*sorted(self.packages), *LEAN, *(("unpacked",) if self.unpacked else ())))
        return f"{self.suite}-{self.architecture}-{hashlib.sha256(made_of.encode()).hexdigest()[:10]}"


def cache_folder() -> Path:
    """Where roots and what is built for them are kept."""
    folder = Path(os.environ.get("FER_EDGE_PI_CACHE") or Path.home() / ".cache/fer-edge/pi")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def kept(name: str) -> Iterator[tuple[Path, bool]]:
    """A path in the cache that one process at a time may make, and whether it is there already.

    Whoever makes it builds something else beside it and renames that: what has this name is whole.
    """
    path = cache_folder() / name
    with (cache_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path, path.exists()


def build(root: Root) -> Path:
    """The folder of a root, built where it is not there yet (half a minute for this machine's architecture)."""
    with kept(root.name) as (path, there):
        if there:
            return path
        unfinished = path.with_name(f"{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        print(f"test-pi: building {path.name}", flush=True)
        command = [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            *(("--variant=extract", f"--hook-dir={MERGED_USR}") if root.unpacked else ("--variant=minbase",)),
            f"--architectures={root.architecture}",
            f"--include={','.join(root.packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in LEAN),
            root.suite,
            str(unfinished),
            *mirrors(root.suite),
        ]
        log = cache_folder() / f"{root.name}.log"
        with log.open("wb") as output:
            done = subprocess.run(
                command, env=os.environ | dict(root.environment), stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise RuntimeError(f"mmdebstrap failed ({log}):\n{log.read_text(errors='replace')[-2000:]}")
        unfinished.rename(path)
    return path


def mirrors(suite: str, folder: Path = Path("/etc/apt")) -> list[str]:
    """One-line sources of `suite` at the mirrors of Debian that this machine's apt knows; none: mmdebstrap's own."""
    files = [
        *folder.glob("sources.list"),
        *folder.glob("sources.list.d/*.list"),
        *folder.glob("sources.list.d/*.sources"),
    ]
    text = "\n".join(file.read_text() for file in files)
    found = dict.fromkeys(re.findall(r"(?<=[ \t])(https?://[^ \t\n]*?/debian)/?(?=[ \t\n])", text))
    return [f"deb {mirror} {suite} main" for mirror in list(found)[:1]]
