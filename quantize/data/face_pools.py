"""What the expression network learns from: pools of faces, each with targets and its share of the draws.

A pool's pictures lie in the middle of a canvas that is larger than the network's crop, so that a view that shows more
than the crop finds true pixels there, or the crop's edge repeated where the set has none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats, Image, Landmarks
from fer_edge.vision import transforms
from fer_edge.vision.landmarks import crop_around_points
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data.sets import FER_SIDE, LABELS
from quantize.metrics import Labels

CLASSES: Final = len(LABELS)
CANVAS: Final = 64  # px; its middle FER_SIDE px are the crop
RARE_POWER: Final = 0.45  # a picture is drawn in proportion to 1 / (pictures of its expression) ** RARE_POWER
SURENESS: Final = 0.93  # of a single label; the rest is shared out among all expressions
ALIGNED_SHARE: Final = 0.3  # of the views are cut as the daemon cuts them
LOOKS: Final = 2  # of the landmarks model at a face: its first points frame the second look

# Where the eyes and the mouth of a FER+ face lie, in shares of the crop's side: mean positions measured on FER+
# train by our own landmarks (`quantize.evaluate.geometry`). The daemon turns, scales and shifts each face onto these
# points.
# Left and right are those of the picture.
TEMPLATE: Final = {"left_eye": [0.328, 0.4], "right_eye": [0.672, 0.4], "mouth": [0.5, 0.783]}


@dataclass(frozen=True, slots=True)
class Pool:
    """Faces that are varied alike."""

    canvases: Image  # u8[N,CANVAS,CANVAS] gray
    aligned: Image  # u8[N,CANVAS,CANVAS] the same faces as the daemon would cut them
    targets: Floats  # f32[N,8], each row sums to 1
    share: float  # of all draws
    widest: float  # a view shows up to so many times the crop's side

    @property
    def odds(self) -> NDArray[np.float64]:
        """How likely each face is to be drawn from this pool; all together 1."""
        return odds(self.targets)


def odds(targets: Floats) -> NDArray[np.float64]:
    """How likely each row f32[N,8] is to be drawn; all together 1."""
    tops = targets.argmax(axis=1)
    weights = np.maximum(np.bincount(tops, minlength=CLASSES), 1)[tops] ** -RARE_POWER
    return np.asarray(weights / weights.sum(), np.float64)


def one_label(labels: Labels) -> Floats:
    """Targets f32[N,8] of single labels."""
    spread = np.full((len(labels), CLASSES), (1 - SURENESS) / CLASSES, np.float32)
    spread[np.arange(len(labels)), labels] += SURENESS
    return spread


def on_canvas(crops: Image) -> Image:
    """Repeat the edges of crops u8[N,48,48] up to the canvas's."""
    margin = (CANVAS - FER_SIDE) // 2
    return np.pad(crops, ((0, 0), (margin, margin), (margin, margin)), mode="edge")


def crops_of(canvases: Image) -> Image:
    """The crops u8[N,48,48] in the middle of canvases."""
    margin = (CANVAS - FER_SIDE) // 2
    return canvases[:, margin:-margin, margin:-margin]


def draw(pools: Sequence[Pool], batch: int, rng: np.random.Generator) -> Iterator[tuple[Pool, Image, Floats]]:
    """One batch: from each pool its share of faces, a part of them as the daemon cuts them."""
    counts = rng.multinomial(batch, [pool.share for pool in pools])
    for pool, count in zip(pools, counts, strict=True):
        rows = rng.choice(len(pool.targets), count, p=pool.odds)
        cut = rng.random(count) < ALIGNED_SHARE
        yield pool, np.where(cut[:, None, None], pool.aligned[rows], pool.canvases[rows]), pool.targets[rows]


# --- as the daemon cuts them ---------------------------------------------------------------------------------


def aligned(crops: Image, landmarks: Model, template: Floats) -> Image:
    """The canvases u8[N,CANVAS,CANVAS] in whose middle the daemon's crops of these crops u8[N,S,S] lie."""
    return np.stack([align(crop, place(crop, landmarks), template) for crop in crops])


def place(crop: Image, model: Model) -> Landmarks:
    """Landmarks of a face that fills its picture u8[S,S]."""
    card, size, side = model.card.points, model.size[0], len(crop)
    assert card is not None  # tflite.py refuses a landmarks card without it
    matrix = transforms.square((side / 2, side / 2), side, 0.0, size)
    for _ in range(LOOKS):
        found = daemon_stages.landmarks(model, crop, matrix)
        matrix = crop_around_points(found.points, card.points_scale, size)
    return found


def align(gray: Image, found: Landmarks, template: Floats) -> Image:
    """Bring a face's eyes and mouth onto the template in the middle of a canvas u8[CANVAS,CANVAS]."""
    share = FER_SIDE / CANVAS
    return transforms.align(gray, found.points, (template - 0.5) * np.float32(share) + np.float32(0.5), CANVAS)


def template_points() -> Floats:
    """TEMPLATE as f32[3,2]: left eye, right eye, mouth."""
    return np.array(list(TEMPLATE.values()), np.float32)


def landmarks_model(path: Path) -> Model:
    """Open the model that aligns. Raises DataError or ModelError."""
    return daemon_stages.open_model(path, "landmarks")
