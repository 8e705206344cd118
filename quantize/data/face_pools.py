"""The expression network's training data: pools of faces, each with targets and its share of the draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Floats, Image
from fer_edge.vision.tflite import Model
from quantize import daemon_stages
from quantize.data.cut_faces import aligned, on_canvas
from quantize.data.ferplus import CLASSES, Examples
from quantize.data.locate import located
from quantize.data.natural import NATURAL, Natural, read_natural
from quantize.data.posed import read_posed
from quantize.data.teacher import read_teacher
from quantize.metrics import Labels

RARE_POWER = 0.4  # a picture is drawn in proportion to 1 / (pictures of its expression) ** RARE_POWER
SURENESS = 0.93  # of a single label; the rest is shared out among all expressions
ALIGNED_SHARE = 0.3  # of the views are cut as the daemon cuts them
POSED_SHARE = 0.06  # of the draws
NATURAL_SHARE = 0.1
TAUGHT_SHARE = 0.5  # of a target, where others' networks teach; the rest are the votes, or the posed label
MAX_SCALE = 1.17  # a view shows so many times more or less
WIDEST = 1.35  # posed faces are cut more tightly than the daemon cuts them


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
        """How likely each face is to be drawn from this pool, f64[N]; all together 1."""
        return odds(self.targets)


def make_pools(data: Path, ferplus: Examples, landmarks: Path, taught: Path | None) -> list[Pool]:
    """FER+, and the posed and natural faces that a folder of sets has. Raises DataError or ModelError."""
    model, where = daemon_stages.open_model(landmarks, "landmarks"), located("posed", data)
    posed = read_posed(where).side(held_out=False) if where != data else None
    targets = [ferplus.targets, one_label(posed.labels) if posed else np.empty((0, CLASSES), np.float32)]
    natural = read_natural(data / NATURAL) if taught else None
    if taught and natural:
        others = read_teacher(taught, ferplus=len(targets[0]), posed=len(targets[1]), natural=len(natural.names))
        targets = [_mixed(own, given) for own, given in zip(targets, (others.ferplus, others.posed), strict=True)]
    pools = [_pool(ferplus.images, targets[0], model, widest=MAX_SCALE)]
    if posed:
        pools.append(_pool(posed.images, targets[1], model, share=POSED_SHARE, widest=WIDEST))
    if taught and natural:
        pools.append(_natural(natural, others.natural))
    return [replace(pools[0], share=1 - sum(pool.share for pool in pools[1:])), *pools[1:]]


def _mixed(own: Floats, taught: Floats) -> Floats:
    return np.asarray((1 - TAUGHT_SHARE) * own + TAUGHT_SHARE * taught, np.float32)


def _pool(crops: Image, targets: Floats, landmarks: Model, *, widest: float, share: float = 1.0) -> Pool:
    """Put crops u8[N,48,48] onto canvases, as they are and as the daemon would cut them."""
    return Pool(on_canvas(crops), aligned(crops, landmarks), targets, share=share, widest=widest)


def _natural(faces: Natural, taught: Floats) -> Pool:
    """The natural faces of the people learned from; the daemon has cut them."""
    learned = ~faces.held_out()
    canvases = faces.canvases[learned]
    return Pool(canvases, canvases, taught[learned], share=NATURAL_SHARE, widest=MAX_SCALE)


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


def draw(pools: Sequence[Pool], batch: int, rng: np.random.Generator) -> Iterator[tuple[Pool, Image, Floats]]:
    """One batch: from each pool its share n of faces u8[n,CANVAS,CANVAS], a part of them as the daemon cuts them, and
    their targets f32[n,8]."""
    counts = rng.multinomial(batch, [pool.share for pool in pools])
    for pool, count in zip(pools, counts, strict=True):
        if not count:
            continue
        rows = rng.choice(len(pool.targets), count, p=pool.odds)
        cut = rng.random(count) < ALIGNED_SHARE
        yield pool, np.where(cut[:, None, None], pool.aligned[rows], pool.canvases[rows]), pool.targets[rows]
