"""How fast a film is analysed, in multiples of real time, beside the PyPI package `fer`.

    python benchmarks/analyze.py --clips FOLDER [--fer PYTHON] [--turns 3] [--json]

The clips of one size are joined to one film. fer-edge and, where PYTHON has it, fer 25.10.3 (`Video.analyze` with its
Haar cascade and its quantized model, every frame, as people use it) take turns over it in processes of their own, on
one core; once for readings alone and once with the annotated film too. Loading libraries is not counted, for
TensorFlow's would take longer than the work. fer lives in a virtual environment of its own:

    python3 -m venv /tmp/fer && /tmp/fer/bin/pip install fer==25.10.3 'setuptools<81' 'opencv-contrib-python<5'
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import cv2

from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera

FPS = 30
OURS = """
import json, sys, time
from pathlib import Path
from fer_edge.commands.analyze import AnalyzeOptions, analyze
from fer_edge.commands.analyze.film import load_av
from fer_edge.config import Config
film, folder, video = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "video"
load_av()
wall, cpu = time.perf_counter(), time.process_time()
outputs = {"jsonl": str(folder / "o.jsonl"), "csv": str(folder / "o.csv"), "video": folder / "o.mp4" if video else None}
analyze(Config(), AnalyzeOptions(sources=[film], **outputs))
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
THEIRS = """
import json, sys, time
from fer.classes import Video
from fer.fer import FER
film, folder, video = sys.argv[1], sys.argv[2], sys.argv[3] == "video"
wall, cpu = time.perf_counter(), time.process_time()
clip = Video(film, outdir=folder)
data = clip.analyze(FER(), save_frames=False, save_video=video, annotate_frames=video, zip_images=False)
clip.to_pandas(data).to_csv(folder + "/o.csv")
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
JOBS = ("readings", "video")


def main() -> None:
    """Take turns and print the figures."""
    options = _options()
    programs: dict[str, tuple[str, str]] = {"fer-edge": (sys.executable, OURS)}
    if options.fer:
        programs["fer"] = (options.fer, THEIRS)
    spent: dict[tuple[str, str], list[list[float]]] = {(name, job): [] for job in JOBS for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        seconds = joined(options.clips, film) / FPS
        for _ in range(options.turns):
            for name, job in spent:
                spent[name, job].append(run(*programs[name], film, Path(folder), job))
    found = {}
    for (name, job), turns in spent.items():
        wall, cpu = (statistics.median(each) for each in zip(*turns, strict=True))
        found[f"{name}, {job}"] = {"times_real_time": seconds / wall, "film_seconds_per_cpu_second": seconds / cpu}
    print(json.dumps({"film_seconds": seconds, **found}) if options.json else _table(found, seconds, options.turns))


def run(python: str, script: str, film: Path, folder: Path, job: str) -> list[float]:
    """Seconds of one run, by the clock and of the CPU."""
    core = min(os.sched_getaffinity(0))
    result = subprocess.run(
        [python, "-c", script, str(film), str(folder), job], cwd=folder,  # fer writes a data.csv where it stands
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}), env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    wall, cpu = json.loads(result.stdout.splitlines()[-1])
    return [wall, cpu]


def joined(clips: Path, film: Path) -> int:
    """Join the films in a folder that have the most common size, by name; returns the number of frames."""
    each = {path: _frames(path) for path in sorted(clips.iterdir()) if path.suffix in (".avi", ".mkv", ".mp4")}
    if not each:
        raise SystemExit(f"{clips}: expected films (.avi, .mkv, .mp4), found none")
    size, _ = Counter(frames[0].shape for frames in each.values()).most_common(1)[0]
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (size[1], size[0]))
    chosen = [frame for frames in each.values() for frame in frames if frame.shape == size]
    for frame in chosen:
        writer.write(frame)
    writer.release()
    return len(chosen)


def _frames(path: Path) -> list[cv2.typing.MatLike]:
    camera = StreamCamera(Camera(backend="stream", source=str(path), pace="max"))
    camera.open()
    found = [frame.image for frame in iter(camera.read, None) if frame]
    camera.close()
    return list(found)


def _table(found: dict[str, dict[str, float]], seconds: float, turns: int) -> str:
    lines = [f"{seconds:.1f} s of film, one core, medians of {turns} turns"]
    for name, figures in found.items():
        real, cpu = figures["times_real_time"], figures["film_seconds_per_cpu_second"]
        lines.append(f"{name:20} {real:6.2f} x real time, {cpu:6.2f} s of film per second of CPU")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of films")
    parser.add_argument("--fer", help="a Python that has fer")
    parser.add_argument("--turns", type=int, default=3, help="how often each runs (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
