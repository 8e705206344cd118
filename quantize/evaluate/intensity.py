"""The intensity model compared with a mesh, on people and photos kept from training.

Faces are SMALL_PX high, found by their box and aligned by the landmarks model that comes with fer-edge, as the daemon
does: what those do wrong is in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats
from fer_edge.vision.intensity import IntensityReader
from fer_edge.vision.model_card import models_folder
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data import mesh_faces
from quantize.data.augment import lower_resolution
from quantize.data.mesh_faces import CROP_SCALE, INTENSITIES, MeshFaces
from quantize.data.sets import DataError
from quantize.evaluate.landmark_heads import look

SMALL_PX = 48
SIZES_PX = (80, 48, 32)
YAW_TO = 30.0  # degrees, by the mesh
LEAST_PX = 48.0  # height of faces that are compared, in their own pictures: of smaller ones a mesh knows little
CLOSED = 0.5  # of the mesh's intensity, from which on an eye is closed
LEAST_CORRELATION = 0.75
LEAST_AUC = 0.90  # of closed eyes
SPLITS = ("heldout",)
OTHERS = {"ages": "faces_unlabelled", "clips": "webcam clips"}  # sets not used for training


@dataclass(frozen=True, slots=True)
class IntensityFigures:
    """The model's figures."""

    set: str
    images: int
    correlations: Mapping[str, float]  # with the mesh, of each output
    aucs: Mapping[str, float]  # of closed eyes
    told: int  # outputs that are good enough


@dataclass(frozen=True, slots=True)
class Result:
    """One pass over a set."""

    data: Path
    figures: IntensityFigures


def run(model: Model, data: Path, *, split: str) -> Result:
    """Measure a model on the faces kept from training. Raises DataError."""
    if split not in SPLITS:
        raise DataError(f"{data}: split {split!r}: expected {' or '.join(SPLITS)}")
    return Result(data, measure(model, kept(data), name="labelled faces: the people and photos kept from training"))


def kept(data: Path) -> MeshFaces:
    """The faces kept from training for which the mesh has intensities. Raises DataError."""
    if not mesh_faces.available(data):
        raise DataError(f"{data / 'mesh'}: no labelled faces; run quantize.data.mesh_labels first")
    sets = mesh_faces.read_all(data).values()
    found = clear(mesh_faces.join([faces.pick(faces.held_out) for faces in sets]))
    if not len(found):
        raise DataError(f"{data / 'mesh'}: expected faces kept from training that have intensities, found none")
    return found


def clear(faces: MeshFaces) -> MeshFaces:
    """Faces that are large and straight enough for the mesh."""
    known = np.isfinite(faces.intensities).all(axis=1) & (np.abs(faces.poses[:, 0]) <= YAW_TO)
    return faces.pick(known & (faces.presence >= mesh_faces.SURE_LOGIT) & (faces.height_px >= LEAST_PX))


def measure(model: Model, faces: MeshFaces, *, name: str, px: int = SMALL_PX) -> IntensityFigures:
    """Run a model over faces of a size."""
    side = round(CROP_SCALE * px)
    crops = np.stack([lower_resolution(crop, side, side) for crop in faces.crops])
    landmarks = daemon_stages.open_model(models_folder() / "landmarks.tflite", "landmarks")
    reader = IntensityReader(model)
    placed = look(landmarks, mesh_faces.with_crops(faces, crops))
    pairs = zip(crops, placed, strict=True)
    values = np.stack([reader(daemon_stages.frame_of(crop), points).values for crop, points in pairs])
    return compare(reader.names, faces, values, name=name)


def compare(names: Sequence[str], faces: MeshFaces, values: Floats, *, name: str) -> IntensityFigures:
    """Hold values f32[N,K] against the mesh's."""
    wanted = {each: faces.intensities[:, list(INTENSITIES).index(each)] for each in names}
    pairs = {each: (wanted[each], values[:, index]) for index, each in enumerate(names)}
    correlations = {each: _correlation(w, got) for each, (w, got) in pairs.items()}
    aucs = {each: auc(w >= CLOSED, got) for each, (w, got) in pairs.items() if each in mesh_faces.SWAPPED}
    good = len(names) - len(withheld({"correlations": correlations, "aucs": aucs}))
    return IntensityFigures(name, len(faces), correlations, aucs, good)


def _correlation(wanted: Floats, got: Floats) -> float:
    return float(np.corrcoef(wanted, got)[0, 1]) if wanted.std() > 0 and got.std() > 0 else 0.0


def auc(positive: NDArray[np.bool_], scores: Floats) -> float:
    """How often a positive one, bool[N], has a higher score, f32[N], than another, ties half: the area under the ROC
    curve."""
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def withheld(figures: Mapping[str, Any]) -> list[str]:
    """The intensities that, by figures as `IntensityFigures` has them, are not good enough to be published: closed eyes
    are judged by both measures."""
    correlations, aucs = figures["correlations"], figures["aucs"]
    return [
        name
        for name, value in correlations.items()
        if not (value >= LEAST_CORRELATION and aucs.get(name, 1.0) >= LEAST_AUC)
    ]


def conditions(model: Model, result: Result) -> dict[str, dict[str, Any]]:
    """Correlations by size of the face, and on sets not used for training."""
    faces = kept(result.data)
    found = {f"{px} px": _row(measure(model, faces, name="", px=px)) for px in SIZES_PX}
    for name, others in mesh_faces.read_all(result.data, tuple(OTHERS)).items():
        if len(own := clear(others)):
            found[OTHERS[name]] = _row(measure(model, own, name=""))
    return found


def _row(figures: IntensityFigures) -> dict[str, Any]:
    return {"images": figures.images, **figures.correlations}


def table(figures: IntensityFigures) -> list[str]:
    """Lay out for people."""
    correlations = "   ".join(f"{name} {value:.3f}" for name, value in figures.correlations.items())
    aucs = "   ".join(f"{name} {value:.3f}" for name, value in figures.aucs.items())
    return [
        f"{figures.set}: {figures.images} faces of {SMALL_PX} px; {figures.told} outputs good enough",
        f"correlation with the mesh: {correlations}",
        f"closed eyes, area under the ROC curve: {aucs}",
    ]
