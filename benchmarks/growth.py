"""What a step costs with 0, 1, 3, 8 and 24 faces, at 640x480 and 1080p, and which functions it spends that in.

    python benchmarks/growth.py [--against CHECKOUT] [--plot FILE]
    python benchmarks/growth.py --profile CLIPS [--against CHECKOUT]

CPU time of a step on one core, the least of several rounds; with --against, another checkout's code takes turns with
this one's, on this one's models. --profile prints the functions in which the steps of a folder of films spend most.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera, Config, Detector, Models
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame, Image

HERE = Path(__file__).resolve().parents[1]
MODELS = Models(folder=str(HERE / "models"))  # another checkout's may find other candidates
FACES = (0, 1, 3, 8, 24)
SIZES = {"640x480": (640, 480), "1920x1080": (1920, 1080)}
COLUMNS, ROWS = 6, 4  # of places for faces
FPS = 15.0
SETTLE_STEPS, STEPS = 60, 60
ROUNDS = 7
DEAREST = 10
SUFFIXES = {".avi", ".gif", ".mkv", ".mp4"}
COLOURS = ("#2a6fbb", "#d9782d")  # of the sizes

Costs = dict[str, dict[str, float]]  # size -> faces -> ms


def main() -> None:
    """Measure, print, draw."""
    options = _options()
    if options.worker:
        return profile(options.profile) if options.profile else work()
    codes = [HERE, *([options.against] if options.against else [])]
    if options.profile:
        for code in codes:
            print(f"{code}:", flush=True)
            with _started(code, "--profile", str(options.profile), show=True) as worker:
                worker.wait()
        return None
    costs = measure(codes)
    print("\n".join(table(costs)))
    return plot(costs, options.plot) if options.plot else None


def measure(codes: Sequence[Path]) -> list[Costs]:
    """The costs of each checkout's code, which take turns."""
    workers = [_started(code) for code in codes]
    best: list[Costs] = [{size: dict.fromkeys(map(str, FACES), float("inf")) for size in SIZES} for _ in codes]
    for _ in range(ROUNDS):
        for own, worker in zip(best, workers, strict=True):
            for size, each in _round(worker).items():
                own[size] = {faces: min(ms, each[faces]) for faces, ms in own[size].items()}
    for worker in workers:
        worker.communicate()
    return best


def _started(code: Path, *arguments: str, show: bool = False) -> subprocess.Popen[str]:
    """Start a worker on a checkout's code."""
    command = [sys.executable, __file__, "--worker", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(code), "OPENBLAS_NUM_THREADS": "1"}
    out = None if show else subprocess.PIPE
    return subprocess.Popen(command, cwd=code, env=environment, stdin=subprocess.PIPE, stdout=out, text=True)


def _round(worker: subprocess.Popen[str]) -> Costs:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("\n")
    worker.stdin.flush()
    found: Costs = json.loads(worker.stdout.readline())
    return found


def work() -> None:
    """A worker: for each line that comes in, the costs as a line of JSON."""
    pipeline = Pipeline(Config(models=MODELS, detector=Detector(max_faces=100)))
    cv2.setNumThreads(1)
    for _ in sys.stdin:
        found = {name: {str(n): _cost(pipeline, picture(n, size)) for n in FACES} for name, size in SIZES.items()}
        print(json.dumps(found), flush=True)


def _cost(pipeline: Pipeline, image: Image) -> float:
    """CPU ms of a step, in a still scene that has settled."""
    pipeline.reset()
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    for number in range(SETTLE_STEPS + STEPS):
        if number == SETTLE_STEPS:
            begun = time.process_time()
        pipeline.step(Frame(number, round(number * 1e9 / FPS), image, gray))
    return 1e3 * (time.process_time() - begun) / STEPS


