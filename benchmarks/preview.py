"""What the preview costs: ms of CPU per picture at several display sizes, and what it does to the steps beside it.

    python benchmarks/preview.py [--frames 180] [--fps 15]

Runs the pipeline over the built-in demo. "draw": painting the picture in the display's size; "copy": into a buffer as
displays have it (here in ordinary memory; a display's own is slower to write on some machines). The steps are timed
alone and with a thread beside them that paints FPS pictures a second, taking turns.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

from fer_edge.camera import open_camera
from fer_edge.config import Camera, Config
from fer_edge.drawing.painter import BoxSmoother, Painter, fitted, status_line
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame, Update

SIZES = ((640, 480), (1280, 720), (1920, 1080))
ROUNDS = 3


def main() -> None:
    """Print a line per size, and the steps beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=180)
    parser.add_argument("--fps", type=float, default=15.0)
    options = parser.parse_args()
    frames, pipeline = _frames(options.frames), Pipeline(Config())
    updates = [pipeline.step(frame) for frame in frames]
    for size in SIZES:
        draw, copy = _costs(updates, size)
        print(f"{size[0]:4}x{size[1]:<4} draw {draw:5.2f} ms   copy {copy:5.2f} ms   of CPU per picture, medians")
    for size in SIZES:
        alone, beside = _steps(pipeline, frames, Preview(updates, size, options.fps))
        beside_it = f"{beside:5.2f} ms beside {options.fps:g} fps ({beside / alone:.2f}x)"
        print(f"{size[0]:4}x{size[1]:<4} step {alone:5.2f} ms alone, {beside_it}")


def _frames(count: int) -> list[Frame]:
    camera = open_camera(Camera(backend="replay", source="demo", pace="max", loop=True))
    frames: list[Frame] = []
    while len(frames) < count and (frame := camera.read()) is not None:
        frames.append(frame)
    camera.close()
    return frames


class Preview:
    """Paints into a buffer as a display has it."""

    def __init__(self, updates: list[Update], size: tuple[int, int], fps: float) -> None:
        self._updates, self._size, self._pause = updates, size, 1 / fps
        self._painter, self._steady = Painter(), BoxSmoother()
        self._buffer = np.zeros((size[1], size[0], 4), np.uint8)

    def draw(self, update: Update) -> None:
        """Paint an update."""
        assert update.frame
        left, top, right, bottom = self._place = fitted(update.frame.width, update.frame.height, self._size)
        faces = self._steady(update.faces, update.frame.taken_ns)
        size = (right - left, bottom - top)
        self._picture = self._painter.paint(update.frame, faces, size=size, status=status_line(faces, None))

    def copy(self) -> None:
        """Bring what was painted to the display."""
        left, top, right, bottom = self._place
        cv2.cvtColor(self._picture, cv2.COLOR_BGR2BGRA, dst=self._buffer[top:bottom, left:right])

    def run(self, stop: threading.Event) -> None:
        """Paint in turn, until told to stop."""
        number = 0
        while not stop.wait(self._pause):
            self.draw(self._updates[number % len(self._updates)])
            self.copy()
            number += 1


def _costs(updates: list[Update], size: tuple[int, int]) -> tuple[float, float]:
    """Medians of drawing and copying, ms of CPU time."""
    preview = Preview(updates, size, 1.0)
    pairs = [(_timed(lambda: preview.draw(update)), _timed(preview.copy)) for update in updates]  # noqa: B023
    draw, copy = zip(*pairs, strict=True)
    return statistics.median(draw), statistics.median(copy)


def _timed(work: Callable[[], None]) -> float:
    begun = time.thread_time()
    work()
    return (time.thread_time() - begun) * 1e3


def _steps(pipeline: Pipeline, frames: list[Frame], preview: Preview) -> tuple[float, float]:
    """A whole step, ms, alone and with the preview in a thread beside it: of the medians of each turn the lowest, which
    other work on the machine has disturbed least."""
    medians: tuple[list[float], list[float]] = ([], [])
    for turn in range(2 * ROUNDS):
        pipeline.reset()
        stop = threading.Event()
        thread = threading.Thread(target=preview.run, args=(stop,))
        if turn % 2:
            thread.start()
        spent = []
        for frame in frames:
            spent.append(pipeline.step(frame).timings_ms["total"])
            time.sleep(0.01)  # as a camera would pause
        stop.set()
        if turn % 2:
            thread.join()
        medians[turn % 2].append(statistics.median(spent))
    return min(medians[0]), min(medians[1])


if __name__ == "__main__":
    main()
