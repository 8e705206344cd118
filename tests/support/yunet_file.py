"""An ONNX file of YuNet_n's shape with made-up weights."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

STRIDES = (8, 16, 32)


class _Writer:
    """Adds nodes to a graph, in the order of YuNet's file."""

    def __init__(self, seed: int) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._as_tensor = helper, numpy_helper.from_array
        self._rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or f"t{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(self._as_tensor(np.asarray(values, np.float32), name))
        return name

    def convolution(self, x: str, shape: tuple[int, ...], *, name: str | None = None, **attributes: Any) -> str:
        spread = np.sqrt(2 / np.prod(shape[1:])) * (1 / 128 if x == "input" else 1)
        kernel = self.constant(self._rng.normal(0, spread, shape))
        bias = self.constant(self._rng.normal(0, 0.1, shape[0]))
        return self.add("Conv", x, kernel, bias, name=name, **attributes)

    def answer(self, x: str, before: int, after: int, *, name: str | None = None) -> str:
        x = self.convolution(x, (after, before, 1, 1))
        return self.convolution(x, (after, 1, 3, 3), name=name, group=after, pads=[1] * 4)

    def unit(self, x: str, before: int, after: int) -> str:
        return self.add("Relu", self.answer(x, before, after))

    def units(self, x: str, *widths: int) -> str:
        for before, after in pairwise(widths):
            x = self.unit(x, before, after)
        return x

    def halved(self, x: str) -> str:
        return self.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    def joined(self, x: str, coarse: str) -> str:
        twice = self.add(
            "Resize",
            coarse,
            "",
            self.constant([1, 1, 2, 2]),
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        return self.add("Add", x, twice)


def write(path: Path, *, seed: int = 3, width: int = 64) -> Path:
    """Write the file; `width` is 64 in YuNet_n."""
    import onnx
    from onnx import helper

    graph = _Writer(seed)
    x = graph.add("Relu", graph.convolution("input", (16, 3, 3, 3), strides=[2, 2], pads=[1] * 4))
    x = graph.halved(graph.unit(x, 16, 16))
    x = graph.halved(graph.units(x, 16, 16, width, width, width))
    fine = graph.units(x, width, width, width)
    middle = graph.units(graph.halved(fine), width, width, width)
    coarse = graph.unit(graph.units(graph.halved(middle), width, width, width), width, width)
    middle = graph.unit(graph.joined(middle, coarse), width, width)
    fine = graph.unit(graph.joined(fine, middle), width, width)
    shared = [graph.unit(grid, width, width) for grid in (fine, middle, coarse)]
    outputs = []
    for kind, channels in (("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)):
        for grid, stride in zip(shared, STRIDES, strict=True):
            outputs.append(graph.answer(grid, width, channels, name=f"{kind}_{stride}"))
    described = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    image = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, None, None])
    made = helper.make_graph(graph.nodes, "yunet", [image], described, graph.constants)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), path)
    return path
