"""How often the daemon runs each model, what else a step costs, and what that makes on a Raspberry Pi.

    python -m benchmarks.cadence [--seconds 20]

640x480 scenes with nobody, one and three faces at 15 frames a second: still, and with something that moves through the
background, which wakes the detector. How often each model runs is the same on every machine (`runs_per_second`, which a
test holds docs/performance.md against). The time of a step is CPU time on one core of this machine, the least of
five rounds; times on a Pi are reckoned from it and from the models' multiply-accumulates (fer_edge/board/expected.py).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fer_edge.board.expected import BOARDS, Board, all_cores_ms, one_core_ms, span
from fer_edge.camera.replay import PICTURES, read_picture
from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Frame, Image
from fer_edge.vision.tflite import Model

FPS = 15.0  # camera.fps
IDLE_FPS = 5.0  # rate.idle_fps
SIZE = (640, 480)
SETTLE_SECONDS = 2.0  # left out: faces are found and confirmed
ROUNDS = 5
ENOUGH_FPS = 60  # more than any camera here is asked for
ROLES = ("detector", "landmarks", "expression")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the camera sees."""

    name: str
    faces: int
    moving: bool = False
    fps: float = FPS


SCENES = (
    Scene("nobody", 0),
    Scene("nobody, movement", 0, moving=True),
    Scene("nobody for a minute", 0, fps=IDLE_FPS),
    Scene("1 face", 1),
    Scene("1 face, movement", 1, moving=True),
    Scene("3 faces", 3),
    Scene("3 faces, movement", 3, moving=True),
)


@dataclass(frozen=True, slots=True)
class Load:
    """What a scene asks of the machine."""

    scene: Scene
    runs: tuple[float, ...]  # of each of ROLES, a second
    step_ms: float  # mean CPU time of a step
    models_ms: float  # that of the models in it

    @property
    def other_ms(self) -> float:
        """Everything but the models: crops, decoding, tracking, Python."""
        return self.step_ms - self.models_ms


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each scene")
    options = parser.parse_args()
    pipeline = Pipeline(Config())
    macs = [card.macs or 0 for card in pipeline.cards]
    loads = [measure(pipeline, scene, seconds=options.seconds) for scene in SCENES]
    print("\n".join((*_loads(loads), "", *_boards(loads, macs))))


def measure(pipeline: Pipeline, scene: Scene, *, seconds: float) -> Load:
    """The least of several rounds: whatever else runs on this machine only adds."""
    rounds = [_round(pipeline, scene, seconds=seconds) for _ in range(ROUNDS)]
    return min(rounds, key=lambda load: load.step_ms)


def runs_per_second(pipeline: Pipeline, scene: Scene, *, seconds: float) -> tuple[float, ...]:
    """How often each of ROLES runs, after SETTLE_SECONDS."""
    return _round(pipeline, scene, seconds=seconds).runs


def _round(pipeline: Pipeline, scene: Scene, *, seconds: float) -> Load:
    pipeline.reset()
    before, spent, count = [0, 0, 0], 0.0, 0
    timed = _Timed(pipeline.models)
    for frame in _frames(scene, seconds=SETTLE_SECONDS + seconds):
        if frame.taken_ns < SETTLE_SECONDS * 1e9:
            pipeline.step(frame)
            before, timed.spent = [model.runs for model in pipeline.models], 0.0
            continue
        begun = time.process_time()
        pipeline.step(frame)
        spent += time.process_time() - begun
        count += 1
    models_ms = timed.close()
    runs = tuple((model.runs - start) / seconds for model, start in zip(pipeline.models, before, strict=True))
    return Load(scene, runs, 1e3 * spent / count, 1e3 * models_ms / count)


