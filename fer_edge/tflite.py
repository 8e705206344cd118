"""Loads a model, holds it against its card and runs it. The only file that imports a TFLite runtime."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge.card import Card, Role, TensorCard, check_role, read_card
from fer_edge.errors import ModelError
from fer_edge.image import normalise
from fer_edge.records import Floats, Frame, Image

log = logging.getLogger(__name__)

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter:Interpreter",
    "tflite-runtime": "tflite_runtime.interpreter:Interpreter",
}
DEFAULT_RUNTIME = "ai-edge-litert"


def read_model(folder: Path, card: Card) -> bytes:
    """Read a model's file and check it against its card. Raises ModelError."""
    path = folder / card.file
    try:
        content = path.read_bytes()
    except OSError as error:
        advice = "run: fer-edge fetch" if card.fetch else "restore it from the release"
        raise ModelError(f"{path}: cannot read the model: {error.strerror}; {advice}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        size = "" if len(content) == card.bytes else f" ({len(content)} bytes, the card says {card.bytes})"
        raise ModelError(
            f"{path}: sha256 expected {card.sha256}, got {found}{size}; "
            "the file is damaged or not this card's: fetch it again"
        )
    return content


class Model:
    """A loaded model. Not for several threads at once: it is the main thread's."""

    def __init__(
        self, folder: Path, name: str, *, role: Role, threads: int = 1, runtime: str = DEFAULT_RUNTIME
    ) -> None:
        """Load NAME.tflite by NAME.json.

        Raises:
            ModelError: missing, damaged, of another role, or not what the card says.

        """
        self.card = read_card(folder, name)
        where = folder / f"{name}.json"
        if self.card.role != role:
            raise ModelError(
                f"{where}: expected role {role!r}, got {self.card.role!r}; check section models of config.yaml"
            )
        check_role(self.card, where)
        content = read_model(folder, self.card)
        self._interpreter = open_interpreter(content, folder / self.card.file, threads=threads, runtime=runtime)
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = _in_card_order(self._interpreter.get_output_details(), self.card, where)
        _check_tensor(self._input, self.card.input, f"{where}: input")

    def view(self, frame: Frame) -> Image:
        """The picture that this model looks at: gray u8[H,W] or BGR u8[H,W,3]."""
        return frame.gray if self.card.input.color == "gray" else frame.image

    def see(self, crop: Image) -> tuple[Floats, ...]:
        """Feed a crop of `view` that has the model's input size; returns the outputs as real numbers."""
        colored = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        return self.run(normalise(np.asarray(colored, np.uint8), self.card.input.low, self.card.input.high))

    def run(self, values: Floats) -> tuple[Floats, ...]:
        """Feed real numbers f32 of the card's input shape; returns the outputs as real numbers."""
        self._interpreter.set_tensor(self._input["index"], quantize(values, self.card.input))
        self._interpreter.invoke()
        outputs = zip(self._outputs, self.card.outputs, strict=True)
        return tuple(dequantize(self._interpreter.get_tensor(o["index"]), card) for o, card in outputs)


def runtime_name(runtime: str) -> str:
    """A TFLite runtime with its version."""
    try:
        return f"{runtime} {version(runtime)}"
    except PackageNotFoundError:  # installed without its metadata
        return runtime


def quantize(values: Floats, card: TensorCard) -> np.ndarray[Any, Any]:
    """Real numbers as the tensor holds them."""
    if card.dtype == "float32":
        return values.reshape(card.shape)
    limits = np.iinfo(card.dtype)
    steps = np.rint(values * np.float32(1 / card.scale)) + card.zero_point
    held: np.ndarray[Any, Any] = np.clip(steps, limits.min, limits.max).astype(card.dtype)
    return held.reshape(card.shape)


def dequantize(tensor: np.ndarray[Any, Any], card: TensorCard) -> Floats:
    """What a tensor holds as real numbers."""
    if card.dtype == "float32":
        return tensor
    return (tensor.astype(np.float32) - card.zero_point) * np.float32(card.scale)


def open_interpreter(content: bytes, path: Path, *, threads: int = 1, runtime: str = DEFAULT_RUNTIME) -> Any:
    """Make a ready interpreter from a model's bytes; `path` is for messages.

    Raises:
        ModelError: there is no runtime, or it refuses the model.

    """
    make = _interpreter_class(runtime)
    try:
        with _native_stderr_to_log():
            interpreter = make(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, SystemError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: the TFLite runtime refuses this model: {reason}") from None
    return interpreter


@contextmanager
def _native_stderr_to_log() -> Iterator[None]:
    """Turn what the runtime's C++ prints into debug lines. Swapping the process's stderr is ugly, but the runtime
    has no other switch, and the daemon's stderr is its log."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                log.debug("TFLite: %s", line)


def _interpreter_class(runtime: str) -> Any:
    """The interpreter of a runtime: the one that is named, or none."""
    module, name = RUNTIMES[runtime].split(":")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        advice = (
            "run: pip install 'fer-edge[tflite-runtime]'" if runtime == "tflite-runtime" else "install fer-edge again"
        )
        raise ModelError(f"models.runtime {runtime!r} cannot be loaded: {error}; {advice}") from None


def _in_card_order(details: list[dict[str, Any]], card: Card, where: Path) -> list[dict[str, Any]]:
    """The model's outputs in the order of the card, by name where the card gives names, else as they come."""
    if len(details) != len(card.outputs):
        raise ModelError(f"{where}: {len(card.outputs)} outputs expected, the model has {len(details)}")
    by_name = {detail["name"]: detail for detail in details}
    ordered = [by_name.get(output.name, detail) for output, detail in zip(card.outputs, details, strict=True)]
    for detail, output in zip(ordered, card.outputs, strict=True):
        _check_tensor(detail, output, f"{where}: output {output.name!r}")
    return ordered


def _check_tensor(detail: dict[str, Any], card: TensorCard, what: str) -> None:
    """A tensor's shape, type and quantization must be the card's."""
    found = (tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name)
    if found != (card.shape, card.dtype):
        raise ModelError(f"{what}: the card says {card.shape} {card.dtype}, the model has {found[0]} {found[1]}")
    if card.dtype == "float32":
        return
    scale, zero_point = detail["quantization"]
    if zero_point != card.zero_point or not np.isclose(scale, card.scale, rtol=1e-4):
        raise ModelError(
            f"{what}: the card says scale {card.scale:g}, zero point {card.zero_point}; "
            f"the model has {scale:g}, {zero_point}"
        )
