"""Weights as TensorFlow.js stores them: a manifest in JSON, and beside it the values, 8-bit ones with scale and offset.

https://github.com/tensorflow/tfjs/blob/master/tfjs-converter/README.md#format-conversion-examples
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quantize.data.sets import DataError, Floats


def read_weights(path: Path) -> dict[str, Floats]:
    """All weights f32[...] by name, of `model.json` or a bare manifest. Raises DataError."""
    try:
        read = json.loads(path.read_text())
        groups = read["weightsManifest"] if isinstance(read, dict) else read
        return {name: weight for group in groups for name, weight in _group(group, path)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: expected a TensorFlow.js model with its weights beside it: {error}") from None


def _group(group: Mapping[str, Any], path: Path) -> list[tuple[str, Floats]]:
    content = b"".join(_part(path, name) for name in group["paths"])
    weights, start = [], 0
    for entry in group["weights"]:
        quantization = entry.get("quantization")
        dtype = np.dtype((quantization or entry)["dtype"])
        count = math.prod(entry["shape"])
        values = np.frombuffer(content, dtype, count, start).reshape(entry["shape"]).astype(np.float32)
        start += count * dtype.itemsize
        if quantization:
            values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        weights.append((entry["name"], values))
    return weights


def _part(path: Path, name: str) -> bytes:
    """One file of weights; packages rename what the manifest calls NAME-shard1 to NAME.bin."""
    part = path.parent / name
    return (part if part.exists() else part.with_name(f"{name.removesuffix('-shard1')}.bin")).read_bytes()
