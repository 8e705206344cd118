"""Runs the models on given inputs and keeps what comes out as it is: one file for this machine and for an emulated one.

    python model_outputs.py RUNTIME INPUTS.npz OUTPUTS.npz

INPUTS holds ROLE/NUMBER: i8[1,H,W,1]; OUTPUTS holds ROLE/NUMBER/TENSOR: i8, in the order of the model's outputs.
Prints for each role how many parts of the model the runtime has given to a delegate; it has one, XNNPACK. One part is
the whole model: what is left to the runtime would lie between two.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.vision.model_card import models_folder, read_card
from fer_edge.vision.tflite import open_interpreter, read_model

Tensors = dict[str, np.ndarray[Any, Any]]


def main() -> None:
    """Run all three models."""
    runtime, inputs, outputs = sys.argv[1:]
    with np.load(inputs) as given:
        found = run(runtime, dict(given))
    np.savez(outputs, **found)  # type: ignore[arg-type] # a name could be one of savez's own arguments; none is


def run(runtime: str, inputs: Tensors) -> Tensors:
    """All outputs for all inputs."""
    found: Tensors = {}
    folder = models_folder()
    for role in sorted({name.split("/")[0] for name in inputs}):
        card = read_card(folder, role)
        interpreter = open_interpreter(read_model(folder, card), Path(card.file), runtime=runtime)
        operations = [details["op_name"] for details in interpreter._get_ops_details()]  # the runtime has no public way
        print(role, operations.count("DELEGATE"))
        for name in (name for name in inputs if name.startswith(f"{role}/")):
            found |= {f"{name}/{number}": tensor for number, tensor in enumerate(_outputs(interpreter, inputs[name]))}
    return found


def _outputs(interpreter: Any, held: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    (details,) = interpreter.get_input_details()
    if tuple(details["shape"]) != held.shape:
        interpreter.resize_tensor_input(details["index"], held.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], held)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


if __name__ == "__main__":
    main()
