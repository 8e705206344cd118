"""How figures change with size, light, blur and the turn of the head.

Pictures are made worse the way a camera makes them: fewer px (averaged, then enlarged again), out of focus (a
Gaussian, its sigma as a share of the face's height), less light (gray levels scaled down and rounded).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from fer_edge.records import Floats, Image
from fer_edge.vision.landmarks import pose
from fer_edge.vision.tflite import Model
from quantize.data.augment import lower_resolution
from quantize.data.ferplus import Labelled
from quantize.data.sets import FER_SIDE, Photo
from quantize.evaluate import detector, expression, landmarks
from quantize.evaluate.detector import Finding
from quantize.evaluate.landmarks import Placed
from quantize.metrics import Bools

FACE_SIDES_PX = (48, 32, 24, 16)
POINTS_SIDES_PX = (80, 48, 32, 24)  # longer side of the box around all points
BLURS = (0.02, 0.04)
LIGHTS = (0.25, 0.1)
TURNS_DEGREES = (10, 20)
YAWS_DEGREES = ((0, 15), (15, 30), (30, 45), (45, 90))
HEIGHTS = ((0.08, 0.12), (0.12, 0.16), (0.16, 0.25), (0.25, 10.0))  # of the picture's short side
COVERS = {"bare": "sin_mascarilla", "masked": "con_mascarilla", "mask worn wrong": "mascarilla_mal_puesta"}

Conditions = dict[str, dict[str, Any]]  # condition -> figure -> value


Way = Callable[[Image, float], Image]  # a picture, and how high the face in it is, px


# --- making pictures worse -----------------------------------------------------------------------------------


def coarse(image: Image, face_px: float, *, side_px: int) -> Image:
    """A picture u8[H,W] as if its face, `face_px` high, had been taken only `side_px` high, enlarged again."""
    share = min(1.0, side_px / face_px)
    height, width = image.shape
    return lower_resolution(image, round(width * share), round(height * share))


def blurred(image: Image, face_px: float, *, sigma: float) -> Image:
    """A picture u8[H,W] out of focus; `sigma` of the blur is a share of the face's height."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma * face_px), np.uint8)


def dimmed(image: Image, _: float, *, light: float) -> Image:
    """A picture u8[H,W] with this share of the light."""
    return np.asarray(np.rint(image * np.float32(light)), np.uint8)


def turned(image: Image, _: float, *, degrees: float) -> Image:
    """Turn a picture u8[H,W] around its middle, counterclockwise; beyond its edge its last px are repeated."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def ways(sides_px: Sequence[int] = (), turns_degrees: Sequence[int] = ()) -> dict[str, Way]:
    """The ways to make a picture u8[H,W] worse, by name."""
    return {
        **{f"{side} px": partial(coarse, side_px=side) for side in sides_px},
        **{f"blur {sigma:.0%} of the face": partial(blurred, sigma=sigma) for sigma in BLURS},
        **{f"light {light:.0%}": partial(dimmed, light=light) for light in LIGHTS},
        **{f"turned {degrees} degrees": partial(turned, degrees=degrees) for degrees in turns_degrees},
    }


# --- the roles -----------------------------------------------------------------------------------------------


def of_expression(model: Model, result: expression.Result) -> Conditions:
    """Accuracy by face size, blur, light and turn of the crop."""
    found: Conditions = {}
    chosen = result.chosen
    for name, way in ways(FACE_SIDES_PX, TURNS_DEGREES).items():
        worse = Labelled(np.stack([way(image, FER_SIDE) for image in chosen.images]), chosen.labels)
        answers = expression.answer(model, worse)
        figures = expression.measure(answers, temperature=model.card.temperature, name=name)
        found[name] = {"accuracy": figures.accuracy, "macro_f1": figures.macro_f1, "ece": figures.ece}
    return found


def of_landmarks(model: Model, result: landmarks.Result) -> Conditions:
    """Errors by yaw, size of the face, blur and light."""
    stills, placed = result.stills, result.placed
    yaws = np.abs([pose(still.points).yaw_deg for still in stills])
    found: Conditions = {}
    for low, high in YAWS_DEGREES:
        found[f"yaw {low} to {high} degrees"] = _placed(placed, (yaws >= low) & (yaws < high))
    everybody = np.ones(len(stills), np.bool_)
    for name, way in ways(POINTS_SIDES_PX).items():
        worse = [replace(still, image=way(still.image, _side(still.points))) for still in stills]
        found[name] = _placed(landmarks.place(model, worse), everybody)
    return {name: figures for name, figures in found.items() if figures["images"]}


def _side(points: Floats) -> float:
    """Longer side of the box around points f32[N,2]."""
    return float((points.max(axis=0) - points.min(axis=0)).max())


def _placed(placed: Placed, which: Bools) -> dict[str, Any]:
    if not which.any():
        return {"images": 0}
    errors = placed.errors[which]
    present = float(np.mean(placed.scores[which] >= landmarks.PRESENT))
    inner = float(placed.inner[which].mean())
    return {"images": len(errors), "nme51": inner, "nme68": float(errors.mean()), "presence_recall": present}


def of_detector(model: Model, result: detector.Result) -> Conditions:
    """Recall by size and cover of the face; more by blur and light."""
    found: Conditions = {}
    findings = result.findings
    for low, high in HEIGHTS:
        name = f"faces of {low:.0%} to {high:.0%}" if high < 1 else f"faces from {low:.0%}"
        found[name] = _recall(findings, [(each.photo.shares >= low) & (each.photo.shares < high) for each in findings])
    for name, word in COVERS.items():
        worn = [np.array([cover == word for cover in each.photo.covered], np.bool_) for each in findings]
        found[name] = _recall(findings, [each.counted & own for each, own in zip(findings, worn, strict=True)])
    for name, way in ways().items():
        worse = [replace(photo, image=way(photo.image, _height(photo))) for photo in (each.photo for each in findings)]
        figures = detector.measure(detector.find(model, worse), name=name)
        found[name] = {each: getattr(figures, each) for each in ("faces", "recall", "ap", "fp_per_image")}
    return {name: figures for name, figures in found.items() if figures["faces"]}


def _height(photo: Photo) -> float:
    """Median height of a photo's faces in px; a tenth of its short side where it has none."""
    heights = photo.boxes[:, 3] - photo.boxes[:, 1]
    return float(np.median(heights)) if len(heights) else min(photo.image.shape) / 10


def _recall(findings: Sequence[Finding], which: Sequence[Bools]) -> dict[str, Any]:
    return {"faces": int(sum(each.sum() for each in which)), "recall": detector.recall(findings, which)}


def table(conditions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lay out for people."""
    names = list(dict.fromkeys(name for figures in conditions.values() for name in figures))
    lines = [f"{'':<28}" + "".join(f"{name.replace('_', ' '):>17}" for name in names)]
    for condition, figures in conditions.items():
        cells = [figures.get(name, "") for name in names]
        shown = [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append(f"{condition:<28}" + "".join(f"{cell:>17}" for cell in shown))
    return lines
