"""The intensities' task: how strongly parts of a face move, as a mesh's blendshapes say, from aligned crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_edge.vision import transforms
from fer_edge.vision.model_card import Role
from quantize.data import augment, eyes_read, mesh_faces
from quantize.data.cut_faces import TEMPLATE
from quantize.data.eyes_read import read_eyes
from quantize.data.mesh_faces import INTENSITIES, MeshFaces
from quantize.data.sets import FER_SIDE, DataError, Floats, Image
from quantize.tasks.networks import intensity_net
from quantize.tasks.task import Predict, to_input

BATCH = 64
STEPS = 250  # batches in an epoch
WEIGHT_DECAY = 0.01
YAW_TO = 40.0  # degrees up to which the mesh is trusted here; beyond, the daemon does not classify a face
RARE = 0.45  # of an intensity other than the common ones, from which on a face is drawn more often
COMMON = ("smile", "brow_down")
RARE_WEIGHT = 3.0
READ_WEIGHT = 6.0  # of a face whose eyes a person has read: there, the mesh or a model was wrong or in doubt
MOST_WEIGHT = 4.0  # of an output beside the one that varies most

# How far the daemon's alignment is off: its three points in eye distances, and the crop's size.
POINTS_OFF = 0.04
SIZE_OFF = 0.04

SAMPLE = 500
SAMPLE_SEED = 11


class Intensity:
    """Learn the mesh's intensities."""

    role: Role = "intensity"
    steps = STEPS
    peak_rate = 3e-3

    def __init__(self, data: Path) -> None:
        """Read the faces that have been labelled. Raises DataError."""
        if not mesh_faces.available(data):
            raise DataError(f"{data / 'mesh'}: no labelled faces; run quantize.data.mesh_labels first")
        sets = mesh_faces.read_all(data, mesh_faces.LIVELY).values()
        training, read = mesh_faces.join([clear(faces.pick(~faces.held_out)) for faces in sets]), read_eyes(data)
        self.training = replace(training, intensities=eyes_read.corrected(training, read))
        self.held_out = mesh_faces.join([clear(faces.pick(faces.held_out)) for faces in sets])
        self._odds = odds(self.training, eyes_read.was_read(training, read))
        spread = self.training.intensities.std(axis=0)
        weights = np.minimum(spread.max() / np.maximum(spread, 1e-3), MOST_WEIGHT)
        self._weights = (weights / weights.mean()).astype(np.float32)

    def network(self, *, batch: int | None = None) -> Any:
        """48x48x1 -> a logit for each intensity."""
        return intensity_net(len(INTENSITIES), batch=batch)

    def optimizer(self) -> Any:
        """AdamW."""
        return keras.optimizers.AdamW(self.peak_rate, weight_decay=WEIGHT_DECAY)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """Faces f32[batch,48,48,1], lively ones more often, each time aligned a little differently, and intensities
        f32[batch,10]."""
        for _ in range(self.steps):
            rows = rng.choice(len(self.training), BATCH, p=self._odds)
            crops, wanted = views(self.training, rows, rng), self.training.intensities[rows]
            mirrored = rng.random(BATCH) < 0.5
            crops[mirrored] = crops[mirrored, :, ::-1]
            wanted = np.where(mirrored[:, None], mesh_faces.mirror_intensities(wanted), wanted)
            yield to_input(varied(crops, rng)), wanted

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """Cross-entropy with the mesh's shares; outputs that vary little count more."""
        (logits,) = outputs
        return ops.mean(self._weights * (ops.softplus(logits) - targets * logits))

    def progress(self, predict: Predict) -> dict[str, float]:
        """Correlation with the mesh on people kept from training, aligned as in training; `predict`: f32[N,48,48,1] ->
        logits f32[N,10]."""
        rng = np.random.default_rng(SAMPLE_SEED)
        (logits,) = predict(to_input(views(self.held_out, np.arange(len(self.held_out)), rng)))
        shares = 1 / (1 + np.exp(-logits))
        pairs = zip(INTENSITIES, self.held_out.intensities.T, shares.T, strict=True)
        return {name: float(np.corrcoef(wanted, got)[0, 1]) for name, wanted, got in pairs}

    def sample(self) -> Image:
        """Training faces u8[N,48,48], aligned as in use."""
        rng = np.random.default_rng(SAMPLE_SEED)
        return views(self.training, rng.choice(len(self.training), SAMPLE), rng)

    def finish(self, network: Any, sample: Image) -> Image:  # noqa: ARG002
        """Nothing is left to do: returns the sample u8[N,48,48]."""
        return sample

    def card(self) -> dict[str, Any]:
        """Template and names."""
        return {"template": TEMPLATE, "intensities": {"names": list(INTENSITIES)}}


def clear(faces: MeshFaces) -> MeshFaces:
    """The faces for which the mesh has intensities."""
    known = np.isfinite(faces.intensities).all(axis=1) & (np.abs(faces.poses[:, 0]) <= YAW_TO)
    return faces.pick(known & (faces.presence >= mesh_faces.SURE_LOGIT))


def odds(faces: MeshFaces, read: NDArray[np.bool_]) -> Floats:
    """How likely each face is drawn f64[N]; `read`: whose eyes a person has read."""
    rare = [index for index, name in enumerate(INTENSITIES) if name not in COMMON]
    weights = np.where((faces.intensities[:, rare] >= RARE).any(axis=1), RARE_WEIGHT, 1.0)
    weights = np.where(read, READ_WEIGHT, weights)
    return np.asarray(weights / weights.sum())


def views(faces: MeshFaces, rows: NDArray[np.intp], rng: np.random.Generator) -> Image:
    """Aligned crops u8[N,48,48], off as the daemon's are."""
    template = np.array(list(TEMPLATE.values()), np.float32) * np.float32(FER_SIDE)
    crops = []
    for row in rows:
        anchors = transforms.anchors3(faces.points[row])
        eyes = float(np.hypot(*(anchors[1] - anchors[0])))
        moved = (anchors + rng.normal(0, POINTS_OFF * eyes, (3, 2))).astype(np.float32)
        size = float(np.exp(rng.normal(0, SIZE_OFF)))
        matrix = transforms.similarity(moved, size * (template - FER_SIDE / 2) + FER_SIDE / 2)
        crops.append(transforms.warp(faces.crops[row], matrix, FER_SIDE))
    return np.stack(crops)


def varied(crops: Image, rng: np.random.Generator) -> Image:
    """Augment crops u8[N,48,48] as a camera varies."""
    crops = augment.coarsen(augment.relight(crops, rng), rng, share=0.3, sides_px=(20, 48))
    crops = augment.blur(crops, rng, share=0.1)
    return augment.compress(augment.add_noise(crops, rng, share=0.2), rng, share=0.1)
