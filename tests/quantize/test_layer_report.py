"""graph.py and layer_report.py on the tiny detectors of tests/data."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.records import Floats
from quantize.convert import layer_report
from quantize.convert.layer_report import LayerReport, Pair
from quantize.files.tflite_graph import Graph, Tensor
from tests.support.paths import DATA

REAL, INT8 = ((DATA / f"{name}.tflite").read_bytes() for name in ("bright_float", "bright"))


@pytest.fixture(scope="module")
def images() -> Floats:
    """Noise f32[N,64,96,1] with white cells."""
    images = np.random.default_rng(0).uniform(-1, 0.5, (4, 64, 96, 1)).astype(np.float32)
    images[:, 16:32, 32:64] = 127 / 128
    return images


@pytest.fixture(scope="module")
def report(images: Floats) -> LayerReport:
    return layer_report.inspect(REAL, INT8, images, names={})


def test_multiplications_are_counted_in_the_file() -> None:
    # Per stride and input px one multiplication for each of 1 + 4 + 4 outputs.
    assert Graph(INT8).macs() == Graph(REAL).macs() == 2 * 64 * 96 * 9


def test_number_types_are_told_apart() -> None:
    assert Graph(INT8).types() == {"INT8", "INT32"}
    assert "FLOAT32" in Graph(REAL).types()


def test_tensors_hold_and_give_back_real_values() -> None:
    tensor = Tensor("logits", (1, 3), 0.5, -3)
    real = np.array([[-2, 0.2, 1000]], np.float32)
    assert tensor.hold(real).tolist() == [[-7, -3, 127]]
    assert tensor.read(tensor.hold(real)).tolist() == [[-2, 0, 65]]
    assert tensor.limits() == (-62.5, 65)


def test_a_part_gives_what_the_whole_gives(images: Floats) -> None:
    graph = Graph(REAL)
    outputs = [op.output for op in graph.ops]
    whole = graph.part(graph.ops, inputs=graph.inputs, outputs=outputs)([images[:1]])
    for op, expected in zip(graph.ops, whole, strict=True):
        (alone,) = graph.part([op], inputs=op.inputs, outputs=[op.output])([images[:1]])
        np.testing.assert_array_equal(alone, expected)


def test_every_layer_is_matched_and_shares_add_up(report: LayerReport) -> None:
    assert len(Pair(REAL, INT8).twins) == len(report.layers) == 6
    assert sum(layer.share for layer in report.layers) == pytest.approx(1)
    assert [layer.share for layer in report.layers] == sorted((layer.share for layer in report.layers), reverse=True)


def test_where_every_layer_is_an_output_each_error_is_its_own(report: LayerReport) -> None:
    for layer in report.layers:
        assert layer.alone == pytest.approx(layer.error / np.sqrt(6), rel=1e-3)  # the other five outputs are right
    assert report.outputs_error == pytest.approx(np.sqrt(sum(layer.alone**2 for layer in report.layers)), rel=1e-3)


def test_the_verdict_names_the_worst_layer(report: LayerReport) -> None:
    worst = report.layers[0]
    assert worst.error == max(layer.error for layer in report.layers)
    lines = layer_report.table(report)
    assert lines[-1] == report.verdict
    assert lines[1].split()[:2] == [str(worst.index), "CONV_2D"]
    assert f"Layer {worst.index} (CONV_2D " in report.verdict
