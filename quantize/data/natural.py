"""Natural faces with one person's guess each (a checkout of `muxspace/facial_expressions`), as the daemon cuts them:
`python -m quantize.data.natural --data facial_expressions --out data/natural.npz`.

The guesses are weak (those of disgust mostly wrong) and most of the faces smile or do nothing. So nothing learns from
the guesses, only from what teachers say of these faces (`quantize.train.teach`); and a model is measured by how far it
agrees with a stronger one on as many faces of each guess as there are. Who is in `landmarks68` is left out: landmarks
are measured on some of them.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ModelError
from fer_edge.records import Face, Frame, Image
from fer_edge.vision.detector import Detector
from fer_edge.vision.landmarks import Landmarker
from quantize import daemon_stages
from quantize.data.face_pools import align, template_points
from quantize.data.sets import LABELS, DataError, Folder, chosen, read_stills
from quantize.metrics import Labels

TABLE: Final = "data/legend.csv"
HELD_OUT_ONE_IN: Final = 4  # people
MIN_SCORE: Final = 0.5
MIN_PRESENCE: Final = 0.7
MIDDLE: Final = 0.25  # how far a face's middle may be from the picture's, in the picture's longer side


@dataclass(frozen=True, slots=True)
class Natural:
    """Faces in the middle of canvases, with a guess each."""

    canvases: Image  # u8[N,64,64] gray
    guesses: Labels  # [N] index into LABELS
    names: tuple[str, ...]  # [N] of the pictures

    def held_out(self) -> NDArray[np.bool_]:
        """Choose about a quarter of the people by name, for ever and on every machine the same."""
        return np.array([chosen(person_of(name).encode(), one_in=HELD_OUT_ONE_IN) for name in self.names], np.bool_)


def person_of(name: str) -> str:
    """Who is in a picture: its name up to the last `_`."""
    return name.rsplit("_", 1)[0]


def read_natural(path: Path) -> Natural:
    """Read what `main` wrote. Raises DataError."""
    try:
        with np.load(path) as saved:
            return Natural(saved["canvases"], saved["guesses"].astype(np.intp), tuple(map(str, saved["names"])))
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: expected a file of quantize.data.natural: {error}") from None


# --- making the file -----------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.data.natural", description="Cut natural faces as the daemon does.")
    parser.add_argument("--data", type=Path, required=True, help="checkout of muxspace/facial_expressions, or a zip")
    parser.add_argument("--stills", type=Path, required=True, help="landmarks68.zip, whose people are left out")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    options = parser.parse_args(arguments)
    try:
        known = frozenset(still.person for still in read_stills(options.stills))
        faces = cut(options.data, options.models, without=known)
    except (DataError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    np.savez(options.out, canvases=faces.canvases, guesses=faces.guesses, names=np.array(faces.names))
    counts = np.bincount(faces.guesses, minlength=len(LABELS))
    print(", ".join(f"{label} {count}" for label, count in zip(LABELS, counts, strict=True)))
    return 0


def cut(data: Path, models: Path, *, without: frozenset[str]) -> Natural:
    """Find and cut the face of every picture; pictures in which no face is found in the middle are left out."""
    detector = daemon_stages.detector(
        daemon_stages.open_model(models / "detector.tflite", "detector"), min_score=MIN_SCORE
    )
    landmarker = Landmarker(daemon_stages.open_model(models / "landmarks.tflite", "landmarks"))
    found = [
        (canvas, guess, name)
        for name, guess, frame in _pictures(data, without)
        if (canvas := _cut(frame, detector, landmarker)) is not None
    ]
    if not found:
        raise DataError(f"{data}: expected pictures of faces, found no face in any")
    canvases, guesses, names = zip(*found, strict=True)
    return Natural(np.stack(canvases), np.array(guesses, np.intp), names)


def _pictures(data: Path, without: frozenset[str]) -> Iterator[tuple[str, int, Frame]]:
    """Name, guess and frame of every picture of somebody else."""
    folder = Folder(data)
    for row in folder.table(TABLE, columns=("image", "emotion")):
        name, guess = row["image"], row["emotion"].lower()
        if guess in LABELS and person_of(name) not in without:
            yield name, LABELS.index(guess), daemon_stages.frame_of(folder.image(f"images/{name}"))


def _cut(frame: Frame, detector: Detector, landmarker: Landmarker) -> Image | None:
    """The canvas of the face nearest to the middle, if there is one."""
    height, width = frame.gray.shape

    def away(face: Face) -> float:
        x, y = face.box.center
        return float(max(abs(x - width / 2), abs(y - height / 2)) / max(width, height))

    face = min(detector(frame), key=away, default=None)
    if face is None or away(face) > MIDDLE:
        return None
    found = landmarker(frame, face)
    return align(frame.gray, found, template_points()) if found.score >= MIN_PRESENCE else None


if __name__ == "__main__":
    sys.exit(main())
