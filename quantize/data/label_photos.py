"""Boxes for more photos to train the detector on, by two detectors that agree.

    python -m quantize.data.label_photos --data data --photos FOLDER --yunet yunet_n.onnx --centerface centerface.onnx

YuNet (Wu et al. 2023) looks at 640 px and, mirrored, at 384; CenterFace (Xu et al. 2019, arXiv:1911.03599) at 448;
both at less where the photo is small.
What both see is a face, what only one of them sees is neither a face nor background. The result, `photos3` in the data
folder, has the form of `photos2`; all of it is for training. Photos that look like one of another set in the data
folder, or like an earlier one of these, are left out, mirrored ones too.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

try:
    from tqdm import tqdm
except ImportError as error:
    raise SystemExit(f"quantize.data.label_photos: {error}; run: pip install 'fer-edge[quantize]'") from None

from fer_edge.runtime.atomic_file import FOR_ALL, replace_files
from quantize.data.alike import difference_hash
from quantize.data.photo_teachers import CenterFace, Color, Teachers, YuNet
from quantize.data.sets import (
    BOX,
    FOLDS,
    PERSONS_RIGHT_FIRST,
    POSITIVE,
    DataError,
    Floats,
    Image,
    read_crowd,
    read_masks,
    read_people,
    read_pictures,
    read_varied,
    read_varied_empty,
)

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
PERHAPS_ALIKE_BITS = 26  # of 256: stricter than `alike`, as a photo left out costs little
LEAST_SIDE = 96  # px, of a photo that is read
KEPT_SIDE = 416  # px, the long side of what is kept
LARGE = 0.07  # height by the photo's short side, from which CenterFace alone may say no
LEAST_FACE = 0.08  # the largest face of a photo that is kept
NOBODY = (0.2, 0.15)  # scores of YuNet and of CenterFace, below which a photo shows no face
DOUBTFUL = (0.3, 0.25)  # from which a box that is no sure face is not background either

Look = Callable[[Color], tuple[Floats, Floats]]
"""Picture u8[H,W,3] -> boxes and points f32[n,14] and scores f32[n,3], as `Teachers`."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photo as it is kept."""

    name: str
    image: Image  # u8[H,W] gray
    rows: list[dict[str, Any]]  # of faces.csv; none: a photo without faces


def is_face(share: float, yunet: float, second: float, centerface: float) -> bool:
    """Whether a box is a face without doubt; `share` is its height by the photo's short side."""
    best = max(yunet, second)
    if share >= LARGE:
        return (centerface >= 0.4 and best >= 0.5) or (centerface >= 0.5 and best >= 0.3) or centerface >= 0.65
    return (centerface >= 0.25 and best >= 0.5) or (min(yunet, second) >= 0.6 and (yunet + second) / 2 >= 0.72)


def label(name: str, picture: Color, look: Look) -> Labelled | None:
    """Label one photo u8[H,W,3]; None where it is of no use: only doubtful or small faces."""
    places, scores = look(picture)
    shrink = min(1.0, KEPT_SIDE / max(picture.shape[:2]))
    size = [round(side * shrink) for side in picture.shape[1::-1]]
    image = np.asarray(cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY))
    if scores[:, :2].max(initial=0) < NOBODY[0] and scores[:, 2].max(initial=0) < NOBODY[1]:
        return Labelled(f"scenes/{name}", image.astype(np.uint8), [])
    shares = (places[:, 3] - places[:, 1]) / min(picture.shape[:2])
    sure = [is_face(share, *row) for share, row in zip(shares.tolist(), scores.tolist(), strict=True)]
    rows = [
        {"photo": f"people/{name}", "fold": FOLDS[-1]} | _numbers(place * shrink, row, sure=face)
        for place, row, face in zip(places, scores.tolist(), sure, strict=True)
        if face or max(row[:2]) >= DOUBTFUL[0] or row[2] >= DOUBTFUL[1]
    ]
    useful = shares[np.array(sure, np.bool_)].max(initial=0) >= LEAST_FACE
    return Labelled(f"people/{name}", image.astype(np.uint8), rows) if useful else None


def _numbers(place: Floats, scores: Sequence[float], *, sure: bool) -> dict[str, Any]:
    """A face's columns: its score is 0.6 or more where it counts, less where it is neither face nor background."""
    score = min(0.999, max(POSITIVE, *scores)) if sure else min(POSITIVE - 0.01, max(0.3, *scores))
    values = ["" if np.isnan(value) else round(float(value), 1) for value in place]
    return {"score": round(score, 3)} | dict(zip((*BOX, *PERSONS_RIGHT_FIRST), values, strict=True))


