"""Draws boxes, landmarks and labels on a picture: one drawing code for every view."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fer_edge.config import Zone
from fer_edge.drawing.font import Font
from fer_edge.drawing.labels import Place, Wanted, place_labels
from fer_edge.drawing.palette import ABSTAINED, DARK, LIGHT, PALETTE, Color
from fer_edge.records import LABELS, THROTTLED, Box, FaceState, Floats, Frame, Image, Stats
from fer_edge.runtime.count_text import counted

LINES = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68))
"""Which of the 68 landmarks make one line; eyes and mouth (from 36 on) are closed."""

HOLD_SECONDS = 0.3  # a face that was just lost stays where it was: one that is found again at once does not blink
STEADY_SECONDS = 0.15  # time constant of the smoothing, for a face that is still
MOVING = 0.5  # heights of the face per second at which that is halved: what moves must not lag behind
GAP_SECONDS = 0.5  # a face that was not shown for longer appears where it is

MESH_PX = 60
"""A face that is shown less high has no landmarks drawn: they would hide it."""


@dataclass(frozen=True, slots=True)
class DrawStyle:
    """What is shown."""

    images: bool = True  # False: lines on black instead of the picture
    landmarks: bool = True
    mirror: bool = False  # left and right swapped, as people know themselves from mirrors; text stays readable


@dataclass(frozen=True, slots=True)
class _Mark:
    """A drawn face that gets a label."""

    box: Place  # all that the drawing takes up
    texts: tuple[str, ...]  # the best one first
    color: Color


class Painter:
    """Draws one picture after the other. For one thread."""

    def __init__(self, look: DrawStyle | None = None, zones: Mapping[str, Zone] | None = None) -> None:
        """`zones`: name -> zone, to be outlined; may be replaced at any time."""
        self._look, self.zones = look or DrawStyle(), zones or {}
        self._font = Font()
        self._canvas = np.empty((0, 0, 3), np.uint8)
        self._ink = np.linspace(DARK, LIGHT, 256).round().astype(np.uint8)  # coverage -> color of text on DARK

    def paint(
        self, frame: Frame, faces: Sequence[FaceState], *, size: tuple[int, int] | None = None, status: str = ""
    ) -> Image:
        """A picture u8[H,W,3] BGR with every visible face marked; the next call overwrites it.

        Args:
            frame: where the faces are.
            faces: what is shown of them, see `BoxSmoother`; those lost for longer than HOLD_SECONDS are left out.
            size: width and height in px, the frame's own if None. Lines and text are drawn in this size, so they are
                sharp however small the frame is.
            status: a line for the lower left corner.

        """
        width, height = size or (frame.width, frame.height)
        canvas = self._background(frame, width, height)
        marks = [self._zone(canvas, zone, name, faces) for name, zone in self.zones.items()]
        shown = [face for face in faces if frame.taken_ns - face.track.last_ns <= HOLD_SECONDS * 1e9]
        marks = [*(self._face(canvas, face, (frame.width, frame.height)) for face in shown), *marks]
        taken = [self._plate(canvas, status, (0, height))] if status else []
        self._labels(canvas, marks, taken)
        return canvas

    def notice(self, text: str, size: tuple[int, int]) -> Image:
        """A black picture u8[H,W,3], BGR, with a line of text in its middle. `size`: width and height, px."""
        canvas = self._blank(*size)
        text_px = text_height(size[1])
        mask = self._font.draw(text, text_px)
        self._plate(canvas, text, ((size[0] - mask.shape[1]) // 2, size[1] // 2))
        return canvas

    def _blank(self, width: int, height: int) -> Image:
        if self._canvas.shape[:2] != (height, width):
            self._canvas = np.empty((height, width, 3), np.uint8)
        self._canvas[:] = 0
        return self._canvas

    def _background(self, frame: Frame, width: int, height: int) -> Image:
        if not self._look.images:
            return self._blank(width, height)
        if self._canvas.shape[:2] != (height, width):
            self._canvas = np.empty((height, width, 3), np.uint8)
        image = cv2.flip(frame.image, 1) if self._look.mirror else frame.image
        shrinks = width < frame.width or height < frame.height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (width, height), dst=self._canvas, interpolation=how), np.uint8)

    def _face(self, canvas: Image, face: FaceState, frame_size: tuple[int, int]) -> _Mark:
        """Mark a face."""
        height = canvas.shape[0]
        color = PALETTE[face.expression] if face.expression else ABSTAINED
        points = self._placed(face.track.landmarks.points, frame_size, canvas)
        box = np.array(((face.track.box.x0, face.track.box.y0), (face.track.box.x1, face.track.box.y1)), np.float32)
        corners = self._placed(box, frame_size, canvas)
        (x0, y0), (x1, y1) = corners.min(axis=0).round().astype(int), corners.max(axis=0).round().astype(int)
        place = int(x0), int(y0), int(x1), int(y1)
        thick = max(1, round(height / 400))
        if self._look.landmarks and place[3] - place[1] >= MESH_PX:
            _landmarks(canvas, points, color)
        _frame(canvas, place, thick, color)
        if face.expression:
            _bar(canvas, place, confidence(face), color)
        below = _bar_height(canvas) + 2 if face.expression else thick
        around = place[0] - thick, place[1] - thick, place[2] + thick, place[3] + below
        return _Mark(around, tuple(dict.fromkeys((caption(face), name_of(face)))), color)

    def _labels(self, canvas: Image, marks: Sequence[_Mark], taken: Sequence[Place]) -> None:
        """The text of each mark, beside it; less of it, or nothing, where there is no room."""
        height, width = canvas.shape[:2]
        wanted = [
            Wanted(mark.box, tuple(self._plate_size(text, height, swatch=True) for text in mark.texts))
            for mark in marks
        ]
        for mark, each, placed in zip(marks, wanted, place_labels(wanted, (width, height), taken), strict=True):
            if placed:
                bottom = placed.top + each.sizes[placed.form][1]
                self._plate(canvas, mark.texts[placed.form], (placed.left, bottom), mark.color)

    def _plate_size(self, text: str, height: int, *, swatch: bool) -> tuple[int, int]:
        """Width and height of a plate on a picture of this height."""
        mask = self._font.draw(text, text_height(height))
        pad = max(2, mask.shape[0] // 6)
        return mask.shape[1] + 2 * pad + (2 * pad if swatch else 0), mask.shape[0] + pad

    def _zone(self, canvas: Image, zone: Zone, name: str, faces: Sequence[FaceState]) -> _Mark:
        """A zone's border; its name and how many faces are in it belong at its highest corner."""
        corners = self._placed(np.asarray(zone.points, np.float32), (1, 1), canvas)
        thick = max(1, round(canvas.shape[0] / 400))
        outline = np.round(corners * 16).astype(np.int32)  # four more bits of precision than pixels
        for line, ink in ((thick + 2, DARK), (thick, LIGHT)):
            cv2.polylines(canvas, [outline], True, ink, line, cv2.LINE_AA, shift=4)
        x, y = corners[corners[:, 1].argmin()].round().astype(int).tolist()
        inside = sum(face.in_view and name in face.zones for face in faces)
        return _Mark((x, y, x, y), (f"{name} {inside}" if inside else name,), LIGHT)

    def _placed(self, points: Floats, frame_size: tuple[int, int], canvas: Image) -> Floats:
        """Frame pixels -> canvas pixels."""
        height, width = canvas.shape[:2]
        placed = np.asarray(points * (width / frame_size[0], height / frame_size[1]), np.float32)
        if self._look.mirror:
            placed[:, 0] = width - placed[:, 0]
        return placed

    def _plate(self, canvas: Image, text: str, corner: tuple[int, int], swatch: Color | None = None) -> Place:
        """Text on dark ground with its lower left corner here, moved so that it is within the picture; `swatch`: a
        stripe of this color before it. Where it is."""
        height, width = canvas.shape[:2]
        mask = self._font.draw(text, text_height(height))
        pad = max(2, mask.shape[0] // 6)
        stripe = 2 * pad if swatch else 0
        wide, high = self._plate_size(text, height, swatch=swatch is not None)
        x, y = max(0, min(corner[0], width - wide)), max(0, min(corner[1], height) - high)
        _fill(canvas, (x, y, x + wide, y + high), DARK)
        if swatch:
            _fill(canvas, (x, y, x + stripe, y + high), swatch)
        target = canvas[y + pad // 2 :, x + stripe + pad :][: mask.shape[0], : mask.shape[1]]
        target[:] = self._ink[mask[: target.shape[0], : target.shape[1]]]
        return x, y, x + wide, y + high


def text_height(height: int) -> int:
    """Of text on a picture of this height, px per em."""
    return max(12, round(height / 38))


def caption(face: FaceState) -> str:
    """The text beside a face: "#3 happiness 93 %", "#3 too small"; pictures that are unrelated have no numbers."""
    words = (
        f"{face.expression} {percentage(confidence(face))} %"
        if face.expression
        else (face.reason.words if face.reason else "waiting")
    )
    return f"{name_of(face)} {words}" if face.track.id else words


def name_of(face: FaceState) -> str:
    """What a face is called: "#3"; those of pictures that are unrelated have no name but a mark."""
    return f"#{face.track.id}" if face.track.id else "·"


def percentage(probability: float) -> int:
    """As it is shown everywhere, of what is computed with the precision of the networks."""
    return round(float(np.float32(probability) * np.float32(100)))


def confidence(face: FaceState) -> float:
    """The smoothed probability of what is shown of a face, 0..1."""
    if face.expression is None or face.track.expression is None:
        return 0.0
    return float(face.track.expression.probabilities[LABELS.index(face.expression)])


def status_line(faces: Sequence[FaceState], stats: Stats | None) -> str:
    """The faces in view and the daemon's figures, as far as known yet."""
    count = sum(face.in_view for face in faces)
    parts = [counted(count, "face")]
    if stats:
        parts += [f"{stats.fps:.1f} fps", f"{stats.latency_ms[0]:.0f} ms"]
        parts += [] if stats.temperature_c is None else [f"{stats.temperature_c:.0f} °C"]
        parts += [word for bit, word in THROTTLED.items() if (stats.throttled or 0) & bit]
    return " · ".join(parts)


def fitted(width: int, height: int, within: tuple[int, int]) -> Place:
    """Where a picture of this size goes in `within` (width, height), as large as it can be, in the middle, its aspect
    ratio kept; all in px."""
    scale = min(within[0] / width, within[1] / height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (within[0] - wide) // 2, (within[1] - high) // 2
    return left, top, left + wide, top + high


class BoxSmoother:
    """Smooths where faces are shown, over time; their texts and events do not change. For one thread."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[int, Floats]] = {}  # id -> when (ns), f32[70,2]: the box's corners, landmarks

    def __call__(self, faces: Sequence[FaceState], now_ns: int) -> list[FaceState]:
        """The faces of the frame taken at `now_ns`, each a little nearer to where it is than it was shown before."""
        shown = {face.track.id: (now_ns, self._moved(face, now_ns)) for face in faces}
        self._shown = shown
        return [_at(face, shown[face.track.id][1]) for face in faces]

    def _moved(self, face: FaceState, now_ns: int) -> Floats:
        box = face.track.box
        target = np.vstack((((box.x0, box.y0), (box.x1, box.y1)), face.track.landmarks.points)).astype(np.float32)
        since_ns, before = self._shown.get(face.track.id, (0, target))
        seconds = (now_ns - since_ns) / 1e9
        if not 0 < seconds < GAP_SECONDS:
            return target
        speed = float(np.abs(target[:2] - before[:2]).max()) / max(1.0, box.height) / seconds
        share = 1 - math.exp(-seconds / STEADY_SECONDS * (1 + speed / MOVING))
        return np.asarray(before + np.float32(share) * (target - before), np.float32)


def _at(face: FaceState, shown: Floats) -> FaceState:
    """A face moved to where it is shown."""
    (x0, y0), (x1, y1) = shown[:2].tolist()
    landmarks = replace(face.track.landmarks, points=shown[2:])
    return replace(face, track=replace(face.track, box=Box(x0, y0, x1, y1), landmarks=landmarks))


def _landmarks(canvas: Image, points: Floats, color: Color) -> None:
    """Lines through the landmarks; four more bits of precision than pixels, so that they do not jump."""
    fixed, thick = np.round(points * 16).astype(np.int32), max(1, round(canvas.shape[0] / 540))
    for line, ink in ((thick + 1, DARK), (thick, color)):
        for first, end in LINES:
            cv2.polylines(canvas, [fixed[first:end]], first >= 36, ink, line, cv2.LINE_AA, shift=4)


def _bar(canvas: Image, box: Place, filled: float, color: Color) -> None:
    """Below a box, or at the picture's lower edge, how sure its label is: `filled` 0..1 of its width."""
    high = _bar_height(canvas)
    left, right, bottom = box[0], box[2], min(box[3] + high + 2, canvas.shape[0])
    _fill(canvas, (left, bottom - high, right, bottom), DARK)
    _fill(canvas, (left + 1, bottom - high + 1, left + 1 + round((right - left - 2) * filled), bottom - 1), color)


def _bar_height(canvas: Image) -> int:
    return max(4, round(int(canvas.shape[0]) / 100))


def _frame(canvas: Image, box: Place, thick: int, color: Color) -> None:
    """A box's edges, inwards, and a dark line along both of their sides."""
    left, top, right, bottom = box
    for inset, width, ink in ((-1, thick + 2, DARK), (0, thick, color)):
        x0, y0, x1, y1 = left + inset, top + inset, right - inset, bottom - inset
        _fill(canvas, (x0, y0, x1, y0 + width), ink)
        _fill(canvas, (x0, y1 - width, x1, y1), ink)
        _fill(canvas, (x0, y0, x0 + width, y1), ink)
        _fill(canvas, (x1 - width, y0, x1, y1), ink)


def _fill(canvas: Image, place: Place, color: Color) -> None:
    """Fill what lies within the picture; pixels, not lines: the same in every version of OpenCV."""
    left, top, right, bottom = (max(0, edge) for edge in place)
    canvas[top:bottom, left:right] = color
