"""How many instructions a step takes with nobody, one and three faces: a measure that other load does not affect.

    python benchmarks/instructions.py [--write]

Runs itself under valgrind's callgrind (Debian package valgrind), 640x480 at 15 frames a second, a second of each scene
after it has settled. Two runs of the same code on the same libraries count the same to the instruction. The counts are
held against benchmarks/instructions.json (`--write` makes it anew), and a test fails where they have grown by more
than TOLERANCE. Valgrind shows programs a CPU without AVX-512 and its dot products: the networks count for several
times as many instructions as they take where there are any, which is nearer to a Cortex-A53, which has none either.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from cadence import FPS, picture

from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "instructions.json"
TOLERANCE = 0.05  # of all instructions of a step
AROUND_TOLERANCE = 0.10  # of those around the networks, which are few and differ a little from one Python to another
SCENES = (0, 1, 3)  # faces
SETTLE = tuple(number / 2 for number in range(6))  # seconds: every quarter was looked at, every face is confirmed
STEPS = 15
MARK = "getpriority"  # of libc, which nothing else here calls: callgrind writes its counts down before each call
LIBRARIES = ("ai-edge-litert", "numpy", "opencv-python-headless")
PARTS = {"networks": r"litert|tflite|tensorflow", "OpenCV": r"cv2|opencv", "NumPy": r"numpy|multiarray|openblas"}
REST = "Python"

Counts = dict[str, float]  # part -> instructions a step


def main() -> None:
    """Print the counts, and how they compare with the baseline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"make {BASELINE.name} anew")
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)  # what runs within valgrind
    options = parser.parse_args()
    if options.steps:
        return steps()
    if why := unable():
        raise SystemExit(f"instructions: {why}")
    found = measure()
    if options.write:
        BASELINE.write_text(json.dumps({"made_with": surroundings(), "instructions": found}, indent=1) + "\n")
    print("\n".join(table(found)))
    return print("\n".join(grown(found)) or "nothing has grown beyond the tolerance")


def unable() -> str:
    """Why nothing can be counted here, or not compared with the baseline; empty where it can."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed (Debian package valgrind)"
    if platform.machine() != "x86_64" or " avx2 " not in Path("/proc/cpuinfo").read_text():
        return "the networks use other kernels on this CPU: x86-64 with AVX2 is needed"
    if not hasattr(os, MARK):
        return f"this Python has no os.{MARK}"
    return ""


def stranger() -> str:
    """Why this machine's counts cannot be compared with the baseline's; empty where they can."""
    made = json.loads(BASELINE.read_text())["made_with"]
    other = [f"{name} {here} (the baseline: {made[name]})" for name, here in _libraries().items() if here != made[name]]
    return f"other libraries: {', '.join(other)}" if other else ""


def surroundings() -> dict[str, str]:
    """What the counts depend on."""
    models = {f"model {card.role}": card.sha256[:12] for card in Pipeline(Config()).cards}
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **_libraries(), **models}


def _libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def measure() -> dict[str, Counts]:
    """Faces -> part -> instructions a step. About ten seconds."""
    fixed = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "counts")
        command = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={out}"]
        command += [sys.executable, __file__, "--steps"]
        run = subprocess.run(command, env={**os.environ, **fixed}, cwd=HERE.parent, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"instructions: valgrind failed: {run.stderr.strip().splitlines()[-1]}")
        dumps = [Path(f"{out}.{2 * (number + 1)}").read_text() for number in range(len(SCENES))]
    return {str(faces): counts(dump) for faces, dump in zip(SCENES, dumps, strict=True)}


def steps() -> None:
    """The scenes, each between two marks."""
    pipeline = Pipeline(Config())
    cv2.setNumThreads(1)
    for faces in SCENES:
        pipeline.reset()
        image = picture(faces)
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        times = [*SETTLE, *(SETTLE[-1] + (number + 1) / FPS for number in range(STEPS))]
        frames = [Frame(number, round(at * 1e9), image, gray) for number, at in enumerate(times)]
        for frame in frames[: len(SETTLE)]:
            pipeline.step(frame)
        os.getpriority(os.PRIO_PROCESS, 0)
        for frame in frames[len(SETTLE) :]:
            update = pipeline.step(frame)
        os.getpriority(os.PRIO_PROCESS, 0)
        assert len(update.faces) == faces


def counts(dump: str) -> Counts:
    """Part -> instructions a step, of a dump in callgrind's format."""
    spent: Counter[str] = Counter()
    for library, cost in costs(dump):
        spent[next((part for part, names in PARTS.items() if re.search(names, library)), REST)] += cost
    return {part: round(spent[part] / STEPS) for part in (*PARTS, REST)}


def costs(dump: str) -> Iterator[tuple[str, int]]:
    """Each line of cost, with the library it is of. A name stands in full once, and is a number from then on; the
    line behind `calls=` says what the called function took, which counts there."""
    names, library, called = dict[str, str](), "", False
    for line in dump.splitlines():
        if match := re.match(r"c?ob=\((\d+)\)(?: (.*))?", line):
            names.setdefault(match[1], match[2] or "")
            library = library if line.startswith("c") else names[match[1]]
        elif line.startswith("calls="):
            called = True
        elif re.match(r"[+\-*\d]", line):
            if not called:
                yield library, int(line.split()[-1])
            called = False


def table(found: Mapping[str, Counts]) -> Iterator[str]:
    """Millions a step, for docs/performance.md."""
    yield f"| faces | all | {' | '.join((*PARTS, REST))} |"
    yield f"|---|---|{'---|' * (len(PARTS) + 1)}"
    for faces, each in found.items():
        yield f"| {faces} | {' | '.join(f'{count / 1e6:.2f}' for count in (sum(each.values()), *each.values()))} |"


def grown(found: Mapping[str, Counts]) -> list[str]:
    """What has grown beyond the tolerance since the baseline, a line each. What cannot be compared is left out: all,
    where the models are others; what is around them, where Python is another."""
    baseline, here = json.loads(BASELINE.read_text()), surroundings()
    other = {name.split()[0] for name, value in here.items() if baseline["made_with"].get(name) != value}
    whats = [what for what, needed in (("all", "model"), ("around the networks", "Python")) if needed not in other]
    each = [(faces, what, baseline["instructions"][faces], now) for faces, now in found.items() for what in whats]
    return [line for faces, what, old, now in each if (line := _growth(f"{faces} faces, {what}", what, old, now))]


def _growth(title: str, what: str, old: Counts, now: Counts) -> str:
    """One figure's line; empty where it has not grown."""
    most = TOLERANCE if what == "all" else AROUND_TOLERANCE
    was, new = (sum(count for part, count in c.items() if what == "all" or part != "networks") for c in (old, now))
    return (
        f"{title}: {new / was - 1:+.1%} ({was / 1e6:.2f} -> {new / 1e6:.2f} million)" if new > was * (1 + most) else ""
    )


if __name__ == "__main__":
    main()
