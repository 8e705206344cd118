"""Finds faces in a frame, or in a tile of it, with a single-shot detector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Face, Floats, Frame, Image
from fer_edge.vision import transforms
from fer_edge.vision.model_card import SsdCard, TensorCard
from fer_edge.vision.tflite import Held, Model, dequantize, sigmoid

TILES = 4
"""Tiles of a picture, searched at a higher resolution one after the other."""

TILE_SHARE = 0.6
"""Width and height of each as a share of the whole: they overlap, so that one contains a central face completely."""

CUT_PX = 2.0
"""Boxes nearer than this (px) to a tile's inner edge may be cut off."""

MIN_DOWNSCALE = 1.3
"""Picture px per input px from which a tile shows more than the whole picture."""

TILE_SCORE_ODDS = 0.54
"""Factor on a tile's odds (0.65 counts as 0.5): four more runs have as many more chances of false positives."""

PARTS_PX = 64
"""Boxes and key points are multiples of this part of a px."""

MAX_LOG_SIZE = 5.0
"""Of a box, in strides: wider and higher than any input, and far from what a float32 cannot hold."""

AREA_SLACK = 1.025
"""By how much the input may exceed its budget: 224 x 224 is as good as 256 x 192."""


class Detector:
    """Frame -> faces, best first."""

    def __init__(self, model: Model, config: DetectorConfig) -> None:
        self._model = model
        assert model.card.ssd is not None  # tflite.py refuses a detector card without it
        self._ssd, (_, height, width, _) = model.card.ssd, model.card.input.shape
        self._area = math.prod(config.input_size or (width, height))
        self.configure(config)
        self._inputs: dict[tuple[int, int], tuple[int, int]] = {}  # by height and width of the searched area
        if model.resizable:  # an impossible size is reported at the start, not in the first frame
            model.resize(width=width + self._ssd.strides[-1], height=height)

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the model's input now, px."""
        return self._model.size

    def configure(self, config: DetectorConfig) -> None:
        """Apply other thresholds; the input's size stays."""
        self._config, self._least = config, min(config.min_score, config.candidate_score)

    def __call__(self, frame: Frame) -> list[Face]:
        """All face candidates of at least `min_face_px` within the configured region."""
        return self._look(*self._region(frame))

    def detect_tile(self, frame: Frame, tile: int) -> list[Face]:
        """The same in one of TILES tiles, which shows smaller faces; nothing where it does not. What its
        inner edges cut off is left to the others. Its scores are lowered by TILE_SCORE_ODDS."""
        part, x0, y0 = self._region(frame)
        (height, width), (across, down) = part.shape[:2], self._input_of(part)
        if max(width / across, height / down) <= MIN_DOWNSCALE:
            return []
        high, wide = max(1, int(TILE_SHARE * height)), max(1, int(TILE_SHARE * width))
        top, left = (tile // 2) * (height - high), (tile % 2) * (width - wide)
        found = self._look(part[top : top + high, left : left + wide], x0 + left, y0 + top)
        low = (x0 + left if left else -math.inf, y0 + top if top else -math.inf)
        ends = (math.inf if left else x0 + wide, math.inf if top else y0 + high)
        return [replace(face, score=_lowered(face.score)) for face in found if touches_no_cut(face.box, low, ends)]

    def _look(self, part: Image, x0: int, y0: int) -> list[Face]:
        """The faces in the part of a frame whose top left corner is (x0, y0)."""
        across, down = self._input_of(part)
        self._model.resize(width=across, height=down)
        canvas, matrix = transforms.letterbox(part, *self._model.size)
        outputs, cards = self._model.infer_held(canvas), self._model.card.outputs
        rows, scores = decode(outputs, self._ssd, min_score=self._least, cards=cards)
        if not scores.size:
            return []
        rows, scores = weighted_nms(rows, scores, overlap=self._ssd.overlap)
        back = transforms.invert(matrix)
        back[:, 2] += (x0, y0)
        big = [face for face in _faces(rows, scores, back) if face.box.height >= self._config.min_face_px]
        return big[: self._config.max_faces]

    def _region(self, frame: Frame) -> tuple[Image, int, int]:
        """The configured part of the frame, and where it begins."""
        left, top, right, bottom = self._config.region
        x0, y0 = int(left * frame.width), int(top * frame.height)
        window = np.s_[y0 : max(y0 + 1, round(bottom * frame.height)), x0 : max(x0 + 1, round(right * frame.width))]
        return self._model.view(frame)[window], x0, y0

    def _input_of(self, part: Image) -> tuple[int, int]:
        """Width and height of the model's input that suits pictures of this shape, of the sizes that it can have."""
        if not self._model.resizable:
            return self._model.size
        height, width = part.shape[:2]
        if (height, width) not in self._inputs:
            self._inputs[height, width] = input_size(width, height, area=self._area, step=self._ssd.strides[-1])
        return self._inputs[height, width]


def _lowered(score: float) -> float:
    """A score with odds times TILE_SCORE_ODDS."""
    return TILE_SCORE_ODDS * score / (TILE_SCORE_ODDS * score + 1 - score)


def touches_no_cut(box: Box, low: tuple[float, float], high: tuple[float, float]) -> bool:
    """Whether a box keeps CUT_PX away from the edges where a part of a picture was cut off; `low`, `high`: its corners
    (x, y), px."""
    near = min(box.x0 - low[0], box.y0 - low[1], high[0] - box.x1, high[1] - box.y1)
    return near > CUT_PX


def input_size(width: int, height: int, *, area: float, step: int) -> tuple[int, int]:
    """Width and height in px, multiples of `step`, into which a picture of width x height letterboxes at the largest
    scale: of all sizes of about `area` px at most, and among equals the smallest."""
    most = AREA_SLACK * max(area, step * step)
    sizes = [
        (min(math.ceil(width * down / height / step) * step, int(most / down / step) * step), down)
        for down in range(step, int(most / step) + 1, step)
    ]
    return max(sizes, key=lambda size: (min(size[0] / width, size[1] / height), -math.prod(size)))


def decode(
    outputs: Sequence[Held], ssd: SsdCard, *, min_score: float, cards: Sequence[TensorCard] = ()
) -> tuple[Floats, Floats]:
    """The cells of all grids that score at least `min_score` (0..1), as boxes with key points.

    Args:
        outputs: for each stride some arrays, all in strides. Coding "distances": score logits f32[1,h,w,1];
            distances f32[1,h,w,4] from the cell's centre to the box's left, top, right and bottom; offsets
            f32[1,h,w,2K] from the cell's centre to the key points. Coding "yunet": class logits f32[1,h,w,1];
            f32[1,h,w,4] the box's centre from the cell's left top corner, and the logarithms of its width and height;
            objectness logits f32[1,h,w,1]; offsets f32[1,h,w,2K] from that corner to the key points.
        ssd: the detector's card.
        min_score: only cells from here are decoded: a frame has a thousand, and few faces.
        cards: what the outputs stand for, where they are as the model holds them; empty: they are real numbers.

    Returns:
        Rows [two corners, key points] f32[n,2+K,2] in input px, and their scores f32[n].

    """
    kinds, coding = len(ssd.depths), CODINGS[ssd.coding]
    cards = cards or (_REAL,) * len(outputs)
    grids = [slice(first, first + kinds) for first in range(0, len(outputs), kinds)]
    least = logit_of(min_score**coding.root)
    each = (_promising(outputs[one], cards[one], stride, least) for one, stride in zip(grids, ssd.strides, strict=True))
    found = [cells for cells in each if cells]
    if not found:
        return np.zeros((0, 2 + ssd.keypoints, 2), np.float32), np.zeros(0, np.float32)
    strides, origins, *values = map(np.concatenate, zip(*found, strict=True)) if found[1:] else found[0]
    rows, scores = coding.decode(origins, *values)
    rows *= strides
    sure = scores >= min_score
    return (rows, scores) if np.logical_and.reduce(sure) else (rows[sure], scores[sure])


def logit_of(score: float) -> float:
    """The logit of a score."""
    if 0 < score < 1:
        return math.log(score / (1 - score))
    return math.inf if score else -math.inf


def _promising(
    grid: Sequence[Held], cards: Sequence[TensorCard], stride: int, least: float
) -> tuple[Floats, ...] | None:
    """The cells of a grid whose first output is at least `least`, or nearly so, as real numbers: their strides
    f32[n,1,1] and left top corners f32[n,2] in these, and of each output f32[n,D]. None: no cell is."""
    _, rows, columns, _ = grid[0].shape
    cells = (grid[0] >= _held_least(least, cards[0])).ravel().nonzero()[0]
    if not cells.size:
        return None
    each = zip(grid, cards, strict=True)
    values = [dequantize(output.reshape(rows * columns, -1).take(cells, 0), card) for output, card in each]
    return np.full((len(cells), 1, 1), stride, np.float32), _corners(rows, columns).take(cells, 0), *values


@lru_cache(maxsize=32)
def _corners(rows: int, columns: int) -> Floats:
    """Of all cells of a grid, row by row: f32[n,2]."""
    return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2).astype(np.float32)


