"""Two third-party face detectors that label photos: YuNet (Wu et al. 2023) and CenterFace (Xu et al. 2019,
arXiv:1911.03599), both from ONNX files that the user has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.sets import DataError, Floats
from quantize.metrics import overlaps

LONG_SIDES = (640, 384, 448)  # px, of YuNet's two looks and of CenterFace's
SMALL_PICTURE = 320  # px; pictures up to this size are searched with:
SMALL_SIDES = (320, 224, 320)
LOWEST = 0.15  # least score of a candidate
SAME_FACE = 0.4  # IoU

Color = NDArray[np.uint8]


class YuNet:
    """Rows f32[n,15] of x0,y0,x1,y1, five points, score, in px of the picture."""

    def __init__(self, path: Path) -> None:
        self._net = _opened(path, lambda file: cv2.FaceDetectorYN.create(file, "", (320, 320), LOWEST, 0.45, 500))

    def __call__(self, picture: Color, long_side: int) -> Floats:
        """Look at a picture u8[H,W,3] that is made `long_side` px long."""
        shrink = long_side / max(picture.shape[:2])
        size = [max(32, 32 * round(side * shrink / 32)) for side in picture.shape[1::-1]]
        self._net.setInputSize(size)
        found: Any = self._net.detect(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))[1]
        if found is None:
            return np.empty((0, 15), np.float32)
        rows = np.array(found, np.float32)
        rows[:, 2:4] += rows[:, :2]
        rows[:, :14] *= np.tile(np.array(picture.shape[1::-1], np.float32) / size, 7)
        return rows


class CenterFace:
    """Rows f32[n,5] of x0,y0,x1,y1, score, in px of the picture."""

    def __init__(self, path: Path) -> None:
        self._net = _opened(path, cv2.dnn.readNetFromONNX)

    def __call__(self, picture: Color, long_side: int) -> Floats:
        """Look at a picture u8[H,W,3] that is made `long_side` px long."""
        shrink = long_side / max(picture.shape[:2])
        width, height = (max(32, 32 * round(side * shrink / 32)) for side in picture.shape[1::-1])
        self._net.setInput(cv2.dnn.blobFromImage(picture, 1.0, (width, height), (0, 0, 0), swapRB=True))
        heat, sizes, offsets, _ = self._net.forward(["537", "538", "539", "540"])
        rows, columns = np.nonzero(heat[0, 0] > LOWEST)
        score = heat[0, 0, rows, columns]
        high, wide = 4 * np.exp(sizes[0][:, rows, columns])
        down, across = offsets[0][:, rows, columns]
        shape = np.array(picture.shape[1::-1])
        x, y = 4 * (columns + across + 0.5) - wide / 2, 4 * (rows + down + 0.5) - high / 2
        boxes = np.stack([x, y, x + wide, y + high], axis=1) * np.tile(shape / (width, height), 2)
        kept = cv2.dnn.NMSBoxes([[b[0], b[1], b[2] - b[0], b[3] - b[1]] for b in boxes], score.tolist(), LOWEST, 0.35)
        rows = np.column_stack([boxes, score])[np.array(kept, int).reshape(-1)]
        return np.asarray(rows, np.float32)


class Teachers:
    """Both detectors."""

    def __init__(self, yunet: Callable[[Color, int], Floats], centerface: Callable[[Color, int], Floats]) -> None:
        """Each takes a picture u8[H,W,3] and its long side in px; returns f32[n,15] (`YuNet`), f32[n,5]
        (`CenterFace`)."""
        self._yunet, self._centerface = yunet, centerface

    def __call__(self, picture: Color) -> tuple[Floats, Floats]:
        """Detections in a picture u8[H,W,3]: boxes and points f32[n,14], NaN for unknown points, and scores
        f32[n,3] of YuNet's two looks and of CenterFace; 0 where one of them sees nothing."""
        sides = SMALL_SIDES if max(picture.shape[:2]) <= SMALL_PICTURE else LONG_SIDES
        first = self._yunet(picture, sides[0])
        second = _mirrored(self._yunet(_flip(picture), sides[1]), picture.shape[1])
        places, scores = np.empty((0, 14), np.float32), np.empty((0, 3), np.float32)
        for column, found in enumerate((first, second, self._centerface(picture, sides[2]))):
            places, scores = _joined(places, scores, found, column=column)
        return places, scores


def _joined(places: Floats, scores: Floats, found: Floats, *, column: int) -> tuple[Floats, Floats]:
    """Add what one look has found: the scores of known places, and new places."""
    overlap = overlaps(found[:, :4], places[:, :4])
    same = overlap.max(axis=1, initial=0) > SAME_FACE
    for row in np.flatnonzero(same):
        own = int(overlap[row].argmax())
        scores[own, column] = max(scores[own, column], found[row, -1])
    others = found[~same]
    new = np.full((len(others), 14), np.nan, np.float32)
    new[:, : others.shape[1] - 1] = others[:, :-1]
    own_scores = np.zeros((len(others), 3), np.float32)
    own_scores[:, column] = others[:, -1]
    return np.concatenate([places, new]), np.concatenate([scores, own_scores])


def _flip(picture: Color) -> Color:
    return np.ascontiguousarray(picture[:, ::-1])


def _mirrored(rows: Floats, width: int) -> Floats:
    """What was found in the mirror image, in the picture: left and right change places, the points' too."""
    turned = rows.copy()
    turned[:, 0], turned[:, 2] = width - rows[:, 2], width - rows[:, 0]
    points = rows[:, 4:14].reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]].copy()
    points[..., 0] = width - points[..., 0]
    turned[:, 4:14] = points.reshape(-1, 10)
    return turned


def _opened(path: Path, read: Callable[[str], Any]) -> Any:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected an ONNX file")
    try:
        return read(str(path))
    except cv2.error as error:
        raise DataError(f"{path}: cannot be read as an ONNX file: {error.err}") from None
