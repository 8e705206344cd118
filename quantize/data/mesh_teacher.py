"""The teacher of poses and intensities: MediaPipe's Face Landmarker, without its own detector."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.vision import transforms
from fer_edge.vision.tflite import open_interpreter
from quantize.data.sets import DataError, Floats

MESH_SIDE = 256  # px of the teacher's input
MESH_SCALE = 1.5  # of its input square, in the longer side of the face
PASSES = 3  # each frames the face by the mesh of the one before
EYE_CORNERS = (33, 263)  # of the mesh: outer ones, left of the picture first

# The points of the mesh that the blendshapes are computed from, as the project MediaPipe lists them.
BLENDSHAPE_POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80),
    *(81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153),
    *(154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249),
    *(251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311),
    *(312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380),
    *(381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471),
    *(472, 473, 474, 475, 476, 477),
)

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Seen:
    """A face to be labelled."""

    name: str  # of the picture
    group: str  # faces of one group stay on one side of a split
    picture: Picture  # u8[H,W,3] BGR
    box: Floats  # f32[4] px
    five: Floats  # f32[5,2] px: eyes, nose, corners of the mouth, left of the picture first; NaN where unknown


class Teacher:
    """The three TFLite files of a Face Landmarker, without its own detector."""

    def __init__(self, task: Path) -> None:
        """Read the networks of a `face_landmarker.task`. Raises DataError."""
        try:
            with zipfile.ZipFile(task) as files:
                self._mesh = open_interpreter(files.read("face_landmarks_detector.tflite"), task)
                self._blend = open_interpreter(files.read("face_blendshapes.tflite"), task)
                self.shape, self._weights = canonical(files.read("geometry_pipeline_metadata_landmarks.binarypb"))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{task}: expected MediaPipe's face_landmarker.task: {error}") from None
        outputs = self._mesh.get_output_details()
        self._points = next(each for each in outputs if each["shape"][-1] == 3 * 478)
        self._presence = next(each for each in outputs if each["name"] == "Identity_1")

    def __call__(self, seen: Seen) -> tuple[Floats, float]:
        """The mesh f32[478,3] in px of the picture, z growing away from the camera, and its presence as a logit."""
        matrix = self._first(seen)
        for last in range(PASSES):
            mesh, logit = self._look(seen.picture, matrix)
            if last < PASSES - 1:
                matrix = _around(mesh)
        return mesh, logit

    def _first(self, seen: Seen) -> transforms.Matrix:
        left, top, right, bottom = seen.box.tolist()
        angle = 0.0
        if np.isfinite(seen.five[:2]).all():
            across = seen.five[1] - seen.five[0]
            angle = float(np.arctan2(across[1], across[0]))
        side = MESH_SCALE * max(right - left, bottom - top)
        return transforms.square_crop_matrix(((left + right) / 2, (top + bottom) / 2), side, angle, MESH_SIDE)

    def _look(self, picture: Picture, matrix: transforms.Matrix) -> tuple[Floats, float]:
        crop = transforms.warp(picture, matrix, MESH_SIDE)
        pixels = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).astype(np.float32)[None] / 255
        self._mesh.set_tensor(self._mesh.get_input_details()[0]["index"], pixels)
        self._mesh.invoke()
        mesh = self._mesh.get_tensor(self._points["index"]).reshape(478, 3)
        logit = float(self._mesh.get_tensor(self._presence["index"]).reshape(-1)[0])
        back = transforms.invert(matrix)
        scale = float(np.hypot(back[0, 0], back[1, 0]))
        flat = transforms.transform(mesh[:, :2], back)
        return np.column_stack([flat, mesh[:, 2] * scale]).astype(np.float32), logit

    def blendshapes(self, mesh: Floats) -> Floats:
        """52 coefficients f32[52], 0..1."""
        points = mesh[list(BLENDSHAPE_POINTS), :2].astype(np.float32)
        self._blend.set_tensor(self._blend.get_input_details()[0]["index"], points[None])
        self._blend.invoke()
        return np.asarray(self._blend.get_tensor(self._blend.get_output_details()[0]["index"]), np.float32).reshape(-1)

    def pose(self, mesh: Floats) -> Floats:
        """Yaw, pitch and roll f32[3] in degrees, with the daemon's signs (`records.Pose`)."""
        shape = self.shape * np.array([1, -1, -1])  # y down, z away from the camera
        weights = self._weights[:, None] / self._weights.sum()
        given, found = shape - (weights * shape).sum(axis=0), mesh[:468] - (weights * mesh[:468]).sum(axis=0)
        turn = rigid(given, found, weights)
        return angles(turn)


def _around(mesh: Floats) -> transforms.Matrix:
    across = mesh[EYE_CORNERS[1], :2] - mesh[EYE_CORNERS[0], :2]
    angle = float(np.arctan2(across[1], across[0]))
    upright = transforms.square_crop_matrix((0.0, 0.0), 1.0, angle, 1)[:, :2]
    turned = mesh[:, :2] @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    x, y = (upright.T @ ((low + high) / 2)).tolist()
    return transforms.square_crop_matrix((x, y), MESH_SCALE * float((high - low).max()), angle, MESH_SIDE)


def rigid(given: Floats, found: Floats, weights: Floats) -> NDArray[np.float64]:
    """The rotation f64[3,3] that brings centred points f[N,3] nearest to others (Kabsch 1976)."""
    u, _, vt = np.linalg.svd((weights * found).T.astype(np.float64) @ given)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return np.asarray(u @ flip @ vt, np.float64)


def angles(turn: NDArray[np.float64]) -> Floats:
    """A rotation f64[3,3] (x right, y down, z away) as yaw, pitch, roll f32[3] in degrees: as `landmarks.pose` does."""
    roll = np.arctan2(turn[1, 0], turn[0, 0])
    x, y, toward = -turn[0, 2], -turn[1, 2], turn[2, 2]
    nose_x, nose_y = x * np.cos(roll) + y * np.sin(roll), y * np.cos(roll) - x * np.sin(roll)
    yaw, pitch = np.arctan2(nose_x, toward), np.arctan2(nose_y, np.hypot(toward, nose_x))
    return np.degrees([yaw, pitch, roll]).astype(np.float32)


def canonical(metadata: bytes) -> tuple[Floats, Floats]:
    """The face that looks straight ahead f32[468,3] (x right, y up, z towards the camera), and how much each of its
    points counts f32[468], from a protocol buffer (GeometryPipelineMetadata). Raises DataError."""
    mesh, weights = np.empty((0, 5), np.float32), np.zeros(468, np.float32)
    for number, value in _fields(metadata):
        if number == 1:  # Mesh3d: vertices of x, y, z, u, v, one float after the other
            floats = [inner for tag, inner in _fields(value) if tag == 3]
            mesh = np.frombuffer(b"".join(floats), "<f4").reshape(-1, 5)
        elif number == 2:  # WeightedLandmarkRef
            entry = dict(_fields(value))
            weights[int(entry.get(1, 0))] = np.frombuffer(entry[2], "<f4")[0]
    if len(mesh) != 468 or not weights.any():
        raise DataError(f"face_landmarker.task: expected a mesh of 468 points with weights, got {len(mesh)}")
    return mesh[:, :3], weights


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a protocol buffer: int, or bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        size, at = _varint(content, at) if kind == 2 else (4, at)
        yield key >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next field begins."""
    end = next(place for place in range(at, len(content)) if content[place] < 128) + 1
    return sum((byte & 127) << 7 * power for power, byte in enumerate(content[at:end])), end
