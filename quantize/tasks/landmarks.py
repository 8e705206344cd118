"""The landmarks' task: how face crops are drawn from stills, what counts as no face, how points are judged."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import msgspec
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_edge.records import Box
from fer_edge.vision import transforms
from fer_edge.vision.landmarks import crop_around_box, crop_around_points
from fer_edge.vision.model_card import PointsCard, Role
from quantize import daemon_stages
from quantize.data import augment
from quantize.data.ferplus import training_rows
from quantize.data.scenes import FER_BOX, paste
from quantize.data.sets import (
    Floats,
    Image,
    Still,
    held_out_photos,
    held_out_scenes,
    held_out_stills,
    pick,
    read_crowd,
    read_ferplus,
    read_people,
    read_pictures,
    read_stills,
    side_of,
)
from quantize.metrics import INNER, eye_distances, point_errors
from quantize.tasks.networks import LANDMARKS, LANDMARKS_SIDE, landmarks_net
from quantize.tasks.task import Predict, to_input

FACES: Final = 28  # of a batch
BOXED: Final = 6  # of a batch: faces of whom only a box is known; they teach presence
PASTED: Final = 12  # of a batch: FER+ faces in pictures without any, for the same
PASTED_PX: Final = (36.0, 170.0)  # sides of these
MISSES: Final = 1  # of a batch: crops that miss the face of a still
SCENES: Final = 12  # of a batch: crops of pictures without faces
MISTAKES: Final = 9  # of these, where a detector is given: what it takes for faces there
MISTAKEN_SCORE: Final = 0.1  # of the detector, from which on
VIEWS: Final = 4  # of each still in an epoch
WEIGHT_DECAY: Final = 0.05  # decoupled: each step shrinks a weight by rate x decay
SCORE_SHARE: Final = 0.1  # of the presence loss, beside the points' (in eye distances)
SAMPLE: Final = 500
SAMPLE_SEED: Final = 7
LEAST_HEIGHT_PX: Final = 16.0  # of faces that are known by their box

# How a crop is cut, as shares: see PointsCard. BOX_SCALE and BOX_SHIFT bring crops from a detector's boxes nearest
# to those from points: medians over the 3,499 stills of YuNet's boxes (WIDER style) against the labelled points. The
# crops' sides then differ by 8 % (standard deviation), their middles by 4 % of the side (median).
POINTS_SCALE: Final = 1.2
BOX_SCALE: Final = 0.813 * POINTS_SCALE
BOX_SHIFT: Final = 0.144

# The labels lie a little too far right: a network that learns from stills and their mirrors alike, and so cannot
# take sides, finds the points 0.95 % of the face's longer side left of them, on people it learned from as on others.
# Mirrored stills get labels with the same fault: the network then learns what the labels, by which it is judged, say.
LABEL_SHIFT: Final = 0.0095 / POINTS_SCALE  # of the crop's side

# How far the daemon's crops are off, and a little further. Small faults are the likelier ones.
MAX_SHIFT: Final = 0.1  # of the crop's side
SCALES: Final = (0.85, 1.2)
TURN_DEGREES: Final = 12.0  # standard deviation
MAX_TURN_DEGREES: Final = 40.0

# Crops that overlap the face so little (intersection over union with the square around it below 0.3) are no faces.
MISS_DISTANCE: Final = (0.6, 1.3)  # between the middles, in sides of the face
MISS_SCALES: Final = (0.6, 1.6)

# How far a detector's boxes are off: their middle in box heights, their size.
BOX_SHIFTS: Final = 0.08
BOX_SCALES: Final = (0.85, 1.18)

POINT_WEIGHTS: Final = np.where(np.arange(LANDMARKS) < INNER.start, 0.4, 1.2).astype(np.float32)  # mean 1


def mirror_index() -> NDArray[np.intp]:
    """Name for each point the one that takes its place in a mirror: i[68]."""
    jaw, brows, bridge, nostrils = range(16, -1, -1), range(26, 16, -1), range(27, 31), range(35, 30, -1)
    eyes = (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)
    outer, inner = (54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55), (64, 63, 62, 61, 60, 67, 66, 65)
    return np.array([*jaw, *brows, *bridge, *nostrils, *eyes, *outer, *inner])


MIRROR: Final = mirror_index()


def mirrored(placed: Floats) -> Floats:
    """Where labels f32[N,68,2], in shares of a crop's side, lie in its mirror."""
    flipped = placed[:, MIRROR]
    flipped[..., 0] = 1 - flipped[..., 0] + 2 * LABEL_SHIFT
    return flipped


# --- crops ---------------------------------------------------------------------------------------------------


