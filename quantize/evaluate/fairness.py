"""How well faces are found by age, gender and race (`faces_unlabelled.zip`: 200 x 200 px, named age_gender_race_date).

Protocol: each picture, which its face fills, is scaled to 200 and to 100 px and put into the middle of 640 x 480 px of
the gray of its own edge. It is found if the daemon's detector, at its default threshold, gives a box whose middle lies
in the middle 60 % of the picture and whose height is half to 1.6 times the picture's. It is tracked if the daemon's
pipeline, which also asks the landmarks model, takes such a box for a face. A group is behind where
the upper end of its 95 % interval (Wilson 1927) lies below the share of everybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer_edge.config import Config, Models
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Image
from fer_edge.vision.detector import Detector
from quantize import daemon_stages
from quantize.data.locate import located
from quantize.data.sets import DataError, Folder

SIDES_PX = (200, 100)
CANVAS = (480, 640)
MIDDLE = 0.3  # how far a box's middle may be from the picture's, in its sides
HEIGHTS = (0.5, 1.6)
AGES = ((0, 2), (3, 9), (10, 19), (20, 39), (40, 59), (60, 120))
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "others")
EVERYBODY = "everybody"

ROUNDING = 1e-9  # the interval of 100 % ends at 1, or a rounding error below


@dataclass(frozen=True, slots=True)
class Person:
    """One picture and the labels in its name."""

    image: Image  # u8[H,W] gray
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The figures of one group, over both sizes."""

    pictures: int
    found: float
    tracked: float
    found_interval: tuple[float, float]
    tracked_interval: tuple[float, float]
    behind: bool


@dataclass(frozen=True, slots=True)
class GroupsReport:
    """All groups; `EVERYBODY` is the first."""

    set: str
    threshold: float
    groups: dict[str, GroupFigures]


def measure(models: Path, data: Path) -> GroupsReport:
    """Measure the published detector and landmarks model. Raises DataError or ModelError."""
    detector = daemon_stages.detector(daemon_stages.open_model(models / "detector.tflite", "detector"))
    pipeline = Pipeline(Config(models=Models(folder=str(models))))
    where = located("groups", data)
    people = read(where)
    seen = np.array([[_look(detector, pipeline, each.image, side) for side in SIDES_PX] for each in people])
    names = [EVERYBODY, *(f"{low} to {high}" for low, high in AGES), *GENDERS, *RACES]
    figures: dict[str, GroupFigures] = {}
    for name in names:
        rows = [row for row, each in enumerate(people) if name in each.groups]
        if rows:
            figures[name] = group_figures(seen[rows].reshape(-1, 2), figures.get(EVERYBODY))
    return GroupsReport(where.name, daemon_stages.DEFAULT_THRESHOLD, figures)


def read(where: Path) -> list[Person]:
    """Read the set. Raises DataError."""
    folder = Folder(where)
    people = [Person(folder.image(name), groups_of_name(name, where)) for name in folder.pictures()]
    if not people:
        raise DataError(f"{where}: expected pictures named age_gender_race_date.jpg, found none")
    return people


def groups_of_name(name: str, where: Path) -> tuple[str, ...]:
    """The groups in a picture's name; those it leaves out are unknown. Raises DataError."""
    words = Path(name).stem.split("_")
    try:
        age, gender = int(words[0]), GENDERS[("0", "1").index(words[1])]
    except (ValueError, IndexError):
        raise DataError(f"{where}: {name}: expected a name like age_gender_race_date.jpg") from None
    ages = [f"{low} to {high}" for low, high in AGES if low <= age <= high]
    race = [RACES[int(words[2])]] if len(words) > 2 and words[2] in tuple("01234") else []
    return EVERYBODY, *ages, gender, *race


def pasted(image: Image, side: int) -> Image:
    """Put a picture u8[H,W] into the middle of CANVAS, `side` px wide and high."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    canvas = np.full(CANVAS, int(np.median(edge)), np.uint8)
    top, left = (CANVAS[0] - side) // 2, (CANVAS[1] - side) // 2
    canvas[top : top + side, left : left + side] = small
    return canvas


def _look(detector: Detector, pipeline: Pipeline, image: Image, side: int) -> tuple[bool, bool]:
    """Whether a face is found, and whether it is tracked."""
    frame = daemon_stages.frame_of(pasted(image, side))
    found = any(_fits(face.box, side) for face in detector(frame))
    return found, any(_fits(track.box, side) for track in pipeline.look(frame).tracks)


def _fits(box: Box, side: int) -> bool:
    x, y = box.center
    off = max(abs(x - CANVAS[1] / 2), abs(y - CANVAS[0] / 2)) / side
    return off <= MIDDLE and HEIGHTS[0] <= box.height / side <= HEIGHTS[1]


def group_figures(
    seen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], everybody: GroupFigures | None
) -> GroupFigures:
    """A group's figures from bool[looks,2]: found, tracked."""
    pictures = len(seen) // len(SIDES_PX)
    found, tracked = (float(share) for share in seen.mean(axis=0))
    # The two sizes of one picture are no two people: the intervals count pictures.
    intervals = [wilson(share, pictures) for share in (found, tracked)]
    behind = everybody is not None and (
        intervals[0][1] < everybody.found - ROUNDING or intervals[1][1] < everybody.tracked - ROUNDING
    )
    return GroupFigures(pictures, found, tracked, intervals[0], intervals[1], behind)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, 0..1, of `count` (Wilson 1927, J. Am. Stat. Assoc. 22)."""
    z = 1.96
    middle, spread = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - spread) / (1 + z * z / count), (middle + spread) / (1 + z * z / count)


def table(report: GroupsReport) -> list[str]:
    """Lay out for people."""
    lines = [
        f"{report.set}: faces of {' and '.join(map(str, SIDES_PX))} px, detector at score {report.threshold:g}",
        f"{'':<12}{'pictures':>9}{'found':>9}  {'95 %':<14}{'tracked':>9}  {'95 %':<14}",
    ]
    for name, each in report.groups.items():
        shares = ((each.found, each.found_interval), (each.tracked, each.tracked_interval))
        cells = "".join(f"{share:>9.1%}  {f'{low:.1%} to {high:.1%}':<16}" for share, (low, high) in shares)
        lines.append(f"{name:<12}{each.pictures:>9}{cells}{'behind' if each.behind else ''}".rstrip())
    behind = [name for name, each in report.groups.items() if each.behind]
    return [*lines, f"behind: {', '.join(behind) or 'no group, as far as so many pictures can show'}"]