class _Timed:
    """Measures the CPU time that models take in their runtime, until it is closed."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        self.spent = 0.0  # seconds
        self._kept = [(model._interpreter, model._interpreter.invoke) for model in models]
        for interpreter, invoke in self._kept:
            interpreter.invoke = lambda invoke=invoke: self._run(invoke)

    def _run(self, invoke: Callable[[], None]) -> None:
        begun = time.process_time()
        invoke()
        self.spent += time.process_time() - begun

    def close(self) -> float:
        """Seconds spent."""
        for interpreter, invoke in self._kept:
            interpreter.invoke = invoke
        return self.spent


def _frames(scene: Scene, *, seconds: float) -> Iterator[Frame]:
    still = picture(scene.faces)
    for number in range(round(seconds * scene.fps)):
        image = still
        if scene.moving:
            image = still.copy()
            left = number * 12 % SIZE[0]
            image[400:470, left : left + 60] = (200, 60, 60)  # below all faces
        yield Frame(number, round(number * 1e9 / scene.fps), image, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)))


def picture(faces: int) -> Image:
    """640x480 px BGR with so many faces, about 110 px high, before a curtain that has none."""
    across = np.linspace(60, 150, SIZE[0])
    shade = np.asarray(across + 12 * np.sin(np.arange(SIZE[0]) / 9), np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(shade[None, :, None], (SIZE[1], SIZE[0], 3)))
    portrait = read_picture(PICTURES / "astronaut.jpg")
    head = portrait[0:280, 130:320]
    for place in range(faces):
        left = 10 + 215 * place
        image[60 : 60 + head.shape[0], left : left + head.shape[1]] = head if place % 2 == 0 else head[:, ::-1]
    return np.asarray(image, np.uint8)


def _loads(loads: list[Load]) -> Iterator[str]:
    yield "| scene | frames/s | detector | landmarks | expression | step, ms CPU | of it models |"
    yield "|---|---|---|---|---|---|---|"
    for load in loads:
        yield f"{runs_row(load.scene, load.runs)} {load.step_ms:.2f} | {load.models_ms:.2f} |"


def runs_row(scene: Scene, runs: tuple[float, ...]) -> str:
    """The first cells of a row: the scene, and runs a second of each model."""
    return f"| {scene.name} | {scene.fps:g} | {' | '.join(f'{each:.1f}' for each in runs)} |"


def _boards(loads: list[Load], macs: list[int]) -> Iterator[str]:
    yield f"| scene | {' | '.join(board.name for board in BOARDS)} |"
    yield f"|---|{'---|' * len(BOARDS)}"
    for load in loads:
        yield f"| {load.scene.name} | {' | '.join(_board(load, macs, board) for board in BOARDS)} |"


def _board(load: Load, macs: list[int], board: Board) -> str:
    """Percent of one core at the scene's rate; where that is not enough, frames per second with one thread and four."""
    one = [one_core_ms(each, board) for each in macs]
    slow, fast = ([all_cores_ms(each, board)[end] for each in macs] for end in (1, 0))
    percent = busy_ms(load, one, board) / 10
    most = most_fps(load, one, board)
    if load.scene.fps < FPS or most > ENOUGH_FPS:
        return f"{percent:.0f} %"
    many = [most_fps(load, ms, board) for ms in (slow, fast)]
    four = f"over {ENOUGH_FPS}" if min(many) > ENOUGH_FPS else span(*many, digits=0)
    return f"{percent:.0f} %; at most {most:.0f} frames/s, four threads {four}"


def busy_ms(load: Load, model_ms: list[float], board: Board) -> float:
    """How many ms of a second a board works at the scene's frame rate."""
    models = sum(runs * ms for runs, ms in zip(load.runs, model_ms, strict=True))
    return models + load.scene.fps * load.other_ms * board.slower


def most_fps(load: Load, model_ms: list[float], board: Board) -> float:
    """At which frame rate a board has no time left.

    Detector and expression run so many times a second at any rate, landmarks in every frame.
    """
    detector, landmarks, expression = (runs * ms for runs, ms in zip(load.runs, model_ms, strict=True))
    per_frame = landmarks / load.scene.fps + load.other_ms * board.slower
    return max(0.0, 1000 - detector - expression) / per_frame


if __name__ == "__main__":
    main()
