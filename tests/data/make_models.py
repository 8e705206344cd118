"""Made the tiny models beside this file, once, with the extra `quantize`: `python tests/data/make_models.py`.

`bright`, int8, takes bright squares for faces: where a whole cell is white, all four sides of its box are one
stride away and its two key points half a stride up, to the left and to the right. `bright_float` is the same in
float32. `stiff` has a fully connected layer, so it knows one input size only. `red` is `bright` for colour pictures,
of which it sees the red alone, with uint8 tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

HERE = Path(__file__).parent
STRIDES = (8, 16)
WIDTH, HEIGHT = 96, 64
WHITE = {"score": [4.0], "box": [1.0] * 4, "points": [-0.5, -0.5, 0.5, -0.5]}  # logit and strides, in a white cell
BLACK = {"score": [-12.0], "box": [0.0] * 4, "points": [0.0] * 4}


def main() -> None:
    """Write four models and their cards."""
    bright = keras.Model(picture := layers.Input((HEIGHT, WIDTH, 1)), [head(picture, *kind) for kind in kinds()])
    colored = layers.Input((HEIGHT, WIDTH, 3))
    red = keras.Model(colored, [head(colored, *kind) for kind in kinds()])
    stiff = keras.Model(picture, [*bright.outputs[:-1], flat(bright.outputs[-1])])
    write("bright", convert(bright, kind=tf.int8))
    write("bright_float", convert(bright, kind=tf.float32))
    write("stiff", convert(stiff, kind=tf.int8))
    write("red", convert(red, kind=tf.uint8))


def kinds() -> Iterator[tuple[int, str]]:
    """The outputs in the card's order."""
    return ((stride, name) for stride in STRIDES for name in WHITE)


def head(picture: Any, stride: int, name: str) -> Any:
    """An output that goes straight with the mean brightness of its cell's first channel, -1 to 1."""
    white, black = np.array(WHITE[name]), np.array(BLACK[name])
    kernel = np.zeros((stride, stride, picture.shape[-1], len(white)))
    kernel[:, :, 0] = (white - black) / 2 / stride**2
    layer = layers.Conv2D(len(white), stride, strides=stride, name=f"{name}{stride}")
    output = layer(picture)
    layer.set_weights([kernel, (white + black) / 2])
    return output


def flat(grid: Any) -> Any:
    """The same values, by way of a fully connected layer."""
    values = layers.Flatten()(grid)
    return layers.Reshape(grid.shape[1:])(layers.Dense(values.shape[1], kernel_initializer="identity")(values))


def convert(model: Any, *, kind: Any) -> bytes:
    """A TFLite file of the model; `kind` is the type of its input and outputs, int8 inside unless that is float32."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != tf.float32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: pictures(model.input_shape[-1])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = kind
    return bytes(converter.convert())


def pictures(channels: int) -> Iterator[list[Any]]:
    """Black, white, and what lies between."""
    for level in np.linspace(0, 255, 20).round():
        yield [np.full((1, HEIGHT, WIDTH, channels), (level - 128) / 128, np.float32)]


def write(name: str, content: bytes) -> None:
    """The file and its card."""
    interpreter = tf.lite.Interpreter(model_content=content)
    picture = tensor(interpreter.get_input_details()[0])
    outputs = sorted(interpreter.get_output_details(), key=lambda detail: str(detail["name"]))  # numbered
    card = {
        "card": 1,
        "name": name,
        "role": "detector",
        "file": f"{name}.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "input": picture | {"color": "gray" if picture["shape"][3] == 1 else "rgb", "low": -1.0, "high": 127 / 128},
        "outputs": [tensor(detail) for detail in outputs],
        "ssd": {"strides": STRIDES, "keypoints": 2, "overlap": 0.4},
        "license": "Apache-2.0",
    }
    (HERE / f"{name}.tflite").write_bytes(content)
    (HERE / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


def tensor(detail: dict[str, Any]) -> dict[str, Any]:
    """A card's entry of an input or output."""
    scale, zero_point = detail["quantization"]
    kind = np.dtype(detail["dtype"]).name
    real = {} if kind == "float32" else {"scale": float(scale), "zero_point": int(zero_point)}
    return {"name": detail["name"], "shape": [int(n) for n in detail["shape"]], "dtype": kind, **real}


if __name__ == "__main__":
    main()
