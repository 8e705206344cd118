"""Pictures that painter.py makes of made-up faces; `python -m tests.support.drawings` writes those that the tests
compare with."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fer_edge.drawing.painter import DrawStyle, Painter, status_line
from fer_edge.records import LABELS, Box, FaceState, Floats, Frame, Image, Reason, Stats
from fer_edge.tracking.tracker import new_track
from tests.support.paths import DATA
from tests.support.samples import frame_of, reading

STATS = Stats(14.9, (8.2, 12.0), {}, 100, 0, 110.0, 48.3, 1)


def outline(box: Box) -> Floats:
    """68 points like those of a face that fills a box."""
    turn = np.linspace(0, np.pi, 17)
    jaw = np.column_stack((0.5 - 0.5 * np.cos(turn), 0.4 + 0.6 * np.sin(turn)))
    parts = [jaw]
    for x, y, wide, high, count in (
        *((0.27, 0.2, 0.15, -0.03, 5), (0.73, 0.2, 0.15, -0.03, 5)),  # eyebrows
        *((0.5, 0.42, 0.0, 0.12, 4), (0.5, 0.6, 0.1, 0.02, 5)),  # nose
        *((0.27, 0.34, 0.09, 0.03, 6), (0.73, 0.34, 0.09, 0.03, 6)),  # eyes
        *((0.5, 0.78, 0.2, 0.06, 12), (0.5, 0.78, 0.14, 0.02, 8)),  # mouth
    ):
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        parts.append(np.column_stack((x + wide * np.cos(angle), y + high * np.sin(angle))))
    points = np.vstack(parts) * (box.width, box.height) + (box.x0, box.y0)
    return np.asarray(points, np.float32)


def face(box: Box, *, id_: int = 1, label: str | None = "happiness", value: float = 0.9, at_ns: int = 0) -> FaceState:
    """A face as events have committed it; label None: it is too small."""
    reason = None if label else Reason.TOO_SMALL
    made = reading(box, label=LABELS.index(label) if label else None, value=value, reason=reason)
    track = new_track(id_, replace(made, landmarks=replace(made.landmarks, points=outline(box))), at_ns)
    return FaceState(track, label, reason)


def crowd(width: int, height: int) -> list[FaceState]:
    """One face of each expression and one without, in two rows; the last one leaves the picture."""
    faces = []
    for number, label in enumerate((*LABELS, None)):
        x, y = number % 5 * 0.2 + 0.02, number // 5 * 0.5 + 0.12
        box = Box(x * width, y * height, (x + 0.14) * width, (y + 0.3) * height)
        faces.append(face(box, id_=number + 1, label=label, value=0.3 + number / 12))
    return [*faces, face(Box(width * 0.9, height * 0.62, width * 1.1, height * 1.1), id_=10)]


def backdrop(width: int, height: int) -> Frame:
    """A frame from black to white and back, in colors."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.dstack((255 * x // width, 255 * y // height, 255 - 255 * x // width))
    return frame_of(np.asarray(picture, np.uint8))


def golden() -> dict[str, Image]:
    """Name -> picture, as they come out now."""
    frame, faces = backdrop(320, 240), crowd(320, 240)
    status = f"{status_line(faces, STATS)} · Küche Łódź"
    return {
        "draw_240": Painter().paint(frame, faces, status=status),
        "draw_1080": Painter(DrawStyle(images=False, mirror=True)).paint(
            frame, faces[2:3], size=(1440, 1080), status=status
        ),
    }


if __name__ == "__main__":
    for name, picture in golden().items():
        cv2.imwrite(str(DATA / f"{name}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
