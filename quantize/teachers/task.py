"""The fine-tuned teacher's task: the same faces and targets as the expression network's, enlarged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from quantize.data.sets import Floats
from quantize.tasks.expression import Expression
from quantize.tasks.task import Predict
from quantize.teachers.faceres import faceres_net, to_faceres

BATCH = 64
STEPS = 360
PEAK_RATE = 6e-4
WEIGHT_DECAY = 1e-2


class FaceresTask(Expression):
    """Votes and posed labels, without a teacher of its own."""

    peak_rate = PEAK_RATE

    def __init__(self, data: Path) -> None:
        """Read the sets."""
        super().__init__(data)
        self.steps = STEPS

    def network(self, *, batch: int | None = None) -> Any:
        """112x112x1 -> 8 logits."""
        return faceres_net(batch=batch)

    def optimizer(self) -> Any:
        """AdamW: the blocks begin at very different scales."""
        return keras.optimizers.AdamW(self.peak_rate, weight_decay=WEIGHT_DECAY, clipnorm=1.0)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """The expression network's views f32[BATCH,112,112,1] and targets f32[BATCH,8]."""
        for _ in range(self.steps):
            views, targets = self.views(BATCH, rng)
            yield to_faceres(views), targets

    def progress(self, predict: Predict) -> dict[str, float]:
        """As for the expression network; `predict`: f32[N,112,112,1] -> logits f32[N,8]."""
        return self.judged(predict(to_faceres(self.held_out.images))[0])
