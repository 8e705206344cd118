"""benchreport.py, board.py and expect.py: a board's speed as one text that says nothing of its owner."""

from __future__ import annotations

import itertools
import re
import socket
import uuid
from pathlib import Path

import pytest

from fer_edge.__main__ import main
from fer_edge.board import describe
from fer_edge.board.expected import BOARDS, all_cores_ms, board_of, one_core_ms, span
from fer_edge.commands.bench import measure
from tests.support.boards import Board as Sensors

SERIAL = "10000000abcdef01"
CPUINFO = f"""processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 1
CPU part\t: 0xd0b

Revision\t: d04170
Serial\t\t: {SERIAL}
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
FILES = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/serial-number": f"{SERIAL}\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "proc/cpuinfo": CPUINFO,
    "proc/meminfo": "MemTotal:        8245168 kB\nMemFree:         7000000 kB\n",
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "2400000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "2400000\n",
}


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a Raspberry Pi 5."""
    for name, text in FILES.items():
        path = tmp_path / "pi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(describe, "ROOT", tmp_path / "pi")
    return tmp_path / "pi"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few runs of each model."""
    monkeypatch.setattr(measure, "RUNS", 3)
    monkeypatch.setattr(measure, "WARM_UP", 1)


def test_a_raspberry_pi_is_described(pi: Path) -> None:
    reported = dict(describe.describe())
    assert reported["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert reported["SoC"] == "brcm,bcm2712"
    assert reported["CPU"] == "Cortex-A76"
    assert reported["int8 instructions"] == "asimddp"
    assert reported["clock"] == "ondemand, 1500 to 2400 MHz"
    assert reported["memory"] == "8443 MB"
    assert reported["system"] == "Debian GNU/Linux 13 (trixie)"
    assert {"cores", "kernel", "Python", "packages"} <= set(reported)
    assert describe.clock_mhz() == 2400
    assert SERIAL not in str(reported)


def test_a_machine_that_tells_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "ROOT", tmp_path)
    reported = dict(describe.describe())
    assert reported["board"].endswith("machine without a device tree")
    assert not {"SoC", "CPU", "clock", "memory", "system"} & set(reported)
    assert describe.clock_mhz() is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", "Zero 2 W"),
        ("Raspberry Pi 4 Model B Rev 1.5", "Pi 4"),
        ("Raspberry Pi Compute Module 4 Rev 1.1", "Pi 4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "Pi 5"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", None),
        ("x86_64 machine without a device tree", None),
    ],
)
def test_which_board_is_meant(model: str, name: str | None) -> None:
    found = board_of(model)
    assert (found and found.name) == name


def test_expected_times() -> None:
    zero, four, five = BOARDS
    assert one_core_ms(58_200_000, zero) == pytest.approx(29.1)
    assert all_cores_ms(24_000_000, four) == pytest.approx((1.0, 24 / 17))
    assert span(*all_cores_ms(65_000_000, five)) == "1.0"
    assert span(1.0, 1.44) == "1.0-1.4"


def test_a_report_of_a_pi(pi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    monkeypatch.setattr("time.monotonic", itertools.count().__next__)
    sensors = Sensors(tmp_path / "board", monkeypatch)
    sensors.temperature("61200")
    sensors.throttled("50000")
    target = tmp_path / "report.md"
    assert main(["bench", "--report", str(target), "--frames", "8", "--seconds", "24"]) == 0
    text = target.read_text()
    for line in (
        "| board | Raspberry Pi 5 Model B Rev 1.0 |",
        "Before: 61.2 C, throttled=0x50000 (under-voltage, throttled since the start). After: 61.2 C,",
        "Expected figures: Pi 5 (Cortex-A76 2.4 GHz), docs/performance.md, for its standard clock.",
        "## Models, ms per run",
        "## Whole step, demo, 640x480, 8 frames",
        "## Without a pause, 24 s, 1 thread",
        "| 61.2 C | throttled=0x50000 (under-voltage, throttled since the start) | 2400 MHz |",
        "frames/s, +0.0 C, 61.2 C at most.",
    ):
        assert line in text
    detector = re.search(r"\| detector \| 77\.5 \| [\d.]+ \| [\d.]+ \| 2\.0 \| [\d.]+ \| [\d.]+ \| 1\.2 \|", text)
    assert detector
    assert re.search(r"With 1 thread: models [\d.]+ of [\d.]+ ms/frame; expected for the models [\d.]+\.", text)


def test_a_report_says_nothing_of_its_owner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    assert main(["bench", "--report", "-", "--frames", "3", "--seconds", "0"]) == 0
    text, progress = capsys.readouterr()
    mac = uuid.getnode().to_bytes(6, "big").hex(":")
    machine_id = Path("/etc/machine-id").read_text().strip() if Path("/etc/machine-id").exists() else "no id"
    for secret in (mac, mac.replace(":", ""), machine_id or "no id", str(Path.cwd()), str(Path.home()) + "/"):
        assert secret not in text
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    assert not re.search(
        r"\b\d{1,3}(\.\d{1,3}){3}\b", text.replace(describe.package_version("opencv-python-headless"), "")
    )
    assert "Without a pause" not in text
    assert "bench: 1/3 the models" in progress


def test_a_report_is_of_the_demo_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "clip.mp4", "--report", "-"]) == 1
    assert "expected no other source" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "report.md", tmp_path / "nowhere" / "report.md", tmp_path):
        assert main(["bench", "--report", str(target)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"fer-edge: bench --report: {target}: expected a file in a folder that can be written")
