"""A network's training task for the training loop, the converter and the gates; one class for each role.

expression.py, detector.py, landmarks.py and intensity.py hold the four. Everything that makes a role special is there;
quantize.train, quantize.convert and quantize.publish know this protocol only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

from fer_edge.vision.model_card import Role
from fer_edge.vision.transforms import normalise
from quantize.data.sets import DataError, Floats, Image

# What black and white become at a network's input. 127/128 and not 1: the int8 input then has the scale 1/128
# and the zero point 0, so pixel - 128 is its exact value. With 1.0 every pixel would fall half-way between two steps.
LOW = -1.0
HIGH = 127 / 128

ROLES = {
    "expression": "quantize.tasks.expression:Expression",
    "detector": "quantize.tasks.detector:Detector",
    "landmarks": "quantize.tasks.landmarks:Landmarks",
    "intensity": "quantize.tasks.intensity:Intensity",
}

Predict = Callable[[Floats], list[Floats]]  # inputs [N,H,W,1] -> the network's outputs, [N,...] each


class Task(Protocol):
    """One network's training task and data."""

    role: Role
    steps: int  # batches in an epoch
    peak_rate: float  # learning rate after the warm-up

    def network(self, *, batch: int | None = None) -> Any:
        """Build the untrained network, for a fixed batch or for any; its outputs have the names of the card."""

    def optimizer(self) -> Any:
        """Make a new Keras optimizer."""

    def batches(self, rng: Any) -> Iterator[tuple[Floats, Floats]]:
        """Yield the batches of an epoch, of which `steps` are taken: varied inputs f32[N,H,W,1] and what they should
        give, packed in one array f32[N,...] or several by name."""

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """The mean loss of a batch, in Keras operations."""

    def progress(self, predict: Predict) -> dict[str, float]:
        """Figures on pictures that are kept from training, for the log, and to choose between networks; `predict`:
        f32[N,H,W,1] -> the outputs."""

    def sample(self) -> Image:
        """Training pictures u8[N,H,W], varied as little as in use, by which the converter sizes int8 ranges."""

    def finish(self, network: Any, sample: Image) -> Image:
        """Change a trained network a last time before it is converted; return the pictures u8[N,H,W] that set int8
        ranges."""

    def card(self) -> dict[str, Any]:
        """The card's entries that the role alone knows: labels, template, ssd or points; data, terms, use, limits."""


def open_task(role: str, data: Path, **options: Any) -> Task:
    """Read the data of a role. Raises DataError."""
    module, name = ROLES[role].split(":")
    kind = getattr(import_module(module), name)
    strangers = options.keys() - signature(kind).parameters.keys()
    if strangers:
        raise DataError(f"{role}: expected options that its task has, got {', '.join(sorted(strangers))}")
    task: Task = kind(data, **options)
    return task


def to_input(images: Image) -> Floats:
    """Scale u8[N,H,W] to LOW..HIGH, f32[N,H,W,1], by the same code as the daemon's."""
    return normalise(images, LOW, HIGH)[..., None]
