"""How hot the board is and whether its power supply is good enough, as the Raspberry Pi's firmware reports.

Other machines have none of this: then nothing is known, and nothing is concluded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from fer_edge.records import THROTTLED
from fer_edge.runtime.worker import Worker

SYS = Path("/sys")
VCIO = Path("/dev/vcio")  # how vcgencmd talks to the firmware

EVERY_SECONDS = 5.0  # heat takes longer than that to build up
VCGENCMD_EVERY_SECONDS = 30.0  # a process each time
VCGENCMD_SECONDS = 2.0
JOIN_SECONDS = 1.0  # the firmware may not answer at all

SINCE_BOOT = 16  # bits higher in THROTTLED: what has held since the board was switched on


@dataclass(frozen=True, slots=True)
class Health:
    """What the board reports."""

    temperature_c: float | None = None  # of the SoC; None where it is unknown
    throttled: int | None = None  # the firmware's bits (vcgencmd get_throttled); None elsewhere

    def words(self) -> str:
        """The bits in words; empty where none is set."""
        bits = self.throttled or 0
        now = [name for bit, name in THROTTLED.items() if bits & bit]
        past = [name for bit, name in THROTTLED.items() if bits & bit << SINCE_BOOT and not bits & bit]
        parts = [", ".join(now) + " now" if now else "", ", ".join(past) + " since the start" if past else ""]
        return "; ".join(filter(None, parts))


def temperature_c() -> float | None:
    """Of the SoC, degrees Celsius."""
    try:
        return int((SYS / "class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def kernel_bits() -> int | None:
    """The firmware's bits from the file in which some kernels pass them on. Costs next to nothing."""
    for path in (SYS / "devices/platform").glob("soc*/soc*:firmware/get_throttled"):  # soc@107c000000 on a Pi 5
        try:
            return int(path.read_text(), 16)
        except (OSError, ValueError):
            continue
    return None


def supply_alarm() -> int | None:
    """Bit 0 alone, from the kernel's driver for the supply voltage, where the others cannot be had."""
    for folder in (SYS / "class/hwmon").glob("hwmon*"):
        try:
            if (folder / "name").read_text().strip() == "rpi_volt":
                return int((folder / "in0_lcrit_alarm").read_text())
        except (OSError, ValueError):
            continue
    return None


def ask_firmware() -> int | None:
    """All bits, from the firmware itself by `vcgencmd`; None where that is not installed, not allowed or fails.

    Takes a process and up to VCGENCMD_SECONDS: not for the data path.
    """
    program = shutil.which("vcgencmd")
    if program is None or not os.access(VCIO, os.R_OK | os.W_OK):
        return None
    try:
        output = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=VCGENCMD_SECONDS, check=True
        )
        return int(output.stdout.strip().removeprefix("throttled="), 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def read_health() -> Health:
    """Everything, once: for commands, which may wait."""
    watch = HealthWatch()
    watch.look()
    return watch.latest


class HealthWatch:
    """Reads the health every few seconds, in its own thread: no step waits for the firmware."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stop = Event()
        self._worker = Worker("health", self._run)
        self._latest = Health()
        self._asked: int | None = None  # the last answer of vcgencmd
        self._ask_at = clock()

    @property
    def latest(self) -> Health:
        """What was read last. Raises what stopped the thread, if anything did."""
        self._worker.check()
        return self._latest

    def start(self) -> None:
        """Start reading."""
        self._worker.start()

    def close(self) -> None:
        """Stop reading. A hanging firmware call is abandoned: the thread ends with the process."""
        self._stop.set()
        self._worker.join(JOIN_SECONDS)

    def look(self) -> None:
        """Read once."""
        bits = kernel_bits()
        if bits is None:
            known = [each for each in (self._ask(), supply_alarm()) if each is not None]
            bits = known[0] | known[-1] if known else None
        self._latest = Health(temperature_c(), bits)

    def _ask(self) -> int | None:
        """The firmware's answer, at most VCGENCMD_EVERY_SECONDS old."""
        if self._clock() >= self._ask_at:
            self._asked, self._ask_at = ask_firmware(), self._clock() + VCGENCMD_EVERY_SECONDS
        return self._asked

    def _run(self) -> None:
        while True:
            with suppress(OSError):  # such as too many open files: the last figures hold until the next look
                self.look()
            if self._stop.wait(EVERY_SECONDS):
                return