def measuring_crop(points: Floats) -> transforms.Matrix:
    """The upright crop around true points f32[68,2] px, by which models are compared."""
    return crop_around_points(points, POINTS_SCALE, LANDMARKS_SIDE)


def shapes(points: Sequence[Floats], matrices: Sequence[transforms.Matrix]) -> Floats:
    """Where points f32[68,2] px lie in their crops, in shares of the side: f32[N,68,2]."""
    placed = [transforms.transform(own, matrix) for own, matrix in zip(points, matrices, strict=True)]
    return np.stack(placed) / np.float32(LANDMARKS_SIDE)


def jittered(points: Floats, rng: np.random.Generator) -> transforms.Matrix:
    """A crop off as the daemon's are: mostly little."""
    turn = np.clip(rng.normal(0, TURN_DEGREES), -MAX_TURN_DEGREES, MAX_TURN_DEGREES)
    smallest, largest = np.log(SCALES)
    scale = POINTS_SCALE * math.exp(rng.triangular(smallest, 0, largest))
    matrix = crop_around_points(points, scale, LANDMARKS_SIDE, math.radians(turn))
    matrix[:, 2] += LANDMARKS_SIDE * MAX_SHIFT * rng.triangular(-1, 0, 1, 2)
    return matrix


def missing(points: Floats, rng: np.random.Generator) -> transforms.Matrix:
    """A crop beside the face."""
    low, high = points.min(axis=0), points.max(axis=0)
    side, way, turn = float((high - low).max()), rng.uniform(0, 2 * math.pi), rng.uniform(-0.5, 0.5)
    x, y = (low + high) / 2 + side * rng.uniform(*MISS_DISTANCE) * np.array([math.cos(way), math.sin(way)])
    scale = POINTS_SCALE * math.exp(rng.uniform(*np.log(MISS_SCALES)))
    return transforms.square_crop_matrix((float(x), float(y)), scale * side, turn, LANDMARKS_SIDE)


