"""A TFLite file taken apart: parts of its graph as files of their own."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fer_edge.records import Floats
from fer_edge.vision.tflite import open_interpreter

Array = np.ndarray[Any, Any]
BYTES = {schema.TensorType.INT8: 1, schema.TensorType.INT32: 4, schema.TensorType.FLOAT32: 4}
"""Of one element of a constant."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation. Tensors are named by their index in the file."""

    index: int  # in the order of execution
    kind: str
    inputs: tuple[int, ...]  # without constants
    output: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of an operation costs."""

    op: Op
    kernel: tuple[int, int]  # height and width of a convolution's, else (0, 0)
    macs: int
    weight_bytes: int  # its constants, read once
    moved_bytes: int  # activations in and out


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor that is no constant; real value = scale x (integer - zero_point), a float one has scale 0."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    def hold(self, real: Floats) -> Array:
        """Real values f32[...] as the tensor holds them: i8[...], or f32[...] where it is not quantized."""
        if not self.scale:
            return real
        return np.asarray(np.clip(np.rint(real / self.scale) + self.zero_point, -128, 127), np.int8)

    def read(self, held: Array) -> Floats:
        """The tensor's content as real values f32[...]."""
        return np.asarray((held.astype(np.float32) - self.zero_point) * (self.scale or 1), np.float32)

    def limits(self) -> tuple[float, float]:
        """The range of an int8 tensor."""
        return (-128 - self.zero_point) * self.scale, (127 - self.zero_point) * self.scale


class Graph:
    """The one subgraph of a file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._model: Any = schema.ModelT.InitFromPackedBuf(content)
        graph = self._model.subgraphs[0]
        self.inputs, self.outputs = tuple(map(int, graph.inputs)), tuple(map(int, graph.outputs))
        self.tensors = {index: _tensor(each) for index, each in enumerate(graph.tensors)}
        self.ops = self._ops()

    def _ops(self) -> list[Op]:
        model = self._model
        kinds = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        ops, made = [], set(self.inputs)
        for index, op in enumerate(model.subgraphs[0].operators):
            code = model.operatorCodes[op.opcodeIndex]
            inputs = tuple(int(each) for each in op.inputs if each in made)
            ops.append(Op(index, kinds[max(code.builtinCode, code.deprecatedBuiltinCode)], inputs, int(op.outputs[0])))
            made |= set(map(int, op.outputs))
        return ops

    def types(self) -> frozenset[str]:
        """Number types of all tensors, constants too."""
        names = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
        return frozenset(names[each.type] for each in self._model.subgraphs[0].tensors)

    def macs(self) -> int:
        """Multiply-accumulates of one run in convolutions and dense layers; the rest is small beside them."""
        return sum(cost.macs for cost in self.costs())

    def costs(self) -> list[Cost]:
        """What each operation costs."""
        graph = self._model.subgraphs[0]
        return [self._cost(op, graph.operators[op.index], graph.tensors) for op in self.ops]

    def _cost(self, op: Op, operator: Any, tensors: Any) -> Cost:
        """Of one operation; `operator` and `tensors` as they are in the file."""
        out = self.tensors[op.output].shape
        constants = [tensors[index] for index in operator.inputs if index >= 0 and index not in op.inputs]
        macs, kernel = 0, (0, 0)
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weights = tuple(map(int, tensors[operator.inputs[1]].shape))
            macs = math.prod(weights) * math.prod(out[1:-1])  # at each place of the output, or once
            kernel = (weights[1], weights[2]) if len(weights) == 4 else kernel
        return Cost(
            op,
            kernel,
            macs=macs,
            weight_bytes=sum(math.prod(map(int, each.shape)) * BYTES[each.type] for each in constants),
            moved_bytes=sum(math.prod(self.tensors[index].shape) for index in (*op.inputs, op.output)),
        )

    def part(self, ops: Sequence[Op], *, inputs: Sequence[int], outputs: Sequence[int]) -> Part:
        """Some operations as a file of their own, with these tensors going in and out."""
        model, graph = copy.copy(self._model), copy.copy(self._model.subgraphs[0])
        model.subgraphs = [graph]
        graph.operators = [graph.operators[op.index] for op in ops]
        graph.inputs, graph.outputs, model.signatureDefs = list(inputs), list(outputs), None
        builder = flatbuffers.Builder(len(self._content))
        builder.Finish(model.Pack(builder), b"TFL3")
        return Part(
            bytes(builder.Output()), [self.tensors[each] for each in inputs], [self.tensors[o] for o in outputs]
        )


def _tensor(tensor: Any) -> Tensor:
    quantization = tensor.quantization
    single = quantization is not None and quantization.scale is not None and len(quantization.scale) == 1
    scale, zero_point = (float(quantization.scale[0]), int(quantization.zeroPoint[0])) if single else (0.0, 0)
    shape = () if tensor.shape is None else tuple(map(int, tensor.shape))
    return Tensor(tensor.name.decode(), shape, scale, zero_point)


class Part:
    """A runnable part of a graph."""

    def __init__(self, content: bytes, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self._interpreter = open_interpreter(content, Path("part of a model"))
        self._inputs, self._outputs = inputs, outputs
        self._in = [each["index"] for each in self._interpreter.get_input_details()]
        self._out = [each["index"] for each in self._interpreter.get_output_details()]

    def __call__(self, values: Sequence[Floats]) -> list[Floats]:
        """Run on real values f32[...], in the order of the inputs; real values come back, in the order of the
        outputs."""
        for index, tensor, real in zip(self._in, self._inputs, values, strict=True):
            self._interpreter.set_tensor(index, tensor.hold(real))
        self._interpreter.invoke()
        held = [self._interpreter.get_tensor(index) for index in self._out]
        return [tensor.read(each) for tensor, each in zip(self._outputs, held, strict=True)]
