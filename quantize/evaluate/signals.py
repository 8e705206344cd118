"""The signals of `fer_edge/tracking/signals`, frame by frame, beside labels, by how high the face is.

`looks` against the pose by a mesh, on people and photos kept from training (faces of at least 80 px in their
own pictures, made smaller; profiles whose yaw is all that is known too). Precision and recall are of the faces of which
it says either; `sure` leaves out those that the mesh has within NEAR_DEG of the cone's edge, where it is not exact
either. `balance` beside the votes of FER+ pictures of the test splits: positive share minus negative ones. Over time
the daemon adds hysteresis and smoothing, which single pictures do not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Attention, Quality
from fer_edge.records import Image, Landmarks, Pose, Reason
from fer_edge.tracking.signals.attention import looks, off_camera_deg
from fer_edge.tracking.signals.balance import balance
from fer_edge.vision.classifier import Classifier, softmax
from fer_edge.vision.quality import assess
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data import mesh_faces
from quantize.data.ferplus import soft_labels
from quantize.data.locate import located
from quantize.data.mesh_faces import MeshFaces
from quantize.data.sets import TRAIN, DataError, read_ferplus
from quantize.evaluate import drowsiness, eyes_mouth, over_calm, worsened
from quantize.evaluate.eyes_mouth import precision_recall
from quantize.evaluate.landmark_heads import look

NEAR_DEG = 3.0


@dataclass(frozen=True, slots=True)
class LooksFigures:
    """What `looks` is worth under one condition."""

    condition: str
    faces: int
    looking: int  # of them, by the mesh
    known: float  # share for which it is known
    precision: float
    recall: float  # of those for which it is known
    away: float  # share reported as not looking, of those that do not
    sure_precision: float
    sure_recall: float


@dataclass(frozen=True, slots=True)
class BalanceFigures:
    """What `balance` is worth under one condition."""

    condition: str
    faces: int
    correlation: float
    error: float  # mean absolute one
    sign: float  # share with the right sign, of faces whose votes lean by LEANS and more


LEANS = 0.3


def measure(models: Path, data: Path) -> dict[str, Any]:
    """Every signal. Raises DataError."""
    return {
        "looks": measure_looks(models, data),
        "balance": measure_balance(models, data),
        "eyes_mouth": eyes_mouth.measure(models, data),
        "over_calm": over_calm.measure(models, data),
        "drowsiness": drowsiness.measure(models, data),
    }


# --- looks ---------------------------------------------------------------------------------------------------


def measure_looks(models: Path, data: Path) -> list[LooksFigures]:
    """By height, and in dim light. Raises DataError where no faces are labelled."""
    faces = worsened.kept(data)
    landmarks = daemon_stages.open_model(models / "landmarks.tflite", "landmarks")
    expression = daemon_stages.open_model(models / "expression.tflite", "expression")
    return [
        _looks(landmarks, expression, faces, px=px, light=light)
        for light, heights in worsened.LIGHTS.items()
        for px in heights
    ]


def _looks(landmarks: Model, expression: Model, faces: MeshFaces, *, px: int, light: float) -> LooksFigures:
    crops = worsened.worse(faces.crops, px, light)
    found = look(landmarks, mesh_faces.with_crops(faces, crops))
    classifier, config = Classifier(expression), Attention(min_height_px=1)
    off = np.array([off_of(pose) for pose in faces.poses])
    predicted = np.array([_predicted(classifier, crop, each, config) for crop, each in zip(crops, found, strict=True)])
    return compare(off, predicted, name=worsened.name(px, light), cone=config.cone_deg)


def off_of(pose: NDArray[Any]) -> float:
    """The angle between a mesh's pose f32[3] and the camera; a profile has its yaw only."""
    yaw, pitch, _ = np.nan_to_num(pose).tolist()
    return off_camera_deg(Pose(yaw_deg=yaw, pitch_deg=pitch, roll_deg=0.0))


def _predicted(classifier: Classifier, crop: Image, found: Landmarks, config: Attention) -> float:
    """1 looks, 0 does not, NaN: it abstains."""
    quality = assess(classifier.crop(daemon_stages.frame_of(crop), found), found, Quality(min_height_px=1))
    measured = looks(found.pose, quality, config)
    return float("nan") if isinstance(measured, Reason) else float(measured >= 0)


def compare(off: NDArray[Any], predicted: NDArray[Any], *, name: str, cone: float) -> LooksFigures:
    """Compare the reported f64[N] with the mesh's angles f64[N]."""
    known, looking = np.isfinite(predicted), off <= cone
    sure = known & (np.abs(off - cone) > NEAR_DEG)
    return LooksFigures(
        name,
        len(off),
        int(looking.sum()),
        float(known.mean()),
        *precision_recall(predicted == 1, looking, known),
        float((predicted == 0)[known & ~looking].mean()),
        *precision_recall(predicted == 1, looking, sure),
    )


# --- balance -------------------------------------------------------------------------------------------------


def measure_balance(models: Path, data: Path) -> list[BalanceFigures]:
    """By how many pixels the crop has. Raises DataError where FER+ is not there or has no row to compare with."""
    held = read_ferplus(located("expression", data))
    test = held.split != TRAIN
    shares, fit = soft_labels(held.votes[test])
    if not fit.any():
        raise DataError(f"{data}: FER+: expected rows outside Training that have an expression, found none")
    images, shares = held.images[test][fit], shares[fit]
    wanted = np.array([balance(row) for row in shares])
    model = daemon_stages.open_model(models / "expression.tflite", "expression")
    return [_balance(model, images, wanted, px) for px in worsened.HEIGHTS_PX if px <= images.shape[1]]


def _balance(model: Model, images: Image, wanted: NDArray[Any], px: int) -> BalanceFigures:
    side = images.shape[1]
    small = [cv2.resize(each, (px, px), interpolation=cv2.INTER_AREA) for each in images]
    crops = np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_LINEAR) for each in small])
    logits = daemon_stages.logits(model, np.asarray(crops, np.uint8))
    got = np.array([balance(row) for row in softmax(logits, temperature=model.card.temperature)])
    leaning = np.abs(wanted) >= LEANS
    return BalanceFigures(
        f"crop of {px} px",
        len(wanted),
        float(np.corrcoef(wanted, got)[0, 1]),
        float(np.abs(wanted - got).mean()),
        float((wanted * got > 0)[leaning].mean()),
    )


# --- for people ----------------------------------------------------------------------------------------------


def table(figures: dict[str, Any]) -> list[str]:
    """Lay out for people."""
    return [
        "looks: precision and recall against the mesh's pose; sure: without those near the cone's edge",
        *(_looks_row(each) for each in figures["looks"]),
        "balance beside the votes of FER+",
        *(_balance_row(each) for each in figures["balance"]),
        *eyes_mouth.table(figures["eyes_mouth"]),
        *over_calm.table(figures["over_calm"]),
        *drowsiness.table(figures["drowsiness"]),
    ]


def _looks_row(each: LooksFigures) -> str:
    return (
        f"{each.condition:<18} {each.faces} faces, {each.looking} looking; known {each.known:6.1%}  "
        f"precision {each.precision:.3f} recall {each.recall:.3f} away {each.away:.1%}  "
        f"sure {each.sure_precision:.3f} {each.sure_recall:.3f}"
    )


def _balance_row(each: BalanceFigures) -> str:
    return (
        f"{each.condition:<18} {each.faces} faces; correlation {each.correlation:.3f}, "
        f"mean error {each.error:.3f}, sign right {each.sign:.1%}"
    )