def known(data: Path) -> Iterator[Image]:
    """All pictures u8[H,W] of the other sets that hold whole photos."""
    yield from (photo.image for photo in read_crowd(data / "crowd_faces.zip"))
    yield from (photo.image for photo in read_people(data / "photos"))
    yield from (photo.image for photo in read_varied(data / "photos2"))
    for held_out in (False, True):
        yield from read_varied_empty(data / "photos2", held_out=held_out)
    for name in ("scenes.zip", "hardneg.zip"):
        yield from read_pictures(data / "photos" / name)
    for pictures in read_masks(data / "masks", held_out=True).values():
        yield from pictures


def write(labelled: Sequence[Labelled], folder: Path) -> None:
    """Make `labels.zip` and `people_and_scenes.zip`, neither before both are whole. Raises OSError."""
    pictures, tables = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(pictures, "w") as archive:
        for photo in labelled:
            done, encoded = cv2.imencode(".jpg", photo.image, [cv2.IMWRITE_JPEG_QUALITY, 80])
            assert done
            archive.writestr(photo.name, encoded.tobytes())
    with zipfile.ZipFile(tables, "w", zipfile.ZIP_DEFLATED) as archive:
        faces = [row for photo in labelled for row in photo.rows]
        archive.writestr("faces.csv", _csv(("photo", "fold", "score", *BOX, *PERSONS_RIGHT_FIRST), faces))
        empty = [{"photo": photo.name} for photo in labelled if not photo.rows]
        archive.writestr("negatives.csv", _csv(("photo",), empty))
    folder.mkdir(parents=True, exist_ok=True)
    files = {"people_and_scenes.zip": pictures.getvalue(), "labels.zip": tables.getvalue()}
    replace_files({folder / name: content for name, content in files.items()}, mode=FOR_ALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="quantize.data.label_photos", description="Label photos for the detector.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets; photos3 is made in it")
    parser.add_argument("--photos", type=Path, required=True, nargs="+", help="folders with photos")
    parser.add_argument("--out", type=Path, help="another folder for the result")
    parser.add_argument("--somebody", action="store_true", help="every photo shows a face, found or not")
    parser.add_argument("--yunet", type=Path, required=True, help="YuNet's ONNX file of any input size")
    parser.add_argument("--centerface", type=Path, required=True, help="CenterFace's ONNX file")
    options = parser.parse_args(arguments)
    out = options.out or options.data / "photos3"
    try:
        labelled = [photo for photo in _label_all(options) if photo.rows or not options.somebody]
        write(labelled, out)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    people = sum(bool(photo.rows) for photo in labelled)
    print(f"{out}: {people} photos with faces, {len(labelled) - people} without")
    return 0


def _label_all(options: argparse.Namespace) -> Iterator[Labelled]:
    teachers = Teachers(YuNet(options.yunet), CenterFace(options.centerface))
    paths = [path for folder in options.photos for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS]
    if not paths:
        raise DataError(f"{', '.join(map(str, options.photos))}: expected photos ({', '.join(ENDINGS)})")
    prints = [difference_hash(image) for image in known(options.data)]
    for path, name in tqdm(zip(paths, names_of(paths), strict=True), total=len(paths), disable=not sys.stderr.isatty()):
        read = cv2.imread(str(path))
        if read is None or min(read.shape[:2]) < LEAST_SIDE:
            continue
        picture = np.asarray(read, np.uint8)
        if seen(picture, prints):
            continue
        found = label(name, picture, teachers)
        if found:
            yield found


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for each photo, by its own and its folder's: another one's boxes must not come to lie on it."""
    names: dict[str, None] = {}
    for path in paths:
        stem = f"{path.parent.name}_{path.stem}"
        further = (f"{stem}-{number}.jpg" for number in itertools.count(2))
        names[next(name for name in itertools.chain([f"{stem}.jpg"], further) if name not in names)] = None
    return list(names)


def seen(picture: Color, prints: list[Any]) -> bool:
    """Whether a picture, or its mirror image, looks like one of those before; if not, it is one of them now."""
    gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    own = [difference_hash(each) for each in (gray, np.ascontiguousarray(gray[:, ::-1]))]
    if any(np.count_nonzero(np.array(prints) != each, axis=1).min(initial=256) <= PERHAPS_ALIKE_BITS for each in own):
        return True
    prints.append(own[0])
    return False


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
