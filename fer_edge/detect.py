"""Finds faces in a frame with a single-shot detector, and decides when that is worth its time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge import image
from fer_edge.card import SsdCard
from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Face, Floats, Frame, Image
from fer_edge.tflite import Model


class Detector:
    """Frame -> faces, best first."""

    def __init__(self, model: Model, config: DetectorConfig) -> None:
        self._model, self._config = model, config
        assert model.card.ssd is not None  # tflite.py refuses a detector card without it
        self._ssd = model.card.ssd
        _, self._height, self._width, _ = model.card.input.shape
        self._anchors = anchors(self._ssd, width=self._width, height=self._height)

    def __call__(self, frame: Frame) -> list[Face]:
        """Every face of at least `min_face_px` within the configured region."""
        part, x0, y0 = self._region(frame)
        canvas, matrix = image.letterbox(part, self._width, self._height)
        regressors, logits = self._model.see(canvas)
        candidates, scores = self._decode(regressors, logits)
        candidates, scores = suppress(candidates, scores, overlap=self._ssd.overlap)
        back = image.invert(matrix)
        back[:, 2] += (x0, y0)
        faces = [_face(row, score, back) for row, score in zip(candidates, scores, strict=True)]
        big = [face for face in faces if face.box.height >= self._config.min_face_px]
        return big[: self._config.max_faces]

    def _region(self, frame: Frame) -> tuple[Image, int, int]:
        """The configured part of the frame, and where it begins."""
        left, top, right, bottom = self._config.region
        x0, y0 = int(left * frame.width), int(top * frame.height)
        window = np.s_[y0 : max(y0 + 1, round(bottom * frame.height)), x0 : max(x0 + 1, round(right * frame.width))]
        return self._model.view(frame)[window], x0, y0

    def _decode(self, regressors: Floats, logits: Floats) -> tuple[Floats, Floats]:
        """Anchors whose score suffices, as rows [box corners, key points] f32[n,2+K,2] in input px, and their
        scores f32[n]. Only they are decoded: a frame has thousands of anchors and few faces."""
        scores: Floats = np.asarray(1 / (1 + np.exp(-np.clip(logits.reshape(-1), -80, 80))), np.float32)
        keep = np.flatnonzero(scores >= self._config.min_score)
        rows = regressors.reshape(len(scores), -1, 2)[keep]
        return decode(rows, self._anchors[keep]), scores[keep]


def anchors(ssd: SsdCard, *, width: int, height: int) -> Floats:
    """Anchor centres f32[N,2] in input px: grid by grid, row by row, as the model's outputs are ordered."""
    grids = []
    for stride, repeats in zip(ssd.strides, ssd.per_cell, strict=True):
        xs = (np.arange(width // stride, dtype=np.float32) + ssd.offset) * stride
        ys = (np.arange(height // stride, dtype=np.float32) + ssd.offset) * stride
        grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


def decode(rows: Floats, centers: Floats) -> Floats:
    """Regressor rows f32[n,2+K,2] (centre, size, key points; offsets from the anchor in px) as corners and
    key points f32[n,2+K,2]."""
    points = rows + centers[:, None, :]
    half = np.abs(rows[:, 1]) / 2
    center = points[:, 0].copy()
    points[:, 0], points[:, 1] = center - half, center + half
    return points


def suppress(rows: Floats, scores: Floats, *, overlap: float) -> tuple[Floats, Floats]:
    """Weighted non-maximum suppression as BlazeFace does it: overlapping boxes are not thrown away but
    averaged by score into the best one, which keeps boxes from trembling.

    Args:
        rows: f32[n,2+K,2], two corners then key points.
        scores: f32[n], 0..1.
        overlap: IoU from which two boxes are one face.

    Returns:
        The merged rows and their scores, best first.

    """
    merged, best = [], []
    order = np.argsort(-scores, kind="stable")
    while order.size:
        close = _iou(rows[order[0]], rows[order]) >= overlap
        close[0] = True  # itself, even where its area is 0
        group = order[close]
        merged.append(np.average(rows[group], axis=0, weights=scores[group]))
        best.append(scores[order[0]])
        order = order[~close]
    return np.asarray(merged, np.float32).reshape(-1, *rows.shape[1:]), np.asarray(best, np.float32)


def _iou(one: Floats, many: Floats) -> NDArray[np.float32]:
    """IoU of one row's box with those of many rows: f32[n]."""
    low, high = np.maximum(one[0], many[:, 0]), np.minimum(one[1], many[:, 1])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    total = np.prod(one[1] - one[0]) + np.prod(many[:, 1] - many[:, 0], axis=1) - shared
    return np.asarray(shared / np.maximum(total, 1e-9), np.float32)


def _face(row: Floats, score: float, back: image.Matrix) -> Face:
    points = image.transform(row, back)
    (x0, y0), (x1, y1) = points[0].tolist(), points[1].tolist()
    return Face(Box(x0, y0, x1, y1), float(score), points[2:])


class Cadence:
    """Says when the detector shall look at a frame.

    While faces are followed it looks every `every_seconds`; every `idle_every_seconds` while nobody is there or
    somebody is missing; at once when a face is lost; and when something moves outside the known faces (at most
    every `idle_every_seconds`).
    """

    THUMB = (40, 30)  # px; coarse enough that sensor noise averages out

    def __init__(self, config: DetectorConfig) -> None:
        self._config = config
        self._last_ns: int | None = None
        self._thumb: NDArray[np.int16] | None = None

    def due(self, frame: Frame, known: Sequence[Box], *, lost: bool, missing: bool) -> bool:
        """Whether to detect in this frame.

        Args:
            frame: the new frame.
            known: boxes of the faces that were followed into it.
            lost: a face of the frame before is not among them.
            missing: a face that was lost earlier is still waited for.

        """
        since = None if self._last_ns is None else (frame.taken_ns - self._last_ns) / 1e9
        config = self._config
        pause = config.idle_every_seconds if missing or not known else config.every_seconds
        if (
            since is None
            or lost
            or since >= pause
            or (since >= config.idle_every_seconds and self._moved(frame, known))
        ):
            self._last_ns, self._thumb = frame.taken_ns, self._thumbnail(frame)
            return True
        return False

    def _moved(self, frame: Frame, known: Sequence[Box]) -> bool:
        """Whether any cell outside the known faces changed by `motion` since the detector looked."""
        if self._thumb is None or self._config.motion >= 1:
            return False
        change = np.abs(self._thumbnail(frame) - self._thumb)
        across, down = self.THUMB[0] / frame.width, self.THUMB[1] / frame.height
        for box in known:
            x0, x1 = int((box.x0 - 0.3 * box.width) * across), int((box.x1 + 0.3 * box.width) * across) + 1
            y0, y1 = int((box.y0 - 0.3 * box.height) * down), int((box.y1 + 0.3 * box.height) * down) + 1
            change[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 0
        return bool(change.max() >= 255 * self._config.motion)

    def _thumbnail(self, frame: Frame) -> NDArray[np.int16]:
        small = cv2.resize(frame.gray, self.THUMB, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.int16)
