"""Resident memory of a daemon, and of one that qemu emulates without what qemu itself takes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT, OF_A_FILE = 1 << 63, 1 << 61  # of an entry of /proc/PID/pagemap: in memory; from a file or shared
FRAMES_SECONDS = 20.0  # of watching, after the first event
FIRST_EVENT_SECONDS = 180.0

CONFIG = """
device: {id: board}
camera: {backend: replay, source: demo, loop: true}
mqtt: {broker: embedded}
state: {folder: FOLDER/state}
jsonl: {enabled: true, path: FOLDER/events.jsonl}
log: {level: warning}
"""
"""The daemon as it is delivered, with an embedded broker and the demo's 640x480 frames in place of a camera's."""


@dataclass(frozen=True, slots=True)
class Resident:
    """What a process has in memory, in MB (10^6 bytes)."""

    anonymous: float  # its own data
    files: float  # programs, libraries: clean pages, which the system may drop and read again

    @property
    def total(self) -> float:
        """What VmRSS says of a process that is not emulated."""
        return self.anonymous + self.files


def resident(pid: int, maps: str) -> Resident:
    """The pages of process `pid` within the address ranges of `maps`, in the form of /proc/PID/maps."""
    anonymous = files = 0
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as file:
        for line in maps.splitlines():
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if start >= 1 << 63:  # vsyscall, the kernel's
                continue
            entries = np.frombuffer(os.pread(file.fileno(), (end - start) // PAGE * 8, start // PAGE * 8), np.uint64)
            present = entries[(entries & np.uint64(PRESENT)) != 0]
            from_files = int(np.count_nonzero(present & np.uint64(OF_A_FILE)))
            anonymous, files = anonymous + len(present) - from_files, files + from_files
    return Resident(anonymous * PAGE / 1e6, files * PAGE / 1e6)


def peak(
    command: Sequence[str],
    folder: Path,
    *,
    environment: dict[str, str],
    program: Callable[[subprocess.Popen[str]], int | None],
) -> Resident:
    """The most that a daemon has in memory from its first own page to many frames after its first event.

    Args:
        command: starts mapped_daemon.py, whose MAPS is `folder`/maps and whose CONFIG is made of CONFIG.
        folder: where that writes.
        environment: of the command.
        program: the id of the process that the command has become.

    """
    process = subprocess.Popen(command, env=environment, text=True)
    try:
        found = _watch(process, folder, program)
        pid = program(process)
        assert pid
        os.kill(pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    return max(found, key=lambda each: each.total)


def _watch(
    process: subprocess.Popen[str], folder: Path, program: Callable[[subprocess.Popen[str]], int | None]
) -> list[Resident]:
    """What was resident each time, until enough frames have been seen."""
    found: list[Resident] = []
    limit, events = time.monotonic() + FIRST_EVENT_SECONDS, folder / "events.jsonl"
    seen = False
    while time.monotonic() < limit:
        assert process.poll() is None, "the daemon has ended"
        if (folder / "maps").exists() and (pid := program(process)):
            found.append(resident(pid, (folder / "maps").read_text()))
        if not seen and events.exists() and events.stat().st_size:
            seen, limit = True, time.monotonic() + FRAMES_SECONDS
        time.sleep(0.1)
    assert seen, f"no event within {FIRST_EVENT_SECONDS:g} s"
    return found
