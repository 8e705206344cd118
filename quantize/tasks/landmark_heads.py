"""The training data of the landmarks network's pose head, and of points on turned faces: a mesh's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from fer_edge.vision import transforms
from quantize.data import mesh_faces
from quantize.data.mesh_faces import MeshFaces
from quantize.data.sets import Floats, Still

POSE_UNIT = 90.0  # degrees that are 1 at the network's output
SPREAD_UNIT = 10.0  # degrees of which the spread's output is the logarithm
MESHED = 16  # faces of a batch whose labels are the mesh's
EXTRA = 6  # columns of a target, see ROW
POINTS_FROM = 20.0  # degrees of yaw from which the mesh's inner points teach too
POINTS_WEIGHT = 0.5  # of these beside the labels of people's stills
YAW_BINS = (0.0, 15.0, 30.0, 45.0, 90.0)
YAW_SHARES = (0.36, 0.26, 0.2, 0.18)  # of the faces drawn
RARE = 0.5  # intensity from which on a face is rare
RARE_WEIGHT = 2.0
POSE_SHARE = 0.5  # of the losses beside the points'
SPREAD_SHARE = 0.02

ROW: dict[str, slice] = {
    "pose": slice(0, 3),  # in POSE_UNITs
    "yaw_known": slice(3, 4),
    "pose_known": slice(4, 5),  # pitch and roll too
    "meshed": slice(5, 6),  # points, if any, are the mesh's: inner ones only
}


class MeshSchool:
    """Faces of the training side, drawn so that turned and lively ones come often enough."""

    def __init__(self, data: Path, stills: Sequence[Still]) -> None:
        """Read what has been labelled; `stills` are those that the points learn from."""
        sets = mesh_faces.read_all(data)
        sets = {name: faces.pick(~faces.held_out) for name, faces in sets.items()}
        self._stills: Mapping[str, int] = {}
        if "stills" in sets:
            self._stills = {name: row for row, name in enumerate(sets["stills"].names.tolist())}
            self._of_stills = sets["stills"]
        others = [faces for name, faces in sets.items() if name != "stills"]
        self.faces = mesh_faces.join([*others, *([sets["stills"]] if "stills" in sets else [])])
        self._odds = odds(self.faces)
        self._bias = bias(self._of_stills, stills) if self._stills else np.zeros((68, 2), np.float32)

    def of_stills(self, stills: Sequence[Still], turned: Floats, mirrored: Any) -> Floats:
        """Extra columns f32[N,EXTRA] of stills that were turned back by some degrees f32[N] and mirrored, or not."""
        rows = np.zeros((len(stills), EXTRA), np.float32)
        for row, still, angle, mirror in zip(rows, stills, turned, mirrored, strict=True):
            index = self._stills.get(still.name)
            if index is not None:
                _fill(row, self._of_stills, index, float(angle), bool(mirror))
        return rows

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Rows of faces for a batch."""
        return list(map(int, rng.choice(len(self.faces), MESHED, p=self._odds)))

    def points(self, row: int) -> Floats:
        """The mesh's points f32[68,2] px of the kept crop, moved to where the labels of `landmarks68` would be."""
        return unbiased(self.faces.points[row], self._bias)

    def teaches_points(self, row: int) -> bool:
        """Whether a face's points are better than nothing: it is turned further than most stills, and believed."""
        return abs(float(self.faces.poses[row, 0])) > POINTS_FROM and bool(np.isfinite(self.faces.poses[row, 1]))

    def columns(self, row: int, angle: float, mirror: bool) -> Floats:
        """Extra columns f32[EXTRA] of a face."""
        columns = np.zeros(EXTRA, np.float32)
        _fill(columns, self.faces, row, angle, mirror)
        columns[ROW["meshed"]] = 1
        return columns


def _fill(columns: Floats, faces: MeshFaces, row: int, angle: float, mirror: bool) -> None:
    pose = faces.poses[row] - np.array([0, 0, angle], np.float32)
    if mirror:
        pose = pose * np.array([-1, 1, -1], np.float32)
    columns[ROW["pose"]] = np.nan_to_num(pose) / POSE_UNIT
    columns[ROW["yaw_known"]] = 1
    columns[ROW["pose_known"]] = np.isfinite(pose).all()


