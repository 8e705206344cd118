"""Where each iris is between the corners of its eye, and whether that tells where people look, beside a face mesh.

    python -m quantize.evaluate iris --models models --data data --teacher face_landmarker.task --yunet yunet.onnx

The teacher is the mesh of `quantize.data.mesh_teacher`, which has an iris in each eye; nobody labelled where people
look. Faces turned by at most 30 degrees, eyes open, are made smaller until an eye is so many px wide; corners and
outlines of the eyes are those of the daemon's own landmarks. `filter` is the daemon's (`fer_edge/vision/iris.py`);
`dark` and `gradients` are two ways that learn nothing (`iris_ways.py`). Where somebody looks is, by the mesh, its
head's pose and its eyes' directions. Everything is compared on people and photos kept from training; --write fits the
filter, and the angles from its places, to the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Attention
from fer_edge.records import EyeTurn, Floats, Image, Landmarks, Pose
from fer_edge.runtime.atomic_file import FOR_ALL, replace_file
from fer_edge.tracking.signals.attention import off_camera_deg
from fer_edge.vision.iris import MOST_YAW_DEG, IrisWeights, eye_pixels, place_of_both, stored_weights, turn
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data.mesh_faces import PITCH_ZERO, SURE_LOGIT, is_held_out
from quantize.data.mesh_labels import SETS, BoxTeacher
from quantize.data.mesh_teacher import Seen, Teacher
from quantize.data.sets import DataError
from quantize.evaluate import worsened
from quantize.evaluate.eyes_mouth import precision_recall
from quantize.evaluate.iris_ways import dark_place, gradient_place
from quantize.evaluate.landmark_heads import first_crop
from quantize.metrics import Bools

WIDTHS_PX = (8, 12, 16, 24, 32)  # of an eye, corner to corner
CONDITIONS = (*((px, 1.0) for px in WIDTHS_PX), (16, worsened.DIM), (16, worsened.BRIGHT))
WAYS = ("dark", "gradients", "filter")
SOURCES = ("varied", "stills", "wild")
FITTED = ((8, 1.0), (12, 1.0), (16, 1.0), (24, 1.0))  # conditions
RIDGE = 30.0
MOST_CLOSED = 0.4  # by the mesh
FRONTAL_DEG = 10.0
EYES_OF_68 = (slice(36, 42), slice(42, 48))  # left of the picture first
EYES_OF_MESH = ((33, 133, 468), (362, 263, 473))  # corners, left to right, and iris
LOOKS_ACROSS = ((15, 14), (13, 16))  # blendshapes: to the right of the picture, to the left
LOOKS_DOWN = ((11, 12), (17, 18))  # ... down, up
ACROSS_DEG, DOWN_DEG = 30.0, 20.0  # of the eyes, where a blendshape is 1: an assumption
LEARN_NOTHING = (dark_place, gradient_place)
SEED = 18


@dataclass(frozen=True, slots=True)
class IrisFigures:
    """One way to find the iris under one condition: correlations with the mesh's place of it."""

    condition: str
    way: str
    faces: int
    eye: float  # of single eyes
    face: float  # of the mean of both
    frontal: float  # ... of faces turned by less than FRONTAL_DEG
    error: float  # mean, in widths of the eye, after a line has been fitted to it


@dataclass(frozen=True, slots=True)
class GazeFigures:
    """What the filter adds to the head, beside the mesh's gaze: without it, with it."""

    condition: str
    faces: int
    looking: int
    across: tuple[float, float]  # correlations
    down: tuple[float, float]
    precision: tuple[float, float]  # of "looks at the camera"
    recall: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """A face under one condition."""

    condition: tuple[int, float]
    held_out: bool
    wanted: Floats  # f32[2,2] of each eye's iris by the mesh, left to right: share of the way, share below
    found: Floats  # f32[2,2] the ways that learn nothing: share of the way; NaN: not found
    pixels: Floats  # f32[2,72] of each eye, for the filter
    pose: Pose  # by the daemon's landmarks
    gaze: Floats  # f32[2] by the mesh, across and down, degrees: its head's yaw and pitch, and its eyes' turn


def measure(
    models: Path, data: Path, teacher: Path, yunet: Path, *, write: Path | None = None
) -> list[IrisFigures | GazeFigures]:
    """Every condition and way. `write`: fit the filter anew and store it there. Raises DataError."""
    model = daemon_stages.open_model(models / "landmarks.tflite", "landmarks")
    mesh, faces = Teacher(teacher), _faces(data, BoxTeacher(yunet), learn=write is not None)
    rows = [row for seen in faces for row in _rows(model, mesh, seen)]
    weights = stored_weights()
    if write:
        learned = [row for row in rows if not row.held_out]
        if not learned:
            raise DataError(f"{data}: expected faces that are learned from, turned little and eyes open, found none")
        weights = fit(learned)
        replace_file(write, msgspec.json.encode(weights) + b"\n", mode=FOR_ALL)
    kept = [[row for row in rows if row.held_out and row.condition == condition] for condition in CONDITIONS]
    places = [place_figures(each, way, weights) for way in WAYS for each in kept if each]
    return [*places, *(gaze_figures(each, weights) for each in kept if each)]


