"""Tests that hold for each TFLite runtime."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from fer_edge.vision.tflite import RUNTIMES

OTHER = find_spec("tflite_runtime") is not None

each_runtime = pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name == "tflite-runtime" and not OTHER, reason="tflite-runtime is not installed (an extra)"
            ),
        )
        for name in RUNTIMES
    ],
)
