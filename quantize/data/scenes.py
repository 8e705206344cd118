"""Training scenes for the detector: squares cut from photos with faces of every size, from stills, from photos
without faces, and from those with FER+ faces pasted in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from fer_edge.vision.transforms import Matrix, transform, warp
from quantize.data import augment
from quantize.data.sets import Floats, Image, Item, Photo, Still

SIDE = 256  # px
SIZES_PX = (9.0, 245.0)  # of the face that a scene is cut around
STILL_SIZES_PX = (60.0, 245.0)  # smaller ones would leave most of the scene empty
LARGEST_ZOOM = 3.0
SMALLEST_PX = 8.0  # smaller faces are neither targets nor background
LEAST_VISIBLE = 0.4  # of a face at the edge
MISTAKEN = 0.5  # of the scenes without faces, if mistakes are known, are cut around one
KINDS = {"crowd": 0.16, "people": 0.16, "varied": 0.36, "still": 0.08, "pasted": 0.08, "empty": 0.16}
# To finish a run with: more of the crowds, whose boxes people drew.
FINAL_KINDS = {"crowd": 0.26, "people": 0.11, "varied": 0.30, "still": 0.04, "pasted": 0.09, "empty": 0.20}
WHOLE_KINDS = {"crowd": 0.25, "people": 0.15, "varied": 0.6}
WHOLE_EMPTY = 0.2
COMPLETE = ("people", "varied")  # there every face has a box, a sure or an unsure one
MASKED = 0.06  # of the faces whose points are known get a painted mask, beside the crowds' real ones
MAX_STRETCH = 1.12
MAX_TURN_DEGREES = 30.0
MIRRORED = [1, 0, 2, 4, 3]  # the five points after mirroring

# Where the face is in a FER+ crop, in shares of its side: medians of what a face detector finds in 569 of them.
# Single ones differ by a tenth: these boxes teach the score only.
FER_BOX = (0.119, 0.003, 0.886, 0.993)

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Scene:
    """One training picture; coordinates in its px."""

    image: Image  # u8[SIDE,SIDE]
    boxes: Floats  # f32[n,4] x0,y0,x1,y1
    exact: Floats  # f32[n] 1 where a box is known well enough to learn its place
    points: Floats  # f32[n,5,2]; NaN where unknown
    ignored: Floats  # f32[m,4] neither faces nor background
    complete: bool = False  # there are certainly no other faces


class Scenes:
    """Draws scenes."""

    def __init__(
        self,
        *,
        crowds: Sequence[Photo],
        people: Sequence[Photo],
        varied: Sequence[Photo],
        stills: Sequence[Still],
        crops: Image,
        empty: Sequence[Image],
        mistakes: Sequence[tuple[Image, Floats]] = (),
        final: bool = False,
    ) -> None:
        """What scenes are made of: photos, stills, FER+ faces `crops` u8[N,48,48], pictures without faces `empty`
        u8[H,W], and `mistakes`: pictures u8[H,W] and a box f32[4] that a detector wrongly found there."""
        self._kinds = FINAL_KINDS if final else KINDS
        photos = {"crowd": crowds, "people": people, "varied": varied}
        self._photos = {kind: [photo for photo in each if photo.sure.any()] for kind, each in photos.items()}
        self._stills, self._crops, self._empty, self._mistakes = stills, crops, empty, mistakes
        self._makers: dict[str, Callable[[Generator], Scene]] = {
            **{kind: partial(self.from_photo, each, complete=kind in COMPLETE) for kind, each in self._photos.items()},
            "still": self.from_still,
            "pasted": self._pasted,
            "empty": self._nobody,
        }

    def draw(self, rng: Generator) -> Scene:
        """One scene of a random kind."""
        scene = self._makers[str(rng.choice(list(self._kinds), p=list(self._kinds.values())))](rng)
        return mirror(scene) if rng.random() < 0.5 else scene

    def whole(self, rng: Generator) -> Image:
        """All of a training photo u8[H,W], with faces or without."""
        if rng.random() < WHOLE_EMPTY:
            return _any_of(self._empty, rng)
        return _any_of(self._photos[str(rng.choice(list(WHOLE_KINDS), p=list(WHOLE_KINDS.values())))], rng).image

    def from_photo(self, photos: Sequence[Photo], rng: Generator, *, complete: bool = False) -> Scene:
        """Cut around one of a photo's faces."""
        photo = _any_of(photos, rng)
        anchor = photo.boxes[rng.choice(np.flatnonzero(photo.sure))]
        matrix = self._around(anchor, rng, room=photo.image.shape[::-1])
        image = _cut(photo.image, matrix, rng)
        boxes = transform(photo.boxes.reshape(-1, 2, 2), matrix).reshape(-1, 4)
        points = transform(photo.points, matrix)
        keep, inside = _visible(boxes, photo.sure)
        clipped = np.clip(boxes, 0, SIDE)
        for box, five in zip(boxes[keep], points[keep], strict=True):
            if rng.random() < MASKED and np.isfinite(five).all():
                put_on_mask(image, box, five, rng)
        certain = np.ones(int(keep.sum()), np.float32)
        return Scene(image, clipped[keep], certain, points[keep], clipped[inside & ~keep], complete)

    def from_still(self, rng: Generator) -> Scene:
        """Cut around a still's face, turned a little."""
        still = _any_of(self._stills, rng)
        middle, angle = still.points.mean(axis=0), np.radians(rng.uniform(-1, 1) * MAX_TURN_DEGREES * rng.random())
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        turned = (still.points - middle) @ turn.T
        placed = self._around(box_of(turned), rng, room=still.image.shape[::-1], sizes_px=STILL_SIZES_PX)
        matrix = np.column_stack([placed[:, :2] @ turn, placed[:, 2] - placed[:, :2] @ turn @ middle])
        points = transform(still.points, matrix)
        # A still shows one face and, mostly, nothing but its own background.
        image = warp(still.image, matrix, SIDE)
        box, five = box_of(points), five_of(points)
        if rng.random() < MASKED:
            put_on_mask(image, box, five, rng)
        return Scene(image, box[None], np.ones(1, np.float32), five[None], np.empty((0, 4), np.float32))

    def _nobody(self, rng: Generator) -> Scene:
        """Cut a part of a photo without faces, where mistakes are known mostly around one of them."""
        if self._mistakes and rng.random() < MISTAKEN:
            picture, box = _any_of(self._mistakes, rng)
            matrix = self._around(box, rng, room=picture.shape[::-1])
        else:
            picture = _any_of(self._empty, rng)
            height, width = picture.shape
            scale = SIDE / max(height, width) * 2.5 ** rng.uniform(-0.3, 1)
            room = np.array([width, height]) - SIDE / scale
            left, top = rng.uniform(np.minimum(room, 0), np.maximum(room, 0))
            matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])
        image = _cut(picture, matrix, rng)
        none = np.empty((0, 4), np.float32)
        return Scene(image, none, np.empty(0, np.float32), np.empty((0, 5, 2), np.float32), none, True)

    def _pasted(self, rng: Generator) -> Scene:
        """Paste up to three FER+ faces into a photo without faces."""
        image = self._nobody(rng).image.copy()
        boxes: list[Floats] = []
        for _ in range(int(rng.integers(1, 4))):
            side = int(self._size(rng, 14, 240))
            left, top = (int(v) for v in rng.integers(0, SIDE - side + 1, 2))
            square = np.array([left, top, left + side, top + side], np.float32)
            if any(_overlap(square, other) for other in boxes):
                continue
            paste(image, self._crops[rng.integers(len(self._crops))], left=left, top=top, side=side, rng=rng)
            boxes.append(np.asarray((left, top, left, top) + side * np.array(FER_BOX), np.float32))
        none = np.empty((0, 4), np.float32)
        points = np.full((len(boxes), 5, 2), np.nan, np.float32)
        return Scene(
            image, np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), np.float32), points, none, True
        )

    def _around(
        self, box: Floats, rng: Generator, *, room: tuple[int, int], sizes_px: tuple[float, float] = SIZES_PX
    ) -> Matrix:
        """The matrix to a scene in which a face has a random size and place, in a picture `room` px wide and high."""
        own = float(np.sqrt(np.prod(box[2:] - box[:2])))
        largest = min(sizes_px[1], own * LARGEST_ZOOM)
        size = self._size(rng, min(sizes_px[0], largest), largest)
        scale = size / own * MAX_STRETCH ** rng.uniform(-1, 1, 2)
        middle = scale * (box[:2] + box[2:]) / 2
        half = np.minimum(scale * (box[2:] - box[:2]) / 2, 0.4 * SIDE)
        low, high = half - middle, SIDE - half - middle  # of the shifts that leave the face in the scene
        # Of these mostly one that fills the scene with picture, or leaves all of a small picture in it.
        spare = SIDE - scale * np.array(room)
        inner_low, inner_high = np.maximum(low, np.minimum(spare, 0)), np.minimum(high, np.maximum(spare, 0))
        if rng.random() < 0.85 and (inner_low <= inner_high).all():
            low, high = inner_low, inner_high
        shift = rng.uniform(low, high)
        return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])

    def _size(self, rng: Generator, least_px: float, most_px: float) -> float:
        """A size of which each factor is as likely as the other ones."""
        return float(least_px * (most_px / least_px) ** rng.random())