def boxed(box: Floats, card: PointsCard, rng: np.random.Generator) -> transforms.Matrix:
    """A crop around the box f32[4] of a face, as far off as a detector's."""
    (x0, y0, x1, y1), scale = box.tolist(), math.exp(rng.uniform(*np.log(BOX_SCALES)))
    x, y = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + (y1 - y0) * rng.uniform(-BOX_SHIFTS, BOX_SHIFTS, 2)
    half_x, half_y = scale * (x1 - x0) / 2, scale * (y1 - y0) / 2
    turn = math.radians(np.clip(rng.normal(0, TURN_DEGREES), -MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    return crop_around_box(Box(x - half_x, y - half_y, x + half_x, y + half_y), card, LANDMARKS_SIDE, turn)


def anywhere(picture: Image, rng: np.random.Generator, size: int = LANDMARKS_SIDE) -> transforms.Matrix:
    """A crop of a picture, a tenth of its shorter side wide or more, to size x size px."""
    height, width = picture.shape
    side = min(height, width) * 10 ** rng.uniform(-1, 0)
    center = (rng.uniform(0, width), rng.uniform(0, height))
    return transforms.square_crop_matrix(center, side, rng.uniform(-0.5, 0.5), size)


def cut(pictures: Sequence[Image], matrices: Sequence[transforms.Matrix]) -> Image:
    """Crops u8[N,side,side]."""
    pairs = zip(pictures, matrices, strict=True)
    return np.stack([transforms.warp(picture, matrix, LANDMARKS_SIDE) for picture, matrix in pairs])


def mirror(crops: Image, placed: Floats, which: NDArray[np.bool_]) -> tuple[Image, Floats]:
    """Mirror some crops u8[N,S,S] and their points f32[N,68,2] in shares of the side."""
    column = which[:, None, None]
    return np.where(column, crops[:, :, ::-1], crops), np.where(column, mirrored(placed), placed)


def augmented(crops: Image, rng: np.random.Generator) -> Image:
    """Vary what a camera varies: faces from 20 px up, dark, blurred, noisy, half covered."""
    crops = augment.coarsen(crops, rng, share=0.25, sides_px=(24, 64))
    crops = augment.blur(augment.relight(crops, rng), rng, share=0.1)
    crops = augment.compress(augment.add_noise(crops, rng, share=0.2), rng, share=0.1)
    return augment.erase(crops, rng, share=0.25, sides=(0.1, 0.4))


def faces_with_boxes(data: Path) -> list[tuple[Image, Floats]]:
    """Faces that the stills do not show, small, masked, in all lights: pictures u8[H,W] and boxes f32[4]."""
    crowds = side_of(read_crowd(data / "crowd_faces.zip"), held_out_photos, "train")
    photos = crowds + read_people(data / "photos")
    return [
        (photo.image, box)
        for photo in photos
        for box in photo.boxes[photo.sure & (photo.boxes[:, 3] - photo.boxes[:, 1] >= LEAST_HEIGHT_PX)]
    ]


def pasted(crop: Image, scene: Image, rng: np.random.Generator) -> tuple[Image, Floats]:
    """Lay a FER+ face u8[48,48] onto a part of a picture without faces; the new picture, and the face's box f32[4]."""
    smallest, largest = PASTED_PX
    side = round(smallest * (largest / smallest) ** rng.random())
    part = transforms.warp(scene, anywhere(scene, rng, size=2 * side), 2 * side)
    paste(part, crop, left=side // 2, top=side // 2, side=side, rng=rng)
    return part, side // 2 + side * np.array(FER_BOX, np.float32)


def mistakes(detector: Path, scenes: Sequence[Image]) -> list[tuple[Image, Floats]]:
    """What a detector takes for faces in pictures without any: pictures u8[H,W] and boxes f32[4]."""
    find = daemon_stages.detector(daemon_stages.open_model(detector, "detector"), min_score=MISTAKEN_SCORE)
    found = [(scene, face.box) for scene in scenes for face in find(daemon_stages.frame_of(scene))]
    return [(scene, np.array([box.x0, box.y0, box.x1, box.y1], np.float32)) for scene, box in found]


# --- the task ------------------------------------------------------------------------------------------------


class Landmarks:
    """Learn the points' offsets from the mean shape, and whether there is a face."""

    role: Role = "landmarks"
    peak_rate = 12e-3

    def __init__(self, data: Path, *, detector: str | None = None) -> None:
        """Read the stills and the pictures without faces; a detector's .tflite file points at the hard ones."""
        stills = read_stills(data / "landmarks68.zip")
        kept = held_out_stills(stills)
        self.training, self.held_out = pick(stills, ~kept), pick(stills, kept)
        scenes = read_pictures(data / "photos" / "scenes.zip")
        apart = held_out_scenes(scenes)
        self._scenes = pick(scenes, ~apart) + read_pictures(data / "photos" / "hardneg.zip")
        self._held_out_scenes = pick(scenes, apart)
        self._boxed = faces_with_boxes(data)
        self._fer, _ = training_rows(read_ferplus(data))
        self.steps = VIEWS * len(self.training) // FACES
        self.mean = self._mean_shape()
        self._mistakes = mistakes(Path(detector), self._scenes) if detector else []
        self._points_card = msgspec.convert(self.card()["points"], PointsCard)

    def _mean_shape(self) -> Floats:
        """The training faces' mean f32[68,2] in their measuring crops."""
        points = [still.points for still in self.training]
        return np.asarray(shapes(points, [measuring_crop(each) for each in points]).mean(axis=0), np.float32)

    def network(self, *, batch: int | None = None) -> Any:
        """80x80x1 -> 136 offsets and a logit."""
        return landmarks_net(batch=batch)

    def optimizer(self) -> Any:
        """AdamW."""
        return keras.optimizers.AdamW(self.peak_rate, weight_decay=WEIGHT_DECAY)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """Every still several times, each time as another view, among other faces and crops without a face."""
        order = np.concatenate([rng.permutation(len(self.training)) for _ in range(VIEWS)])
        for start in range(0, self.steps * FACES, FACES):
            stills = [self.training[row] for row in order[start : start + FACES]]
            crops, placed = faces(stills, rng)
            crops = np.concatenate([crops, self._with_box(rng), self._without_face(rng)])
            yield to_input(augmented(crops, rng)), self.targets(placed, faces=BOXED + PASTED, others=MISSES + SCENES)

    def _with_box(self, rng: np.random.Generator) -> Image:
        """Crops u8[BOXED + PASTED,S,S] of faces whose points nobody knows."""
        known = [self._boxed[row] for row in rng.choice(len(self._boxed), BOXED)]
        rows = zip(rng.choice(len(self._fer), PASTED), rng.choice(len(self._scenes), PASTED), strict=True)
        known += [pasted(self._fer[face], self._scenes[scene], rng) for face, scene in rows]
        return cut([picture for picture, _ in known], [boxed(box, self._points_card, rng) for _, box in known])

    def _without_face(self, rng: np.random.Generator) -> Image:
        """Crops u8[MISSES + SCENES,S,S] that hold no face."""
        stills = [self.training[row] for row in rng.choice(len(self.training), MISSES)]
        hard = rng.choice(len(self._mistakes), MISTAKES) if self._mistakes else ()
        wrong = [self._mistakes[row] for row in hard]
        scenes = [self._scenes[row] for row in rng.choice(len(self._scenes), SCENES - len(wrong))]
        matrices = [missing(still.points, rng) for still in stills] + [anywhere(scene, rng) for scene in scenes]
        matrices += [boxed(box, self._points_card, rng) for _, box in wrong]
        return cut([still.image for still in stills] + scenes + [scene for scene, _ in wrong], matrices)

    def targets(self, placed: Floats, *, faces: int = 0, others: int = 0) -> Floats:
        """Pack what a batch should give, f32[N,138]: offsets and 1 / eye distance (crop sides), 0 where unknown; 1 for
        a face. After the faces with points f32[n,68,2] come those without, and the other crops."""
        rows = np.zeros((len(placed) + faces + others, 2 * LANDMARKS + 2), np.float32)
        rows[: len(placed), :-2] = (placed - self.mean).reshape(len(placed), -1)
        rows[: len(placed), -2] = 1 / eye_distances(placed)
        rows[: len(placed) + faces, -1] = 1
        return rows

    def loss(self, targets: Any, outputs: Sequence[Any]) -> Any:
        """The points' distances from where they should be, in eye distances; cross-entropy for presence."""
        points, logits = outputs
        weights, present = targets[:, -2], targets[:, -1]  # [N]
        known = ops.cast(weights > 0, "float32")
        off = ops.reshape(points - targets[:, :-2], (-1, LANDMARKS, 2))
        distances = ops.sqrt(ops.sum(ops.square(off), axis=2) + 1e-8) * POINT_WEIGHTS  # [N,68]
        doubts = ops.binary_crossentropy(present, logits[:, 0], from_logits=True)
        doubt = _mean_where(present, doubts) + _mean_where(1 - present, doubts)  # as if half of a batch were faces
        return _mean_where(known, weights * ops.mean(distances, axis=1)) + SCORE_SHARE * doubt

    def progress(self, predict: Predict) -> dict[str, float]:
        """Errors on the people kept from training, in the measuring crop and in the daemon's; false faces."""
        rng = np.random.default_rng(SAMPLE_SEED)
        points, pictures = [each.points for each in self.held_out], [each.image for each in self.held_out]
        figures: dict[str, float] = {}
        for name, crop in (("heldout", measuring_crop), ("jittered", lambda own: jittered(own, rng))):
            matrices = [crop(own) for own in points]
            offsets, logits = predict(to_input(cut(pictures, matrices)))
            off = point_errors(offsets.reshape(-1, LANDMARKS, 2) + self.mean, shapes(points, matrices))
            figures |= {f"{name}_nme51": float(off[:, INNER].mean()), f"{name}_nme68": float(off.mean())}
            figures[f"{name}_missed"] = float(np.mean(logits < 0))
        _, logits = predict(to_input(self._scene_crops(rng)))
        return figures | {"false_faces": float(np.mean(logits > 0))}

    def _scene_crops(self, rng: np.random.Generator) -> Image:
        scenes = [scene for scene in self._held_out_scenes for _ in range(4)]
        return cut(scenes, [anywhere(scene, rng) for scene in scenes])

    def sample(self) -> Image:
        """Training faces, moved as in use, and crops without a face: the score's range must hold its noes too."""
        rng = np.random.default_rng(SAMPLE_SEED)
        stills = [self.training[row] for row in rng.choice(len(self.training), SAMPLE)]
        crops, _ = faces(stills, rng)
        return np.concatenate([crops, *(self._without_face(rng) for _ in range(SAMPLE // 4 // (MISSES + SCENES)))])

    def finish(self, network: Any, sample: Image) -> Image:  # noqa: ARG002
        """Nothing is left to do."""
        return sample

    def card(self) -> dict[str, Any]:
        """The mean shape and how crops are cut."""
        return {
            "points": {
                "mean": self.mean.round(5).tolist(),
                "points_scale": POINTS_SCALE,
                "box_scale": round(BOX_SCALE, 4),
                "box_shift": BOX_SHIFT,
            }
        }


def _mean_where(which: Any, values: Any) -> Any:
    return ops.sum(which * values) / ops.maximum(ops.sum(which), 1.0)


def faces(stills: Sequence[Still], rng: np.random.Generator) -> tuple[Image, Floats]:
    """Random views u8[N,S,S] of stills, and where their points lie, f32[N,68,2] in shares of the side."""
    points = [still.points for still in stills]
    matrices = [jittered(own, rng) for own in points]
    crops = cut([still.image for still in stills], matrices)
    return mirror(crops, shapes(points, matrices), rng.random(len(stills)) < 0.5)
