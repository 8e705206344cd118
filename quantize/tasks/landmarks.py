"""The landmarks' task: how face crops are drawn from stills, what counts as no face, how points are evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from keras import ops

from fer_edge.vision.model_card import PointsCard, Role
from quantize.data import mesh_faces, negatives
from quantize.data.ferplus import training_rows
from quantize.data.locate import located
from quantize.data.sets import (
    Floats,
    Image,
    Photo,
    Still,
    held_out_photos,
    held_out_scenes,
    held_out_stills,
    pick,
    read_crowd,
    read_ferplus,
    read_more,
    read_people,
    read_pictures,
    read_stills,
    side_of,
)
from quantize.metrics import INNER, eye_distances, point_errors
from quantize.tasks import landmark_heads as heads
from quantize.tasks.landmark_crops import (
    BOX_SCALE,
    BOX_SHIFT,
    POINTS_SCALE,
    anywhere,
    augmented,
    boxed,
    cut,
    jittered,
    measuring_crop,
    mirror,
    missing,
    pasted,
    shapes,
    turned_by,
)
from quantize.tasks.networks import LANDMARKS, LANDMARKS_SIDE, landmarks_net
from quantize.tasks.task import Predict, to_input

FACES = 28  # of a batch
BOXED = 6  # of a batch: faces of whom only a box is known; they teach presence
PASTED = 8  # of a batch: FER+ faces in pictures without any, for the same
MISSES = 1  # of a batch: crops that miss the face of a still
SCENES = 14  # of a batch: crops of pictures without faces
MISTAKES = 8  # of these, where a detector is given: its false positives there
BODIES = 3  # of these, where there are photos of people: what is beside their faces
VIEWS = 3  # of each still in an epoch
WEIGHT_DECAY = 0.05  # decoupled: each step shrinks a weight by rate x decay
SCORE_SHARE = 0.1  # of the presence loss, beside the points' (in eye distances)
SAMPLE = 500
SAMPLE_SEED = 7
LEAST_HEIGHT_PX = 16.0  # of faces that are known by their box

PRESENT = 2 * LANDMARKS + 1  # the target's column for whether there is a face
WIDTH = PRESENT + 1 + heads.EXTRA  # columns of a target
LEAST_EYES = 0.12  # of the crop's side: the eyes of a profile lie on each other

INNER_WEIGHTS = np.where(np.arange(LANDMARKS) < INNER.start, 0.0, LANDMARKS / 51).astype(np.float32)  # mean 1
POINT_WEIGHTS = np.where(np.arange(LANDMARKS) < INNER.start, 0.4, 1.2).astype(np.float32)  # mean 1


def faces_with_boxes(data: Path, people: Sequence[Photo]) -> list[tuple[Image, Floats]]:
    """Faces that the stills do not show, small, masked, turned, in all lights: pictures u8[H,W] and boxes f32[4]."""
    photos = [*side_of(read_crowd(data / "crowd_faces.zip"), held_out_photos, "train"), *people]
    return [
        (photo.image, box)
        for photo in photos
        for box in photo.boxes[photo.sure & (photo.boxes[:, 3] - photo.boxes[:, 1] >= LEAST_HEIGHT_PX)]
    ]


# --- the task ------------------------------------------------------------------------------------------------


class Landmarks:
    """Learn the points' offsets from the mean shape, and whether there is a face."""

    role: Role = "landmarks"
    peak_rate = 12e-3

    def __init__(self, data: Path, *, detector: str | None = None, landmarks: str | None = None) -> None:
        """Read the stills and the pictures without faces; a detector's .tflite file points at the hard ones, and a
        landmarks model's at those that are taken for faces even then."""
        stills = read_stills(data / "landmarks68.zip")
        kept = held_out_stills(stills)
        self.training, self.held_out = pick(stills, ~kept), pick(stills, kept)
        scenes = read_pictures(data / "photos" / "scenes.zip")
        apart = held_out_scenes(scenes)
        varied, more = negatives.read_varied(data / "photos2", split="train")
        labelled, empty = read_more(data / "photos3")
        self._scenes = [*pick(scenes, ~apart), *read_pictures(data / "photos" / "hardneg.zip"), *more, *empty]
        self._held_out_scenes = pick(scenes, apart)
        self._people = negatives.photos_with_room([*read_people(data / "photos"), *varied, *labelled])
        self._boxed = faces_with_boxes(data, self._people)
        self._fer, _ = training_rows(read_ferplus(located("expression", data)))
        self.steps = VIEWS * len(self.training) // FACES
        self.mean = self._mean_shape()
        self._mistakes = negatives.mistakes(Path(detector), self._scenes, self._people) if detector else []
        hardest = bool(landmarks) and bool(self._mistakes)
        self._tempting = negatives.temptation(Path(str(landmarks)), self._mistakes) if hardest else None
        self._school = heads.MeshSchool(data, self.training) if mesh_faces.available(data) else None
        self._points_card = msgspec.convert(self.card()["points"], PointsCard)

    def _mean_shape(self) -> Floats:
        """The training faces' mean f32[68,2] in their measuring crops."""
        points = [still.points for still in self.training]
        return np.asarray(shapes(points, [measuring_crop(each) for each in points]).mean(axis=0), np.float32)

    def network(self, *, batch: int | None = None) -> Any:
        """80x80x1 -> 136 offsets, a logit, and the heads' outputs."""
        return landmarks_net(batch=batch)

    def optimizer(self) -> Any:
        """AdamW."""
        return keras.optimizers.AdamW(self.peak_rate, weight_decay=WEIGHT_DECAY)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """Crops f32[n,80,80,1] and targets f32[n,...]: every still several times, each time as another view,
        among other faces and crops without a face."""
        order = np.concatenate([rng.permutation(len(self.training)) for _ in range(VIEWS)])
        for start in range(0, self.steps * FACES, FACES):
            stills = [self.training[row] for row in order[start : start + FACES]]
            crops, placed, extra = self.views(stills, rng)
            meshed, mesh_rows = self._meshed(rng)
            crops = np.concatenate([crops, meshed, self._with_box(rng), self._without_face(rng)])
            rows = np.concatenate([self.targets(placed, extra), mesh_rows, *self._without_points()])
            yield to_input(augmented(crops, rng)), rows

    def views(self, stills: Sequence[Still], rng: np.random.Generator) -> tuple[Image, Floats, Floats]:
        """Views u8[N,80,80] of stills, their points f32[N,68,2] in crop sides, and the heads' targets f32[N,EXTRA]."""
        points = [still.points for still in stills]
        matrices = [jittered(own, rng) for own in points]
        mirrored = rng.random(len(stills)) < 0.5
        crops = cut([still.image for still in stills], matrices)
        crops, placed = mirror(crops, shapes(points, matrices), mirrored)
        angles = np.array([turned_by(matrix) for matrix in matrices], np.float32)
        known = self._school.of_stills(stills, angles, mirrored) if self._school else None
        return crops, placed, np.zeros((len(stills), heads.EXTRA), np.float32) if known is None else known

    def _meshed(self, rng: np.random.Generator) -> tuple[Image, Floats]:
        """Faces that the mesh has labelled, u8[MESHED,S,S], and their targets."""
        school = self._school
        if school is None:
            return np.empty((0, LANDMARKS_SIDE, LANDMARKS_SIDE), np.uint8), np.empty((0, WIDTH), np.float32)
        crops, rows = [], []
        for row in school.draw(rng):
            points, pointed = school.points(row), school.teaches_points(row)
            found = rng.random() < 0.5 or not np.isfinite(school.faces.poses[row, 1])
            box = school.faces.boxes[row].reshape(-1)
            matrix = boxed(box, self._points_card, rng) if found else jittered(points, rng)
            flipped = np.array([rng.random() < 0.5])
            crop, placed = mirror(cut([school.faces.crops[row]], [matrix]), shapes([points], [matrix]), flipped)
            extra = school.columns(row, turned_by(matrix), bool(flipped[0]))
            target = self.targets(placed, extra[None])
            target[:, 2 * LANDMARKS] *= heads.POINTS_WEIGHT * pointed
            crops.append(crop)
            rows.append(target)
        return np.concatenate(crops), np.concatenate(rows)

    def _without_points(self) -> list[Floats]:
        """Targets of faces that teach presence only, and of negatives."""
        empty = [np.zeros((count, WIDTH), np.float32) for count in (BOXED + PASTED, MISSES + SCENES)]
        empty[0][:, PRESENT] = 1
        return empty

    def _with_box(self, rng: np.random.Generator) -> Image:
        """Crops u8[BOXED + PASTED,S,S] of faces without labelled points."""
        known = [self._boxed[row] for row in rng.choice(len(self._boxed), BOXED)]
        rows = zip(rng.choice(len(self._fer), PASTED), rng.choice(len(self._scenes), PASTED), strict=True)
        known += [pasted(self._fer[face], self._scenes[scene], rng) for face, scene in rows]
        return cut([picture for picture, _ in known], [boxed(box, self._points_card, rng) for _, box in known])

    def _without_face(self, rng: np.random.Generator) -> Image:
        """Crops u8[MISSES + SCENES,S,S] that hold no face."""
        stills = [self.training[row] for row in rng.choice(len(self.training), MISSES)]
        hard = rng.choice(len(self._mistakes), MISTAKES, p=self._tempting) if self._mistakes else ()
        wrong = [self._mistakes[row] for row in hard]
        wrong += self._bodies(rng)
        scenes = [self._scenes[row] for row in rng.choice(len(self._scenes), SCENES - len(wrong))]
        matrices = [missing(still.points, rng) for still in stills] + [anywhere(scene, rng) for scene in scenes]
        matrices += [boxed(box, self._points_card, rng) for _, box in wrong]
        return cut([still.image for still in stills] + scenes + [scene for scene, _ in wrong], matrices)

    def _bodies(self, rng: np.random.Generator) -> list[tuple[Image, Floats]]:
        """Places beside the faces of people."""
        if not self._people:
            return []
        photos = [self._people[row] for row in rng.choice(len(self._people), BODIES)]
        found = [(photo.image, negatives.body(photo, rng)) for photo in photos]
        return [(picture, box) for picture, box in found if box is not None]

    def targets(self, placed: Floats, extra: Floats) -> Floats:
        """Pack what a batch should give, f32[N,WIDTH]: offsets and 1 / eye distance (crop sides), 0 where unknown; 1
        for a face; what the heads should say."""
        rows = np.zeros((len(placed), WIDTH), np.float32)
        rows[:, : 2 * LANDMARKS] = (placed - self.mean).reshape(len(placed), -1)
        rows[:, 2 * LANDMARKS] = 1 / np.maximum(eye_distances(placed), LEAST_EYES)
        rows[:, PRESENT] = 1
        rows[:, PRESENT + 1 :] = extra
        return rows

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """The points' distances from where they should be, in eye distances; cross-entropy for presence; the heads'."""
        points, logits, *others = outputs
        weights, present, extra = targets[:, 2 * LANDMARKS], targets[:, PRESENT], targets[:, PRESENT + 1 :]
        known = ops.cast(weights > 0, "float32")
        off = ops.reshape(points - targets[:, : 2 * LANDMARKS], (-1, LANDMARKS, 2))
        meshed = extra[:, heads.ROW["meshed"]]  # [N,1]
        wanted = POINT_WEIGHTS * (1 - meshed) + INNER_WEIGHTS * meshed
        distances = ops.sqrt(ops.sum(ops.square(off), axis=2) + 1e-8) * wanted  # [N,68]
        doubts = ops.binary_crossentropy(present, logits[:, 0], from_logits=True)
        # as if half of a batch were faces
        doubt = heads.mean_where(present, doubts) + heads.mean_where(1 - present, doubts)
        off = heads.mean_where(known, weights * ops.mean(distances, axis=1))
        return off + SCORE_SHARE * doubt + heads.loss(extra, *others)

    def progress(self, predict: Predict) -> dict[str, float]:
        """Errors on the people kept from training, in the measuring crop and in the daemon's; false faces. `predict`:
        f32[N,80,80,1] -> the outputs."""
        rng = np.random.default_rng(SAMPLE_SEED)
        points, pictures = [each.points for each in self.held_out], [each.image for each in self.held_out]
        figures: dict[str, float] = {}
        for name, crop in (("heldout", measuring_crop), ("jittered", lambda own: jittered(own, rng))):
            matrices = [crop(own) for own in points]
            offsets, logits, *_ = predict(to_input(cut(pictures, matrices)))
            off = point_errors(offsets.reshape(-1, LANDMARKS, 2) + self.mean, shapes(points, matrices))
            figures |= {f"{name}_nme51": float(off[:, INNER].mean()), f"{name}_nme68": float(off.mean())}
            figures[f"{name}_missed"] = float(np.mean(logits < 0))
        _, logits, *_ = predict(to_input(self._scene_crops(rng)))
        return figures | {"false_faces": float(np.mean(logits > 0))}

    def _scene_crops(self, rng: np.random.Generator) -> Image:
        scenes = [scene for scene in self._held_out_scenes for _ in range(4)]
        return cut(scenes, [anywhere(scene, rng) for scene in scenes])

    def sample(self) -> Image:
        """Training faces u8[N,80,80], moved as in use, and crops without a face: the score's range must hold both."""
        rng = np.random.default_rng(SAMPLE_SEED)
        stills = [self.training[row] for row in rng.choice(len(self.training), SAMPLE)]
        crops, *_ = self.views(stills, rng)
        return np.concatenate([crops, *(self._without_face(rng) for _ in range(SAMPLE // 4 // (MISSES + SCENES)))])

    def finish(self, network: Any, sample: Image) -> Image:  # noqa: ARG002
        """Nothing is left to do: returns the sample u8[N,80,80]."""
        return sample

    def card(self) -> dict[str, Any]:
        """The mean shape, how crops are cut, and what the heads say."""
        return {
            "points": {
                "mean": self.mean.round(5).tolist(),
                "points_scale": POINTS_SCALE,
                "box_scale": round(BOX_SCALE, 4),
                "box_shift": BOX_SHIFT,
            },
            "pose": {"unit_deg": heads.POSE_UNIT, "error_unit_deg": heads.SPREAD_UNIT},
        }
