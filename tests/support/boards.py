"""A made-up Raspberry Pi: the files and the program by which it tells how it fares."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.board import health


class Board:
    """Has no sensors until they are set."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in ("sys/class/thermal/thermal_zone0", "sys/class/hwmon/hwmon1", "bin", "dev"):
            (folder / name).mkdir(parents=True)
        monkeypatch.setattr(health, "SYS", folder / "sys")
        monkeypatch.setattr(health, "VCIO", folder / "dev" / "vcio")
        monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")

    def temperature(self, text: str) -> None:
        """Thousandths of a degree, as the kernel writes them."""
        (self.folder / "sys/class/thermal/thermal_zone0/temp").write_text(f"{text}\n")

    def throttled(self, text: str, *, soc: str = "soc") -> None:
        """The firmware's bits in hexadecimal, in the kernel's file."""
        path = self.folder / f"sys/devices/platform/{soc}/{soc}:firmware/get_throttled"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def supply(self, alarm: str) -> None:
        """The driver of the supply voltage."""
        (self.folder / "sys/class/hwmon/hwmon1/name").write_text("rpi_volt\n")
        (self.folder / "sys/class/hwmon/hwmon1/in0_lcrit_alarm").write_text(f"{alarm}\n")

    def vcgencmd(self, script: str) -> None:
        """The firmware's program, as a line of sh that counts its calls."""
        (self.folder / "dev" / "vcio").touch()
        path = self.folder / "bin" / "vcgencmd"
        path.write_text(f'#!/bin/sh\necho "$1" >>{self.folder}/calls\n{script}\n')
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What vcgencmd was called with."""
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []
