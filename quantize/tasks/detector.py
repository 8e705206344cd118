"""The face detector's task: training scenes cut from photos, stills and pasted faces, what each grid cell of the
network should answer for them, and the loss.

Every training picture is a square of SIDE px. A face belongs to the grid whose cells suit its size, there to the cells
around its centre (FCOS, Tian et al. 2019, arXiv:1904.01355). A cell's score learns how well its own box fits (quality
focal loss, Li et al. 2020, arXiv:2006.04388), so that of several boxes the best one wins.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from fer_edge.vision.detector import decode, input_size, weighted_nms
from fer_edge.vision.model_card import Role, SsdCard
from fer_edge.vision.transforms import invert, letterbox, transform
from quantize.data import augment
from quantize.data.ferplus import training_rows
from quantize.data.scenes import Scene, Scenes, difficult
from quantize.data.sets import (
    Floats,
    Image,
    Photo,
    chosen,
    held_out_photos,
    held_out_scenes,
    pick,
    read_crowd,
    read_ferplus,
    read_people,
    read_pictures,
    read_stills,
    side_of,
)
from quantize.evaluate.detector import COUNTED, LOWEST_SCORE
from quantize.metrics import Matched, average_precision, curve, match
from quantize.tasks.networks import DETECTOR_SIZE, DETECTOR_STRIDES, KEYPOINTS, detector_net
from quantize.tasks.task import Predict, to_input

BATCH: Final = 32
STEPS: Final = 400
SAMPLE: Final = 300
SAMPLE_SEED: Final = 7
OVERLAP: Final = 0.4  # IoU from which the daemon takes two boxes for one face

# Which grid a face belongs to, by the root of its area in px: below the first limit to the first grid.
LIMITS_PX: Final = (32.0, 80.0)
GREY_ZONE: Final = 1.2  # a grid within this factor of a limit is neither right nor wrong
REACH: Final = 1.5  # in strides: cells this near to a face's centre answer for it
LEAST_QUALITY: Final = 0.2
UNSURE_QUALITY: Final = 0.8  # what cells of a face learn whose box is only roughly known

# Columns of a target: 1 = face, 0 = background, -1 = not asked; is the box known; the box; are the points; the points.
STATE, BOX_KNOWN, BOX, POINTS_KNOWN, POINTS = 0, 1, slice(2, 6), 6, slice(7, 7 + 2 * KEYPOINTS)
COLUMNS: Final = 7 + 2 * KEYPOINTS


class Detector:
    """Learn boxes, scores and key points on three grids."""

    role: Role = "detector"
    peak_rate = 2e-3
    steps = STEPS

    def __init__(self, data: Path, *, final: bool = False) -> None:
        """Read the sets; a third of the crowds is left for the gate, a sixth of the others shows progress."""
        crowds = side_of(read_crowd(data / "crowd_faces.zip"), held_out_photos, "train")
        checked = np.array([chosen(f"check {Path(photo.name).name}".encode(), one_in=6) for photo in crowds])
        self.checked = pick(crowds, checked)
        photos = data / "photos"
        empty = read_pictures(photos / "scenes.zip")
        self.scenes = Scenes(
            crowds=pick(crowds, ~checked),
            people=read_people(photos),
            stills=read_stills(data / "landmarks68.zip"),
            crops=training_rows(read_ferplus(data))[0],
            empty=pick(empty, ~held_out_scenes(empty)) + read_pictures(photos / "hardneg.zip"),
            final=final,
        )

    def network(self, *, batch: int | None = None) -> Any:
        """Any multiple of 32 px high and wide to train, DETECTOR_SIZE to convert."""
        return detector_net(DETECTOR_SIZE if batch else None, batch=batch)

    def optimizer(self) -> Any:
        """Make AdamW."""
        return keras.optimizers.AdamW(self.peak_rate, weight_decay=0.02, clipnorm=10.0)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """Draw scenes f32[BATCH,SIDE,SIDE,1] and their targets f32[BATCH,cells,COLUMNS]."""
        for _ in range(self.steps):
            scenes = [self.scenes.draw(rng) for _ in range(BATCH)]
            images = difficult(np.stack([scene.image for scene in scenes]), rng)
            yield to_input(images), np.stack([cell_targets(scene) for scene in scenes])

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """Sum the losses of score, box and points, per cell with a face."""
        logits, boxes, points = (_flat(outputs[kind::3]) for kind in range(3))
        face = ops.cast(targets[..., STATE] > 0.5, "float32")
        known, pointed = face * targets[..., BOX_KNOWN], face * targets[..., POINTS_KNOWN]
        count = ops.maximum(ops.sum(face), 1.0)
        overlap, enclosed = _box_overlap(boxes, targets[..., BOX])
        quality = known * ops.clip(overlap, LEAST_QUALITY, 1.0) + (face - known) * UNSURE_QUALITY
        asked = ops.cast(targets[..., STATE] > -0.5, "float32")
        scores = ops.sum(asked * quality_focal(logits[..., 0], ops.stop_gradient(quality))) / count
        size = _root_area(targets[..., BOX])
        box_error = 1 - enclosed + 0.5 * ops.mean(ops.abs(boxes - targets[..., BOX]), axis=-1) / size
        point_error = ops.mean(ops.abs(points - targets[..., POINTS]), axis=-1) / size
        return scores + (1.5 * ops.sum(known * box_error) + ops.sum(pointed * point_error)) / count

    def progress(self, predict: Predict) -> dict[str, float]:
        """Average precision on photos set apart."""
        matched = [_match(predict, photo) for photo in self.checked]
        faces = sum(int((photo.shares >= COUNTED).sum()) for photo in self.checked)
        return {"checked_ap": average_precision(curve(matched, faces=faces))}

    def sample(self) -> Image:
        """Training scenes at the default size."""
        rng = np.random.default_rng(SAMPLE_SEED)
        height, width = DETECTOR_SIZE
        return np.stack([_tile(self.scenes, rng)[:height, :width] for _ in range(SAMPLE)])

    def card(self) -> dict[str, Any]:
        """How the outputs become boxes."""
        return {"ssd": {"strides": list(DETECTOR_STRIDES), "keypoints": KEYPOINTS, "overlap": OVERLAP}}


def _tile(scenes: Scenes, rng: np.random.Generator) -> Image:
    """Put scenes side by side, 2 x SIDE px high and wide."""
    images = augment.relight(np.stack([scenes.draw(rng).image for _ in range(4)]), rng)
    return np.block([[images[0], images[1]], [images[2], images[3]]])


def _match(predict: Predict, photo: Photo) -> Matched:
    """Look at a photo as the daemon does, and hold what is found against its faces."""
    height, width = photo.image.shape
    size = input_size(width, height, area=math.prod(DETECTOR_SIZE), step=DETECTOR_STRIDES[-1])
    canvas, matrix = letterbox(photo.image, *size)
    ssd = SsdCard(strides=DETECTOR_STRIDES, keypoints=KEYPOINTS, overlap=OVERLAP)
    rows, scores = weighted_nms(*decode(predict(to_input(canvas[None])), ssd, min_score=LOWEST_SCORE), overlap=OVERLAP)
    boxes = transform(rows[:, :2].reshape(-1, 2), invert(matrix)).reshape(-1, 4)
    return match(boxes, scores, photo.boxes, photo.shares >= COUNTED)


# --- targets -------------------------------------------------------------------------------------------------


def cell_targets(scene: Scene, strides: Sequence[int] = DETECTOR_STRIDES) -> Floats:
    """What the cells of all grids, row by row, should answer: f32[cells,COLUMNS], boxes and points in strides."""
    height, width = scene.image.shape
    return np.concatenate([_grid_targets(scene, level, height // s, width // s) for level, s in enumerate(strides)])


def _grid_targets(scene: Scene, level: int, rows: int, columns: int) -> Floats:
    stride = DETECTOR_STRIDES[level]
    y, x = (np.mgrid[:rows, :columns].reshape(2, -1) + 0.5).astype(np.float32)  # cell centres, in strides
    centers = np.stack([x, y], axis=1)
    targets = np.zeros((rows * columns, COLUMNS), np.float32)
    for box in scene.ignored / stride:
        targets[_inside(centers, box), STATE] = -1
    sizes = _root_areas(scene.boxes)
    for face in np.argsort(-sizes):  # smaller faces last: they have fewer cells
        box = scene.boxes[face] / stride
        fit = grid_fit(float(sizes[face]), level)
        if fit == 0:
            continue
        cells = _cells_of(box, centers)
        if fit < 0:
            targets[cells & (targets[:, STATE] == 0), STATE] = -1
            continue
        targets[cells, STATE], targets[cells, BOX_KNOWN] = 1, scene.exact[face]
        targets[cells, BOX] = np.concatenate([centers[cells] - box[:2], box[2:] - centers[cells]], axis=1)
        points = scene.points[face] / stride
        targets[cells, POINTS_KNOWN] = float(np.isfinite(points).all())
        offsets = np.nan_to_num(points)[None] - centers[cells][:, None]
        targets[cells, POINTS] = offsets.reshape(len(offsets), -1)
    return targets


def grid_fit(size_px: float, level: int) -> int:
    """Whether a face of this size belongs to a grid: 1 = yes, 0 = no, -1 = nearly."""
    low, high = (0.0, *LIMITS_PX)[level], (*LIMITS_PX, np.inf)[level]
    if low <= size_px < high:
        return 1
    return -1 if low / GREY_ZONE <= size_px < high * GREY_ZONE else 0


def _cells_of(box: Floats, centers: Floats) -> Any:
    """Which cells answer for a face: those near its centre and within it; at least the nearest one."""
    middle = (box[:2] + box[2:]) / 2
    away = np.abs(centers - middle).max(axis=1)
    cells = _inside(centers, box) & (away <= REACH)
    cells[np.argmin(away)] = True
    return cells


def _inside(centers: Floats, box: Floats) -> Any:
    return ((centers > box[:2]) & (centers < box[2:])).all(axis=1)


def _root_areas(boxes: Floats) -> Floats:
    return np.asarray(np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)), np.float32)


# --- loss ----------------------------------------------------------------------------------------------------


def _flat(grids: Sequence[Any]) -> Any:
    """Grids [B,h,w,C] of one kind as [B,cells,C]."""
    return ops.concatenate([ops.reshape(grid, (ops.shape(grid)[0], -1, grid.shape[-1])) for grid in grids], axis=1)


def quality_focal(logits: Any, quality: Any) -> Any:
    """Cross-entropy with a target 0..1, weighted down where the answer is already near."""
    off = ops.abs(quality - ops.sigmoid(logits))
    entropy = ops.maximum(logits, 0.0) - logits * quality + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.square(off) * entropy


def _box_overlap(boxes: Any, wanted: Any) -> tuple[Any, Any]:
    """IoU and generalised IoU (Rezatofighi et al. 2019, arXiv:1902.09630) of boxes given by distances from one cell."""
    boxes = ops.maximum(boxes, 0.0)
    shared, hull = _area(ops.minimum(boxes, wanted)), _area(ops.maximum(boxes, wanted))
    union = _area(boxes) + _area(wanted) - shared
    overlap = shared / ops.maximum(union, 1e-6)
    return overlap, overlap - (hull - union) / ops.maximum(hull, 1e-6)


def _area(sides: Any) -> Any:
    """Width times height; not negative for cells just outside a small box."""
    return ops.maximum(sides[..., 0] + sides[..., 2], 0.0) * ops.maximum(sides[..., 1] + sides[..., 3], 0.0)


def _root_area(sides: Any) -> Any:
    return ops.sqrt(ops.maximum(_area(sides), 0.25))