# --- faces ---------------------------------------------------------------------------------------------------


def _faces(data: Path, find: BoxTeacher, *, learn: bool) -> Iterator[Seen]:
    """Those kept from training, and the others where the filter learns from these."""
    for seen in (seen for name in SOURCES for seen in SETS[name](data, find)):
        if learn or is_held_out(seen.group):
            yield seen


def _rows(model: Model, teacher: Teacher, seen: Seen) -> Iterator[Row]:
    """A face under every condition that it is large enough for; none where it is turned, or its eyes are closed."""
    mesh, logit = teacher(seen)
    blend, (yaw, pitch, _) = teacher.blendshapes(mesh), teacher.pose(mesh).tolist()
    if logit < SURE_LOGIT or abs(yaw) > MOST_YAW_DEG or blend[9:11].max() > MOST_CLOSED:
        return
    gaze = np.array([yaw, pitch - PITCH_ZERO], np.float32) + eyes_turned(blend)
    width = float(np.mean([np.hypot(*(mesh[b, :2] - mesh[a, :2])) for a, b, _ in EYES_OF_MESH]))
    held_out = is_held_out(seen.group)
    for px, light in CONDITIONS if held_out else FITTED:
        if px <= width:
            gray, found = _look(model, seen, px / width, light)
            yield _row(gray, found, mesh[:, :2], (px, light), held_out, gaze)


