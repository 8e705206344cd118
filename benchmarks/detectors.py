"""How well and how fast the detector finds faces in photos of crowds, beside YuNet, in one run.

    python benchmarks/detectors.py --data crowd_faces.zip --yunet face_detection_yunet.onnx [--split heldout] [--json]

Average precision as `python -m quantize.evaluate detector` has it. Time is from a 640x480 frame, the photo within it,
to boxes in its px, at the thresholds in use, on one core and one thread; the two take turns photo by photo, so noise
of the machine meets both alike. YuNet gets the colours that it was made for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge.records import Floats, Image
from fer_edge.vision.model_card import models_folder
from fer_edge.vision.transforms import letterbox
from quantize import daemon_stages
from quantize.data.sets import SPLITS, DataError, Folder, Photo, held_out_photos, read_crowd, side_of
from quantize.evaluate.detector import COUNTED, LOWEST_SCORE
from quantize.metrics import Matched, average_precision, curve, match

FRAME = 640, 480
YUNET_THRESHOLD = 0.6  # as OpenCV's users have it

Find = Callable[[Image], tuple[Floats, Floats]]
"""BGR picture -> boxes f32[n,4] x0,y0,x1,y1 px and scores f32[n]."""


def main() -> None:
    """Let both look at every photo."""
    options = _options()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    finders = {"fer-edge": (own(LOWEST_SCORE), own(daemon_stages.DEFAULT_THRESHOLD))}
    if options.yunet:
        finders["YuNet_n at 320 px"] = (yunet(options.yunet, LOWEST_SCORE), yunet(options.yunet, YUNET_THRESHOLD))
    try:
        photos, folder = side_of(read_crowd(options.data), held_out_photos, options.split), Folder(options.data)
    except DataError as error:
        raise SystemExit(f"detectors: {error}") from None
    matched: dict[str, list[Matched]] = {name: [] for name in finders}
    spent: dict[str, list[float]] = {name: [] for name in finders}
    for photo in photos:
        picture = np.asarray(cv2.imdecode(np.frombuffer(folder.read(photo.name), np.uint8), cv2.IMREAD_COLOR), np.uint8)
        frame, _ = letterbox(picture, *FRAME)
        for name, (every, sure) in finders.items():
            begun = time.perf_counter()
            sure(frame)
            spent[name].append(1e3 * (time.perf_counter() - begun))
            boxes, scores = every(picture)
            matched[name].append(match(boxes, scores, photo.boxes, photo.shares >= COUNTED))
    _report({name: _figures(matched[name], photos, spent[name]) for name in finders}, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="crowd_faces.zip, or a set in its form")
    parser.add_argument("--split", choices=SPLITS, default="heldout")
    parser.add_argument("--yunet", type=Path, help="YuNet_n as an .onnx file for OpenCV")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def own(min_score: float) -> Find:
    """fer-edge's own detector, letterbox and decoding included."""
    detector = daemon_stages.detector(
        daemon_stages.open_model(models_folder() / "detector.tflite", "detector"), min_score=min_score
    )

    def find(picture: Image) -> tuple[Floats, Floats]:
        faces = detector(daemon_stages.frame_of(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)))
        boxes = [(face.box.x0, face.box.y0, face.box.x1, face.box.y1) for face in faces]
        return _arrays(boxes, [face.score for face in faces])

    return find


def yunet(onnx: Path, min_score: float, *, longer: int = 320) -> Find:
    """YuNet through OpenCV, on the picture at `longer` px of its longer side."""
    detector = cv2.FaceDetectorYN.create(str(onnx), "", (longer, longer), score_threshold=min_score, nms_threshold=0.45)

    def find(picture: Image) -> tuple[Floats, Floats]:
        scale = longer / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        detector.setInputSize((small.shape[1], small.shape[0]))
        _, found = detector.detect(small)
        rows = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1) / scale
        return _arrays(corners, rows[:, 14])

    return find


def _arrays(boxes: Any, scores: Any) -> tuple[Floats, Floats]:
    return np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32)


def _figures(matched: list[Matched], photos: list[Photo], spent: list[float]) -> dict[str, float]:
    faces = sum(int((photo.shares >= COUNTED).sum()) for photo in photos)
    return {
        "ap": round(average_precision(curve(matched, faces=faces)), 4),
        "median_ms": round(statistics.median(spent), 2),
        "photos": len(photos),
        "faces": faces,
    }


def _report(figures: dict[str, dict[str, float]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        print(
            f"{name:<20} AP {row['ap']:.3f}   {row['median_ms']:.2f} ms   {row['photos']} photos, {row['faces']} faces"
        )


if __name__ == "__main__":
    main()
