"""What this machine is, in words that say nothing of whose it is: no serial number, host name or address."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path("/")
PACKAGES = ("ai-edge-litert", "tflite-runtime", "opencv-python-headless", "opencv-python", "numpy", "fer-edge")
ARM_CORES = {"0xd03": "Cortex-A53", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76"}  # by the CPU part number
INT8_FEATURES = ("asimddp", "i8mm", "avx2", "avx512_vnni", "avx_vnni")  # instructions that int8 models gain from


def model() -> str:
    """The board by its device tree, else the machine's architecture."""
    return _text(ROOT / "proc/device-tree/model") or f"{platform.machine()} machine without a device tree"


def describe() -> list[tuple[str, str]]:
    """Properties and their values on this machine; unknown ones are left out."""
    rows: tuple[tuple[str, Callable[[], str]], ...] = (
        ("board", model),
        ("SoC", lambda: _text(ROOT / "proc/device-tree/compatible").split("\0")[-1]),
        ("CPU", _cpu),
        ("int8 instructions", lambda: ", ".join(f for f in INT8_FEATURES if f in _features()) or "none of note"),
        ("cores", lambda: str(cores())),
        ("clock", lambda: "; ".join(clocks())),
        ("memory", _memory),
        ("kernel", lambda: f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("system", _os),
        ("Python", platform.python_version),
        ("packages", lambda: ", ".join(f"{name} {found}" for name in PACKAGES if (found := package_version(name)))),
    )
    return [(name, text) for name, read in rows if (text := read())]


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def clocks() -> list[str]:
    """Each clock domain: governor, least and most MHz."""
    folders = sorted((ROOT / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    return [f"{_text(each / 'scaling_governor')}, {_mhz(each, 'min')} to {_mhz(each, 'max')} MHz" for each in folders]


def clock_mhz() -> int | None:
    """The first core's clock now, MHz; None where it is unknown."""
    text = _text(ROOT / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq")
    return int(text) // 1000 if text.isdigit() else None


def _mhz(policy: Path, which: str) -> str:
    text = _text(policy / f"scaling_{which}_freq")
    return str(int(text) // 1000) if text.isdigit() else "?"


def _cpu() -> str:
    """Its name: x86 gives it, Arm only a part number."""
    info = _cpuinfo()
    return info.get("model name") or ARM_CORES.get(info.get("CPU part", ""), info.get("CPU part", ""))


def _features() -> list[str]:
    info = _cpuinfo()
    return (info.get("Features") or info.get("flags") or "").split()


def _cpuinfo() -> dict[str, str]:
    """The first core's lines. The file's other parts, such as a serial number, are not read."""
    first = _text(ROOT / "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory() -> str:
    for line in _text(ROOT / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return f"{int(rest.split()[0]) * 1024 / 1e6:.0f} MB"
    return ""


def _os() -> str:
    for line in _text(ROOT / "etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return ""


def package_version(package: str) -> str:
    """The version of an installed package, or what its absence is called."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _text(path: Path) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
