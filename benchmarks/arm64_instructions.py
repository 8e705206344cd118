"""How many arm64 instructions a step takes with nobody, one and three faces, on the CPU of a Zero 2 W.

    python benchmarks/arm64_instructions.py [--cpu cortex-a53]

Runs the scenes of instructions.py on emulated arm64: Debian's qemu-user of bookworm (trixie's loads no plugins), with
count_instructions.c as its plugin, in the root and with the wheels of `scripts/test-pi arm64`, which are fetched where
they are not there yet. The program sees the chosen CPU in /proc/cpuinfo, so the networks take the kernels that they
take on a board. Needs gcc and mmdebstrap; takes about two minutes. What an instruction costs on a board is not told.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from instructions import PARTS, REST, SCENES, STEPS, Counts, table  # noqa: E402

from fer_edge.vision.tflite import UNACCELERATED  # noqa: E402
from tests.hardware.emulation import Board, board  # noqa: E402
from tests.hardware.roots import Root, build, kept  # noqa: E402

PLUGIN = HERE / "count_instructions.c"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden")
SUITE = "bookworm"
CPUS = {"cortex-a53": (0xD03, ""), "cortex-a72": (0xD08, ""), "cortex-a76": (0xD0B, " asimddp")}
"""The part's number in /proc/cpuinfo (Arm's list), and what it can beyond NEON."""

CPUINFO = """\
processor	: 0
BogoMIPS	: 38.40
Features	: fp asimd evtstrm crc32 cpuid{more}
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: {part:#x}
CPU revision	: 4
"""
OWN = {"proc", "sys", "dev", "run", "tmp"}  # of this machine, where the root has nothing


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", choices=CPUS, default="cortex-a53", help="which CPU; cortex-a53: of a Zero 2 W")
    options = parser.parse_args()
    if missing := [tool for tool in ("gcc", "mmdebstrap") if not shutil.which(tool)]:
        raise SystemExit(f"arm64_instructions: {missing[0]} is not installed (Debian package {missing[0]})")
    print("\n".join(table(measure(options.cpu))))


def measure(cpu: str) -> dict[str, Counts]:
    """Faces -> part -> instructions a step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = board(SUITE, folder)
        plugin = folder / "count.so"
        subprocess.run(["gcc", *FLAGS, "-o", str(plugin), str(PLUGIN)], check=True)
        run = subprocess.run(_command(made, plugin, _prefix(made, folder, cpu), cpu), capture_output=True, text=True)
    if run.returncode or UNACCELERATED[:20] in run.stderr:
        raise SystemExit(f"arm64_instructions: the emulated program failed: {run.stderr.strip().splitlines()[-1]}")
    return counted(run.stderr)


def _command(made: Board, plugin: Path, prefix: Path, cpu: str) -> list[str]:
    """What runs the scenes."""
    qemu, python = _qemu(), made.layers[-1] / "usr/bin/python3.11"
    paths = ":".join(map(str, (HERE.parent, *made.packages)))
    inside = {"PYTHONPATH": paths, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    variables = [word for name, value in inside.items() for word in ("-E", f"{name}={value}")]
    loader = [str(qemu / "ld.so"), "--library-path", str(qemu)]
    emulator = [str(qemu / "qemu-aarch64"), "-L", str(prefix), "-cpu", cpu, *variables, "-plugin", str(plugin)]
    return [*loader, *emulator, str(python), str(HERE / "instructions.py"), "--steps"]


def _prefix(made: Board, folder: Path, cpu: str) -> Path:
    """What the program sees instead of this machine's files: a board's root, and one core of its CPU."""
    prefix, (part, more) = folder / "prefix", CPUS[cpu]
    cores = prefix / "sys/devices/system/cpu"
    cores.mkdir(parents=True)
    (prefix / "proc").mkdir()
    for each in made.layers[-1].iterdir():
        if each.name not in OWN:
            (prefix / each.name).symlink_to(each)
    (prefix / "proc/cpuinfo").write_text(CPUINFO.format(part=part, more=more))
    for name in ("possible", "present"):
        (cores / name).write_text("0\n")
    return prefix


def _qemu() -> Path:
    """A folder with qemu-aarch64 and the libraries and the loader that it was made for."""
    with kept("qemu-aarch64-plugins") as (path, there):
        if not there:
            host = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
            root = build(Root(suite=SUITE, packages=("qemu-user",), architecture=host.stdout.strip(), unpacked=True))
            unfinished = path.with_name(f"{path.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            for library in root.glob("usr/lib/*-linux-gnu/*.so*"):
                shutil.copy(library, unfinished)
            shutil.copy(next(unfinished.glob("ld-linux*")), unfinished / "ld.so")
            shutil.copy(root / "usr/bin/qemu-aarch64", unfinished)
            shutil.rmtree(root)  # half a gigabyte of other machines
            unfinished.rename(path)
    return path


def counted(output: str) -> dict[str, Counts]:
    """The counts of each scene, of what the plugin wrote: all counts so far before and after each scene."""
    marks: list[Counter[str]] = []
    sums = Counter[str]()
    for line in output.splitlines():
        if match := re.fullmatch(r"count (\d+) (.*)", line):
            sums[_part(match[2])] += int(match[1])
        elif line == "mark":
            marks.append(sums)
            sums = Counter()
    pairs = zip(SCENES, marks[::2], marks[1::2], strict=True)
    return {str(faces): _a_step(before, after) for faces, before, after in pairs}


def _part(file: str) -> str:
    """What a file counts as, by its name and folder."""
    where = os.sep.join(Path(file).parts[-3:])
    return next((part for part, names in PARTS.items() if re.search(names, where)), REST)


def _a_step(before: Mapping[str, int], after: Mapping[str, int]) -> Counts:
    return {part: round((after[part] - before[part]) / STEPS) for part in (*PARTS, REST)}


if __name__ == "__main__":
    main()
