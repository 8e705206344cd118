"""The expression classifier's task: how FER+ faces are augmented, and how predictions are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_edge.records import LABELS
from fer_edge.vision.model_card import Role, models_folder
from quantize import metrics
from quantize.data import augment
from quantize.data.cut_faces import TEMPLATE
from quantize.data.face_pools import MAX_SCALE, Pool, draw, make_pools
from quantize.data.ferplus import held_out_votes, measuring, training
from quantize.data.locate import located
from quantize.data.sets import FER_SIDE, DataError, Floats, Image, read_ferplus
from quantize.files.runs import read_plan
from quantize.tasks.networks import EXPRESSION_WIDTHS, expression_net
from quantize.tasks.task import Predict, to_input
from quantize.teachers.faceres import faceres_net, to_faceres

BATCH = 128
WEIGHT_DECAY = 5e-3  # decoupled: each step shrinks a weight by rate x decay
MOMENTUM = 0.9
SAMPLE = 500
SAMPLE_SEED = 7
RARE = ("disgust", "contempt")  # less than one in a hundred votes each
TEACHERS_SHARE = 0.5  # of a target; the rest are the votes


# --- varying a training picture ------------------------------------------------------------------------------
# The daemon cuts crops by landmarks, from faces that may be small, dark or blurred: crops arrive a little
# turned, moved and scaled, and softer than FER+.

MAX_TURN_DEGREES = 14.0
MAX_SHIFT_PX = 4.0


def augmented(images: Image, rng: np.random.Generator, *, widest: float = MAX_SCALE) -> Image:
    """Draw a random view u8[N,48,48] of each canvas."""
    images = augment.coarsen(move(images, rng, widest=widest), rng, share=0.3, sides_px=(14, 36))
    images = augment.blur(augment.relight(images, rng), rng, share=0.1)
    return augment.erase(augment.add_noise(images, rng, share=0.3), rng, share=0.2, sides=(0.15, 0.4))


def move(images: Image, rng: np.random.Generator, *, widest: float = MAX_SCALE) -> Image:
    """Mirror, turn, scale, stretch and shift the middle of canvases u8[N,S,S], all in one resampling."""
    count = len(images)
    angle = np.radians(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES, count))
    scale = np.exp(rng.uniform(-np.log(widest), np.log(MAX_SCALE), count))
    mirror = rng.choice((-1.0, 1.0), count) * 1.08 ** rng.uniform(-1, 1, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    linear = scale[:, None, None] * turn
    linear[:, :, 0] *= mirror[:, None]  # mirror and stretch first, then turn
    middle, source = np.full(2, (FER_SIDE - 1) / 2), np.full(2, (images.shape[1] - 1) / 2)
    shift = middle - linear @ source + rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, (count, 2))
    matrices = np.concatenate([linear, shift[:, :, None]], axis=2)  # [N,2,3]
    return np.stack([_warp(image, matrix) for image, matrix in zip(images, matrices, strict=True)])


def _warp(image: Image, matrix: NDArray[np.float64]) -> Image:
    size = (FER_SIDE, FER_SIDE)
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


# --- the task ------------------------------------------------------------------------------------------------


class Expression:
    """Learn the vote shares and posed labels, and what larger networks make of the very same view of a face."""

    role: Role = "expression"
    peak_rate = 0.1

    def __init__(
        self,
        data: Path,
        *,
        teachers: Sequence[str] = (),
        taught: str | None = None,
        widths: Sequence[int] = EXPRESSION_WIDTHS,
        landmarks: str | None = None,
    ) -> None:
        """Read the sets.

        Args:
            data: the folder of FER+; posed and natural faces (`natural.npz`) are learned from where it has them.
            teachers: finished runs whose networks teach (Hinton et al. 2015, arXiv:1503.02531), each shown the very
                same view (Beyer et al. 2022, arXiv:2106.05237).
            taught: file of other networks' outputs (`quantize.teachers`); without it no natural face has a target.
            widths: channels of the network's stages.
            landmarks: the .tflite file of the model that cuts faces as the daemon does; the one of fer-edge where None.

        """
        self.data = read_ferplus(located("expression", data))
        self.widths = tuple(widths)
        self.examples = training(self.data)
        self.steps = len(self.examples.images) // BATCH
        self.held_out = measuring(self.data, "heldout")
        self._folder, self._taught = data, Path(taught) if taught else None
        self._landmarks = Path(landmarks) if landmarks else models_folder() / "landmarks.tflite"
        self._teachers = [Path(each) for each in teachers]

    @cached_property
    def pools(self) -> list[Pool]:
        """The pools to draw from; made when training begins."""
        return make_pools(self._folder, self.examples, self._landmarks, self._taught)

    def network(self, *, batch: int | None = None) -> Any:
        """48x48x1 -> 8 logits."""
        return expression_net(self.widths, batch=batch)

    def optimizer(self) -> Any:
        """Plain SGD."""
        return keras.optimizers.SGD(self.peak_rate, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """As many pictures as FER+ has, drawn so that rare expressions come more often: f32[batch,48,48,1] and targets
        f32[batch,8]."""
        teach = [_teacher(run) for run in self._teachers]
        for _ in range(self.steps):
            views, targets = self.views(BATCH, rng)
            if teach:
                given = np.mean([each(views) for each in teach], axis=0)
                targets = (1 - TEACHERS_SHARE) * targets + TEACHERS_SHARE * given
            yield to_input(views), np.asarray(targets, np.float32)

    def views(self, batch: int, rng: np.random.Generator) -> tuple[Image, Floats]:
        """Draw varied faces u8[batch,48,48] from all pools, and their targets f32[batch,8]."""
        drawn = list(draw(self.pools, batch, rng))
        views = [augmented(canvases, rng, widest=pool.widest) for pool, canvases, _ in drawn]
        return np.concatenate(views), np.concatenate([targets for _, _, targets in drawn])

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """Cross-entropy."""
        return ops.mean(ops.categorical_crossentropy(targets, outputs[0], from_logits=True))

    def progress(self, predict: Predict) -> dict[str, float]:
        """Accuracy, and the mean recall of the expressions; `predict`: f32[N,48,48,1] -> logits f32[N,8]."""
        return self.judged(predict(to_input(self.held_out.images))[0])

    def judged(self, logits: Floats) -> dict[str, float]:
        """Figures of predictions f32[N,8] for the held-out pictures."""
        labels = self.held_out.labels
        right = logits.argmax(axis=1) == labels
        recalls = [right[labels == each].mean() for each in np.unique(labels)]
        return {"heldout_accuracy": float(right.mean()), "heldout_recall": float(np.mean(recalls))}

    def sample(self) -> Image:
        """Training pictures u8[N,48,48], from black to white: the input's range is then all of LOW..HIGH. Raises
        DataError where they are not."""
        rng = np.random.default_rng(SAMPLE_SEED)
        sample = self.examples.images[rng.choice(len(self.examples.images), SAMPLE)]
        if (sample.min(), sample.max()) != (0, 255):
            raise DataError(f"sample: expected gray levels 0 to 255, got {sample.min()} to {sample.max()}")
        return sample

    def finish(self, network: Any, sample: Image) -> Image:
        """Raise the logits of RARE, which a network that saw few of them predicts too rarely: at the temperature in
        use, each comes to as much on the held-out pictures as it has votes there. Returns `sample`, u8[N,48,48]."""
        logits = network.predict(to_input(self.held_out.images), verbose=0)
        temperature = metrics.fit_temperature(logits, self.held_out.labels)
        votes = held_out_votes(self.data)
        answers = network.predict(to_input(votes.images), verbose=0)
        raised = metrics.fit_biases(answers / temperature, votes.targets, rows=[LABELS.index(name) for name in RARE])
        bias = network.get_layer("logits").bias
        bias.assign(bias + temperature * raised)
        return sample

    def card(self) -> dict[str, Any]:
        """Labels and template."""
        return {"labels": list(LABELS), "template": TEMPLATE}


def _teacher(run: Path) -> Callable[[Image], Floats]:
    """Load a finished run's averaged network, ours or a fine-tuned one: views u8[N,48,48] -> probabilities f32[N,8]."""
    import tensorflow as tf

    from quantize.train.warm_start import load_average

    plan = read_plan(run)
    ours = plan.get("role") == Expression.role
    network = expression_net(plan["options"].get("widths", EXPRESSION_WIDTHS)) if ours else faceres_net()
    load_average(network, run)
    answer = tf.function(lambda images: ops.softmax(network(images, training=False)))
    return lambda views: np.asarray(answer(to_input(views) if ours else to_faceres(views)), np.float32)
