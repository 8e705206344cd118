"""Loads a model, checks it against its card and runs it. The only file that imports a TFLite runtime: one file,
though long, so that the two runtimes' differences stay in one place."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
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

from fer_edge.errors import ModelError
from fer_edge.records import Floats, Frame, Image
from fer_edge.runtime.count_text import bytes_text, counted
from fer_edge.vision.delegate import Delegate, Share, keep, load, share
from fer_edge.vision.model_card import Card, Role, TensorCard, check_role, output_shapes, read_card
from fer_edge.vision.probe import try_model
from fer_edge.vision.transforms import normalise

log = logging.getLogger(__name__)

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
DEFAULT_RUNTIME = "ai-edge-litert"

_SIGN = np.uint8(128)

Held = np.ndarray[Any, Any]
"""A tensor as the runtime holds it, in its own type."""

UNACCELERATED = (
    "without XNNPACK, the fast kernels of the TFLite runtime, hundreds of times slower; "
    "they need /proc/cpuinfo, which ProcSubset=pid in a systemd unit hides"
)


def read_model(folder: Path, card: Card) -> bytes:
    """Read a model's file and check it against its card. Raises ModelError."""
    path = folder / card.file
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != card.bytes:  # before it is read: it may be endless
            raise ModelError(_not_its_cards(path, card, bytes_text(found.st_size)))
        content = path.read_bytes()
    except OSError as error:
        what = f"restore it from the release, or correct key file of the card of {card.name!r}, which names it"
        raise ModelError(f"{path}: cannot read the model: {error.strerror}; {what}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise ModelError(_not_its_cards(path, card, f"{len(content)} with {digest}"))
    return content


def _not_its_cards(path: Path, card: Card, got: str) -> str:
    return (
        f"{path}: expected {bytes_text(card.bytes)} with sha256 {card.sha256}, got {got}; "
        "the file is damaged or belongs to another card: restore both from the release"
    )


class Model:
    """A loaded model. Not for several threads at once: it is the main thread's."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        role: Role,
        threads: int = 1,
        runtime: str = DEFAULT_RUNTIME,
        delegate: Delegate | None = None,
    ) -> None:
        """Load NAME.tflite by NAME.json.

        Raises:
            ModelError: missing, damaged, of another role, or unlike its card; or the delegate does not work.

        """
        where = folder / f"{name}.json"
        self.card = _card_of(folder, name, role, where)
        self._path, content = folder / self.card.file, read_model(folder, self.card)
        if not delegate:  # an accelerator's library is not probed twice
            try_model(content, self._path, module=RUNTIMES[runtime])
        self._interpreter, self.share = _open(content, self._path, threads=threads, runtime=runtime, delegate=delegate)
        if self.share:
            level = logging.INFO if self.share.taken else logging.WARNING
            log.log(level, "%s: %s nodes on %s", self._path, self.share, self.share.library)
        with _described(self._path):
            outputs, self._input = self._interpreter.get_output_details(), self._interpreter.get_input_details()[0]
            fast = _has_delegate(self._interpreter)
        self._outputs = _in_card_order(outputs, self.card, where)
        self._reals = [_reals_of(output) for output in self.card.outputs]
        _check_tensor(self._input, self.card.input, f"{where}: input")
        _, height, width, _ = self.card.input.shape
        self.accelerated = bool(self.share) or runtime != DEFAULT_RUNTIME or fast
        """False: the runtime's own fast kernels are not in use, which it does not report. tflite-runtime has none
        for int8."""
        self.size = width, height  # of its input pictures
        self.runs = 0  # since it was loaded
        levels = normalise(np.arange(256, dtype=np.uint8), self.card.input.low, self.card.input.high)
        self._levels = quantize(levels, self.card.input)
        # the usual levels: the sign bit is the other one, and no table is needed
        self._flips = self._levels.dtype == np.int8 and self._levels.tolist() == list(range(-128, 128))
        if self.share:  # a delegate that does not fit the runtime may fail only when it runs: now, not in a frame
            self._invoke(np.zeros(self.card.input.shape, self.card.input.dtype))

    @property
    def resizable(self) -> bool:
        """Whether it may be resized: an accelerator's models have a fixed size."""
        return self.share is None

    def resize(self, *, width: int, height: int) -> None:
        """Accept pictures of width x height from now on; only a fully convolutional model can.

        Raises:
            ModelError: this one cannot; it keeps its size.

        """
        if (width, height) == self.size:
            return
        try:
            self._allocate(width, height)
        except ModelError:
            self._allocate(*self.size)
            raise
        self.size = width, height

    def view(self, frame: Frame) -> Image:
        """The picture in this model's format: gray u8[H,W] or BGR u8[H,W,3]."""
        return frame.gray if self.card.input.color == "gray" else frame.image

    def infer(self, crop: Image) -> tuple[Floats, ...]:
        """Feed a crop of `view`, u8[H,W] or BGR u8[H,W,3], that has the model's input size; returns the outputs as real
        numbers, f32 of the card's shapes in its order."""
        return self._real(self.infer_held(crop))

    def infer_held(self, crop: Image) -> tuple[Held, ...]:
        """The same for u8[H,W] or u8[H,W,3], with quantized outputs i8 of the card's shapes: for callers that need few
        of their values (`dequantize`)."""
        colored = np.asarray(crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), np.uint8)
        return self._invoke((colored ^ _SIGN).view(np.int8) if self._flips else cv2.LUT(colored, self._levels))

    def run(self, values: Floats) -> tuple[Floats, ...]:
        """Feed real numbers f32[...] of the input's shape; returns the outputs as real numbers."""
        return self._real(self._invoke(quantize(values, self.card.input)))

    def _real(self, outputs: tuple[Held, ...]) -> tuple[Floats, ...]:
        """`dequantize` for all outputs, by tables of all values of a byte."""
        each = zip(outputs, self._reals, strict=True)
        return tuple([held if reals is None else reals.take(held) for held, reals in each])

    def _allocate(self, width: int, height: int) -> None:
        """Give the interpreter's tensors the shapes that an input of this size asks for. Raises ModelError."""
        what = f"{self._path}: not fully convolutional: cannot take {width}x{height}"
        try:
            self._interpreter.resize_tensor_input(self._input["index"], self._shape(width, height))
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{what}: {_first_line(error)}") from None
        expected = output_shapes(self.card, width=width, height=height)
        found = {detail["index"]: _shape_of(detail) for detail in self._interpreter.get_output_details()}
        for output, shape in zip(self._outputs, expected, strict=True):
            if found[output["index"]] != shape:
                raise ModelError(f"{what}: output {output['name']!r} expected {shape}, got {found[output['index']]}")

    def _invoke(self, held: Held) -> tuple[Held, ...]:
        """Run on an input of the tensor's own type. Raises ModelError: an accelerator failed, or was unplugged."""
        self._interpreter.set_tensor(self._input["index"], held.reshape(self._shape(*self.size)))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            on = f" (nodes of it run on {self.share.library})" if self.share else ""
            raise ModelError(
                f"{self._path}: the TFLite runtime failed to run this model{on}: {_reason(error)}"
            ) from None
        self.runs += 1
        read = self._interpreter.get_tensor
        return tuple([read(output["index"]) for output in self._outputs])

    def _shape(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The input's for pictures of this size."""
        return 1, height, width, self.card.input.shape[3]


def _card_of(folder: Path, name: str, role: Role, where: Path) -> Card:
    """The card, which must be of a model for this role; `where`: its file, for messages. Raises ModelError."""
    card = read_card(folder, name)
    if card.role != role:
        raise ModelError(f"{where}: expected role {role!r}, got {card.role!r}; check section models of config.yaml")
    check_role(card, where)
    return card


def runtime_name(runtime: str) -> str:
    """A TFLite runtime with its version."""
    try:
        return f"{runtime} {version(runtime)}"
    except PackageNotFoundError:  # installed without its metadata
        return runtime


def quantize(values: Floats, card: TensorCard) -> Held:
    """Quantize real numbers f32[...] to a tensor's type, by its scale and zero point (TensorFlow Lite 8-bit
    quantization specification: real = (quantized - zero point) * scale); f32 stays as it is."""
    if card.dtype == "float32":
        return values
    limits = np.iinfo(card.dtype)
    steps = np.rint(values * np.float32(1 / card.scale)) + card.zero_point
    held: Held = np.clip(steps, limits.min, limits.max).astype(card.dtype)
    return held


def dequantize(tensor: Held, card: TensorCard) -> Floats:
    """Real numbers f32[...] of a tensor's values; the inverse of `quantize`."""
    if card.dtype == "float32":
        return tensor
    return (tensor.astype(np.float32) - card.zero_point) * np.float32(card.scale)


def _reals_of(card: TensorCard) -> Floats | None:
    """The real number for each byte value of a tensor: f32[256], in the order of u8, as negative ones count from the
    end. None: it holds real numbers."""
    if card.dtype == "float32":
        return None
    return dequantize(np.arange(256, dtype=np.uint8).view(card.dtype), card)


def sigmoid(logits: Floats) -> Floats:
    """Logits f32[...] as probabilities f32[...]."""
    bounded = np.minimum(np.maximum(logits, -80), 80)  # `np.clip` takes twice as long
    return np.asarray(1 / (1 + np.exp(-bounded)), np.float32)


def open_interpreter(content: bytes, path: Path, *, threads: int = 1, runtime: str = DEFAULT_RUNTIME) -> Any:
    """Make a ready interpreter from a model's bytes; `path` is for messages.

    Raises:
        ModelError: there is no runtime, or it refuses the model.

    """
    interpreter, _ = _open(content, path, threads=threads, runtime=runtime, delegate=None)
    return interpreter


def _open(
    content: bytes, path: Path, *, threads: int, runtime: str, delegate: Delegate | None
) -> tuple[Any, Share | None]:
    """A ready interpreter, and how much of the model the delegate took, where there is one. Raises ModelError."""
    module = _import(runtime)
    with _native_stderr_to_log():
        delegates = [load(delegate, module.load_delegate)] if delegate else []
        try:
            interpreter = module.Interpreter(
                model_content=content, num_threads=threads, experimental_delegates=delegates
            )
            keep(delegates, interpreter)
            taken = share(delegate.library, interpreter._get_ops_details()) if delegate else None
            interpreter.allocate_tensors()
            return interpreter, taken
        except (ValueError, RuntimeError, SystemError) as error:
            refusal = _refusal(error, delegate)
    # outside, so that nothing keeps the traceback, which refers to a half-built interpreter
    raise ModelError(f"{path}: {refusal}")


@contextmanager
def _described(path: Path) -> Iterator[None]:
    """Errors while querying a loaded model, such as names that are not text, become a ModelError."""
    try:
        yield
    except (ValueError, RuntimeError, SystemError, LookupError) as error:
        raise ModelError(f"{path}: the runtime cannot describe this model: {_first_line(error)}") from None


def _has_delegate(interpreter: Any) -> bool:
    """Whether any delegate runs a part of the model: XNNPACK is one too."""
    return any(node["op_name"] == "DELEGATE" for node in interpreter._get_ops_details())


def _refusal(error: Exception, delegate: Delegate | None) -> str:
    """Why the runtime refuses a model, and what to do about it."""
    reason = _reason(error)
    if delegate:
        return f"the TFLite runtime rejected this model with {delegate}: {reason}; use a model that is compiled for it"
    advice = "; it is compiled for an accelerator: name its library in models.delegate" if "custom op" in reason else ""
    return f"the TFLite runtime rejected this model: {reason}{advice}"


def _reason(error: Exception) -> str:
    """The runtime's message. It joins its messages without a space; the one left out has no information."""
    message = _first_line(error).removesuffix("Restored original execution plan after delegate application failure.")
    return re.sub(r"(?<=\S)Node number", " Node number", message)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


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


def _import(runtime: str) -> Any:
    """The module of the named runtime. Raises ModelError."""
    try:
        return import_module(RUNTIMES[runtime])
    except ImportError as error:
        advice = (
            "run: pip install 'fer-edge[tflite-runtime]'" if runtime == "tflite-runtime" else "install fer-edge again"
        )
        raise ModelError(f"models.runtime {runtime!r} cannot be loaded: {error}; {advice}") from None


def _in_card_order(details: list[dict[str, Any]], card: Card, where: Path) -> list[dict[str, Any]]:
    """The model's outputs in the order of the card: by name, where there are several."""
    if len(details) != len(card.outputs):
        raise ModelError(f"{where}: {counted(len(card.outputs), 'output')} expected, the model has {len(details)}")
    by_name = {detail["name"]: detail for detail in details}
    if len(details) == 1:
        by_name = {card.outputs[0].name: details[0]}
    missing = [output.name for output in card.outputs if output.name not in by_name]
    if missing:
        raise ModelError(f"{where}: output {missing[0]!r} expected, the model has {', '.join(by_name)}")
    ordered = [by_name[output.name] for output in card.outputs]
    for detail, output in zip(ordered, card.outputs, strict=True):
        _check_tensor(detail, output, f"{where}: output {output.name!r}")
    return ordered


def _check_tensor(detail: dict[str, Any], card: TensorCard, what: str) -> None:
    """A tensor's shape, type and quantization must be the card's."""
    found = (_shape_of(detail), np.dtype(detail["dtype"]).name)
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


def _shape_of(detail: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in detail["shape"])
