"""Write TFLite files: `python -m quantize.to_int8 --data data/ferplus.npz --run runs/expression`.

`expression_float.tflite` is the yardstick, `expression.tflite` the one for the Pi: int8 weights and activations,
int8 in and out. Both take one picture at a time. `facts.json` beside them says what the card needs of the run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from quantize.data import DataError, Examples, Images, load, to_input, training
from quantize.model import count_macs
from quantize.train import averaged_model

SAMPLE: Final = 500  # pictures that show the converter how large each activation gets
SAMPLE_SEED: Final = 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.to_int8", description="Write a run's float and int8 TFLite files.")
    parser.add_argument("--data", type=Path, required=True, help="ferplus.npz, or the folder it is made from")
    parser.add_argument("--run", type=Path, required=True, help="folder that quantize.train wrote")
    options = parser.parse_args(arguments)
    try:
        sample = representative(training(load(options.data)))
        write(options.run, sample)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def write(run: Path, sample: Images) -> None:
    """Put the two files and the facts into the folder of the run."""
    model, epochs = averaged_model(run / "last.npz")
    (run / "expression_float.tflite").write_bytes(convert(model))
    (run / "expression.tflite").write_bytes(convert(model, sample=sample))
    plan = json.loads((run / "plan.json").read_text())
    facts = {"macs": count_macs(model), "parameters": model.count_params(), "epochs_done": epochs} | plan
    (run / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


def representative(examples: Examples) -> Images:
    """Draw training pictures u8[SAMPLE,48,48] from black to white: the input's range is then all of LOW..HIGH."""
    rng = np.random.default_rng(SAMPLE_SEED)
    sample = examples.images[rng.choice(len(examples.images), SAMPLE, replace=False)]
    if (sample.min(), sample.max()) != (0, 255):
        raise DataError(f"sample: expected gray levels 0 to 255, got {sample.min()} to {sample.max()}")
    return sample


def convert(model: Any, *, sample: Images | None = None) -> bytes:
    """Make a TFLite file of the model; full int8 if there is a sample to measure activations on."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if sample is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _one_by_one(sample)
        # Only int8 kernels: an operation without one stops the conversion instead of falling back to float.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _one_by_one(sample: Images) -> Callable[[], Iterator[list[Any]]]:
    return lambda: ([image[None]] for image in to_input(sample))


if __name__ == "__main__":
    sys.exit(main())
