"""Closed eyes, an open mouth and a smile, single pictures, by how high the face is and by light.

Closed eyes beside what a person has read from the pictures (`quantize.data.eyes_read`; unclear ones are left out), or,
without such a file, against the mesh; the others against the mesh's intensities. Of the faces that the daemon would
judge. `clear` leaves out those that the mesh has near the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.config import EyesMouth, Quality
from fer_edge.records import Image
from fer_edge.vision.classifier import Classifier
from fer_edge.vision.intensity import IntensityReader
from fer_edge.vision.quality import assess
from quantize import daemon_stages
from quantize.data import eyes_read, mesh_faces
from quantize.data.mesh_faces import INTENSITIES, MeshFaces
from quantize.data.sets import Floats
from quantize.evaluate import intensity, worsened
from quantize.evaluate.landmark_heads import look
from quantize.metrics import Bools

STATES = {
    "eyes_closed": (("eye_closed_left", "eye_closed_right"), 0.5),
    "mouth_open": (("jaw_open",), 0.3),
    "smiles": (("smile",), 0.5),
}
"""The mesh's intensities, and from what on it means that."""

NEAR_INTENSITY = 0.1


@dataclass(frozen=True, slots=True)
class StateFigures:
    """What closed eyes, an open mouth or a smile is worth under one condition."""

    condition: str
    faces: int
    on: int  # of them, by the labels
    known: float  # share of the faces that the daemon classifies
    precision: float
    recall: float  # of those that it classifies
    clear_precision: float
    clear_recall: float
    clear_wrong: float  # share reported as on, of those that clearly are not


class Reader:
    """Crops of faces -> intensities, as the daemon reads them."""

    def __init__(self, models: Path) -> None:
        self._landmarks = daemon_stages.open_model(models / "landmarks.tflite", "landmarks")
        expression = daemon_stages.open_model(models / "expression.tflite", "expression")
        self._classifier = Classifier(expression)
        self._intensity = IntensityReader(daemon_stages.open_model(models / "intensity.tflite", "intensity"))
        self.names = self._intensity.names

    def __call__(self, faces: MeshFaces, crops: Image) -> tuple[Floats, Bools]:
        """Intensities f32[N,K] and whether the daemon would classify each, bool[N]."""
        values, judged = [], []
        for crop, found in zip(crops, look(self._landmarks, mesh_faces.with_crops(faces, crops)), strict=True):
            frame = daemon_stages.frame_of(crop)
            quality = assess(self._classifier.crop(frame, found), found, Quality(min_height_px=1))
            values.append(self._intensity(frame, found).values)
            judged.append(quality.reason is None)
        return np.stack(values), np.array(judged, np.bool_)


def measure(models: Path, data: Path) -> list[StateFigures]:
    """Each by height and light, and on sets not used for training. Raises DataError without labelled faces."""
    reader, read = Reader(models), eyes_read.read_eyes(data)
    faces = intensity.clear(worsened.kept(data))
    found = [
        each
        for light, heights in worsened.LIGHTS.items()
        for px in heights
        for each in _measure(reader, faces, read, px=px, light=light)
    ]
    for name, others in mesh_faces.read_all(data, tuple(intensity.OTHERS)).items():
        if len(clear := intensity.clear(others)):
            rows = _measure(reader, clear, {}, px=48, light=1.0)
            found += [replace(each, condition=f"{each.condition}, {name}") for each in rows]
    return found


def _measure(reader: Reader, faces: MeshFaces, read: Mapping[str, str], *, px: int, light: float) -> list[StateFigures]:
    values, judged = reader(faces, worsened.worse(faces.crops, px, light))
    limits, rows = EyesMouth(), []
    for name, (of, least) in STATES.items():
        wanted = faces.intensities[:, [list(INTENSITIES).index(each) for each in of]].min(axis=1)
        predicted = values[:, [reader.names.index(each) for each in of]].mean(axis=1) >= getattr(limits, name)
        right, clear, which = wanted >= least, np.abs(wanted - least) > NEAR_INTENSITY, judged
        if read and name == "eyes_closed":
            how = eyes_read.read_as(faces, read)
            right, clear, which = how == "closed", how != "unclear", judged & (how != "unclear")
        condition = f"{name}, {worsened.name(px, light)}"
        rows.append(_figures(condition, predicted, right, which, clear & which, known=float(judged.mean())))
    return rows


def _figures(
    condition: str, predicted: Bools, right: Bools, which: Bools, clear: Bools, *, known: float
) -> StateFigures:
    wrong = predicted[clear & ~right]
    return StateFigures(
        condition,
        len(right),
        int((right & which).sum()),
        known,
        *precision_recall(predicted, right, which),
        *precision_recall(predicted, right, clear),
        float(wrong.mean()) if wrong.size else 0.0,
    )


def precision_recall(positive: Bools, right: Bools, which: Bools) -> tuple[float, float]:
    """Precision and recall of the predictions `positive` against the truth `right`, among the faces `which`; bool[N]
    each."""
    hits = int((positive & right & which).sum())
    return hits / max(1, int((positive & which).sum())), hits / max(1, int((right & which).sum()))


def table(figures: list[StateFigures]) -> list[str]:
    """Lay out for people."""
    head = "eyes against what was read, mouth and smile against the mesh; clear: without those near the limit"
    return [head, *(_row(each) for each in figures)]


def _row(each: Any) -> str:
    return (
        f"{each.condition:<28} {each.faces} faces, {each.on} on; known {each.known:6.1%}  "
        f"precision {each.precision:.2f} recall {each.recall:.2f}  "
        f"clear {each.clear_precision:.2f} {each.clear_recall:.2f}, wrong {each.clear_wrong:.2%}"
    )
