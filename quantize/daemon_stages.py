"""The daemon's stages on single pictures: what is measured here is what runs on the Pi.

Float and int8 files, each with its card beside it, go through the same code.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Floats, Frame, Image, Landmarks
from fer_edge.vision import transforms
from fer_edge.vision.detector import Detector
from fer_edge.vision.landmarks import decode_outputs
from fer_edge.vision.model_card import Role
from fer_edge.vision.tflite import Model
from fer_edge.vision.transforms import Matrix
from quantize.data.sets import DataError

DEFAULT_THRESHOLD = DetectorConfig().min_score
NO_LIMIT = 100_000


def open_model(path: Path, role: Role, *, threads: int = 1) -> Model:
    """Load a .tflite file by the card beside it. Raises DataError or ModelError."""
    if path.suffix != ".tflite":
        raise DataError(f"{path}: expected a .tflite file")
    if not path.exists():
        raise DataError(f"{path}: no such model file")
    model = Model(path.parent, path.stem, role=role, threads=threads)
    if model.card.file != path.name:
        raise DataError(f"{path.with_suffix('.json')}: expected the card of {path.name}, got that of {model.card.file}")
    return model


def frame_of(gray: Image) -> Frame:
    """A frame u8[H,W] that comes from no camera."""
    return Frame(0, 0, np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8), gray)


def detector(model: Model, *, min_score: float = DEFAULT_THRESHOLD) -> Detector:
    """The daemon's detector, without the limits that only spare the later stages work."""
    config = DetectorConfig(min_score=min_score, candidate_score=min_score, min_face_px=1, max_faces=NO_LIMIT)
    return Detector(model, config)


def landmarks(model: Model, gray: Image, matrix: Matrix) -> Landmarks:
    """The landmarks in the crop of a picture u8[H,W] that a matrix leads to."""
    side = model.size[0]
    return decode_outputs(
        model.infer(transforms.warp(model.view(frame_of(gray)), matrix, side)), model.card, matrix, side
    )


def logits(model: Model, crops: Image) -> Floats:
    """The expression model's outputs f32[N,8] for aligned crops u8[N,S,S] of any size."""
    size = model.size
    fitting = [crop if crop.shape == size else cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops]
    answers = [model.infer(np.asarray(crop, np.uint8))[0] for crop in fitting]
    return np.concatenate(answers) if answers else np.empty((0, 8), np.float32)
