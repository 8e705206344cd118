"""The face detector's task: training scenes cut from photos, stills and pasted faces, what each grid cell of the
network should answer for them, and the loss.

Every training picture is a square of SIDE px. Faces are given to the cells that answer best for them (`assignment`);
a cell's score learns how well its own box fits (quality focal loss, Li et al. 2020, arXiv:2006.04388), so that of
several boxes the best one wins. Beside the labels a teacher gives each cell's target (`teacher`); where the
two differ, the labels count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_edge.vision.detector import decode, weighted_nms
from fer_edge.vision.model_card import Role, SsdCard
from fer_edge.vision.transforms import invert, letterbox, transform
from quantize.convert.equalize import equalize, typical
from quantize.data import negatives
from quantize.data.ferplus import training_rows
from quantize.data.locate import located
from quantize.data.scenes import SIDE, Scene, Scenes, difficult
from quantize.data.sets import (
    FOLDS,
    HELD_OUT_FOLDS,
    DataError,
    Floats,
    Image,
    Photo,
    chosen,
    held_out_photos,
    held_out_scenes,
    pick,
    read_crowd,
    read_ferplus,
    read_more,
    read_people,
    read_pictures,
    read_stills,
    read_varied,
    side_of,
)
from quantize.evaluate.detector import COUNTED, LOWEST_SCORE
from quantize.metrics import Matched, average_precision, curve, match
from quantize.tasks.assignment import assign
from quantize.tasks.networks import DETECTOR_SIZE, DETECTOR_STRIDES, KEYPOINTS, detector_net
from quantize.tasks.task import Predict, to_input
from quantize.tasks.teacher import Answers, Teacher, silence
from quantize.tasks.yunet import cell_centers
from quantize.train.batch_norms import settle

BATCH = 16
STEPS = 512
SAMPLE = 300
SAMPLE_SEED = 7
SCORE_SHIFT = 0.15  # by which the logits are lowered, so that 0.5 is the best threshold (docs/models.md)
OVERLAP = 0.4  # IoU from which the daemon takes two boxes for one face

SCENES = 512  # are drawn at a time, for the teacher to answer together
PASSES = 2  # times that each is shown, in another light
MOST_FACES = 24  # of a scene; further ones are not targets
DOUBT = 0.25  # the teacher's score from which an unlabelled place may be a face after all
PLACED = 0.2  # the teacher's score from which its box is learned
LEAST_QUALITY = 0.2
UNSURE_QUALITY = 0.8  # what cells of a face learn whose box is only roughly known
CHECKED_SIZES = ((320, 256), (288, 288), (256, 320))  # width, height
CHECKED_SHARE = 3  # one photo in so many
CHECKED_FOLD = 1  # of the held-out folds, the one that shows progress
BOX_WEIGHT = 1.5
FEATURE_WEIGHT = 0.5
FEATURE_FLOOR = 0.2  # of a cell without a face, in its features' weight
FEATURE_SPREAD = 0.15  # standard deviation of the teacher's features

# Columns of a cell's target: is it asked; the score; the teacher's distances to the box's sides; its points.
ASKED, SOFT, SIDES, OFFSETS = 0, 1, slice(2, 6), slice(6, 6 + 2 * KEYPOINTS)
# Columns of a face's: 1 = there is one; is its box known; are its points; box and points in px.
EXISTS, EXACT, POINTED, BOX, POINTS = 0, 1, 2, slice(3, 7), slice(7, 7 + 2 * KEYPOINTS)


class Detector:
    """Learn boxes, scores and key points on three grids."""

    role: Role = "detector"
    peak_rate = 3e-3
    steps = STEPS

    def __init__(
        self, data: Path, *, yunet: str | None = None, detector: str | None = None, final: bool = False
    ) -> None:
        """Read the sets, and learn from YuNet's ONNX file too, if there is one, and from the mistakes of the detector
        of a .tflite file. A third of the crowds and two folds of the varied photos are left for the gates; a sixth of
        the other crowds shows progress, as does a fold. Raises DataError."""
        crowds = side_of(read_crowd(data / "crowd_faces.zip"), held_out_photos, "train")
        checked = np.array([chosen(f"check {Path(photo.name).name}".encode(), one_in=6) for photo in crowds])
        photos, varied = data / "photos", data / "photos2"
        self.checked = {
            "crowd": pick(crowds, checked),
            "varied": read_varied(varied, folds=[CHECKED_FOLD])[::CHECKED_SHARE],
        }
        empty = read_pictures(photos / "scenes.zip")
        self._yunet, self._final = Path(yunet) if yunet else None, final
        if self._yunet and not self._yunet.is_file():
            raise DataError(f"--yunet {self._yunet}: no such file")
        more, more_empty = read_more(data / "photos3")
        nobody = [
            *pick(empty, ~held_out_scenes(empty)),
            *read_pictures(photos / "hardneg.zip"),
            *negatives.learned_empty(varied),
            *more_empty,
        ]
        self.scenes = Scenes(
            crowds=pick(crowds, ~checked),
            people=read_people(photos),
            varied=[*read_varied(varied, folds=set(FOLDS) - set(HELD_OUT_FOLDS)), *more],
            final=final,
            stills=read_stills(data / "landmarks68.zip"),
            crops=training_rows(read_ferplus(located("expression", data)))[0],
            empty=nobody,
            mistakes=negatives.mistakes(Path(detector), nobody) if detector else (),
        )

    def network(self, *, batch: int | None = None) -> Any:
        """Any multiple of 32 px high and wide to train, DETECTOR_SIZE to convert."""
        return detector_net(DETECTOR_SIZE if batch else None, batch=batch, features=batch is None)

    def optimizer(self) -> Any:
        """Make AdamW."""
        return keras.optimizers.AdamW(self.peak_rate, weight_decay=0.02, clipnorm=10.0)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, dict[str, Any]]]:
        """Draw scenes f32[BATCH,SIDE,SIDE,1] and their targets, by cell and by face."""
        teacher = Teacher(self._yunet) if self._yunet else silence
        while True:
            scenes = [self.scenes.draw(rng) for _ in range(SCENES)]
            answers = teacher(np.stack([scene.image for scene in scenes]))
            targets = scene_targets(scenes, answers)
            for _ in range(PASSES):
                for rows in rng.permutation(SCENES).reshape(-1, BATCH):
                    images = difficult(np.stack([scenes[row].image for row in rows]), rng)
                    yield to_input(images), {name: array[rows] for name, array in targets.items()}

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """Sum the losses of score, box and points, and of the features that they come from."""
        levels = len(DETECTOR_STRIDES)
        logits, sides, offsets = (flat(outputs[kind : 3 * levels : 3]) for kind in range(3))
        loss = answers_loss(targets["cells"], targets["faces"], logits[..., 0], sides, offsets)
        if self._final or not self._yunet:
            return loss
        return loss + FEATURE_WEIGHT * features_loss(targets, flat(outputs[3 * levels :]))

    def progress(self, predict: Predict) -> dict[str, float]:
        """Average precision on photos set apart; `predict`: f32[N,H,W,1] -> the outputs."""
        return {f"{name}_ap": _average_precision(predict, photos) for name, photos in self.checked.items()}

    def sample(self) -> Image:
        """Whole training photos u8[N,H,W] at the default size, as the daemon lays them into it."""
        rng = np.random.default_rng(SAMPLE_SEED)
        height, width = DETECTOR_SIZE
        return np.stack([letterbox(self.scenes.whole(rng), width, height)[0] for _ in range(SAMPLE)])

    def finish(self, network: Any, sample: Image) -> Image:
        """Give the batch norms the statistics of whole photos u8[N,H,W] and the scores the level of the daemon's
        threshold, and make channels alike for int8."""
        twin = self.network()
        twin.set_weights(network.get_weights())
        settle(twin, to_input(sample))
        network.set_weights(twin.get_weights())
        for stride in DETECTOR_STRIDES:
            bias = network.get_layer(f"score_{stride}").bias
            bias.assign(bias - SCORE_SHIFT)
        chosen_ones = typical(network, sample)
        equalize(network, to_input(chosen_ones))
        return chosen_ones

    def card(self) -> dict[str, Any]:
        """How the outputs become boxes."""
        return {"ssd": {"strides": list(DETECTOR_STRIDES), "keypoints": KEYPOINTS, "overlap": OVERLAP}}


def _average_precision(predict: Predict, photos: Sequence[Photo]) -> float:
    faces = sum(int((photo.shares >= COUNTED)[photo.sure].sum()) for photo in photos)
    return average_precision(curve([_match(predict, photo) for photo in photos], faces=faces))


def _match(predict: Predict, photo: Photo) -> Matched:
    """Run on a photo much as the daemon does (in three shapes, for speed), and match detections to its faces."""
    height, width = photo.image.shape
    size = max(CHECKED_SIZES, key=lambda size: min(size[0] / width, size[1] / height))
    canvas, matrix = letterbox(photo.image, *size)
    ssd = SsdCard(strides=DETECTOR_STRIDES, keypoints=KEYPOINTS, overlap=OVERLAP)
    outputs = predict(to_input(canvas[None]))[: 3 * len(DETECTOR_STRIDES)]
    rows, scores = weighted_nms(*decode(outputs, ssd, min_score=LOWEST_SCORE), overlap=OVERLAP)
    boxes = transform(rows[:, :2].reshape(-1, 2), invert(matrix)).reshape(-1, 4)
    return match(boxes, scores, photo.boxes, photo.sure & (photo.shares >= COUNTED))


# --- targets -------------------------------------------------------------------------------------------------


def scene_targets(scenes: Sequence[Scene], answers: Answers) -> dict[str, Any]:
    """The targets of the cells of all grids, row by row, and of the faces of scenes.

    Inside a labelled face, and inside what may be one, a cell learns the teacher's output; elsewhere too, unless the
    teacher sees a face there: then it is not asked, or, where all faces are known, the teacher is wrong.
    """
    cells = np.concatenate([np.ones_like(answers.scores)[..., None], answers.scores[..., None], answers.places], axis=2)
    centers = cell_centers(SIDE, SIDE, DETECTOR_STRIDES)
    middles = (centers[:, :2] + 0.5) * centers[:, 2:]
    for own, scene in zip(cells, scenes, strict=True):
        known = np.concatenate([scene.boxes, scene.ignored])[:, None]
        within = np.asarray(np.all((middles > known[..., :2]) & (middles < known[..., 2:]), axis=2))
        inside, unsure = within.any(axis=0), within[len(scene.boxes) :].any(axis=0)
        if scene.complete:
            own[~inside, SOFT] = 0
        own[~inside & (own[:, SOFT] > DOUBT), ASKED] = 0
        own[unsure & (own[:, SOFT] == 0), ASKED] = 0  # unknown without a teacher
    return {"cells": cells, "features": answers.features, "faces": np.stack([_faces(scene) for scene in scenes])}


def _faces(scene: Scene) -> Floats:
    """Rows of EXISTS to POINTS: f32[MOST_FACES,...]."""
    rows = np.zeros((MOST_FACES, POINTS.stop), np.float32)
    count = min(len(scene.boxes), MOST_FACES)
    rows[:count, EXISTS], rows[:count, EXACT], rows[:count, BOX] = 1, scene.exact[:count], scene.boxes[:count]
    points = scene.points[:count].reshape(count, 2 * KEYPOINTS)
    rows[:count, POINTED], rows[:count, POINTS] = np.isfinite(points).all(axis=1), np.nan_to_num(points)
    return rows


# --- loss ----------------------------------------------------------------------------------------------------


def answers_loss(cells: Any, faces: Any, logits: Any, sides: Any, offsets: Any) -> Any:
    """The cells' loss: the labels', where they are assigned to a labelled face, else the teacher's."""
    grid = cell_centers(SIDE, SIDE, DETECTOR_STRIDES)
    middles, stride = (grid[:, :2] + 0.5) * grid[:, 2:], grid[:, 2:]
    scores = ops.maximum(ops.sigmoid(logits), cells[..., SOFT])
    found, index, overlap = map(
        ops.stop_gradient,
        assign(scores, _corners(sides, middles, stride), faces[..., BOX], faces[..., EXISTS], cells=grid),
    )
    face = ops.take_along_axis(faces, index[..., None], axis=1)
    exact, pointed = found * face[..., EXACT], found * face[..., POINTED]
    quality = ops.where(face[..., EXACT] > 0.5, ops.sqrt(ops.clip(overlap, LEAST_QUALITY**2, 1.0)), UNSURE_QUALITY)
    wanted = ops.where(found > 0.5, ops.maximum(quality, cells[..., SOFT]), cells[..., SOFT])
    asked = ops.maximum(cells[..., ASKED], found)
    count = ops.maximum(ops.sum(asked * wanted), 1.0)
    score_loss = ops.sum(asked * quality_focal(logits, wanted)) / count
    taught = cells[..., SOFT] * ops.cast(cells[..., SOFT] > PLACED, "float32")
    own_sides, own_offsets = _sides(face[..., BOX], middles, stride), _offsets(face[..., POINTS], middles, stride)
    box, box_weight = _labelled_or_taught(own_sides, cells[..., SIDES], known=exact, taught=taught)
    points, point_weight = _labelled_or_taught(own_offsets, cells[..., OFFSETS], known=pointed, taught=taught)
    size = _root_area(box)
    _, enclosed = _box_overlap(sides, box)
    box_error = 1 - enclosed + 0.5 * ops.mean(ops.abs(sides - box), axis=-1) / size
    point_error = ops.mean(ops.abs(offsets - points), axis=-1) / size
    return score_loss + BOX_WEIGHT * _weighted(box_error, box_weight) + _weighted(point_error, point_weight)


def _labelled_or_taught(own: Any, teachers: Any, *, known: Any, taught: Any) -> tuple[Any, Any]:
    """Values f32[B,C,n] to learn, and their weights f32[B,C]."""
    return ops.where(known[..., None] > 0.5, own, teachers), ops.maximum(known, taught)


def _weighted(values: Any, weights: Any) -> Any:
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


def features_loss(targets: Any, features: Any) -> Any:
    """How far the features are from the teacher's, in their spread; faces count more."""
    weight = FEATURE_FLOOR + targets["cells"][..., SOFT]
    off = ops.mean(ops.square(features - ops.cast(targets["features"], "float32")), axis=-1) / FEATURE_SPREAD**2
    return ops.sum(weight * off) / ops.sum(weight)


def _corners(sides: Any, middles: Floats, stride: Floats) -> Any:
    """Boxes f32[B,C,4] in px from distances in strides."""
    return ops.concatenate([middles - stride * sides[..., :2], middles + stride * sides[..., 2:]], axis=-1)


def _sides(boxes: Any, middles: Floats, stride: Floats) -> Any:
    return ops.concatenate([middles - boxes[..., :2], boxes[..., 2:] - middles], axis=-1) / stride


def _offsets(points: Any, middles: Floats, stride: Floats) -> Any:
    return (points - np.tile(middles, KEYPOINTS)) / stride


def flat(grids: Sequence[Any]) -> Any:
    """Grids [B,h,w,C] of one kind as [B,cells,C]."""
    return ops.concatenate([ops.reshape(grid, (ops.shape(grid)[0], -1, grid.shape[-1])) for grid in grids], axis=1)


def quality_focal(logits: Any, quality: Any) -> Any:
    """Cross-entropy with a target 0..1, weighted down where the prediction is already close (quality focal loss, Li et
    al. 2020, arXiv:2006.04388)."""
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
