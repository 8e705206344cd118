"""The pose of a landmarks model compared with a mesh, on people and photos kept from training.

A face is cut out as the daemon does at its first look: around a detector's box, level by its eyes. Faces have to have
been labelled by `quantize.data.mesh_labels`; without `mesh/` there are no figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Quality, Tracking
from fer_edge.records import Box, Floats, Landmarks
from fer_edge.vision.landmarks import crop_around_box
from fer_edge.vision.model_card import PointsCard
from fer_edge.vision.tflite import Model
from fer_edge.vision.transforms import Matrix
from quantize import daemon_stages
from quantize.data import mesh_faces
from quantize.data.mesh_faces import LEARNED, MeshFaces

BINS = ((0, 30), (30, 60))  # degrees of yaw, by the mesh
PITCH_TO = 40.0  # degrees of pitch up to which a face counts
SIGN_FROM = 15.0  # degrees of yaw from which on its sign counts


@dataclass(frozen=True, slots=True)
class HeadsFigures:
    """The figures of the pose head, and of points and presence of turned faces."""

    faces: int
    pose_30: float  # mean error of yaw, pitch and roll in degrees, of faces turned by 0 to 30 degrees
    pose_60: float  # ... by 30 to 60
    yaw_30: float  # mean error of yaw alone in degrees, for the same faces
    yaw_60: float
    sign: float  # share of turned faces whose yaw has the right sign
    profiles_turned: float  # share of profiles estimated as turned beyond the daemon's limit, with the right sign
    turned_presence: float  # share of faces beyond 45 degrees that the daemon would take for faces


def measure(model: Model, data: Path, sets: Sequence[str] = LEARNED) -> HeadsFigures | None:
    """All figures; None where no face kept from training has been labelled or the model has no such heads."""
    if not mesh_faces.available(data) or not model.card.pose:
        return None
    known = mesh_faces.read_all(data, sets)
    faces = mesh_faces.join([each.pick(each.held_out) if name in LEARNED else each for name, each in known.items()])
    return compare(faces, look(model, faces)) if len(faces) else None


def look(model: Model, faces: MeshFaces) -> list[Landmarks]:
    """The model's outputs for the first crop."""
    card, side = model.card.points, model.size[0]
    assert card is not None  # tflite.py refuses a landmarks card without it
    rows = zip(faces.crops, faces.boxes, faces.five, strict=True)
    return [daemon_stages.landmarks(model, crop, first_crop(box, five, card, side)) for crop, box, five in rows]


def first_crop(box: Floats, five: Floats, card: PointsCard, side: int) -> Matrix:
    """The crop around a detector's box f32[2,2], level by its eyes."""
    (x0, y0), (x1, y1) = box.tolist()
    across = five[1] - five[0]
    angle = math.atan2(float(across[1]), float(across[0])) if np.isfinite(across).all() else 0.0
    return crop_around_box(Box(x0, y0, x1, y1), card, side, angle)


def compare(faces: MeshFaces, found: Sequence[Landmarks]) -> HeadsFigures:
    """Compare outputs with the mesh's."""
    poses = np.array([[f.pose.yaw_deg, f.pose.pitch_deg, f.pose.roll_deg] for f in found], np.float32)
    yaws = faces.poses[:, 0]
    whole = np.isfinite(faces.poses).all(axis=1)
    off = np.abs(poses - faces.poses)
    bins = [whole & (np.abs(yaws) >= a) & (np.abs(yaws) < b) & (np.abs(faces.poses[:, 1]) <= PITCH_TO) for a, b in BINS]
    turned, right = np.abs(yaws) >= SIGN_FROM, poses[:, 0] * yaws > 0
    beyond = np.abs(poses[:, 0]) > Quality().max_yaw_deg
    present = np.array([f.score >= Tracking().min_score for f in found], np.bool_)
    return HeadsFigures(
        faces=len(faces),
        pose_30=_mean(off[bins[0]]),
        pose_60=_mean(off[bins[1]]),
        yaw_30=_mean(off[bins[0], 0]),
        yaw_60=_mean(off[bins[1], 0]),
        sign=_mean(right[turned]),
        profiles_turned=_mean((right & beyond)[~whole]),
        turned_presence=_mean(present[np.abs(yaws) >= 45]),
    )


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def table(figures: HeadsFigures) -> list[str]:
    """Lay out for people."""
    return [
        f"pose against the mesh, {figures.faces} faces kept from training: mean error {figures.pose_30:.2f} degrees "
        f"to 30 of yaw (yaw {figures.yaw_30:.2f}), {figures.pose_60:.2f} to 60 (yaw {figures.yaw_60:.2f}); "
        f"sign right {figures.sign:.2%}",
        f"profiles estimated as turned {figures.profiles_turned:.1%}; "
        f"taken for a face beyond 45 degrees {figures.turned_presence:.1%}",
    ]
