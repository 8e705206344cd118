"""Which layers lose most in int8: the float and the int8 file of a network, layer by layer, on sample pictures.

Two errors of a layer are distinguished. `error` is how far its output in the int8 file is from that in the float file,
after all that came before. `alone` is how far the network's outputs move if this layer alone (its inputs, weights and
output) is int8 while all the others are float: the squares of these add up to about the whole error, and a layer's
part of their sum is its `share`. Errors are root mean squares, in standard deviations of the float values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_edge.records import Floats
from quantize.files.tflite_graph import Graph, Op

SHOWN = 12
Values = Mapping[int, Floats]  # tensor -> its values for one picture, f32 of the tensor's shape


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's figures."""

    index: int  # in the order of execution
    kind: str
    name: str
    shape: tuple[int, ...]  # of its output
    error: float  # of its output: root mean square, in standard deviations of the float one
    alone: float  # of the network's outputs if this layer alone is int8
    share: float  # of the sum of these over all layers
    int8_range: tuple[float, float]  # what its int8 output can hold
    float_range: tuple[float, float]  # what its float output held


@dataclass(frozen=True, slots=True)
class LayerReport:
    """All layers, the one that hurts most first."""

    outputs_error: float  # of the whole int8 file
    verdict: str  # one sentence
    layers: tuple[Layer, ...]


class Pair:
    """The two files, their operations matched by the names of what they put out."""

    def __init__(self, real: bytes, int8: bytes) -> None:
        self.real, self.int8 = Graph(real), Graph(int8)
        by_name = {self.real.tensors[op.output].name: op for op in self.real.ops}
        pairs = ((op, by_name.get(self.int8.tensors[op.output].name)) for op in self.int8.ops)
        self.twins = [(op, twin) for op, twin in pairs if twin is not None]
        self._outputs = [self.source(each) for each in self.int8.outputs]

    def source(self, tensor: int) -> int:
        """The float file's tensor for an int8 one; one that only changes the scale corresponds to its input."""
        if tensor in self.int8.inputs:
            return self.real.inputs[self.int8.inputs.index(tensor)]
        for op, twin in self.twins:
            if op.output == tensor:
                return twin.output
        return self.source(next(op for op in self.int8.ops if op.output == tensor).inputs[0])

    def outputs_with(self, op: Op, twin: Op, whole: Sequence[Values]) -> list[list[Floats]]:
        """The network's outputs, f32[...] each, for each picture if `op` alone is int8."""
        alone = self.int8.part([op], inputs=op.inputs, outputs=[op.output])
        later = [each for each in self.real.ops if each.index != twin.index]
        kept = [each for each in self._outputs if each != twin.output]
        rest = self.real.part(later, inputs=[*self.real.inputs, twin.output], outputs=kept) if kept else None
        outputs = []
        for values in whole:
            (own,) = alone([values[self.source(each)] for each in op.inputs])
            others = rest([values[self.real.inputs[0]], own]) if rest else []
            found = dict(zip(kept, others, strict=True)) | {twin.output: own}
            outputs.append([found[each] for each in self._outputs])
        return outputs

    def outputs_of(self, values: Values) -> list[Floats]:
        """The float network's outputs, f32[...] each, in the same order."""
        return [values[each] for each in self._outputs]


def inspect(real: bytes, int8: bytes, images: Floats, *, names: Mapping[str, str]) -> LayerReport:
    """Compare two files of one network on inputs f32[N,H,W,1]; `names` has better names for some of the tensors."""
    pair = Pair(real, int8)
    whole, held = (_every_value(graph, images) for graph in (pair.real, pair.int8))
    right = [pair.outputs_of(values) for values in whole]
    alone = [_outputs_error(pair.outputs_with(op, twin, whole), right) for op, twin in pair.twins]
    total = sum(each**2 for each in alone) or 1.0
    layers = [
        Layer(
            index=op.index,
            kind=op.kind,
            name=names.get(pair.int8.tensors[op.output].name) or short_name(pair.int8.tensors[op.output].name),
            shape=pair.int8.tensors[op.output].shape,
            error=_error([values[op.output] for values in held], [values[twin.output] for values in whole]),
            alone=own,
            share=own**2 / total,
            int8_range=pair.int8.tensors[op.output].limits(),
            float_range=_range([values[twin.output] for values in whole]),
        )
        for (op, twin), own in zip(pair.twins, alone, strict=True)
    ]
    layers.sort(key=lambda layer: -layer.share)
    outputs = _outputs_error([[values[each] for each in pair.int8.outputs] for values in held], right)
    return LayerReport(outputs, _verdict(layers[0], outputs), tuple(layers))


def _every_value(graph: Graph, images: Floats) -> list[Values]:
    """What every tensor holds for each picture."""
    tensors = [op.output for op in graph.ops]
    run = graph.part(graph.ops, inputs=graph.inputs, outputs=tensors)
    pictures = [image[None] for image in images]
    return [{graph.inputs[0]: each} | dict(zip(tensors, run([each]), strict=True)) for each in pictures]


def _error(found: Sequence[Floats], right: Sequence[Floats]) -> float:
    """Root mean square of the difference, in standard deviations of what is right."""
    off = np.stack(found) - np.stack(right)
    return float(np.sqrt(np.mean(np.square(off))) / max(float(np.std(np.stack(right))), 1e-9))


def _outputs_error(found: Sequence[Sequence[Floats]], right: Sequence[Sequence[Floats]]) -> float:
    """Over all outputs: root of the mean square of their errors."""
    errors = [_error(one, other) for one, other in zip(zip(*found, strict=True), zip(*right, strict=True), strict=True)]
    return float(np.sqrt(np.mean(np.square(errors))))


def _range(values: Sequence[Floats]) -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))


def short_name(tensor: str) -> str:
    """Name the layer whose weights or sum it is, of all that the converter folded into one operation.

    >>> short_name("net/re_lu_1/Relu;net/batch_normalization_1/batchnorm/add;net/conv2d_1/convolution")
    'conv2d_1'
    """
    layers = [part.split("/")[1] for part in tensor.split(";") if part.count("/") > 1]
    folded = ("re_lu", "batch_normalization")
    return next((layer for layer in layers if not layer.startswith(folded)), (layers or [tensor])[0])


def _verdict(worst: Layer, outputs: float) -> str:
    side = "x".join(map(str, worst.shape[1:]))
    low, high = worst.int8_range
    return (
        f"Layer {worst.index} ({worst.kind} {worst.name}, {side}) hurts most: int8 in it alone moves the outputs by "
        f"{worst.alone:.1%} of their spread ({worst.share:.0%} of the layers' sum of squares; the whole int8 file: "
        f"{outputs:.1%}); one step of its output is {(high - low) / 255:.3g}."
    )


def table(report: LayerReport) -> list[str]:
    """Lay out the worst layers for people, and the verdict."""
    head = f"{'layer':>5}  {'':<18}{'':<14}{'output':<12}{'error':>8}{'alone':>8}{'share':>7}  int8 range, float range"
    return [head, *(_row(layer) for layer in report.layers[:SHOWN]), report.verdict]


def _row(layer: Layer) -> str:
    ranges = ", ".join(f"{low:.3g} to {high:.3g}" for low, high in (layer.int8_range, layer.float_range))
    side = "x".join(map(str, layer.shape[1:]))
    return (
        f"{layer.index:>5}  {layer.kind:<18}{layer.name:<14}{side:<12}{layer.error:>8.2%}{layer.alone:>8.2%}"
        f"{layer.share:>7.1%}  {ranges}"
    )
