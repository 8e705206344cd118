"""Train the expression network: `python -m quantize.train --data data/ferplus.npz --out runs/expression`.

Every epoch ends with one file, `last.npz`, that holds the whole state: weights, their running average, the
optimizer and the number of the epoch. It is replaced in one step, so a run killed at any moment starts again from
a whole epoch, and, as every epoch draws its random numbers from (seed, epoch), goes on as if nothing had happened.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from quantize.data import DataError, Examples, Labelled, batches, load, measuring, to_input, training
from quantize.model import count_macs, expression_net

BATCH: Final = 128
PEAK_RATE: Final = 0.1  # of plain SGD with momentum
MOMENTUM: Final = 0.9
WEIGHT_DECAY: Final = 5e-3  # decoupled: each step shrinks a weight by rate x decay
WARM_UP: Final = 0.1  # share of the run
AVERAGE_DECAY: Final = 0.999  # the average looks back about 1000 steps, some five epochs


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is; two runs with equal plans and threads are the same run."""

    epochs: int
    seed: int
    precision: str  # "float32", or "mixed_bfloat16": faster where the CPU has AVX512-BF16 or AMX


class Average:
    """The running average of all weights (batch norm statistics included): better than any single step's."""

    def __init__(self, weights: Sequence[NDArray[np.float32]]) -> None:
        self.weights = [weight.copy() for weight in weights]

    def update(self, weights: Sequence[NDArray[np.float32]], *, step: int) -> None:
        """Early steps are forgotten faster: they hold more of the random start."""
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        for mean, weight in zip(self.weights, weights, strict=True):
            mean += (1 - decay) * (weight - mean)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.train", description="Train the expression network on FER+.")
    parser.add_argument("--data", type=Path, required=True, help="ferplus.npz, or the folder it is made from")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run; an unfinished run in it goes on")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    plan = Plan(epochs=options.epochs, seed=options.seed, precision=options.precision)
    try:
        data = load(options.data)
        fit(plan, training(data), held_out=measuring(data, "heldout"), out=options.out)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def fit(plan: Plan, examples: Examples, *, held_out: Labelled, out: Path) -> None:
    """Train to the end of the plan, from the last whole epoch found in `out`."""
    _claim(out, plan)
    keras.utils.set_random_seed(plan.seed)
    keras.mixed_precision.set_global_policy(plan.precision)
    model = compiled(expression_net())
    average = Average(model.get_weights())
    done = restore(out / "last.npz", model, average)
    print(f"{len(examples.images)} pictures, {count_macs(model) / 1e6:.1f} MMAC, {model.count_params()} parameters")
    for epoch in range(done, plan.epochs):
        started = time.monotonic()
        loss = run_epoch(model, average, examples, plan=plan, epoch=epoch)
        save(out / "last.npz", model, average, epochs=epoch + 1)
        report = {"epoch": epoch + 1, "loss": loss, "heldout_accuracy": accuracy_of(average, held_out)}
        _log(out / "log.jsonl", report | {"seconds": round(time.monotonic() - started, 1)})


def _claim(out: Path, plan: Plan) -> None:
    """Make `out` the folder of this plan; going on under another one would be neither the one run nor the other."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "plan.json"
    if not path.exists():
        path.write_text(json.dumps(asdict(plan)) + "\n")
    begun = json.loads(path.read_text())
    if begun != asdict(plan):
        raise DataError(f"{path}: this run was begun with {begun}, got {asdict(plan)}; choose another --out")


def compiled(model: Any) -> Any:
    """Give the model its optimizer, whose state exists from the start so that it can be restored."""
    optimizer = keras.optimizers.SGD(PEAK_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def run_epoch(model: Any, average: Average, examples: Examples, *, plan: Plan, epoch: int) -> float:
    """Learn from every training picture once; return the mean loss."""
    steps = len(examples.images) // BATCH
    rng = np.random.default_rng((plan.seed, epoch))
    losses = []
    bar = tqdm(batches(examples, size=BATCH, rng=rng), f"epoch {epoch + 1}/{plan.epochs}", steps, mininterval=5)
    for step, (images, targets) in enumerate(bar, epoch * steps):
        model.optimizer.learning_rate = rate_at((step + 0.5) / (plan.epochs * steps))
        losses.append(float(model.train_on_batch(images, targets)))
        average.update(model.get_weights(), step=step)
    return float(np.mean(losses))


def rate_at(progress: float) -> float:
    """Return the learning rate at this share of the run: straight up, then down along a cosine to zero."""
    if progress < WARM_UP:
        return PEAK_RATE * progress / WARM_UP
    return PEAK_RATE * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def accuracy_of(average: Average, held_out: Labelled) -> float:
    """Return the share of right answers of the averaged weights."""
    model = expression_net()
    model.set_weights(average.weights)
    logits = model.predict(to_input(held_out.images), batch_size=256, verbose=0)
    return float(np.mean(logits.argmax(axis=1) == held_out.labels))


def save(path: Path, model: Any, average: Average, *, epochs: int) -> None:
    """Write the whole state to `path`, which at every moment holds a complete one."""
    arrays: dict[str, Any] = {"epochs": np.int64(epochs)}
    arrays |= {f"average_{i}": weight for i, weight in enumerate(average.weights)}
    arrays |= {f"state_{i}": variable.numpy() for i, variable in enumerate(_state(model))}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def restore(path: Path, model: Any, average: Average) -> int:
    """Load the state of an earlier run, if there is one; the number of epochs it has done."""
    if not path.exists():
        return 0
    with np.load(path) as saved:
        for i, variable in enumerate(_state(model)):
            variable.assign(saved[f"state_{i}"])
        average.weights = [saved[f"average_{i}"] for i in range(len(average.weights))]
        return int(saved["epochs"])


def averaged_model(checkpoint: Path) -> tuple[Any, int]:
    """Rebuild the network with a run's averaged weights; also return the number of its epochs."""
    # In float32, and for one picture at a time: with all shapes known, no shape arithmetic is left in the graph.
    keras.mixed_precision.set_global_policy("float32")
    model = expression_net(batch=1)
    with np.load(checkpoint) as saved:
        model.set_weights([saved[f"average_{i}"] for i in range(len(model.weights))])
        return model, int(saved["epochs"])


def _state(model: Any) -> list[Any]:
    """List weights, batch norm statistics, the dropout's random state, and the optimizer's memory."""
    return [*model.variables, *model.optimizer.variables]


def _log(path: Path, line: dict[str, float]) -> None:
    print(json.dumps(line), flush=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
