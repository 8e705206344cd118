"""Measure: `python -m quantize.evaluate expression --model models/expression.tflite --data data/ferplus.npz`.

Float and int8 files go through the same code, the daemon's. The protocols stand at the top of this folder's modules:
`groups` is measured by `fairness.py`, all else by the module of its name.

    python -m quantize.evaluate detector --model models/detector.tflite --data data/crowd_faces.zip --split heldout
    python -m quantize.evaluate landmarks --model models/landmarks.tflite --data data --conditions --plots plots
    python -m quantize.evaluate posed --model models/expression.tflite --data data/ckplus48.zip
    python -m quantize.evaluate varied --model models/detector.tflite --data data
    python -m quantize.evaluate groups --models models --data data/faces_unlabelled.zip
    python -m quantize.evaluate signals --models models --data data
    python -m quantize.evaluate end-to-end --models models --data data/ferplus.npz --scenes data/photos/scenes.zip
    python -m quantize.evaluate limits --models models --data data --scenes data/photos/scenes.zip
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fer_edge.config import Config, Models
from fer_edge.errors import ModelError
from fer_edge.pipeline import Pipeline
from fer_edge.vision.model_card import Role
from quantize.daemon_stages import open_model
from quantize.data.locate import learned_from
from quantize.data.sets import FOLDS, HELD_OUT_FOLDS, SPLITS, DataError
from quantize.evaluate import end_to_end, fairness, iris, limits, posed, robustness, signals, varied
from quantize.evaluate.registry import MEASURING, Measuring, draw
from quantize.files.cards import rounded

Report = tuple[dict[str, Any], list[str]]  # for machines, for people


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        figures, lines = options.run(options)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        print(json.dumps(rounded(figures), indent=2) if options.json else "\n".join(lines), flush=True)
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


# --- command line --------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.evaluate", description="Measure models on labelled sets.")
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    for role, measuring in MEASURING.items():
        _add_role(kinds, role, measuring)
    asked = _add(kinds, "posed", _posed, "expressions of posed faces, by person", "ckplus48.zip or its folder")
    asked.add_argument("--model", type=Path, required=True, help="float or int8 .tflite file, its card beside it")
    asked.add_argument("--split", choices=SPLITS, default="heldout", help="heldout: the people kept from training")
    foreign = _add(kinds, "varied", _varied, "the detector on varied photos, alone or in the daemon", "photos2")
    foreign.add_argument("--model", type=Path, help="float or int8 .tflite file, its card beside it: it alone")
    foreign.add_argument("--models", type=Path, help="folder of three models: as analyze --still runs them")
    foreign.add_argument("--detector", default="detector", help="with --models: name of the detector in that folder")
    foreign.add_argument("--folds", nargs="+", type=int, choices=FOLDS, default=list(HELD_OUT_FOLDS), metavar="FOLD")
    whole = _add(kinds, "groups", _groups, "recall by age, gender and race", "faces_unlabelled.zip or its folder")
    whole.add_argument("--models", type=Path, default=Path("models"))
    whole = _add(kinds, "signals", _signals, "who looks, and the balance, by height", "mesh/ and ferplus.npz")
    whole.add_argument("--models", type=Path, default=Path("models"))
    whole = _add(kinds, "iris", _iris, "the iris' place beside a mesh", "photos2, landmarks68.zip and muxspace")
    whole.add_argument("--models", type=Path, default=Path("models"))
    whole.add_argument("--teacher", type=Path, required=True, help="MediaPipe's face_landmarker.task")
    whole.add_argument("--yunet", type=Path, required=True, help="YuNet's ONNX file, for pictures without boxes")
    whole.add_argument("--write", type=Path, metavar="FILE", help="fit the filter anew: fer_edge/vision/iris.json")
    whole = _add(kinds, "end-to-end", _end_to_end, "expressions through all three models", "ferplus.npz or its folder")
    _add_scenes(whole, "only so many, drawn at random; default: all")
    whole = _add(kinds, "limits", _limits, "labels by the measures that have limits", "ferplus.npz or its folder")
    _add_scenes(whole, "only the first so many; default: all")
    return parser


def _add(kinds: Any, name: str, run: Any, help_: str, data: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=help_, description=f"Measure: {help_}.")
    parser.add_argument("--data", type=Path, required=True, help=f"{data}, or a folder with it")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)
    return parser


def _add_scenes(parser: argparse.ArgumentParser, faces: str) -> None:
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--scenes", type=Path, required=True, help="zip or folder of pictures without faces")
    parser.add_argument("--faces", type=int, help=faces)


def _add_role(kinds: Any, role: str, measuring: Measuring) -> None:
    parser = _add(kinds, role, _role, f"the {role} model alone", measuring.data)
    splits = measuring.splits
    parser.add_argument("--model", type=Path, required=True, help="float or int8 .tflite file, its card beside it")
    parser.add_argument("--split", choices=splits, default=splits[0], help="heldout: what quantize.train leaves out")
    parser.add_argument("--conditions", action="store_true", help="also by size, blur, light and more (minutes)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw PNG files; needs matplotlib")
    parser.add_argument("--threads", type=int, default=1)
    parser.set_defaults(role=role)


# --- one model -----------------------------------------------------------------------------------------------


def _role(options: argparse.Namespace) -> Report:
    role: Role = options.role
    if options.threads < 1:
        raise DataError(f"--threads: expected at least 1, got {options.threads}")
    measuring, model = MEASURING[role], open_model(options.model, role, threads=options.threads)
    result = measuring.run(model, options.data, split=options.split)
    if options.plots:
        draw(role, result, options.plots)
    more = measuring.conditions(model, result) if options.conditions else {}
    learned = learned_from(role, options.data, split=options.split, model=options.model)
    head = {"model": str(options.model), "split": options.split, "includes_training": learned}
    lines = [f"{options.model} on", *measuring.table(result.figures)]
    if learned:
        lines.append("warning: this includes pictures that the model was trained on; --split heldout leaves them out")
    if more:
        lines += ["", *robustness.table(more)]
    return head | asdict(result.figures) | ({"conditions": more} if more else {}), lines


def _posed(options: argparse.Namespace) -> Report:
    figures = posed.run(open_model(options.model, "expression"), options.data, split=options.split)
    return {"model": str(options.model)} | asdict(figures), posed.table(figures)


def _varied(options: argparse.Namespace) -> Report:
    if bool(options.model) == bool(options.models):
        raise DataError("expected either --model or --models")
    if options.model:
        figures = varied.of_model(open_model(options.model, "detector"), options.data, folds=options.folds)
    else:
        models = Models(folder=str(options.models), detector=options.detector)
        figures = varied.of_daemon(Pipeline(Config(models=models)), options.data, folds=options.folds)
    return asdict(figures), [f"{options.model or options.models} on", *varied.table(figures)]


# --- all models ----------------------------------------------------------------------------------------------


def _groups(options: argparse.Namespace) -> Report:
    figures = fairness.measure(options.models, options.data)
    return asdict(figures), fairness.table(figures)


def _end_to_end(options: argparse.Namespace) -> Report:
    figures = end_to_end.measure(options.models, options.data, options.scenes, faces=options.faces)
    return asdict(figures), end_to_end.table(figures)


def _limits(options: argparse.Namespace) -> Report:
    figures = limits.measure(options.models, options.data, options.scenes, faces=options.faces)
    return {"limits": [asdict(each) for each in figures]}, limits.table(figures)


def _iris(options: argparse.Namespace) -> Report:
    figures = iris.measure(options.models, options.data, options.teacher, options.yunet, write=options.write)
    return {"iris": [asdict(each) for each in figures]}, iris.table(figures)


def _signals(options: argparse.Namespace) -> Report:
    figures = signals.measure(options.models, options.data)
    figures_json = {name: [asdict(each) for each in rows] for name, rows in figures.items()}
    return figures_json, signals.table(figures)