def put_on_mask(image: Image, box: Floats, five: Floats, rng: Generator) -> None:
    """Paint a mask over mouth and chin, mostly over the nose too, into a picture u8[H,W].

    Args:
        image: the picture.
        box: the face, f32[4] px.
        five: its eyes, nose and mouth corners, f32[5,2] px, left of the picture first.
        rng: where the mask sits and how it looks differs from one to the next.

    """
    x0, y0, x1, y1 = box.tolist()
    eyes, nose, mouth = five[:2].mean(axis=0), five[2], five[3:].mean(axis=0)
    ridge = eyes + rng.uniform(0.35, 0.85) * (nose - eyes)  # its upper edge; one in seven is worn below the nose
    if rng.random() < 1 / 7:
        ridge = nose + rng.uniform(0.15, 0.4) * (mouth - nose)
    width, cheek = x1 - x0, ridge[1] + rng.uniform(0.0, 0.25) * (mouth[1] - eyes[1])
    left, right = x0 + rng.uniform(-0.02, 0.08) * width, x1 - rng.uniform(-0.02, 0.08) * width
    chin = y1 + rng.uniform(-0.04, 0.05) * (y1 - y0)
    jaw = mouth[1] + rng.uniform(-0.1, 0.5) * (chin - mouth[1])
    inset = rng.uniform(0.2, 0.32) * width
    outline = [
        (left, cheek),
        ridge,
        (right, cheek),
        (right, jaw),
        (right - inset, chin),
        (left + inset, chin),
        (left, jaw),
    ]
    covered = np.zeros_like(image)
    cv2.fillPoly(covered, [np.rint(np.array(outline) * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    cloth = rng.uniform(15, 245) + rng.uniform(-50, 50) * np.linspace(-1, 1, len(image), dtype=np.float32)[:, None]
    weight = covered * np.float32(rng.uniform(0.8, 1.0) / 255)
    image[:] = np.clip(weight * cloth + (1 - weight) * image, 0, 255)


def difficult(images: Image, rng: Generator) -> Image:
    """Vary light and quality u8[N,H,W]."""
    images = augment.relight(images, rng)
    images = augment.blur(images, rng, share=0.12)
    images = augment.coarsen(images, rng, share=0.1, sides_px=(80, 160))
    return augment.compress(augment.add_noise(images, rng, share=0.25), rng, share=0.15)


def mirror(scene: Scene) -> Scene:
    """Turn left and right round."""
    boxes, ignored = (
        np.stack([SIDE - b[:, 2], b[:, 1], SIDE - b[:, 0], b[:, 3]], axis=1) for b in (scene.boxes, scene.ignored)
    )
    points = scene.points[:, MIRRORED].copy()
    points[..., 0] = SIDE - points[..., 0]
    return Scene(np.ascontiguousarray(scene.image[:, ::-1]), boxes, scene.exact, points, ignored, scene.complete)


def _any_of(items: Sequence[Item], rng: Generator) -> Item:
    return items[int(rng.integers(len(items)))]


def box_of(points: Floats) -> Floats:
    """The box f32[4], forehead to chin without the ears, around 68 points: fitted to what YuNet finds on 3,487 stills
    of landmarks68 (IoU with it .89 on average, below .76 on one in a hundred)."""
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = high - low
    eyes, mouth = points[36:48, 1].mean(), points[48:60, 1].mean()
    middle = 0.88 * (low[0] + high[0]) / 2 + 0.12 * points[30, 0]
    half = (0.67 * width + 0.255 * height) / 2
    top = eyes - 0.52 * (mouth - eyes) - 0.25 * width
    return np.array([middle - half, top, middle + half, high[1] - 0.105 * height + 0.072 * width], np.float32)


def five_of(points: Floats) -> Floats:
    """Eyes, nose and mouth corners f32[5,2] of 68 points, left of the picture first."""
    eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    return np.stack([*eyes, points[30], points[48], points[54]])


def _cut(image: Image, matrix: Matrix, rng: Generator) -> Image:
    """Cut a scene; beyond the picture it is black, as the daemon's letterbox is, or its last px repeat."""
    scene = warp(image, matrix, SIDE)
    if rng.random() < 0.6:
        height, width = image.shape
        (x0, y0), (x1, y1) = transform(np.array([[0, 0], [width, height]], np.float32), matrix)
        scene = scene.copy()
        scene[: max(0, round(y0))], scene[max(0, round(y1)) :] = 0, 0
        scene[:, : max(0, round(x0))], scene[:, max(0, round(x1)) :] = 0, 0
    return scene


def _visible(boxes: Floats, sure: Any) -> tuple[Any, Any]:
    """Which boxes are faces to find, and which are in the scene at all."""
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    seen = np.prod(np.clip(np.minimum(boxes[:, 2:], SIDE) - np.maximum(boxes[:, :2], 0), 0, None), axis=1)
    big = np.sqrt(np.prod(sizes, axis=1)) >= SMALLEST_PX
    return sure & big & (seen >= LEAST_VISIBLE * np.prod(sizes, axis=1)), seen > 0


def paste(image: Image, crop: Image, *, left: int, top: int, side: int, rng: Generator) -> None:
    """Lay a crop u8[S,S] into a picture u8[H,W], in place, `side` px wide, with hard or soft edges."""
    enlarging = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    face = cv2.resize(crop, (side, side), interpolation=enlarging if side > len(crop) else cv2.INTER_AREA)
    if rng.random() < 0.5:
        face = face[:, ::-1]
    place = image[top : top + side, left : left + side]
    if rng.random() < 0.5:
        place[:] = face
        return
    ramp = np.minimum(np.arange(side) + 1, np.arange(side, 0, -1)) / max(1.0, rng.uniform(0.02, 0.25) * side)
    weight = np.minimum(1, np.minimum(ramp[:, None], ramp[None]))
    place[:] = weight * face + (1 - weight) * place


def _overlap(one: Floats, other: Floats) -> bool:
    return bool((np.minimum(one[2:], other[2:]) > np.maximum(one[:2], other[:2])).all())