def _look(model: Model, seen: Seen, scale: float, light: float) -> tuple[Image, Landmarks]:
    """The surroundings of a face at a scale in some light, and the landmarks in it."""
    low, high = seen.box[:2], seen.box[2:]
    around = 0.6 * float((high - low).max())
    left, top = (max(0, int(each)) for each in low - around)
    right, bottom = (int(each) for each in high + around)
    whole = cv2.cvtColor(seen.picture[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(whole, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(SEED).normal(0, worsened.NOISE, small.shape) if light < 1 else 0.0
    gray = np.asarray(np.clip(small * light + noise, 0, 255), np.uint8)
    scale, shift = small.shape[1] / whole.shape[1], np.array([left, top], np.float32)
    box, five = ((points - shift) * scale for points in (seen.box.reshape(2, 2), seen.five))
    card, side = model.card.points, model.size[0]
    assert card is not None  # tflite.py refuses a landmarks card without it
    return gray, daemon_stages.landmarks(model, gray, first_crop(box, five, card, side))


def _row(
    gray: Image,
    found: Landmarks,
    mesh: Floats,
    condition: tuple[int, float],
    held_out: bool,
    gaze: Floats,
) -> Row:
    points = found.points
    return Row(
        condition,
        held_out,
        wanted=np.array([place(mesh[iris], mesh[[a, b]]) for a, b, iris in EYES_OF_MESH]),
        found=np.array([[way(gray, points[eye]) for eye in EYES_OF_68] for way in LEARN_NOTHING if held_out]),
        pixels=np.stack([eye_pixels(gray, points, eye) for eye in (0, 1)]),
        pose=found.pose,
        gaze=gaze,
    )


def eyes_turned(blend: Floats) -> Floats:
    """By how much the eyes are turned against the head f32[2], to the right of the picture and down, degrees."""
    across, down = (
        (blend[list(one)].sum() - blend[list(other)].sum()) / 2 for one, other in (LOOKS_ACROSS, LOOKS_DOWN)
    )
    return np.array([ACROSS_DEG * across, DOWN_DEG * down], np.float32)


def place(point: Floats, corners: Floats) -> tuple[float, float]:
    """How far a point f32[2] lies on the way from one corner to the other f32[2,2], and how far below that line, both
    in its lengths."""
    along, off = corners[1] - corners[0], point - corners[0]
    length = max(float(along @ along), 1e-6)
    return float(off @ along) / length, float(off[1] * along[0] - off[0] * along[1]) / length


# --- the filter ----------------------------------------------------------------------------------------------


def fit(rows: Sequence[Row]) -> IrisWeights:
    """The filter to the mesh's places (ridge regression), then the angles to what its gaze has beyond the daemon's head
    (least squares)."""
    pixels = np.concatenate([row.pixels for row in rows])
    columns = np.column_stack([pixels, np.ones(len(pixels))]).astype(np.float64)
    squares = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
    wanted = np.concatenate([mirrored(row.wanted) for row in rows])
    filters = np.linalg.solve(squares, columns.T @ wanted).T
    places = filters.round(6).tolist()
    right, below = np.array([place_of_both(_places(row, places)) for row in rows]).T
    yaw, pitch = _heads(rows).T
    across, down = (np.stack([row.gaze for row in rows]) - _heads(rows)).T
    return IrisWeights(
        places,
        across=_least_squares(np.column_stack([right, yaw]), across),
        down=_least_squares(np.column_stack([below, pitch, np.ones(len(rows))]), down),
    )


def _heads(rows: Sequence[Row]) -> NDArray[Any]:
    return np.array([(row.pose.yaw_deg, row.pose.pitch_deg) for row in rows])


def _least_squares(columns: NDArray[Any], wanted: NDArray[Any]) -> list[float]:
    weights, *_ = np.linalg.lstsq(columns, wanted, rcond=None)
    return [round(each, 4) for each in weights.tolist()]


def mirrored(places: Floats) -> Floats:
    """Places f32[2,2] left to right as places from the outer corner to the inner one, and the other way round."""
    return np.stack([places[0], (1 - places[1, 0], places[1, 1])])


def _places(row: Row, weights: Sequence[Sequence[float]]) -> Floats:
    """The filter's, from the outer corner."""
    filters = np.array(weights)
    return np.asarray(row.pixels @ filters[:, :-1].T + filters[:, -1])


# --- figures -------------------------------------------------------------------------------------------------


def name_of(condition: tuple[int, float]) -> str:
    """Of a condition."""
    return f"eyes of {worsened.name(*condition)}"


def place_figures(rows: Sequence[Row], way: str, weights: IrisWeights) -> IrisFigures:
    """One way under one condition."""
    wanted = np.stack([row.wanted[:, 0] for row in rows])
    if way == "filter":
        got = np.stack([mirrored(_places(row, weights.place))[:, 0] for row in rows])
    else:
        got = np.stack([row.found[WAYS.index(way)] for row in rows])
    known = np.isfinite(got).all(axis=1)
    frontal = known & np.array([abs(row.pose.yaw_deg) < FRONTAL_DEG for row in rows])
    face, mean = wanted.mean(axis=1), got.mean(axis=1)
    line = np.polyval(np.polyfit(mean[known], face[known], 1), mean[known])
    return IrisFigures(
        name_of(rows[0].condition),
        way,
        int(known.sum()),
        correlation(wanted[known].ravel(), got[known].ravel()),
        correlation(face[known], mean[known]),
        correlation(face[frontal], mean[frontal]),
        float(np.abs(line - face[known]).mean()),
    )


def gaze_figures(rows: Sequence[Row], weights: IrisWeights) -> GazeFigures:
    """What the filter adds under one condition."""
    turns = [turn(_places(row, weights.place), row.pose, weights) for row in rows]
    eyes = np.array([(each.across_deg, each.down_deg) for each in turns])
    head, gaze = _heads(rows), np.stack([row.gaze for row in rows])
    looking = _looks(gaze)
    answers = [_looks(head), _looks(head + eyes)]
    scores = [precision_recall(each, looking, np.ones(len(rows), np.bool_)) for each in answers]
    across, down = (
        (correlation(head[:, axis], gaze[:, axis]), correlation((head + eyes)[:, axis], gaze[:, axis]))
        for axis in (0, 1)
    )
    precision, recall = zip(*scores, strict=True)
    return GazeFigures(
        name_of(rows[0].condition), len(rows), int(looking.sum()), across, down, tuple(precision), tuple(recall)
    )


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's correlation of two f[N]."""
    return float(np.corrcoef(one, other)[0, 1])


def _looks(gaze: NDArray[Any]) -> Bools:
    """Whether directions f64[N,2], across and down in degrees, lie within the cone of the configuration."""
    straight, cone = Pose(yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0), Attention().cone_deg
    return np.array([off_camera_deg(straight, EyeTurn(*each)) <= cone for each in gaze.tolist()], np.bool_)


def table(figures: Sequence[IrisFigures | GazeFigures]) -> list[str]:
    """Lay out for people."""
    return [
        "iris beside the mesh: correlation of single eyes, of the mean of both, of frontal faces; mean error in widths",
        *(_place_row(each) for each in figures if isinstance(each, IrisFigures)),
        "gaze beside the mesh: the head alone -> with the irises",
        *(_gaze_row(each) for each in figures if isinstance(each, GazeFigures)),
    ]


def _place_row(each: IrisFigures) -> str:
    figures = f"{each.eye:.3f} {each.face:.3f} {each.frontal:.3f}, error {each.error:.3f}"
    return f"{each.condition:<26} {each.way:<9} {each.faces:5} faces  {figures}"


def _gaze_row(each: GazeFigures) -> str:
    pairs = {"across": each.across, "down": each.down, "precision": each.precision, "recall": each.recall}
    figures = ", ".join(f"{name} {one:.3f} -> {other:.3f}" for name, (one, other) in pairs.items())
    return f"{each.condition:<26} {each.faces:5} faces, {each.looking} look  {figures}"
