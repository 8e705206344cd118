"""Publish: `python -m quantize.publish expression --data data/ferplus.npz --run runs/expression`.

Both files of the run are measured on FER+ PublicTest, which nothing before this step has looked at: the network
learns from the Training split, and the temperature is fitted on a held-out part of that. Past a failed gate
nothing reaches models/.
"""

import argparse
import datetime
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from quantize.data import HIGH, LABELS, LOW, SIDE, DataError, FerPlus, load, measuring
from quantize.evaluate import Classifier, Metrics, Tensor, fit_temperature, measure, set_name, table

FLOOR: Final = 0.83  # least int8 accuracy on PublicTest
MOST_LOST: Final = 0.005  # accuracy that int8 may lose against float
MOST_BYTES: Final = 1_000_000
INTEGERS: Final = frozenset({"int8", "int32"})  # int32: biases and shapes

# Where the eyes and the mouth of a FER+ face lie, in shares of the crop's side: mean positions measured on FER+
# train. The daemon turns, scales and shifts each face onto these points. Left and right are those of the picture.
TEMPLATE: Final = {"left_eye": [0.309, 0.378], "right_eye": [0.691, 0.378], "mouth": [0.5, 0.768]}

INTENDED_USE: Final = (
    "Tell apart eight facial expressions, as people label them, on aligned gray face crops; for live display, "
    "counting, and alerts that a person checks."
)
LIMITS: Final = (
    "It reads a face, not a feeling: an expression is no proof of an emotion. FER2013 is a web collection of posed "
    "and spontaneous pictures; groups of people, ages and lighting are unevenly covered, and differences between "
    "groups were not measured. Disgust, fear and contempt are rare in the set and recognised least well (see "
    "per_class). Not for decisions about people: hiring, policing, medicine, education, credit."
)
TERMS: Final = (
    "FER+ labels: MIT (Microsoft). FER2013 pictures: published for research. No picture is shipped; the weights were "
    "trained from scratch by this project."
)
PROTOCOL: Final = (
    "Single votes dropped. Learned from vote shares on the Training split without copies of PublicTest pictures. "
    "Temperature fitted on a held-out twentieth of Training. Measured on the rows where one of the eight expressions "
    "has more than half of the votes; PublicTest was used for the gate only."
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Everything a gate or the card asks about a model that may be published."""

    content: bytes  # the int8 file
    input: Tensor
    output: Tensor
    inner_types: frozenset[str]  # number types of all tensors of the int8 file
    temperature: float
    float_metrics: Metrics
    int8_metrics: Metrics


class GateError(ValueError):
    """A model is not good enough; one line for each gate it failed."""


# --- measuring -----------------------------------------------------------------------------------------------


def examine(data: FerPlus, run: Path) -> Candidate:
    """Measure both files of a run."""
    int8, real = Classifier(run / "expression.tflite"), Classifier(run / "expression_float.tflite")
    chosen, test = measuring(data, "heldout"), measuring(data, "publictest")
    # The same temperature for both: the float file is only the yardstick for the int8 one.
    temperature = fit_temperature(int8.logits(chosen.images), chosen.labels)
    real_metrics, int8_metrics = (
        measure(each.logits(test.images), test.labels, temperature=temperature, name=set_name("publictest"))
        for each in (real, int8)
    )
    return Candidate(
        content=(run / "expression.tflite").read_bytes(),
        input=int8.input,
        output=int8.output,
        inner_types=frozenset(int8.inner_types()),
        temperature=temperature,
        float_metrics=real_metrics,
        int8_metrics=int8_metrics,
    )


# --- gates ---------------------------------------------------------------------------------------------------


def failed_gates(model: Candidate, *, floor: float) -> list[str]:
    """Name, a line each, the things that keep this model out of models/."""
    reached = model.int8_metrics.accuracy
    lost = model.float_metrics.accuracy - reached
    strangers = sorted(model.inner_types - INTEGERS)
    gates = [
        (reached >= floor, f"int8 accuracy: expected at least {floor:.4f}, got {reached:.4f}"),
        (lost <= MOST_LOST, f"accuracy lost by int8: expected at most {MOST_LOST}, got {lost:.4f}"),
        (len(model.content) < MOST_BYTES, f"size: expected below {MOST_BYTES} bytes, got {len(model.content)}"),
        (not strangers, f"tensors: expected only {', '.join(sorted(INTEGERS))}, got also {', '.join(strangers)}"),
        (_is_exact_input(model.input), f"input: expected int8 [1,{SIDE},{SIDE},1] = pixel - 128, got {model.input}"),
        (model.output.shape == (1, len(LABELS)), f"output: expected [1,{len(LABELS)}], got {model.output}"),
    ]
    return [line for passed, line in gates if not passed]


def _is_exact_input(tensor: Tensor) -> bool:
    """Tell whether each gray level has an int8 value of its own over the whole range LOW..HIGH."""
    lowest, highest = (tensor.scale * (stored - tensor.zero_point) for stored in (-128, 127))
    return (
        (tensor.shape, tensor.dtype) == ((1, SIDE, SIDE, 1), "int8")
        and abs(lowest - LOW) < tensor.scale / 10
        and abs(highest - HIGH) < tensor.scale / 10
    )


# --- writing -------------------------------------------------------------------------------------------------


def publish(model: Candidate, facts: dict[str, Any], *, folder: Path, floor: float = FLOOR) -> None:
    """Write model and card, or raise GateError and leave the folder as it is."""
    failed = failed_gates(model, floor=floor)
    if failed:
        raise GateError("\n".join(failed))
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card(model, facts), indent=2) + "\n"
    # Two files cannot be replaced at once. Between the two the old card's sha256 does not fit the new model: a
    # daemon that starts just then refuses it instead of running it under a wrong description.
    _replace(folder / "expression.tflite", model.content)
    _replace(folder / "expression.json", text.encode())


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def card(model: Candidate, facts: dict[str, Any]) -> dict[str, Any]:
    """Describe the model: what the daemon checks it against, and what people should know about it."""
    return {
        "card": 1,
        "name": "expression",
        "role": "expression",
        "file": "expression.tflite",
        "sha256": hashlib.sha256(model.content).hexdigest(),
        "bytes": len(model.content),
        "input": _tensor_card(model.input, layout="NHWC", color="gray", low=LOW, high=HIGH),
        "outputs": [{"name": model.output.name} | _tensor_card(model.output)],
        "labels": list(LABELS),
        "template": TEMPLATE,
        "temperature": model.temperature,
        "training": _training_card(facts),
        "metrics": {"float": _metrics_card(model.float_metrics), "int8": _metrics_card(model.int8_metrics)},
        "macs": facts["macs"],
        "parameters": facts["parameters"],
        "intended_use": INTENDED_USE,
        "limits": LIMITS,
        "license": "Apache-2.0",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def _tensor_card(tensor: Tensor, **more: Any) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        **more,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _training_card(facts: dict[str, Any]) -> dict[str, Any]:
    plan = f"--epochs {facts['epochs']} --seed {facts['seed']} --precision {facts['precision']}"
    return {
        "data": "FER2013 pictures with FER+ labels, Training split (28,171 pictures)",
        "terms": TERMS,
        "protocol": PROTOCOL,
        "command": f"python -m quantize.train --data data/ferplus.npz --out runs/expression {plan}",
        "epochs": facts["epochs_done"],
        "seed": facts["seed"],
    }


def _metrics_card(metrics: Metrics) -> dict[str, Any]:
    """Round the figures to four decimals."""
    return {name: _rounded(value) for name, value in asdict(metrics).items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


# --- command line --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.publish", description="Publish a run's int8 model.")
    parser.add_argument("role", choices=("expression",))
    parser.add_argument("--data", type=Path, required=True, help="ferplus.npz, or the folder it is made from")
    parser.add_argument("--run", type=Path, required=True, help="folder with the files of quantize.to_int8")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--floor", type=float, default=FLOOR, help="least int8 accuracy; lower it for trials only")
    options = parser.parse_args(arguments)
    try:
        model = examine(load(options.data), options.run)
        facts = json.loads((options.run / "facts.json").read_text())
        publish(model, facts, folder=options.models, floor=options.floor)
    except (DataError, GateError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"float accuracy {model.float_metrics.accuracy:.4f}, temperature {model.temperature}; int8:")
    print(table(model.int8_metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main())
