"""The figures and costs that a model must keep to be published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.errors import ModelError
from fer_edge.vision.model_card import Role
from quantize.daemon_stages import open_model
from quantize.data.locate import learned_from
from quantize.data.sets import DataError
from quantize.evaluate.registry import MEASURING
from quantize.evaluate.robustness import Conditions
from quantize.files import cards
from quantize.files.tflite_graph import Graph

FLOORS: dict[str, dict[str, float]] = {
    "expression": {
        "accuracy": 0.87,
        "macro_f1": 0.72,
        "ece": 0.02,
        "posed.accuracy": 0.80,
        "posed.alarming": 0.60,
        "least_recall": 0.40,
    },
    "detector": {
        "ap": 0.84,
        "varied_ap": 0.88,
        "varied_ap_16_32": 0.93,
        "varied_fp_per_empty_image": 0.13,
        "daemon_recall_16": 0.88,
        "daemon_fp_per_image": 0.15,
        "daemon_fp_per_empty_image": 0.03,
        "masked": 0.90,
        "bare": 0.97,
    },
    "landmarks": {"nme51": 0.0425, "pose_30": 6.0, "pose_60": 10.0, "sign": 0.99, "false_presence": 0.03},
    "intensity": {"told": 7},
}
# Figures that must not be above their floor.
ERRORS = (
    *("nme51", "pose_30", "pose_60", "false_presence", "ece"),
    *("varied_fp_per_empty_image", "daemon_fp_per_image", "daemon_fp_per_empty_image"),
)
LEAST = {"accuracy": 0.86, "macro_f1": 0.66}  # below this nothing is published, whatever was before
CHANCE = 0.003  # a figure may be so much worse than the published one: half its standard error on PublicTest
MOST_LOST = {"expression": {"accuracy": 0.005}}  # what int8 may lose against float
MOST_MACS = {"expression": 35e6, "detector": 80e6, "landmarks": 15e6, "intensity": 11e6}
MOST_BYTES = {"expression": 1_000_000, "detector": 600_000, "landmarks": 600_000, "intensity": 400_000}
INTEGERS = ("INT8", "INT32")  # INT32: biases and shapes
OTHER_SIZES = ((320, 256), (192, 192))  # width, height


@dataclass(frozen=True, slots=True)
class Candidate:
    """Everything a gate or the card asks about a model that may be published."""

    role: Role
    content: bytes  # the int8 file
    card: dict[str, Any]  # without figures
    macs: int  # counted in the file
    types: frozenset[str]  # number types of all tensors of the int8 file
    refused_sizes: tuple[str, ...]  # sizes that a detector should take, and does not
    real: dict[str, Any]  # figures of the float file
    int8: dict[str, Any]
    result: Any  # the int8 file's `Result`

    def conditions(self, run: Path) -> Conditions:
        """Measure the int8 file under conditions; minutes."""
        return MEASURING[self.role].conditions(open_model(run / f"{self.role}.tflite", self.role), self.result)


def examine(role: Role, data: Path, run: Path) -> Candidate:
    """Measure both files of a run. Raises DataError or ModelError."""
    path, measuring = run / f"{role}.tflite", MEASURING[role]
    if learned_from(role, data, split=measuring.gate, model=path):
        raise DataError(f"{data}: split {measuring.gate!r}: expected pictures that {path} was not trained on")
    model = open_model(path, role)
    result = measuring.run(model, data, split=measuring.gate)
    yardstick = open_model(run / f"{role}_float.tflite", role)
    graph = Graph(path.read_bytes())
    return Candidate(
        role=role,
        content=path.read_bytes(),
        card=cards.read(run / f"{role}.json"),
        macs=graph.macs(),
        types=graph.types(),
        refused_sizes=refused_sizes(path) if role == "detector" else (),
        real=measuring.figures(yardstick, data, split=measuring.gate) | measuring.elsewhere(yardstick, data),
        int8=asdict(result.figures) | measuring.elsewhere(model, data),
        result=result,
    )


def refused_sizes(path: Path) -> tuple[str, ...]:
    """Run a detector at other sizes than its own."""
    refused = []
    for width, height in OTHER_SIZES:
        try:
            model = open_model(path, "detector")
            model.resize(width=width, height=height)
            model.infer(np.zeros((height, width), np.uint8))
        except ModelError:
            refused.append(f"{width}x{height}")
    return tuple(refused)


def failed(model: Candidate, *, floors: Mapping[str, float], published: Mapping[str, Any] | None = None) -> list[str]:
    """Name, a line each, the things that keep this model out of models/.

    A floor that what is published misses as well keeps only a model out that is further away from it, by more than
    chance.
    """
    lines = [
        floor_line(name, figure(model.int8, name), _bound(name, floor, published)) for name, floor in floors.items()
    ]
    lines += [
        _most(f"{name} lost by int8", (figure(model.real, name) or 0) - (figure(model.int8, name) or 0), most)
        for name, most in MOST_LOST.get(model.role, {}).items()
    ]
    lines += [
        _most("multiplications", model.macs, MOST_MACS[model.role]),
        _most("bytes", len(model.content), MOST_BYTES[model.role] - 1),
        *_tensors(model),
    ]
    if model.refused_sizes:
        lines.append(
            f"input: expected to run at any multiple of 32 px, got refusals of {', '.join(model.refused_sizes)}"
        )
    return [f"{model.role}: {line}" for line in lines if line]


def missed(figures: Mapping[str, Any], floors: Mapping[str, float]) -> dict[str, float | None]:
    """The figures that do not reach their floors."""
    reached = {name: figure(figures, name) for name in floors}
    return {name: value for name, value in reached.items() if floor_line(name, value, floors[name])}


def figure(figures: Mapping[str, Any], name: str) -> float | None:
    """One of a model's figures, "a.b" being b among those of a, or one of its heads' or its presence's; None where it
    was not measured."""
    first, _, rest = name.partition(".")
    if rest:
        inside = figures.get(first)
        return None if inside is None else figure(inside, rest)
    inner = [figures.get(part) or {} for part in ("heads", "presence")]
    value = next((part[name] for part in (figures, *inner) if name in part), None)
    return None if value is None else float(value)


def _bound(name: str, floor: float, published: Mapping[str, Any] | None) -> float:
    """A floor, or about the published model's figure where that misses it."""
    reached = figure(published or {}, name)
    if reached is None:
        return floor
    if name in ERRORS:
        return reached + CHANCE if reached > floor else floor
    return max(reached - CHANCE, LEAST.get(name, 0.0)) if reached < floor else floor