def odds(faces: MeshFaces) -> Floats:
    """How likely each face is drawn f64[N]: by its turn, and more often with something rare in it."""
    weights = np.where((faces.intensities[:, 2:] > RARE).any(axis=1), RARE_WEIGHT, 1.0)
    weights *= np.where(np.abs(faces.poses[:, 1]) > POINTS_FROM, RARE_WEIGHT, 1.0)
    bins = np.clip(np.digitize(np.abs(faces.poses[:, 0]), YAW_BINS) - 1, 0, len(YAW_SHARES) - 1)
    for number, share in enumerate(YAW_SHARES):
        own = bins == number
        weights[own] *= share / max(weights[own].sum(), 1e-9)
    return np.asarray(weights / weights.sum())


# --- the mesh's points ---------------------------------------------------------------------------------------


def _frame(points: Floats) -> tuple[Floats, Floats, float]:
    """The face's own axes f32[2] each, and its length from between the eyes to the chin, which no yaw changes."""
    across = points[42:48].mean(axis=0) - points[36:42].mean(axis=0)
    right = across / max(float(np.hypot(*across)), 1e-6)
    return right, np.array([-right[1], right[0]], np.float32), float(np.hypot(*(points[8] - points[27])))


def bias(faces: MeshFaces, stills: Sequence[Still]) -> Floats:
    """Where the mesh's points lie beside the labels, f32[68,2] in lengths of the face, in the mean over stills that
    look ahead."""
    known = {name: row for row, name in enumerate(faces.names.tolist())}
    off = []
    for still in stills:
        row = known.get(still.name)
        if row is None or abs(float(faces.poses[row, 0])) > POINTS_FROM:
            continue
        own = transforms.transform(still.points, still_matrix(still.points, faces.boxes[row]))
        right, down, length = _frame(own)
        away = faces.points[row] - own
        off.append(np.stack([away @ right, away @ down], axis=1) / length)
    return np.asarray(np.mean(off, axis=0), np.float32) if off else np.zeros((68, 2), np.float32)


def still_matrix(points: Floats, box: Floats) -> transforms.Matrix:
    """The matrix f64[2,3] from a still to its kept crop, by its points f32[68,2] and where the box around them came to
    lie there, f32[2,2]."""
    (low, high), ((x0, _), (x1, y1)) = (points.min(axis=0), points.max(axis=0)), box.tolist()
    scale = (x1 - x0) / float(high[0] - low[0])
    return np.array([[scale, 0, x0 - scale * low[0]], [0, scale, y1 - scale * high[1]]])


def unbiased(points: Floats, off: Floats) -> Floats:
    """The mesh's points f32[68,2] without their bias."""
    right, down, length = _frame(points)
    return np.asarray(points - length * (off[:, :1] * right + off[:, 1:] * down), np.float32)


# --- losses --------------------------------------------------------------------------------------------------


def loss(extra: Any, pose: Any, spread: Any) -> Any:
    """Distances of the angles, and how well the spread foretells them."""
    yaw_known, known = extra[:, ROW["yaw_known"]][:, 0], extra[:, ROW["pose_known"]][:, 0]
    angles = ops.abs(pose - extra[:, ROW["pose"]])
    off = (angles[:, 0] + known * (angles[:, 1] + angles[:, 2])) / (1 + 2 * known)  # [N]
    units = ops.stop_gradient(off) * (POSE_UNIT / SPREAD_UNIT)
    logarithm = ops.clip(spread[:, 0], -4.0, 4.0)
    doubt = units * ops.exp(-logarithm) + logarithm  # Laplace's, whose scale is the mean distance
    return POSE_SHARE * mean_where(yaw_known, off) + SPREAD_SHARE * mean_where(yaw_known, doubt)


def mean_where(which: Any, values: Any) -> Any:
    """The mean of the values whose weights `which` are 1, as tensors [N]; 0 where there are none."""
    return ops.sum(which * values) / ops.maximum(ops.sum(which), 1.0)
