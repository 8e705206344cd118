"""Weights between those of a network and of what learned on from it: `python -m quantize.train.interpolate expression
--data data --start models/expression.tflite --end runs/posed runs/natural --share 0.8 --out runs/expression`.

On the straight line between the two lies a network that knows the new pictures nearly as well as the end, and the old
ones better than either (Wortsman et al. 2022, arXiv:2109.01903). Several ends are averaged. All must have begun with
the start. `--try` prints the figures of several shares, on the pictures that are kept from training to choose.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import keras
except ImportError as error:
    raise SystemExit(f"quantize.train.interpolate: {error}; run: pip install 'fer-edge[quantize]'") from None

from fer_edge.errors import ModelError
from quantize.data.sets import DataError, Floats
from quantize.files.arrays import replace_arrays
from quantize.files.runs import read_plan, write_plan
from quantize.tasks.task import ROLES, Task, open_task
from quantize.train.command import Average, predictor
from quantize.train.warm_start import averaged_network, begin

Weights = list[Floats]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.train.interpolate", description="Weights between two networks.")
    parser.add_argument("role", choices=tuple(ROLES))
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets that quantize.data.sets names")
    parser.add_argument("--start", type=Path, required=True, help="published .tflite file, or run, that came first")
    parser.add_argument("--end", type=Path, nargs="+", required=True, help="runs that learned on from there")
    parser.add_argument("--share", type=float, default=0.5, help="how far from start to end, 0 to 1")
    parser.add_argument("--try", dest="tries", nargs="*", type=float, default=[], help="print figures of these shares")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run")
    return parser


def _run(options: argparse.Namespace) -> None:
    if not 0 <= options.share <= 1:
        raise DataError(f"--share: expected 0 to 1, got {options.share:g}")
    if options.out.resolve() in [run.resolve() for run in (options.start, *options.end)]:
        raise DataError(f"--out {options.out}: expected another folder than that of a run that is read")
    plan = read_plan(options.end[-1], options.role)
    task = open_task(options.role, options.data, **plan["options"])
    start = _start(options.start, task, seed=plan["seed"])
    ends = [averaged_network(task, run) for run in options.end]
    end = mean([network.get_weights() for network, _ in ends])
    for share in (*options.tries, options.share):
        figures = task.progress(predictor(task, Average(between(start, end, share))))
        print(f"{share:.2f}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    weights = {f"average_{i}": weight for i, weight in enumerate(between(start, end, options.share))}
    options.out.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"epochs": np.int64(sum(epochs for _, epochs in ends)), **weights}
    replace_arrays(options.out / "last.npz", arrays)
    line = {"start": str(options.start), "end": [str(run) for run in options.end], "share": options.share}
    write_plan(options.out, plan | {"interpolate": line})


def _start(source: Path, task: Task, *, seed: int) -> Weights:
    """The weights that came first. `seed`: of the runs that began there, which drew the channels of a wider network."""
    keras.backend.clear_session()  # a published file knows its layers by the names they have in a new process
    keras.utils.set_random_seed(seed)
    network = task.network()
    begin(network, source, task)
    return [np.asarray(each, np.float32) for each in network.get_weights()]


def mean(several: Sequence[Weights]) -> Weights:
    """The mean of several networks' weights."""
    return [np.asarray(np.mean(same, axis=0), np.float32) for same in zip(*several, strict=True)]


def between(start: Weights, end: Weights, share: float) -> Weights:
    """The weights so far from start to end. Raises DataError where the networks differ."""
    if [each.shape for each in start] != [each.shape for each in end]:
        raise DataError("--start, --end: expected networks of one shape")
    return [np.asarray((1 - share) * first + share * last, np.float32) for first, last in zip(start, end, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