def picture(faces: int, size: tuple[int, int]) -> Image:
    """Width x height px BGR with so many faces, a tenth of it high, before a curtain that has none."""
    width, height = size
    shade = np.linspace(60, 150, width) + 12 * np.sin(np.arange(width) * 640 / 9 / width)
    image = np.ascontiguousarray(np.broadcast_to(shade[None, :, None].astype(np.uint8), (height, width, 3)))
    head = read_picture(PICTURES / "astronaut.jpg")[0:280, 130:320]
    tall = int(0.9 * height / ROWS)
    small = cv2.resize(head, (tall * 190 // 280, tall), interpolation=cv2.INTER_AREA)
    for place in range(faces):
        row, column = divmod(place * 7 % (COLUMNS * ROWS), COLUMNS)
        top, left = row * height // ROWS, column * width // COLUMNS
        image[top : top + tall, left : left + small.shape[1]] = small if place % 2 == 0 else small[:, ::-1]
    return np.asarray(image, np.uint8)


def profile(clips: Path) -> None:
    """A worker: the functions in which the steps of a folder of films spend most, without what they call."""
    pipeline, profiler, steps = Pipeline(Config(models=MODELS)), cProfile.Profile(time.thread_time), 0
    cv2.setNumThreads(1)
    for path in sorted(path for path in clips.iterdir() if path.suffix in SUFFIXES):
        pipeline.reset()
        camera = StreamCamera(Camera(backend="stream", source=str(path), pace="max"))
        camera.open()
        frames = list(iter(camera.read, None))  # first: its threads would be counted, too
        camera.close()
        for frame in frames:
            profiler.runcall(pipeline.step, frame)
        steps += len(frames)
    print("\n".join(dearest(pstats.Stats(profiler), steps)), flush=True)


def dearest(stats: pstats.Stats, steps: int) -> Iterator[str]:
    """Table of the functions that take most of a step."""
    yield f"{stats.total_calls / steps:.0f} calls a step"  # type: ignore[attr-defined]
    yield "| function | calls a step | us a step |"
    yield "|---|---|---|"
    each = sorted(stats.stats.items(), key=lambda item: -item[1][2])  # type: ignore[attr-defined]
    for (file, line, name), (_, calls, own, *_) in each[:DEAREST]:
        where = "" if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} "
        yield f"| {where}{name.strip('<>')} | {calls / steps:.2f} | {1e6 * own / steps:.1f} |"


def table(costs: Sequence[Costs]) -> Iterator[str]:
    """For docs/performance.md: this checkout's costs, the other's and their ratio."""
    yield f"| CPU ms a step | {' | '.join(f'{n} faces' for n in FACES)} | each further face |"
    yield f"|---|{'---|' * (len(FACES) + 1)}"
    new, *old = costs
    for size in SIZES:
        for title, each in (("", new), *((", before", other) for other in old)):
            values = [f"{ms:.2f}" for ms in (*each[size].values(), slope(each[size]))]
            yield f"| {size}{title} | {' | '.join(values)} |"
        for other in old:
            shares = [f"{ms / other[size][faces]:.2f}" for faces, ms in new[size].items()]
            yield f"| {size}, of before | {' | '.join(shares)} | {slope(new[size]) / slope(other[size]):.2f} |"


def slope(each: dict[str, float]) -> float:
    """What each face beyond the first costs, by least squares."""
    some = [int(faces) for faces in each if int(faces)]
    return float(np.polyfit(np.array(some), np.array([each[str(faces)] for faces in some]), 1)[0])


def plot(costs: Sequence[Costs], path: Path) -> None:
    """Draw the curves."""
    from matplotlib.figure import Figure  # of the extra `report`

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for one, style, when in zip(costs, ("-o", "--o"), ("", ", before"), strict=False):
        for size, colour in zip(SIZES, COLOURS, strict=True):
            axes.plot(FACES, list(one[size].values()), style, color=colour, markersize=4, label=f"{size}{when}")
    axes.set(xlabel="faces", ylabel="CPU time of a step, ms", xticks=FACES, ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout, whose code takes turns with this one's")
    parser.add_argument("--plot", type=Path, help="draw the curves into a file (.svg, .png)")
    parser.add_argument("--profile", type=Path, metavar="CLIPS", help="a folder of films; print the dearest functions")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
