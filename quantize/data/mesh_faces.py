"""Faces that a mesh has labelled: `mesh/SET.npz` in the data folder, as `quantize.data.mesh_labels` writes them.

The teacher is believed where it is sure that there is a face, or where its points lie on a detector's five
(on turned faces it finds the points long after it has ceased to be sure), and where both give about the same turn.
Beyond 60 to 70 degrees the mesh, which always draws both halves of a face, goes wrong: for these profiles, the yaw of
the detector's five points is all that is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.sets import DataError, Floats, Image, chosen
from quantize.files.arrays import read_rows

CROP_SIDE = 160  # px of the crops that are kept
CROP_SCALE = 2.0  # of these, in the longer side of the 68 points' bounding box
LEARNED = ("stills", "varied", "sports", "wild")  # sets; `ages` and `clips` are kept for measuring
LIVELY = (*LEARNED, "yawns")  # that intensities are learned from
HELD_OUT_FOLDS = ("fold0", "fold1")  # of `varied`
SURE_LOGIT = 6.0  # of the teacher's presence, from which on it is believed
MOST_APART = 20.0  # degrees between the mesh's yaw and that of five points
ON_FIVE = 0.08  # mean distance of the mesh from the five points, in sides of the face, up to which they agree
PROFILE = 60.0  # degrees of yaw by five points from which on these are believed where the mesh is not
PITCH_ZERO = 2.8  # degrees that the mesh's canonical face looks further down than the daemon's shape
MOST_YAW = 85.0  # of a profile's label: the five points of a whole profile say 85 to 90
FIVE_OF_68 = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))

# The mesh's points that stand for the 68, in their order: for the inner ones they lie within 5 % of the eye distance
# of the labels of `landmarks68`, and within 4 % after `bias` is taken off.
SIXTY_EIGHT = (
    *(127, 234, 93, 132, 58, 172, 136, 149, 152, 378, 365, 397, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)

# Intensities: which of the 52 blendshapes each is the mean of. "Left" is the left of the picture, as for the points;
# the teacher's is the person's.
INTENSITIES: dict[str, tuple[int, ...]] = {
    "smile": (44, 45),
    "brow_raise": (3, 4, 5),
    "brow_down": (1, 2),
    "jaw_open": (25,),
    "eye_closed_left": (10,),
    "eye_closed_right": (9,),
    "mouth_frown": (30, 31),
    "mouth_pucker": (38,),
    "upper_lip_raise": (48, 49),
    "chin_raise": (42,),
}
SWAPPED = ("eye_closed_left", "eye_closed_right")  # change places in a mirror

# The arrays of a file, and the shape of a row of each; MeshFaces says what they are.
ROWS: dict[str, tuple[int, ...]] = {
    "names": (),
    "groups": (),
    "crops": (CROP_SIDE, CROP_SIDE),
    "points": (68, 2),
    "poses": (3,),
    "blendshapes": (52,),
    "presence": (),
    "five_yaw": (),
    "height_px": (),
    "five": (5, 2),
    "boxes": (2, 2),
}


@dataclass(frozen=True, slots=True)
class MeshFaces:
    """Faces and the teacher's labels; rows of all arrays belong together."""

    names: NDArray[np.str_]  # of the pictures
    groups: NDArray[np.str_]  # people, or photos: one group stays on one side
    crops: Image  # u8[N,160,160] gray
    points: Floats  # f32[N,68,2] px of the crop
    poses: Floats  # f32[N,3] yaw, pitch, roll in degrees; signs as in `records.Pose`
    intensities: Floats  # f32[N,10] 0..1
    presence: Floats  # f32[N] logit
    five_yaw: Floats  # f32[N] degrees, NaN where unknown
    height_px: Floats  # f32[N] of the face in its picture
    five: Floats  # f32[N,5,2] px of the crop, NaN where unknown
    boxes: Floats  # f32[N,2,2] px of the crop: a detector's x0, y0 and x1, y1

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, which: NDArray[Any]) -> MeshFaces:
        """The faces that are chosen, by a mask bool[N] or by rows i[n]."""
        return replace(self, **{field.name: getattr(self, field.name)[which] for field in fields(self)})

    @property
    def off_five(self) -> Floats:
        """How far the mesh lies from the detector's five points f32[N], in sides of the face; NaN where unknown."""
        own = np.stack([self.points[:, part].mean(axis=1) for part in FIVE_OF_68], axis=1)
        return np.asarray(np.hypot(*(own - self.five).transpose(2, 0, 1)).mean(axis=1) / (CROP_SIDE / CROP_SCALE))

    @property
    def believed(self) -> NDArray[np.bool_]:
        """bool[N]: where the teacher is sure, or lies on the five points, and is not contradicted."""
        apart = np.abs(self.poses[:, 0] - self.five_yaw)
        agreed = self.off_five <= ON_FIVE
        return np.asarray(((self.presence >= SURE_LOGIT) | agreed) & ~(apart > MOST_APART), np.bool_)

    @property
    def profile(self) -> NDArray[np.bool_]:
        """bool[N]: where only the yaw is known, from the five points."""
        return np.asarray(~self.believed & (np.abs(self.five_yaw) >= PROFILE), np.bool_)

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """bool[N]: a fifth of the groups, the same people as in `sets.held_out_stills`; of `varied`, two folds."""
        known = {group: is_held_out(group) for group in set(self.groups.tolist())}
        return np.array([known[group] for group in self.groups.tolist()], np.bool_)


