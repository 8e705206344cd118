"""Draws boxes, landmarks and labels on a picture: one drawing code for every view."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fer_edge.records import Floats, Image, Reason, Track

Color = tuple[int, int, int]

PALETTE: dict[str, Color] = {
    "neutral": (187, 187, 187),
    "happiness": (66, 228, 240),
    "surprise": (233, 180, 86),
    "sadness": (178, 114, 0),
    "anger": (0, 94, 213),
    "disgust": (115, 158, 0),
    "fear": (167, 121, 204),
    "contempt": (0, 159, 230),
}
"""BGR; the colour-blind-safe palette of Okabe and Ito (2008), gray for neutral."""

ABSTAINED: Color = (120, 120, 120)

LINES = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68))
"""Which of the 68 landmarks make one line; eyes and mouth (from 36 on) are closed."""


def annotate(image: Image, tracks: Sequence[Track]) -> Image:
    """A copy of a picture u8[H,W,3] BGR with every visible face marked."""
    canvas = image.copy()
    for track in tracks:
        if not track.missed:
            _face(canvas, track)
    return canvas


def _face(canvas: Image, track: Track) -> None:
    reason = track.quality.reason
    judged = track.expression if reason is None else None
    color = PALETTE[judged.label] if judged else ABSTAINED
    thick = max(1, round(canvas.shape[0] / 400))
    box = track.box
    corner, opposite = (round(box.x0), round(box.y0)), (round(box.x1), round(box.y1))
    cv2.rectangle(canvas, corner, opposite, color, thick, cv2.LINE_AA)
    _landmarks(canvas, track.landmarks.points, color)
    text = f"{judged.label} {judged.confidence:.0%}" if judged else _words(reason)
    _caption(canvas, f"#{track.id} {text}", corner, color)
    if judged:
        width = round(box.width * judged.confidence)
        cv2.rectangle(canvas, (corner[0], opposite[1] + 2), (corner[0] + width, opposite[1] + 4 + 2 * thick), color, -1)


def _landmarks(canvas: Image, points: Floats, color: Color) -> None:
    """Thin lines through the landmarks; four more bits of precision than pixels, so that they do not jump."""
    fixed = np.round(points * 16).astype(np.int32)
    for first, end in LINES:
        cv2.polylines(canvas, [fixed[first:end]], first >= 36, color, 1, cv2.LINE_AA, shift=4)


def _caption(canvas: Image, text: str, corner: tuple[int, int], color: Color) -> None:
    """Text on a dark ground above a corner, or inside the picture where there is no room above."""
    scale = max(0.4, canvas.shape[0] / 900)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = max(0, min(corner[0], canvas.shape[1] - width - 4))
    y = max(height + below, corner[1] - 3)
    cv2.rectangle(canvas, (x, y - height - below), (x + width + 4, y + below - 2), (24, 24, 24), -1)
    cv2.putText(canvas, text, (x + 2, y - 2), cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def _words(reason: Reason | None) -> str:
    return reason.value.replace("_", " ") if reason else "waiting"
