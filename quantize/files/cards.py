"""Cards: what the daemon checks a model against, and its documentation for people."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.runtime.atomic_file import FOR_ALL, replace_files
from fer_edge.vision.tflite import open_interpreter
from quantize.data.sets import DataError
from quantize.publish.card_text import PROSE
from quantize.tasks.task import HIGH, LOW

TRAINING_PROSE = ("data", "terms", "protocol")
PLACES = {".tflite": "models", ".npz": "data"}
# Options of quantize.train that name runs, published files, or files of the data folder.
SOURCES = {"start", "teachers", "taught", "detector", "landmarks"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the step that made the files knows."""

    plan: dict[str, Any]  # `train.Plan` of the run
    epochs: int  # done
    macs: int
    parameters: int
    outputs: tuple[str, ...]  # the network's, in the order of the card
    labels_sha256: str  # of the training set
    entries: dict[str, Any]  # what the role alone knows


def draft(name: str, content: bytes, facts: Facts) -> dict[str, Any]:
    """Describe NAME.tflite, still without figures."""
    role = facts.plan["role"]
    prose = PROSE[role]
    return {
        "card": 1,
        "name": name,
        "role": role,
        "file": f"{name}.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **tensors(content, facts.outputs, Path(f"{name}.tflite")),
        **facts.entries,
        "macs": facts.macs,
        "parameters": facts.parameters,
        "training": {
            **{key: prose[key] for key in TRAINING_PROSE},
            "command": command(facts.plan),
            "epochs": facts.epochs,
            "seed": facts.plan["seed"],
            "labels_sha256": facts.labels_sha256,
        },
        "metrics": {},
        **{key: text for key, text in prose.items() if key not in TRAINING_PROSE},
        "license": "Apache-2.0",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def command(plan: Mapping[str, Any]) -> str:
    """The command that repeats a run; folders of other runs are taken to lie beside it, files in models/."""
    between = plan.get("interpolate")
    if between:
        start, *ends = (_place(Path(each)) for each in (between["start"], *between["end"]))
        line = f"--start {start} --end {' '.join(ends)} --share {between['share']:g}"
        return f"python -m quantize.train.interpolate {plan['role']} --data data --out runs/{plan['role']} {line}"
    own = {name: value for name, value in plan.items() if name not in ("role", "options") and value is not None}
    own |= plan["options"]
    for name in SOURCES & own.keys():
        own[name] = [_place(Path(each)) for each in _several(own[name])]
    if "yunet" in own:
        own["yunet"] = Path(own["yunet"]).name
    options = [" ".join((f"--{name}", *map(str, _several(value)))) for name, value in own.items()]
    return f"python -m quantize.train {plan['role']} --data data --out runs/{plan['role']} {' '.join(options)}"


def _place(source: Path) -> str:
    """The path of a run, or a published file, as the documentation has it."""
    return f"{PLACES.get(source.suffix, 'runs')}/{source.name}"


def _several(value: Any) -> Sequence[Any]:
    """What follows an option's name; nothing where it is a switch."""
    if value is True:
        return []
    return value if isinstance(value, list | tuple) else [value]


def tensors(content: bytes, outputs: Sequence[str], where: Path) -> dict[str, Any]:
    """The input's and outputs' entries. The file calls its tensors as it likes; its signature knows ours."""
    interpreter = open_interpreter(content, where)
    signature = interpreter.get_signature_runner().get_output_details()
    (image,) = interpreter.get_input_details()
    return {
        "input": _tensor(image) | {"layout": "NHWC", "color": "gray", "low": LOW, "high": HIGH},
        "outputs": [_tensor(signature[name]) for name in outputs],
    }


def _tensor(details: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "name": details["name"],
        "shape": [int(size) for size in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
    }
    scale, zero_point = details["quantization"]
    return entry if entry["dtype"] == "float32" else entry | {"scale": float(scale), "zero_point": int(zero_point)}


# --- files ---------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    """Read all of a card, the part for people too. Raises DataError."""
    try:
        card: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a model card: {error}; run quantize.convert again") from None
    return card


def text(card: dict[str, Any]) -> bytes:
    """A card as it is written."""
    return (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode()


def write(files: Mapping[Path, bytes]) -> None:
    """Replace models and cards, readable for all; none before all are written. Raises OSError."""
    replace_files(files, mode=FOR_ALL)


def rounded(value: Any) -> Any:
    """Figures to four decimals, all the way down; None for what could not be measured, as JSON has no NaN."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value