def _held_least(least: float, card: TensorCard) -> float:
    """From where on a tensor's numbers stand for `least` or more: a step lower rather than higher."""
    if card.dtype == "float32" or math.isinf(least):
        return least - 1e-3
    return math.floor(least / card.scale) + card.zero_point


def _decode_distances(origins: Floats, logits: Floats, distances: Floats, offsets: Floats) -> tuple[Floats, Floats]:
    """Rows and scores of some cells, in strides."""
    rows = np.concatenate([np.maximum(distances, 0), offsets], axis=1).reshape(len(origins), -1, 2)
    centers = origins[:, None] + np.float32(0.5)
    np.negative(rows[:, 0], out=rows[:, 0])
    rows += centers
    return rows, sigmoid(logits[:, 0])


def _decode_yunet(
    origins: Floats, classes: Floats, boxes: Floats, objects: Floats, offsets: Floats
) -> tuple[Floats, Floats]:
    """The same for YuNet's outputs (Wu et al. 2023, doi:10.1007/s11633-023-1423-y)."""
    middles, halves = origins + boxes[:, :2], np.exp(np.minimum(boxes[:, 2:], MAX_LOG_SIZE)) / 2
    corners = np.stack([middles - halves, middles + halves], axis=1)
    points = origins[:, None] + offsets.reshape(len(origins), -1, 2)
    return np.concatenate([corners, points], axis=1), np.sqrt(sigmoid(classes[:, 0]) * sigmoid(objects[:, 0]))


