"""Measure: `python -m quantize.evaluate expression --model models/expression.tflite --data data/ferplus.npz`.

Float and int8 files go through the same code, the daemon's. The protocols stand in `measure_expression.py`,
`measure_detector.py` and `measure_landmarks.py`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fer_edge.errors import ModelError
from quantize import measure_detector, measure_expression, measure_landmarks
from quantize.cards import rounded
from quantize.data import SPLITS, DataError
from quantize.stages import open_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        figures, lines = options.run(options)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(rounded(figures), indent=2) if options.json else "\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.evaluate", description="Measure a model on a labelled set.")
    roles = parser.add_subparsers(dest="what", required=True)
    for role, (run, splits, help_) in {
        "expression": (_expression, measure_expression.SPLITS, "ferplus.npz, or the folder it is made from"),
        "detector": (_detector, SPLITS, "crowd_faces.zip, or another zip or folder with boxes.csv and its pictures"),
        "landmarks": (_landmarks, SPLITS, "landmarks68.zip, or another zip or folder with points68.csv"),
    }.items():
        own = roles.add_parser(role)
        own.add_argument("--model", type=Path, required=True, help="float or int8 .tflite file, its card beside it")
        own.add_argument("--data", type=Path, required=True, help=help_)
        own.add_argument("--split", choices=splits, default=splits[0], help="heldout: what nothing learns from")
        own.add_argument("--threads", type=int, default=1)
        own.add_argument("--json", action="store_true", help="machine-readable output")
        own.set_defaults(run=run)
    return parser


Report = tuple[dict[str, Any], list[str]]


def _expression(options: argparse.Namespace) -> Report:
    model = open_model(options.model, "expression", threads=options.threads)
    chosen, name = measure_expression.read(options.data, split=options.split)
    answers = measure_expression.answer(model, chosen)
    figures = measure_expression.measure(answers, temperature=model.card.temperature, name=name)
    return asdict(figures), measure_expression.table(figures)


def _detector(options: argparse.Namespace) -> Report:
    model = open_model(options.model, "detector", threads=options.threads)
    photos, name = measure_detector.read(options.data, split=options.split)
    figures = measure_detector.measure(measure_detector.find(model, photos), name=name)
    return asdict(figures), measure_detector.table(figures)


def _landmarks(options: argparse.Namespace) -> Report:
    model = open_model(options.model, "landmarks", threads=options.threads)
    stills, name = measure_landmarks.read(options.data, split=options.split)
    people = len({still.person for still in stills})
    figures = measure_landmarks.measure(measure_landmarks.place(model, stills), people=people, name=name)
    return asdict(figures), measure_landmarks.table(figures)


if __name__ == "__main__":
    sys.exit(main())
