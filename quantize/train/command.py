"""Train a network: `python -m quantize.train expression --data data --out runs/expression`.

Every epoch ends with one file, `last.npz`, that holds the whole state: weights, their running average, the
optimizer and the number of the epoch. It is replaced in one step, so a run killed at any moment starts again from
a whole epoch, and, as every epoch draws its random numbers from (seed, epoch), continues as if nothing had happened.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import keras
    import tensorflow as tf
    from tqdm import tqdm
except ImportError as error:
    raise SystemExit(f"quantize.train: {error}; run: pip install 'fer-edge[quantize]'") from None

from fer_edge.errors import ModelError
from quantize.data.sets import DataError, Floats
from quantize.files.arrays import read_arrays, replace_arrays
from quantize.files.runs import PLAN, read_plan, write_plan
from quantize.tasks.networks import count_macs
from quantize.tasks.task import ROLES, Predict, Task, open_task
from quantize.train import warm_start

OPTIONS = {  # and the roles that they are for
    "teachers": ("expression",),
    "taught": ("expression",),
    "widths": ("expression",),
    "final": ("detector",),
    "yunet": ("detector",),
    "detector": ("detector", "landmarks"),
    "landmarks": ("landmarks",),
}
WARM_UP = 0.1  # share of the run
AVERAGE_DECAY = 0.999  # the average looks back about 1000 steps
BATCHES_AHEAD = 8  # made by a second thread while the network learns


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's plan; two runs with equal plans and threads are the same run."""

    role: str
    epochs: int
    seed: int
    precision: str  # "float32", or "mixed_bfloat16": faster where the CPU has AVX512-BF16 or AMX
    options: dict[str, Any]  # the role's own: teachers, widths
    start: str | None = None  # folder of the run, or .tflite file, whose weights this one begins with
    rate: float | None = None  # peak learning rate, where not the role's own