def is_held_out(group: str) -> bool:
    """Whether a group is kept from training."""
    return group in HELD_OUT_FOLDS if group.startswith("fold") else chosen(group.encode(), one_in=5)


def available(data: Path) -> bool:
    """Whether faces have been labelled in a data folder."""
    return any((data / "mesh" / f"{name}.npz").exists() for name in LEARNED)


def labels_sha256(data: Path) -> str:
    """Name what has been labelled, of the sets that are learned from."""
    paths = [data / "mesh" / f"{name}.npz" for name in LIVELY]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.exists())).hexdigest()


def read(path: Path) -> MeshFaces:
    """Read one set. Raises DataError."""
    try:
        rest = read_rows(path, ROWS)
        blendshapes = rest.pop("blendshapes").astype(np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; expected a file of quantize.data.mesh_labels") from None
    means = [blendshapes[:, list(indices)].mean(axis=1) for indices in INTENSITIES.values()]
    single = {name: array.astype(np.float32) for name, array in rest.items() if array.dtype == np.float64}
    rest["poses"] = rest["poses"] - np.array([0, PITCH_ZERO, 0], np.float32)
    return MeshFaces(intensities=np.stack(means, axis=1), **rest | single)


def join(parts: Sequence[MeshFaces]) -> MeshFaces:
    """All faces of several sets."""
    return MeshFaces(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(MeshFaces)})


def read_all(data: Path, names: Sequence[str] = LEARNED) -> dict[str, MeshFaces]:
    """Those of the named sets that are there: faces that are believed, and profiles."""
    found = {name: data / "mesh" / f"{name}.npz" for name in names}
    return {name: usable(read(path)) for name, path in found.items() if path.exists()}


def usable(faces: MeshFaces) -> MeshFaces:
    """The faces that are believed, and profiles: of these, pitch, roll and intensities become NaN."""
    poses, intensities, profile = faces.poses.copy(), faces.intensities.copy(), faces.profile
    poses[profile, 0] = np.clip(faces.five_yaw[profile], -MOST_YAW, MOST_YAW)
    poses[profile, 1:] = intensities[profile] = np.nan
    return replace(faces, poses=poses, intensities=intensities).pick(faces.believed | profile)


def mirror_intensities(intensities: Floats) -> Floats:
    """The intensities f32[...,10] of the mirrored face."""
    order = list(INTENSITIES)
    left, right = (order.index(name) for name in SWAPPED)
    index = list(range(len(order)))
    index[left], index[right] = right, left
    return intensities[..., index]


def with_crops(faces: MeshFaces, crops: Image) -> MeshFaces:
    """The same faces in other pictures u8[N,160,160]."""
    return replace(faces, crops=crops)
