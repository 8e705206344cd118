"""Measure the two shapes that the daemon has built in:
`python -m quantize.evaluate.geometry --data data --models models`.

RIGID_SHAPE (fer_edge/vision/landmarks.py), from which the pose is read: the points that no expression moves, in three
dimensions, from many people's labelled points in two (Tomasi and Kanade 1992, here with weights for outliers).
TEMPLATE (quantize/data/cut_faces.py): where FER+ faces have their eyes and mouth, as the landmarks model sees them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ModelError
from fer_edge.records import Box
from fer_edge.vision.landmarks import RIGID, RIGID_SHAPE, crop_around_box
from fer_edge.vision.tflite import Model
from fer_edge.vision.transforms import anchors3
from quantize import daemon_stages
from quantize.data.locate import located
from quantize.data.scenes import FER_BOX
from quantize.data.sets import (
    FER_SIDE,
    TRAIN,
    DataError,
    FerPlus,
    Still,
    held_out_stills,
    pick,
    read_ferplus,
    read_stills,
)

ROUNDS = 60
MIRROR = [3, 2, 1, 0, 4, 5, 6, 7, 10, 9, 8]  # of RIGID
SURE = 0.9  # presence from which a FER+ face's landmarks count
FACES = 3000

Doubles = NDArray[np.float64]


def rigid_shape(stills: Sequence[Still]) -> Doubles:
    """The rigid points f64[11,3] in distances of the outer eye corners, turned as the present RIGID_SHAPE is."""
    seen = np.array([still.points[list(RIGID)] for still in stills], np.float64)  # [N,11,2]
    seen -= seen.mean(axis=1, keepdims=True)
    seen /= np.sqrt((seen**2).sum(axis=(1, 2), keepdims=True))
    present = RIGID_SHAPE - RIGID_SHAPE.mean(axis=0)
    shape = present
    for _ in range(ROUNDS):
        views = _views(shape, seen)
        off = np.sqrt(((seen - np.einsum("nij,kj->nki", views, shape)) ** 2).sum(axis=(1, 2)))
        weights = 1 / np.maximum(off, np.median(off))
        normal = np.einsum("n,nij,nik->jk", weights, views, views)
        shape = np.linalg.solve(normal, np.einsum("n,nij,nki->jk", weights, views, seen)).T
        shape = _upright(shape - shape.mean(axis=0), present)
    return np.asarray(shape - shape[[0, 3]].mean(axis=0) + RIGID_SHAPE[[0, 3]].mean(axis=0))


def _views(shape: Doubles, seen: Doubles) -> Doubles:
    """The two scaled, orthogonal rows f64[N,2,3] by which each view shows the shape best."""
    rows = (np.linalg.pinv(shape) @ seen).transpose(0, 2, 1)
    left, scales, right = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(scales.mean(axis=1)[:, None, None] * (left @ right))


def _upright(shape: Doubles, present: Doubles) -> Doubles:
    """Turn and scale like the present shape, and make symmetric."""
    left, _, right = np.linalg.svd(shape.T @ present)
    shape = shape @ (left @ right)
    shape = shape / np.linalg.norm(shape[0] - shape[3])
    return np.asarray((shape + shape[MIRROR] * (-1, 1, 1)) / 2)


def template(model: Model, data: FerPlus) -> Doubles:
    """Mean place f64[3,2] of the eyes and the mouth in FER+ training pictures, in shares of the side. Raises
    DataError."""
    assert model.card.points is not None  # tflite.py refuses a landmarks card without it
    box = Box(*(FER_SIDE * share for share in FER_BOX))
    matrix = crop_around_box(box, model.card.points, model.card.input.shape[1])
    placed = []
    for gray in data.images[data.split == TRAIN][:FACES]:
        marks = daemon_stages.landmarks(model, gray, matrix)
        if marks.score >= SURE:
            placed.append(anchors3(marks.points) / FER_SIDE)
    if not placed:
        raise DataError("FER+: the landmarks model takes none of the Training pictures for a face")
    mean = np.mean(placed, axis=0)
    mirrored = mean[[1, 0, 2]] * (-1, 1) + (1, 0)
    return np.asarray((mean + mirrored) / 2, np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.evaluate.geometry", description="Measure RIGID_SHAPE and TEMPLATE.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets that quantize.data.sets names")
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args(arguments)
    try:
        _print("RIGID_SHAPE", rigid_shape(_learned(located("landmarks", options.data))))
        model = daemon_stages.open_model(options.models / "landmarks.tflite", "landmarks")
        _print("TEMPLATE", template(model, read_ferplus(located("expression", options.data))))
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _learned(where: Path) -> list[Still]:
    stills = read_stills(where)
    learned = pick(stills, ~held_out_stills(stills))
    if not learned:
        raise DataError(f"{where}: expected stills of people that are learned from, found none")
    return learned


def _print(name: str, shape: NDArray[Any]) -> None:
    print(name, np.array2string(shape, precision=3, suppress_small=True, separator=", "), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
