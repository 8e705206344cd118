"""Boots a root in systemd-nspawn, runs commands in it, and leaves nothing behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

PROPAGATE = Path("/run/systemd/nspawn/propagate")
"""Where systemd-nspawn leaves a folder for each container that there was."""

BOOT_SECONDS = 60.0
STOP_SECONDS = 20.0


class Container:
    """A booted system on a volatile overlay over `root`: whatever happens in it is gone with it.

    Its own loopback is all the network that it has, unless `network`: then it shares this machine's.
    """

    def __init__(
        self, root: Path, *, binds: Sequence[str] = (), network: bool = False, options: Sequence[str] = ()
    ) -> None:
        """`binds`: as in HERE:THERE, read-only; `options`: more for systemd-nspawn."""
        _sweep()
        self.name = f"fer-edge-{os.getpid()}-{secrets.token_hex(4)}"
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._leader = 0
        self._groups = _make_groups(self.name)
        command = [
            "systemd-nspawn",
            "--quiet",
            f"--directory={root}",
            f"--machine={self.name}",
            "--volatile=overlay",
            "--register=no",
            "--keep-unit",
            "--link-journal=no",
            "--console=pipe",
            *(f"--bind-ro={bind}" for bind in binds),
            *(() if network else ("--private-network",)),
            *options,
            "--boot",
        ]
        self._process = subprocess.Popen(
            # the kernel tells it when this process ends, even when that is killed: it shuts its system down
            [*_entering(self._groups), "setpriv", "--pdeathsig", "TERM", "--", *command],
            env=os.environ | {"UNIFIED_CGROUP_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Container:
        """Wait until it has booted."""
        try:
            self._wait(self._find_leader, "the container's first process")
            self._wait(self._booted, "the end of booting")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def run(self, *command: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run a command inside as root; its standard output and error together, without the last line's end."""
        done = subprocess.run(
            [*self._enter(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        output = done.stdout.decode(errors="replace").rstrip("\n")
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{output}")
        return output

    def shell(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run lines of a shell; stops at the first that fails."""
        return self.run("sh", "-euc", script, check=check, timeout=timeout)

    def start(self, *command: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start a command inside that goes on by itself; it ends with the container."""
        return subprocess.Popen([*self._enter(), *command], stdin=subprocess.DEVNULL, stdout=stdout)

    def wait_for(self, what: str, test: Callable[[], bool], seconds: float = 30.0) -> float:
        """Wait until `test` holds; returns for how many seconds. Fails with the journal's end."""
        begun = time.monotonic()
        while not test():
            if time.monotonic() - begun > seconds:
                journal = self.run("journalctl", "--no-pager", "--lines=60", "--output=short-monotonic", check=False)
                raise AssertionError(f"waited {seconds:g} s for {what}\n{journal}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def close(self) -> None:
        """Power it off, or end it where it does not obey."""
        self._process.terminate()  # systemd-nspawn passes it on as a power-off
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.kill(self._leader, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self._output.close()
        shutil.rmtree(PROPAGATE / self.name, ignore_errors=True)
        _remove_groups(self._groups)

    def _enter(self) -> list[str]:
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
        return ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", f"--target={self._leader}", *spaces, "--"]

    def _wait(self, test: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + BOOT_SECONDS
        while not test():
            if self._process.poll() is not None or time.monotonic() > limit:
                self._output.seek(0)
                message = self._output.read().decode(errors="replace")[-3000:]
                raise RuntimeError(f"waited for {what}; systemd-nspawn said:\n{message}")
            time.sleep(0.05)

    def _find_leader(self) -> bool:
        """systemd-nspawn's child is the container's process 1, as soon as it has become systemd."""
        for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._leader = int(child)
        return self._leader != 0

    def _booted(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False) in ("running", "degraded")


def _make_groups(name: str) -> list[Path]:
    """A control group for each container: in a shared one, systemds take each other's services for their own."""
    groups = [group / name for group in _own_groups()]
    for group in groups:
        group.mkdir()
    return groups


def _own_groups() -> Iterator[Path]:
    """This process's control group in each hierarchy that systemd uses: version 2, and where there are both, its own
    of version 1."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for _, where, kind, options, *_ in mounts:
            if (kind == "cgroup2" and not controllers) or (
                kind == "cgroup" and controllers == "name=systemd" and controllers in options.split(",")
            ):
                yield Path(where, path.lstrip("/"))
                break


def _entering(groups: Sequence[Path]) -> list[str]:
    """The beginning of a command line that runs the rest of it within these groups."""
    script = 'for group; do shift; [ "$group" != -- ] || break; echo $$ > "$group/cgroup.procs"; done; exec "$@"'
    return ["sh", "-euc", script, "sh", *map(str, groups), "--"]


def _remove_groups(groups: Iterable[Path]) -> None:
    for group in groups:
        for folder in sorted((group, *group.glob("**/")), reverse=True):  # a group before the one that holds it
            with suppress(OSError):
                folder.rmdir()


def _sweep() -> None:
    """Remove what containers of test runs that are no more have left."""
    places = [PROPAGATE, *_own_groups()]
    for folder in [found for place in places for found in place.glob("fer-edge-*-*")]:
        if Path(f"/proc/{folder.name.split('-')[2]}").exists():
            continue
        if folder.parent == PROPAGATE:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _remove_groups([folder])