class Average:
    """The running average of all weights (batch norm statistics included): better than any single step's."""

    def __init__(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Start at a network's weights, f32[...] each."""
        self.weights = [weight.copy() for weight in weights]

    def update(self, weights: Sequence[NDArray[np.float32]], *, step: int) -> None:
        """Add the weights, f32[...] each, after a step. Early steps are forgotten faster: they hold more of the random
        start."""
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        for mean, weight in zip(self.weights, weights, strict=True):
            mean += (1 - decay) * (weight - mean)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    own = {name: value for name in OPTIONS if (value := getattr(options, name))}
    plan = Plan(options.role, options.epochs, options.seed, options.precision, own, options.start, options.rate)
    try:
        _check(options, own)
        fit(plan, open_task(options.role, options.data, **own), out=options.out)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _check(options: argparse.Namespace, own: dict[str, Any]) -> None:
    """Refuse what cannot be a run before any data is read."""
    strangers = [f"--{name}" for name in own if options.role not in OPTIONS[name]]
    if strangers:
        raise DataError(f"{', '.join(strangers)}: not for role {options.role!r}")
    if options.epochs < 1 or (options.rate is not None and options.rate <= 0):
        raise DataError("--epochs, --rate: expected more than 0")
    if options.seed < 0 or options.threads < 0:
        raise DataError("--seed, --threads: expected 0 or more")
    if min(own.get("widths", (1,))) < 1:
        raise DataError("--widths: expected more than 0")
    if "landmarks" in own and "detector" not in own:
        raise DataError("--landmarks: expected --detector too: it is asked about that one's mistakes")
    _check_sources(own, options.start)


def _check_sources(own: dict[str, Any], start: str | None) -> None:
    """Refuse files and runs that are not there."""
    published = start is not None and start.endswith(".tflite")
    files = {name: own[name] for name in ("taught", "yunet") if name in own} | ({"start": start} if published else {})
    for name, file in files.items():
        if not Path(str(file)).is_file():
            raise DataError(f"--{name} {file}: no such file")
    for run in (*own.get("teachers", ()), *([start] if start and not published else ())):
        if not (Path(run) / "last.npz").exists():
            raise DataError(f"{run}: expected the folder of a run, with last.npz")
        read_plan(Path(run))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.train", description="Train one of the networks.")
    parser.add_argument("role", choices=tuple(ROLES))
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets that quantize.data.sets names")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of this run; an unfinished run in it is resumed"
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--start", help="finished run, or published .tflite file, whose weights this one begins with")
    parser.add_argument("--rate", type=float, help="peak learning rate; default: the role's own")
    parser.add_argument("--teachers", nargs="+", help="expression: folders of finished runs to learn from as well")
    parser.add_argument(
        "--taught", help="expression: file of quantize.teachers, also needed to learn from natural faces"
    )
    parser.add_argument(
        "--final", action="store_true", help="detector: no longer the teacher's features, to finish a run"
    )
    parser.add_argument("--yunet", help="detector: ONNX file of YuNet_n, the teacher")
    parser.add_argument(
        "--detector", help="detector, landmarks: .tflite file of the detector whose mistakes are to be learned"
    )
    parser.add_argument("--landmarks", help="landmarks: .tflite file of the model that has taken mistakes for faces")
    parser.add_argument("--widths", nargs=3, type=int, help="expression: channels of the three stages")
    return parser


def fit(plan: Plan, task: Task, *, out: Path, begin: Callable[[Any], None] | None = None) -> None:
    """Train to the end of the plan, from the last whole epoch found in `out`.

    Args:
        plan: the run's plan.
        task: the network's task.
        out: folder of the run.
        begin: puts weights into the untrained network; default: those of `plan.start`.

    """
    claim(out, plan)
    print(f"{count_macs(task.network(batch=1)) / 1e6:.1f} MMAC", flush=True)
    keras.utils.set_random_seed(plan.seed)
    keras.mixed_precision.set_global_policy(plan.precision)
    network = task.network()
    if begin:
        begin(network)
    elif plan.start:
        warm_start.begin(network, Path(plan.start), task)
    model = trainee(network, task)
    average = Average(model.get_weights())
    done = restore(out / "last.npz", model, average)
    for epoch in range(done, plan.epochs):
        started = time.monotonic()
        loss = run_epoch(model, average, task, plan=plan, epoch=epoch)
        save(out / "last.npz", model, average, epochs=epoch + 1)
        figures = task.progress(predictor(task, average))
        report = {"epoch": epoch + 1, "loss": loss, **figures, "seconds": time.monotonic() - started}
        _log(out / "log.jsonl", {name: round(value, 4) for name, value in report.items()})


def claim(out: Path, plan: Plan) -> None:
    """Make `out` the folder of this plan. Raises DataError where a run with another plan was begun there."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / PLAN).exists():
        write_plan(out, asdict(plan))
    begun = read_plan(out)
    if begun != asdict(plan):
        raise DataError(f"{out / PLAN}: this run was begun with {begun}, got {asdict(plan)}; choose another --out")


def trainee(network: Any, task: Task) -> Any:
    """Join network, loss and optimizer, whose state exists from the start so that it can be restored."""

    class Trainee(keras.Model):  # type: ignore[misc]  # Keras has no types
        """The network with the task's loss, which sees all outputs at once."""

        def compute_loss(self, _x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
            return task.loss(y, keras.tree.flatten(y_pred))

    model = Trainee(network.inputs, network.outputs)
    optimizer = task.optimizer()
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
    return model


def run_epoch(model: Any, average: Average, task: Task, *, plan: Plan, epoch: int) -> float:
    """Learn from one epoch's batches; return the mean loss."""
    rng = np.random.default_rng((plan.seed, epoch))
    losses = []
    bar = tqdm(
        ahead(itertools.islice(task.batches(rng), task.steps)),
        f"epoch {epoch + 1}/{plan.epochs}",
        task.steps,
        mininterval=5,
    )
    for step, (images, targets) in enumerate(bar, epoch * task.steps):
        progress = (step + 0.5) / (plan.epochs * task.steps)
        model.optimizer.learning_rate = (plan.rate or task.peak_rate) * rate_at(progress)
        losses.append(float(model.train_on_batch(images, targets)))
        average.update(model.get_weights(), step=step)
    return float(np.mean(losses))


def ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Make batches in a second thread, a few before they are asked for; in the same order."""
    ready: queue.Queue[Any] = queue.Queue(BATCHES_AHEAD)

    def work() -> None:
        try:
            for batch in batches:
                ready.put(batch)
            ready.put(None)
        except Exception as error:  # handed to the thread that waits
            ready.put(error)

    threading.Thread(target=work, name="batches", daemon=True).start()
    while (item := ready.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item


def rate_at(progress: float) -> float:
    """Return the share of the peak rate at this share of the run: straight up, then down along a cosine to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def predictor(task: Task, average: Average) -> Predict:
    """What runs the averaged weights, batch by batch: f32[N,H,W,C] -> the outputs f32[N,...]."""
    network = task.network()
    network.set_weights(average.weights)
    run = tf.function(lambda images: network(images, training=False), reduce_retracing=True)

    def predict(images: Floats) -> list[Floats]:
        outputs = [run(images[start : start + 64]) for start in range(0, len(images), 64)]
        parts = [keras.tree.flatten(each) for each in outputs]
        return [np.concatenate([np.asarray(part, np.float32) for part in same]) for same in zip(*parts, strict=True)]

    return predict


def save(path: Path, model: Any, average: Average, *, epochs: int) -> None:
    """Write the whole state to `path`, which at every moment holds a complete one."""
    arrays: dict[str, Any] = {"epochs": np.int64(epochs)}
    arrays |= {f"average_{i}": weight for i, weight in enumerate(average.weights)}
    arrays |= {f"state_{i}": variable.numpy() for i, variable in enumerate(_state(model))}
    replace_arrays(path, arrays)


def restore(path: Path, model: Any, average: Average) -> int:
    """Load the state of an earlier run, if there is one; the number of epochs it has done. Raises DataError."""
    if not path.exists():
        return 0
    state = {f"state_{i}": variable for i, variable in enumerate(_state(model))}
    averages = [f"average_{i}" for i in range(len(average.weights))]
    try:
        saved = read_arrays(path, ["epochs", *averages, *state])
        for name, variable in state.items():
            variable.assign(saved[name])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the state of this run: {error}; choose another --out") from None
    average.weights = [saved[name] for name in averages]
    return int(saved["epochs"])


def _state(model: Any) -> list[Any]:
    """List weights, batch norm statistics, the dropout's random state, and the optimizer's memory."""
    return [*model.variables, *model.optimizer.variables]


def _log(path: Path, line: dict[str, float]) -> None:
    print(json.dumps(line), flush=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
