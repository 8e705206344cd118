"""Measure: `python -m quantize.evaluate expression --model models/expression.tflite --data data/ferplus.npz`.

Float and int8 files go through the same code. Accuracy and F1 do not depend on the temperature, the calibration
error does: it is read from the card beside the model, if there is one.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fer_edge.classify import softmax
from fer_edge.tflite import open_interpreter
from quantize.data import LABELS, DataError, Floats, Images, load, measuring, to_input

ECE_BINS: Final = 15
TEMPERATURES: Final = np.arange(0.30, 3.005, 0.01)

Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class PerClass:
    """How one expression is recognised; every share is 0..1."""

    precision: float
    recall: float
    f1: float
    count: int  # pictures with this expression


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is known about a model after one pass over a set; every share is 0..1."""

    set: str
    accuracy: float
    macro_f1: float  # mean F1 over the eight expressions, rare ones counting as much as common ones
    ece: float  # expected calibration error, 15 equal bins of confidence
    per_class: dict[str, PerClass]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a TFLite file; real value = scale x (integer - zero_point). A float tensor has scale 0."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


# --- arithmetic ----------------------------------------------------------------------------------------------


def measure(logits: Floats, labels: Labels, *, temperature: float, name: str) -> Metrics:
    """Work out every figure of the card from logits f32[N,8] and the right answers [N]."""
    predicted = logits.argmax(axis=1)
    per_class = {label: _per_class(predicted, labels, index) for index, label in enumerate(LABELS)}
    return Metrics(
        set=name,
        accuracy=float(np.mean(predicted == labels)),
        macro_f1=float(np.mean([each.f1 for each in per_class.values()])),
        ece=calibration_error(softmax(logits, temperature=temperature), labels),
        per_class=per_class,
    )


def _per_class(predicted: Labels, labels: Labels, index: int) -> PerClass:
    hits = int(np.sum((predicted == index) & (labels == index)))
    said, count = int(np.sum(predicted == index)), int(np.sum(labels == index))
    f1 = 2 * hits / (said + count) if said + count else 0.0
    precision, recall = hits / said if said else 0.0, hits / count if count else 0.0
    return PerClass(precision=precision, recall=recall, f1=f1, count=count)


def calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Average the gap between confidence and accuracy over bins of equal width, weighted by their pictures."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * ECE_BINS) - 1, 0, ECE_BINS - 1).astype(np.intp)
    # |sum of confidence - sum of right| in a bin is its gap times its pictures.
    gaps = np.bincount(bins, confidence.astype(np.float64) - right, ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Find the temperature, to two decimals, under which the right answers are most likely."""
    best = min(TEMPERATURES, key=lambda each: _surprise(logits, labels, temperature=float(each)))
    return round(float(best), 2)


def _surprise(logits: Floats, labels: Labels, *, temperature: float) -> float:
    given = softmax(logits, temperature=temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, 1e-12)).mean())


# --- running a file ------------------------------------------------------------------------------------------


class Classifier:
    """A float or int8 TFLite file that maps pictures to logits."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        if not path.exists():
            raise DataError(f"{path}: no such model file")
        self._interpreter: Any = open_interpreter(path.read_bytes(), path, threads=threads)
        self._in = self._interpreter.get_input_details()[0]
        self._out = self._interpreter.get_output_details()[0]
        self.input, self.output = _tensor(self._in, "image"), _tensor(self._out, "logits")

    def logits(self, images: Images) -> Floats:
        """Return real-valued logits f32[N,8] of pictures u8[N,48,48]."""
        return np.concatenate([self._run(image[None]) for image in to_input(images)])

    def inner_types(self) -> set[str]:
        """Name the number types of all tensors of the graph: a float one among integers is a fallback."""
        return {np.dtype(each["dtype"]).name for each in self._interpreter.get_tensor_details()}

    def _run(self, real: Floats) -> Floats:
        self._interpreter.set_tensor(self._in["index"], quantize(real, self.input))
        self._interpreter.invoke()
        return dequantize(self._interpreter.get_tensor(self._out["index"]), self.output)


def _tensor(details: dict[str, Any], name: str) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Tensor(name, shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def quantize(real: Floats, tensor: Tensor) -> NDArray[Any]:
    """Turn real values into what the tensor stores."""
    if tensor.scale == 0:
        return real
    steps = np.round(real / tensor.scale) + tensor.zero_point
    return np.asarray(np.clip(steps, -128, 127), dtype=tensor.dtype)


def dequantize(stored: NDArray[Any], tensor: Tensor) -> Floats:
    """Turn stored values into real ones."""
    if tensor.scale == 0:
        return np.asarray(stored, dtype=np.float32)
    return np.asarray((stored.astype(np.float32) - tensor.zero_point) * tensor.scale, dtype=np.float32)


# --- command line --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.evaluate", description="Measure a model on a labelled set.")
    parser.add_argument("role", choices=("expression",))
    parser.add_argument("--model", type=Path, required=True, help="float or int8 .tflite file")
    parser.add_argument("--data", type=Path, required=True, help="ferplus.npz, or the folder it is made from")
    parser.add_argument("--split", choices=("publictest", "heldout"), default="publictest")
    parser.add_argument("--temperature", type=float, help="default: from the card beside the model, else 1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args(arguments)
    try:
        metrics = _evaluate(options)
    except (DataError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(metrics), indent=2) if options.json else table(metrics))
    return 0


def _evaluate(options: argparse.Namespace) -> Metrics:
    temperature = options.temperature or card_temperature(options.model)
    chosen = measuring(load(options.data), options.split)
    logits = Classifier(options.model, threads=options.threads).logits(chosen.images)
    return measure(logits, chosen.labels, temperature=temperature, name=set_name(options.split))


def set_name(split: str) -> str:
    """Name a split as cards and tables do."""
    return {"publictest": "FER+ PublicTest, majority", "heldout": "FER+ Training, held-out part, majority"}[split]


def card_temperature(model: Path) -> float:
    """Read the temperature off the card beside the model; 1 where there is no card."""
    card = model.with_suffix(".json")
    return float(json.loads(card.read_text())["temperature"]) if card.exists() else 1.0


def table(metrics: Metrics) -> str:
    """Lay out metrics for people."""
    count = sum(each.count for each in metrics.per_class.values())
    lines = [
        f"{metrics.set}: {count} pictures",
        f"accuracy {metrics.accuracy:.4f}   macro F1 {metrics.macro_f1:.4f}   calibration error {metrics.ece:.4f}",
        f"{'':<10}{'precision':>10}{'recall':>10}{'F1':>10}{'pictures':>10}",
    ]
    return "\n".join(lines + [_row(label, each) for label, each in metrics.per_class.items()])


def _row(label: str, each: PerClass) -> str:
    return f"{label:<10}{each.precision:>10.3f}{each.recall:>10.3f}{each.f1:>10.3f}{each.count:>10}"


if __name__ == "__main__":
    sys.exit(main())