def floor_line(name: str, reached: float | None, floor: float) -> str:
    """A gate in a line: reached and floor; empty where it is passed."""
    if reached is None or math.isnan(reached):
        return f"int8 {name}: not measured: its set is missing; quantize/data/sets.py describes the data folder"
    if name in ERRORS:
        return _most(f"int8 {name}", reached, floor)
    return "" if reached >= floor else f"int8 {name}: expected at least {floor:g}, got {reached:.4f}"


def _most(what: str, found: float, most: float) -> str:
    return "" if found <= most else f"{what}: expected at most {_number(most)}, got {_number(found)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4f}"


def _tensors(model: Candidate) -> list[str]:
    """Errors of the number types."""
    strangers = sorted(model.types - set(INTEGERS))
    lines = [f"tensors: expected only {' and '.join(INTEGERS)}, got also {', '.join(strangers)}"] if strangers else []
    picture, outputs = model.card["input"], model.card["outputs"]
    if (picture["dtype"], picture.get("scale"), picture.get("zero_point")) != ("int8", 1 / 128, 0):
        found = f"{picture['dtype']}, scale {picture.get('scale')}, zero point {picture.get('zero_point')}"
        lines.append(f"input: expected int8 of scale 1/128 and zero point 0, that is pixel - 128, got {found}")
    others = [output["name"] for output in outputs if output["dtype"] != "int8"]
    return [*lines, f"outputs: expected int8, got others in {', '.join(others)}"] if others else lines
