"""Write TFLite files: `python -m quantize.convert expression --data data --run runs/expression`.

ROLE_float.tflite is the yardstick, ROLE.tflite the one for the Pi: int8 weights and activations, int8 in and out.
Both take one picture at a time, and have a card beside them, so that all that follows runs them as the daemon does.
int8_report.json, and a table, say which layers lose most by the way.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

try:
    import tensorflow as tf
except ImportError as error:
    raise SystemExit(f"quantize.convert: {error}; run: pip install 'fer-edge[quantize]'") from None

from fer_edge.errors import ModelError
from quantize.convert import layer_report
from quantize.daemon_stages import open_model
from quantize.data.locate import labels_sha256
from quantize.data.sets import DataError, Image
from quantize.evaluate import expression
from quantize.files import cards
from quantize.files.runs import read_plan
from quantize.tasks.networks import count_macs
from quantize.tasks.task import ROLES, open_task, to_input
from quantize.train.warm_start import averaged_network

REPORT_PICTURES = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.convert", description="Write a run's float and int8 TFLite files.")
    parser.add_argument("role", choices=tuple(ROLES))
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets that quantize.data.sets names")
    parser.add_argument("--run", type=Path, required=True, help="folder that quantize.train wrote")
    options = parser.parse_args(arguments)
    try:
        convert_run(options.role, options.data, options.run)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def convert_run(role: str, data: Path, run: Path) -> None:
    """Put the two files, their cards and the report into the folder of the run."""
    plan = read_plan(run, role)
    task = open_task(role, data, **plan["options"])
    network, epochs = averaged_network(task, run, batch=1)
    sample = from_black_to_white(task.finish(network, task.sample()))
    facts = cards.Facts(
        plan=plan,
        epochs=epochs,
        macs=count_macs(network),
        parameters=network.count_params(),
        outputs=tuple(network.output_names),
        labels_sha256=labels_sha256(role, data),
        entries=task.card(),
    )
    real, int8 = convert(network, sample)
    for name, content in ((f"{role}_float", real), (role, int8)):
        card = cards.text(cards.draft(name, content, facts))
        cards.write({run / f"{name}.tflite": content, run / f"{name}.json": card})
        print(f"{run / name}.tflite: {len(content)} bytes")
    if role == "expression":
        _calibrate(data, run)
    tensors = [output["name"] for output in cards.read(run / f"{role}.json")["outputs"]]
    inputs = to_input(sample[:: max(1, len(sample) // REPORT_PICTURES)])
    report = layer_report.inspect(real, int8, inputs, names=dict(zip(tensors, facts.outputs, strict=True)))
    (run / "int8_report.json").write_text(json.dumps(cards.rounded(asdict(report)), indent=2) + "\n")
    print("\n".join(layer_report.table(report)))


def from_black_to_white(sample: Image) -> Image:
    """Give the sample u8[N,H,W] a black and a white pixel: the input's range is then exactly LOW..HIGH, its scale
    exactly 1/128, and its zero point 0."""
    spanning = sample.copy()
    spanning[0, 0, :2] = 0, 255
    return spanning


def _calibrate(data: Path, run: Path) -> None:
    """Fit the temperature. Both files get the int8 file's: the float file is only its yardstick."""
    temperature = expression.temperature_of(open_model(run / "expression.tflite", "expression"), data)
    for name in ("expression_float", "expression"):
        path = run / f"{name}.json"
        cards.write({path: cards.text(cards.read(path) | {"temperature": temperature})})


# --- conversion ----------------------------------------------------------------------------------------------


def convert(network: Any, sample: Image) -> tuple[bytes, bytes]:
    """Make the float and the int8 file of a network, for pictures of the sample's size u8[N,H,W]."""
    with tempfile.TemporaryDirectory() as folder:
        _save(network, sample.shape[1:], folder)
        return _convert(folder), _convert(folder, sample)


def _save(network: Any, size: Sequence[int], folder: str) -> None:
    """Write the network as TensorFlow's converter reads it, with our names for the outputs.

    Keras' own export would go through `model.__call__` with sizes unknown, and the files would then work sizes out
    while they run.
    """

    @tf.function(input_signature=[tf.TensorSpec((1, *size, 1), tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def answer(image: Any) -> dict[str, Any]:
        outputs = network(image, training=False)
        return dict(zip(network.output_names, tf.nest.flatten(outputs), strict=True))

    module = tf.Module()
    module.weights = [weight.value for weight in network.weights]
    module.answer = answer
    tf.saved_model.save(module, folder, signatures={"serving_default": answer})


def _convert(folder: str, sample: Image | None = None) -> bytes:
    """Make a TFLite file; full int8 if there is a sample to measure activations on."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if sample is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _one_by_one(sample)
        # Only int8 kernels: an operation without one stops the conversion instead of falling back to float.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _one_by_one(sample: Image) -> Callable[[], Iterator[list[Any]]]:
    return lambda: ([np.asarray(to_input(image[None]))] for image in sample)
