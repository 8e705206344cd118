"""Measure: `python -m quantize.evaluate expression --model models/expression.tflite --data data/ferplus.npz`.

Float and int8 files go through the same code, the daemon's. The protocols stand at the top of
`measure_expression.py`, `measure_detector.py`, `measure_landmarks.py`, `groups.py` and `end_to_end.py`.

    python -m quantize.evaluate detector --model models/detector.tflite --data data/crowd_faces.zip --split heldout
    python -m quantize.evaluate landmarks --model models/landmarks.tflite --data data --conditions --plots plots
    python -m quantize.evaluate groups --models models --data data/faces_unlabelled.zip
    python -m quantize.evaluate end-to-end --models models --data data/ferplus.npz --scenes data/photos/scenes.zip
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fer_edge.errors import ModelError
from quantize import conditions, end_to_end, groups, measure_detector, measure_expression, measure_landmarks
from quantize.cards import rounded
from quantize.data import SPLITS, DataError
from quantize.sets import learned_from
from quantize.stages import open_model

Report = tuple[dict[str, Any], list[str]]  # for machines, for people


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


# --- command line --------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.evaluate", description="Measure models on labelled sets.")
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_role(kinds, "expression", _expression, measure_expression.SPLITS, "ferplus.npz, or the folder it is from")
    _add_role(kinds, "detector", _detector, SPLITS, "crowd_faces.zip, or another zip or folder with boxes.csv")
    _add_role(kinds, "landmarks", _landmarks, SPLITS, "landmarks68.zip, or another zip or folder with points68.csv")
    whole = _add(kinds, "groups", _groups, "recall by age, gender and race", "faces_unlabelled.zip or its folder")
    whole.add_argument("--models", type=Path, default=Path("models"))
    whole = _add(kinds, "end-to-end", _end_to_end, "expressions through all three models", "ferplus.npz or its folder")
    whole.add_argument("--models", type=Path, default=Path("models"))
    whole.add_argument("--scenes", type=Path, required=True, help="zip or folder of pictures without faces")
    whole.add_argument("--faces", type=int, help="only so many, drawn at random; default: all")
    return parser


def _add(kinds: Any, name: str, run: Any, help_: str, data: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=help_, description=f"Measure: {help_}.")
    parser.add_argument("--data", type=Path, required=True, help=f"{data}, or a folder with it")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)
    return parser


def _add_role(kinds: Any, role: str, run: Any, splits: Sequence[str], data: str) -> None:
    parser = _add(kinds, role, run, f"the {role} model alone", data)
    parser.add_argument("--model", type=Path, required=True, help="float or int8 .tflite file, its card beside it")
    parser.add_argument("--split", choices=splits, default=splits[0], help="heldout: what quantize.train leaves out")
    parser.add_argument("--conditions", action="store_true", help="also by size, blur, light and more (minutes)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw PNG files; needs matplotlib")
    parser.add_argument("--threads", type=int, default=1)


# --- one model -----------------------------------------------------------------------------------------------


def _expression(options: argparse.Namespace) -> Report:
    model = open_model(options.model, "expression", threads=options.threads)
    chosen, name = measure_expression.read(options.data, split=options.split)
    answers = measure_expression.answer(model, chosen)
    figures = measure_expression.measure(answers, temperature=model.card.temperature, name=name)
    if options.plots:
        plots = _plots()
        plots.confusion(figures, options.plots / "expression_confusion.png")
        plots.reliability(answers, figures, options.plots / "expression_reliability.png")
    more = conditions.of_expression(model, chosen) if options.conditions else {}
    return _report("expression", options, asdict(figures), measure_expression.table(figures), more)


def _detector(options: argparse.Namespace) -> Report:
    model = open_model(options.model, "detector", threads=options.threads)
    photos, name = measure_detector.read(options.data, split=options.split)
    findings = measure_detector.find(model, photos)
    figures = measure_detector.measure(findings, name=name)
    if options.plots:
        curve = measure_detector.curve(findings)
        _plots().precision_recall(curve, figures, options.plots / "detector_precision_recall.png")
    more = conditions.of_detector(model, photos, findings) if options.conditions else {}
    return _report("detector", options, asdict(figures), measure_detector.table(figures), more)


def _landmarks(options: argparse.Namespace) -> Report:
    model = open_model(options.model, "landmarks", threads=options.threads)
    stills, name = measure_landmarks.read(options.data, split=options.split)
    placed = measure_landmarks.place(model, stills)
    figures = measure_landmarks.measure(placed, stills, name=name)
    if options.plots:
        _plots().errors(placed, figures, options.plots / "landmarks_errors.png")
    more = conditions.of_landmarks(model, stills, placed) if options.conditions else {}
    return _report("landmarks", options, asdict(figures), measure_landmarks.table(figures), more)


def _report(
    role: str, options: argparse.Namespace, figures: dict[str, Any], lines: list[str], more: conditions.Conditions
) -> Report:
    """Add to figures and lines what all roles have in common."""
    learned = learned_from(role, options.data, split=options.split, model=options.model)
    head = {"model": str(options.model), "split": options.split, "includes_training": learned}
    lines = [f"{options.model} on {lines[0]}", *lines[1:]]
    if learned:
        lines.append(
            "careful: this figure includes pictures that the model learned from; --split heldout leaves them out"
        )
    if more:
        lines += ["", *conditions.table(more)]
    return head | figures | ({"conditions": more} if more else {}), lines


def _plots() -> Any:
    try:
        from quantize import plots
    except ImportError as error:
        raise DataError(f"--plots: {error}; run: pip install 'fer-edge[quantize]'") from None
    return plots


# --- all models ----------------------------------------------------------------------------------------------


def _groups(options: argparse.Namespace) -> Report:
    figures = groups.measure(options.models, options.data)
    return asdict(figures), groups.table(figures)


def _end_to_end(options: argparse.Namespace) -> Report:
    figures = end_to_end.measure(options.models, options.data, options.scenes, faces=options.faces)
    return asdict(figures), end_to_end.table(figures)


if __name__ == "__main__":
    sys.exit(main())
