"""The expression classifier's task: how FER+ faces are varied, and how answers are judged."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_edge.vision.model_card import Role
from quantize.data import augment
from quantize.data.ferplus import CLASSES, measuring, training
from quantize.data.sets import FER_SIDE, LABELS, DataError, Floats, Image, read_ferplus
from quantize.tasks.networks import EXPRESSION_WIDTHS, expression_net
from quantize.tasks.task import Predict, to_input

BATCH: Final = 128
WEIGHT_DECAY: Final = 5e-3  # decoupled: each step shrinks a weight by rate x decay
MOMENTUM: Final = 0.9
SAMPLE: Final = 500
SAMPLE_SEED: Final = 7
RARE_POWER: Final = 1 / 3  # a picture is drawn in proportion to 1 / (pictures of its expression) ** RARE_POWER
TEACHERS_SHARE: Final = 0.5  # of a target; the rest are the votes

# Where the eyes and the mouth of a FER+ face lie, in shares of the crop's side: mean positions measured on FER+
# train by our own landmarks (`quantize.evaluate.geometry`). The daemon turns, scales and shifts each face onto these
# points.
# Left and right are those of the picture.
TEMPLATE: Final = {"left_eye": [0.328, 0.4], "right_eye": [0.672, 0.4], "mouth": [0.5, 0.783]}


# --- varying a training picture ------------------------------------------------------------------------------
# The daemon cuts crops by landmarks, from faces that may be small, dark or blurred: crops arrive a little
# turned, moved and scaled, and softer than FER+.

MAX_TURN_DEGREES: Final = 14.0
MAX_SCALE: Final = 1.17
MAX_SHIFT_PX: Final = 4.0


def augmented(images: Image, rng: np.random.Generator) -> Image:
    """Draw a random view u8[N,48,48] of each picture."""
    images = augment.coarsen(move(images, rng), rng, share=0.3, sides_px=(14, 36))
    images = augment.blur(augment.relight(images, rng), rng, share=0.1)
    return augment.erase(augment.add_noise(images, rng, share=0.3), rng, share=0.2, sides=(0.15, 0.4))


def move(images: Image, rng: np.random.Generator) -> Image:
    """Mirror, turn, scale, stretch and shift around the middle, all in one resampling."""
    count = len(images)
    angle = np.radians(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES, count))
    scale = MAX_SCALE ** rng.uniform(-1, 1, count)
    mirror = rng.choice((-1.0, 1.0), count) * 1.08 ** rng.uniform(-1, 1, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    linear = scale[:, None, None] * turn
    linear[:, :, 0] *= mirror[:, None]  # mirror and stretch first, then turn
    middle = np.full(2, (FER_SIDE - 1) / 2)
    shift = middle - linear @ middle + rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, (count, 2))
    matrices = np.concatenate([linear, shift[:, :, None]], axis=2)  # [N,2,3]
    return np.stack([_warp(image, matrix) for image, matrix in zip(images, matrices, strict=True)])


def _warp(image: Image, matrix: NDArray[np.float64]) -> Image:
    size = (FER_SIDE, FER_SIDE)
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


# --- the task ------------------------------------------------------------------------------------------------


class Expression:
    """Learn the vote shares, and what larger networks make of the very same view of a face."""

    role: Role = "expression"
    peak_rate = 0.1

    def __init__(self, data: Path, *, teachers: Sequence[str] = (), widths: Sequence[int] = EXPRESSION_WIDTHS) -> None:
        """Read FER+, and the finished runs whose networks teach (Hinton et al. 2015, arXiv:1503.02531)."""
        self.data = read_ferplus(data)
        self.widths = tuple(widths)
        self.examples = training(self.data)
        self.steps = len(self.examples.images) // BATCH
        self._odds = odds(self.examples.targets)
        self._held_out = measuring(self.data, "heldout")
        self._teachers = [Path(each) for each in teachers]

    def network(self, *, batch: int | None = None) -> Any:
        """48x48x1 -> 8 logits."""
        return expression_net(self.widths, batch=batch)

    def optimizer(self) -> Any:
        """Plain SGD."""
        return keras.optimizers.SGD(self.peak_rate, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """As many pictures as the set has, drawn so that rare expressions come more often."""
        count = len(self.examples.images)
        order = rng.choice(count, self.steps * BATCH, p=self._odds)
        teach = [_teacher(run) for run in self._teachers]
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            images, targets = to_input(augmented(self.examples.images[rows], rng)), self.examples.targets[rows]
            if teach:
                views = (images, images[:, :, ::-1])  # a face and its mirror image show the same
                taught = np.mean([np.asarray(each(view)) for each in teach for view in views], axis=0)
                targets = (1 - TEACHERS_SHARE) * targets + TEACHERS_SHARE * taught
            yield images, np.asarray(targets, np.float32)

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """Cross-entropy."""
        return ops.mean(ops.categorical_crossentropy(targets, outputs[0], from_logits=True))

    def progress(self, predict: Predict) -> dict[str, float]:
        """Accuracy."""
        (logits,) = predict(to_input(self._held_out.images))
        return {"heldout_accuracy": float(np.mean(logits.argmax(axis=1) == self._held_out.labels))}

    def sample(self) -> Image:
        """From black to white: the input's range is then all of LOW..HIGH."""
        rng = np.random.default_rng(SAMPLE_SEED)
        sample = self.examples.images[rng.choice(len(self.examples.images), SAMPLE)]
        if (sample.min(), sample.max()) != (0, 255):
            raise DataError(f"sample: expected gray levels 0 to 255, got {sample.min()} to {sample.max()}")
        return sample

    def finish(self, network: Any, sample: Image) -> Image:  # noqa: ARG002
        """Nothing is left to do."""
        return sample

    def card(self) -> dict[str, Any]:
        """Labels and template."""
        return {"labels": list(LABELS), "template": TEMPLATE}


def odds(targets: Floats) -> NDArray[np.float64]:
    """How likely each row f32[N,8] is to be drawn; all together 1."""
    tops = targets.argmax(axis=1)
    weights = np.maximum(np.bincount(tops, minlength=CLASSES), 1)[tops] ** -RARE_POWER
    return np.asarray(weights / weights.sum(), np.float64)


def _teacher(run: Path) -> Any:
    """Load a finished run's averaged network: inputs f32[N,48,48,1] -> probabilities f32[N,8]."""
    import tensorflow as tf

    from quantize.train.warm_start import load_average

    widths = json.loads((run / "plan.json").read_text())["options"].get("widths", EXPRESSION_WIDTHS)
    network = expression_net(widths)
    load_average(network, run)
    return tf.function(lambda images: ops.softmax(network(images, training=False)))
