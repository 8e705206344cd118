"""Classifies the expression of an aligned face crop."""

from __future__ import annotations

import numpy as np

from fer_edge.records import Expression, Floats, Frame, Image, Landmarks
from fer_edge.vision import transforms
from fer_edge.vision.tflite import Model


class Classifier:
    """Aligned crop -> expression."""

    def __init__(self, model: Model) -> None:
        self._model = model
        assert model.card.template is not None  # tflite.py refuses an expression card without it
        self.template = model.card.template.points()

    def crop(self, frame: Frame, landmarks: Landmarks) -> Image:
        """The upright crop u8[S,S] of a face, framed as the training pictures are."""
        return transforms.align(frame.gray, landmarks.points, self.template, self._model.card.input.shape[1])

    def __call__(self, crop: Image) -> Expression:
        """Calibrated probabilities for an aligned crop u8[S,S] of the model's input size."""
        (logits,) = self._model.infer(crop)
        return Expression(softmax(logits.reshape(-1), temperature=self._model.card.temperature))


def softmax(logits: Floats, *, temperature: float = 1.0) -> Floats:
    """Probabilities f32[...,K] of logits f32[...,K]. A temperature over 1 softens them: it is fitted on data
    that training did not see (Guo et al. 2017, arXiv:1706.04599)."""
    # the functions behind an array's `max` and `sum`, which take half of the time
    most = np.maximum.reduce(logits, axis=-1, keepdims=True)
    powers = np.exp((logits - most) / np.float32(temperature))
    return np.asarray(powers / np.add.reduce(powers, axis=-1, keepdims=True), np.float32)
