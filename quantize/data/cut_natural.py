"""Cut natural faces as the daemon does: `python -m quantize.data.cut_natural --data facial_expressions
--stills data/landmarks68.zip --out data/natural.npz`.

They are those of a checkout of `muxspace/facial_expressions`. Who is in `landmarks68` is left out: landmarks are
measured on some of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fer_edge.errors import ModelError
from fer_edge.records import LABELS, Face, Frame, Image
from fer_edge.runtime.atomic_file import FOR_ALL
from fer_edge.vision.detector import Detector
from fer_edge.vision.landmarks import Landmarker
from quantize import daemon_stages
from quantize.data.cut_faces import align
from quantize.data.natural import Natural, person_of
from quantize.data.sets import DataError, Folder, read_stills
from quantize.files.arrays import replace_arrays

TABLE = "data/legend.csv"
MIN_SCORE = 0.5
MIN_PRESENCE = 0.7
MIDDLE = 0.25  # how far a face's middle may be from the picture's, in the picture's longer side


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="quantize.data.cut_natural", description="Cut natural faces as the daemon does."
    )
    parser.add_argument("--data", type=Path, required=True, help="checkout of muxspace/facial_expressions, or a zip")
    parser.add_argument("--stills", type=Path, required=True, help="landmarks68.zip, whose people are left out")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    options = parser.parse_args(arguments)
    try:
        known = frozenset(still.person for still in read_stills(options.stills))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        faces = cut(options.data, options.models, without=known)
        arrays = {"canvases": faces.canvases, "guesses": faces.guesses, "names": np.array(faces.names)}
        replace_arrays(options.out, arrays, mode=FOR_ALL)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = np.bincount(faces.guesses, minlength=len(LABELS))
    print(", ".join(f"{label} {count}" for label, count in zip(LABELS, counts, strict=True)))
    return 0


def cut(data: Path, models: Path, *, without: frozenset[str]) -> Natural:
    """Find and cut the face of every picture; pictures in which no face is found in the middle are left out. Raises
    DataError where none is left."""
    detector = daemon_stages.detector(
        daemon_stages.open_model(models / "detector.tflite", "detector"), min_score=MIN_SCORE
    )
    landmarker = Landmarker(daemon_stages.open_model(models / "landmarks.tflite", "landmarks"))
    found = [
        (canvas, guess, name)
        for name, guess, frame in pictures_of(data, without)
        if (canvas := cut_one(frame, detector, landmarker)) is not None
    ]
    if not found:
        raise DataError(f"{data}: expected pictures of faces, found no face in any")
    canvases, guesses, names = zip(*found, strict=True)
    return Natural(np.stack(canvases), np.array(guesses, np.intp), names)


def pictures_of(data: Path, without: frozenset[str]) -> Iterator[tuple[str, int, Frame]]:
    """Name, guess and frame of every picture of other people."""
    folder = Folder(data)
    for row in folder.table(TABLE, columns=("image", "emotion")):
        name, guess = row["image"], row["emotion"].lower()
        if guess in LABELS and person_of(name) not in without:
            yield name, LABELS.index(guess), daemon_stages.frame_of(folder.image(f"images/{name}"))


def cut_one(frame: Frame, detector: Detector, landmarker: Landmarker) -> Image | None:
    """The canvas u8[S,S] of the face nearest to the middle, if there is one."""
    height, width = frame.gray.shape

    def away(face: Face) -> float:
        x, y = face.box.center
        return float(max(abs(x - width / 2), abs(y - height / 2)) / max(width, height))

    face = min(detector(frame), key=away, default=None)
    if face is None or away(face) > MIDDLE:
        return None
    found = landmarker(frame, face)
    return align(frame.gray, found) if found.score >= MIN_PRESENCE else None


if __name__ == "__main__":
    sys.exit(main())
