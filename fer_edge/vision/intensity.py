"""Estimates how strongly parts of a face move, from the aligned crop that the expression model also gets."""

from __future__ import annotations

from fer_edge.records import Frame, Intensities, Landmarks
from fer_edge.vision import transforms
from fer_edge.vision.tflite import Model, sigmoid


class IntensityReader:
    """Frame, landmarks -> intensities."""

    def __init__(self, model: Model) -> None:
        self._model = model
        card = model.card
        assert card.template is not None  # tflite.py refuses a card without it
        assert card.intensities is not None  # as well
        self._template = card.template.points()
        self._published = list(card.intensities.published())
        self.names = tuple(card.intensities.names[index] for index in self._published)

    def __call__(self, frame: Frame, landmarks: Landmarks) -> Intensities:
        """The intensities that the model's card publishes."""
        crop = transforms.align(self._model.view(frame), landmarks.points, self._template, self._model.size[0])
        (logits,) = self._model.infer(crop)
        return Intensities(self.names, sigmoid(logits.reshape(-1)[self._published]))