class Coding(NamedTuple):
    """How a detector encodes its outputs."""

    decode: Callable[..., tuple[Floats, Floats]]
    root: int  # the score is this root of the first output's probability, or less


CODINGS: Mapping[str, Coding] = {"distances": Coding(_decode_distances, 1), "yunet": Coding(_decode_yunet, 2)}

_REAL = TensorCard(shape=(), dtype="float32")


def weighted_nms(rows: Floats, scores: Floats, *, overlap: float) -> tuple[Floats, Floats]:
    """Weighted non-maximum suppression (Bazarevsky et al. 2019, arXiv:1907.05047, "blending"): overlapping boxes
    are not thrown away but averaged by score into the best one, which reduces jitter.

    Args:
        rows: f32[n,2+K,2], two corners then key points.
        scores: f32[n], 0..1.
        overlap: IoU from which two boxes are one face.

    Returns:
        The merged rows and their scores, best first.

    """
    merged, best = [], []
    low, high = rows[:, 0], rows[:, 1]
    sides = high - low
    areas = sides[:, 0] * sides[:, 1]
    order = np.argsort(-scores, kind="stable")
    while order.size:
        first = order[0]
        shared = np.maximum(np.minimum(high[first], high[order]) - np.maximum(low[first], low[order]), 0)
        common = shared[:, 0] * shared[:, 1]
        close = common / np.maximum(areas[first] + areas[order] - common, np.float32(1e-9)) >= overlap
        close[0] = True  # itself, even where its area is 0
        group = order[close]
        weights = scores[group][:, None, None]
        merged.append(np.add.reduce(rows[group] * weights, 0) / np.add.reduce(weights, 0))
        best.append(scores[first])
        order = order[~close]
    return np.asarray(merged, np.float32).reshape(-1, *rows.shape[1:]), np.asarray(best, np.float32)


def _faces(rows: Floats, scores: Floats, back: transforms.Matrix) -> list[Face]:
    """Rows of `decode` as faces in the frame to which a matrix maps."""
    # Machines differ in the last bits of float sums. Rounded away here, they do not reach the next crop, whose pixels
    # would differ, and its landmarks, and all crops after it: the same frames give the same events on every machine.
    places = np.round(transforms.transform(rows.reshape(-1, 2), back) * PARTS_PX) / np.float32(PARTS_PX)
    points = places.reshape(rows.shape)
    corners = points[:, :2].reshape(-1, 4).tolist()
    each = zip(corners, scores.tolist(), points[:, 2:], strict=True)
    return [Face(Box(*corner), score, keypoints) for corner, score, keypoints in each]
