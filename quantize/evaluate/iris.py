"""Whether the iris' place between the corners of the eye, found cheaply, agrees with a face mesh's: why `looks` goes by
the head alone (docs/signals.md).

    python -m quantize.evaluate iris --models models --data data --teacher face_landmarker.task --yunet yunet.onnx

The teacher is the mesh of `quantize.data.mesh_teacher`, which has an iris in each eye; nobody labelled where people
look. Faces turned by at most 30 degrees, eyes open, are made smaller until an eye is so many px wide; corners and
outlines of the eyes are those of the daemon's own landmarks. Two ways to find the iris inside: the centre of the dark
pixels, and the point from which most gradients point away (Timm & Barth 2011, "Accurate eye centre localisation by
means of gradients"). Where somebody looks is, by the mesh, its head's pose and its eyes' directions; what the iris adds
to the head is fitted on people and photos that the models learned from, and compared on those kept from training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Attention
from fer_edge.records import Floats, Image, Pose
from fer_edge.tracking.signals.attention import off_camera_deg
from fer_edge.vision import transforms
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data.mesh_faces import PITCH_ZERO, SURE_LOGIT, is_held_out
from quantize.data.mesh_labels import SETS, BoxTeacher
from quantize.data.mesh_teacher import Seen, Teacher
from quantize.evaluate.landmark_heads import first_crop

WIDTHS_PX = (8, 12, 16, 24, 32)  # of an eye, corner to corner
WAYS = ("dark", "gradients")
SOURCES = ("varied", "stills", "wild")
MOST_TURNED = 30.0  # degrees
MOST_CLOSED = 0.4  # by the mesh
EYES_OF_68 = (slice(36, 42), slice(42, 48))  # left of the picture first; corners are the first and the fourth point
EYES_OF_MESH = ((33, 133, 468), (362, 263, 473))  # corners, iris
LOOKS_ACROSS = ((15, 14), (13, 16))  # blendshapes: to the right of the picture, to the left
LOOKS_DOWN = ((11, 12), (17, 18))  # ... down, up
ACROSS_DEG, DOWN_DEG = 30.0, 20.0  # of the eyes, where a blendshape is 1: an assumption

SIDE, EYE = 48, 32.0  # px of the square that an eye is cut to, and of the eye in it
DARK_SHARE = 30  # percent of an outline's pixels that count as dark


@dataclass(frozen=True, slots=True)
class IrisFigures:
    """One way to find the iris, at one width of the eyes, on faces kept from training."""

    way: str
    width_px: int
    faces: int
    found: float  # share of the eyes
    eye: float  # correlation with the mesh, of single eyes
    face: float  # ... of the mean of both
    frontal: float  # ... of faces turned by less than 10 degrees
    error: float  # mean, in shares of the eye's width, after a line has been fitted
    head: float  # correlation of the mesh's gaze across with the head's yaw alone
    head_and_iris: float  # ... with both
    looks_head: float  # share of faces of which the head says as the mesh's gaze does whether they look
    looks_both: float  # ... head and iris say


@dataclass(frozen=True, slots=True)
class Row:
    """A face at one width."""

    width_px: int
    held_out: bool
    wanted: Floats  # f32[2] where each iris is by the mesh, share of the way from corner to corner
    got: Floats  # f32[2,2] the same, by both ways; NaN: not found
    pose: Floats  # f32[2] yaw and pitch of the daemon's landmarks, degrees
    gaze: Floats  # f32[2] by the mesh


def measure(models: Path, data: Path, teacher: Path, yunet: Path) -> list[IrisFigures]:
    """Every way and width. Raises DataError."""
    rows = list(_rows(daemon_stages.open_model(models / "landmarks.tflite", "landmarks"), data, teacher, yunet))
    return [
        compare([row for row in rows if row.width_px == px], way, px) for way in range(len(WAYS)) for px in WIDTHS_PX
    ]


# --- faces ---------------------------------------------------------------------------------------------------


def _rows(model: Model, data: Path, task: Path, yunet: Path) -> Iterator[Row]:
    teacher, find = Teacher(task), BoxTeacher(yunet)
    for name in SOURCES:
        for seen in SETS[name](data, find):
            mesh, logit = teacher(seen)
            blend, (yaw, pitch, _) = teacher.blendshapes(mesh), teacher.pose(mesh).tolist()
            if logit < SURE_LOGIT or abs(yaw) > MOST_TURNED or blend[9:11].max() > MOST_CLOSED:
                continue
            gaze = np.array([yaw, pitch - PITCH_ZERO], np.float32) + eyes_turned(blend)
            width = float(np.mean([np.hypot(*(mesh[b, :2] - mesh[a, :2])) for a, b, _ in EYES_OF_MESH]))
            for px in (px for px in WIDTHS_PX if px <= width):
                yield _row(model, seen, mesh[:, :2], px, width, gaze)


def eyes_turned(blend: Floats) -> Floats:
    """By how much the eyes are turned against the head f32[2], to the right of the picture and down, degrees."""
    across, down = (
        (blend[list(one)].sum() - blend[list(other)].sum()) / 2 for one, other in (LOOKS_ACROSS, LOOKS_DOWN)
    )
    return np.array([ACROSS_DEG * across, DOWN_DEG * down], np.float32)


def _row(model: Model, seen: Seen, mesh: Floats, px: int, width: float, gaze: Floats) -> Row:
    gray, shift, scale = smaller(seen, px / width)
    card, side = model.card.points, model.size[0]
    assert card is not None
    box, five = ((points - shift) * scale for points in (seen.box.reshape(2, 2), seen.five))
    found = daemon_stages.landmarks(model, gray, first_crop(box, five, card, side))
    got = [[way(gray, found.points[eye]) for eye in EYES_OF_68] for way in (dark_place, gradient_place)]
    wanted = [between(mesh[iris], mesh[[a, b]]) for a, b, iris in EYES_OF_MESH]
    pose = np.array([found.pose.yaw_deg, found.pose.pitch_deg], np.float32)
    return Row(px, is_held_out(seen.group), np.array(wanted), np.array(got), pose, gaze)


def smaller(seen: Seen, scale: float) -> tuple[Image, Floats, float]:
    """The surroundings of a face, gray and at a scale; where they began in the picture, and the scale."""
    low, high = seen.box[:2], seen.box[2:]
    around = 0.6 * float((high - low).max())
    left, top = (max(0, int(each)) for each in low - around)
    right, bottom = (int(each) for each in high + around)
    gray = cv2.cvtColor(seen.picture[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.array([left, top], np.float32), small.shape[1] / gray.shape[1]


def between(point: Floats, corners: Floats) -> float:
    """How far a point f32[2] lies on the way from one corner to the other f32[2,2]."""
    along = corners[1] - corners[0]
    return float((point - corners[0]) @ along / max(float(along @ along), 1e-6))


# --- the iris ------------------------------------------------------------------------------------------------


def _cut(gray: Image, outline: Floats) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An eye cut out level f32[24,48] with its corners at x = 8 and 40, and what is inside its outline f32[6,2]."""
    one, other = outline[0], outline[3]
    x, y = ((one + other) / 2).tolist()
    across = (other - one).tolist()
    side = math.hypot(*across) * SIDE / EYE
    matrix = transforms.square_crop_matrix((x, y), side, math.atan2(across[1], across[0]), SIDE)
    rows = slice(SIDE // 4, 3 * SIDE // 4)
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(inside, np.round(transforms.transform(outline, matrix)).astype(np.int32), 1)
    inside = np.asarray(cv2.dilate(inside, np.ones((3, 3), np.uint8)), np.uint8)
    patch = cv2.GaussianBlur(transforms.warp(gray, matrix, SIDE), (5, 5), 0)
    return patch[rows].astype(np.float32), inside[rows] > 0


def _share(x: float) -> float:
    return (x + 0.5 - (SIDE - EYE) / 2) / EYE


def dark_place(gray: Image, outline: Floats) -> float:
    """Where the middle of the dark pixels is between the corners; NaN: the outline is empty."""
    patch, inside = _cut(gray, outline)
    if not inside.any():
        return float("nan")
    dark = np.maximum(0, np.percentile(patch[inside], DARK_SHARE) - patch) * inside
    total = float(dark.sum())
    return _share(float((dark.sum(axis=0) * np.arange(SIDE)).sum()) / total) if total > 0 else float("nan")


def gradient_place(gray: Image, outline: Floats) -> float:
    """Where the point is from which most gradients point away, the more the darker it is."""
    patch, inside = _cut(gray, outline)
    across, down = cv2.Sobel(patch, cv2.CV_32F, 1, 0), cv2.Sobel(patch, cv2.CV_32F, 0, 1)
    steep = np.hypot(across, down)
    strong = inside & (steep > steep[inside].mean() + 0.3 * steep[inside].std()) if inside.any() else inside
    if not strong.any():
        return float("nan")
    ends, starts = np.argwhere(strong), np.argwhere(inside)
    way = (ends[None] - starts[:, None]).astype(np.float32)
    length = np.maximum(np.hypot(way[..., 0], way[..., 1]), 1e-6)
    towards = (way[..., 0] * down[strong] + way[..., 1] * across[strong]) / length / steep[strong]
    votes = (np.maximum(0, towards) ** 2).mean(axis=1) * (255 - patch[inside])
    best = votes >= 0.95 * votes.max()
    return _share(float((starts[best, 1] * votes[best]).sum() / votes[best].sum()))


# --- figures -------------------------------------------------------------------------------------------------


def compare(rows: Sequence[Row], way: int, px: int) -> IrisFigures:
    """Figures of one way at one width."""
    kept = np.array([row.held_out for row in rows], np.bool_)
    wanted, got = np.stack([row.wanted for row in rows]), np.stack([row.got[way] for row in rows])
    pose, gaze = np.stack([row.pose for row in rows]), np.stack([row.gaze for row in rows])
    known = np.isfinite(got).all(axis=1)
    face, mean = wanted.mean(axis=1), got.mean(axis=1)
    test, learn = kept & known, ~kept & known
    frontal = test & (np.abs(pose[:, 0]) < 10)
    line = np.polyfit(mean[learn], face[learn], 1)
    iris = np.column_stack([pose, mean])
    head, both = (_fitted(columns, gaze, learn)[test] for columns in (pose, iris))
    return IrisFigures(
        WAYS[way],
        px,
        int(test.sum()),
        float(np.isfinite(got[kept]).mean()),
        correlation(wanted[test].ravel(), got[test].ravel()),
        correlation(face[test], mean[test]),
        correlation(face[frontal], mean[frontal]),
        float(np.abs(np.polyval(line, mean[test]) - face[test]).mean()),
        correlation(head[:, 0], gaze[test, 0]),
        correlation(both[:, 0], gaze[test, 0]),
        *(float((_looks(each) == _looks(gaze[test])).mean()) for each in (head, both)),
    )


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's."""
    return float(np.corrcoef(one, other)[0, 1])


def _fitted(columns: NDArray[Any], gaze: NDArray[Any], learn: NDArray[np.bool_]) -> NDArray[Any]:
    """The gaze f64[N,2] as far as columns f32[N,K] tell it, by least squares on the faces `learn`."""
    with_one = np.column_stack([columns, np.ones(len(columns))])
    weights, *_ = np.linalg.lstsq(with_one[learn], gaze[learn], rcond=None)
    return np.asarray(with_one @ weights)


def _looks(gaze: NDArray[Any]) -> NDArray[np.bool_]:
    cone = Attention().cone_deg
    off = [off_camera_deg(Pose(yaw_deg=yaw, pitch_deg=pitch, roll_deg=0.0)) for yaw, pitch in gaze.tolist()]
    return np.array(off) <= cone


def table(figures: Sequence[IrisFigures]) -> list[str]:
    """Lay out for people."""
    return [
        "iris beside the mesh: correlation of single eyes, of both, of frontal faces; mean error in eye widths",
        "gaze beside the mesh: correlation of head alone, head and iris; whether they look, agreeing: the same two",
        *(
            f"{each.way:<9} {each.width_px:2} px  {each.faces} faces, found {each.found:.1%}  "
            f"{each.eye:.2f} {each.face:.2f} {each.frontal:.2f}, error {each.error:.3f}  gaze {each.head:.3f} "
            f"{each.head_and_iris:.3f}, looks {each.looks_head:.1%} {each.looks_both:.1%}"
            for each in figures
        ),
    ]
