"""What the limits of `quality` and `events.enter` are worth: how often a label is right, by what they look at.

Protocol: the FER+ Training faces that the expression model did not learn from are put into pictures without faces as in
`end_to_end`, at heights and in light that a camera may show, blurred or not. The daemon's pipeline looks at each as at
a single frame, with no limit of quality, and its events decide on the label. A label is wrong if fewer than a third of
the people who voted would have given it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from fer_edge.config import Config, Events, Models
from fer_edge.pipeline import Pipeline
from fer_edge.records import LABELS, Image, Track
from fer_edge.tracking.events import EventStateMachine
from fer_edge.vision.quality import assess
from quantize import daemon_stages
from quantize.data.ferplus import Examples, held_out_votes
from quantize.data.locate import located
from quantize.data.sets import DataError, Floats, read_ferplus
from quantize.evaluate.end_to_end import ANYTHING, SEED, backgrounds, nearest, pasted

SIDES_PX = (16, 20, 24, 32, 40, 48, 64)
BLURS_PX = (0.0, 0.7, 1.2, 1.8, 2.5)  # standard deviation, in the picture of 48 px
LIGHTS = (1.0, 0.5, 0.25, 0.12)
LARGE_PX = 96  # of a face whose blur or light is looked at
NOISE = 3.0  # gray levels, in little light
ENTERS = (0.4, 0.5, 0.6, 0.7)
WRONG = 1 / 3
BINS: dict[str, tuple[float, ...]] = {
    "height_px": (0, 12, 16, 20, 24, 28, 32, 40, 60),
    "blur": (0, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 1),
    "brightness": (0, 0.04, 0.08, 0.12, 0.16, 0.24, 0.4, 0.6, 0.8, 1),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One face as the daemon saw it."""

    height_px: float
    blur: float
    brightness: float
    votes: tuple[float | None, ...]  # the share of the votes for the label given at each of ENTERS; None: no label


@dataclass(frozen=True, slots=True)
class LimitFigures:
    """The faces within one range of one measure."""

    measure: str
    least: float
    below: float
    faces: int
    labelled: dict[str, float]  # by `events.enter`: share of the faces that get a label
    wrong: dict[str, float]  # by `events.enter`: share of these labels


def measure(models: Path, data: Path, scenes: Path, *, faces: int | None = None) -> list[LimitFigures]:
    """Look at every face once under each condition. Raises DataError or ModelError."""
    chosen = held_out_votes(read_ferplus(located("expression", data)))
    if faces is not None and not 1 <= faces <= len(chosen.images):
        raise DataError(f"--faces: expected 1 to {len(chosen.images)}, got {faces}")
    eyes = Eyes(models, scenes)
    chosen = Examples(chosen.images[:faces], chosen.targets[:faces])
    conditions = {
        "height_px": [(chosen.images, side) for side in SIDES_PX],
        "blur": [(blurred(chosen.images, each), LARGE_PX) for each in BLURS_PX],
        "brightness": [(darker(chosen.images, each), LARGE_PX) for each in LIGHTS],
    }
    return [
        figures
        for name, variants in conditions.items()
        for figures in in_bins(name, [seen for images, side in variants for seen in eyes(images, chosen.targets, side)])
    ]


def blurred(images: Image, sigma: float) -> Image:
    """Faces u8[N,48,48] out of focus."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images]) if sigma else images


def darker(images: Image, light: float) -> Image:
    """Faces u8[N,48,48] in this share of the light, with a camera's noise."""
    noise = np.random.default_rng(SEED).normal(0, NOISE, images.shape) if light < 1 else 0.0
    return np.asarray(np.clip(images * light + noise, 0, 255), np.uint8)


class Eyes:
    """The daemon, looking at faces in scenes."""

    def __init__(self, models: Path, scenes: Path) -> None:
        self._pipeline = Pipeline(Config(models=Models(folder=str(models)), quality=ANYTHING))
        self._scenes = backgrounds(scenes)
        self._judges = [
            EventStateMachine(msgspec.structs.replace(Events(), enter=enter), confirm_seconds=0.2) for enter in ENTERS
        ]

    def __call__(self, images: Image, targets: Floats, side: int) -> Iterator[Seen]:
        """Put faces u8[N,48,48] into scenes `side` px large; those that are not found are left out."""
        rng = np.random.default_rng((SEED, side))
        for image, votes in zip(images, targets, strict=True):
            picture, where = pasted(image, self._scenes, side, rng)
            frame = daemon_stages.frame_of(picture)
            track = nearest(self._pipeline.look(frame).tracks, where)
            if track is not None and track.expression is not None:
                crop = self._pipeline.classifier.crop(frame, track.landmarks)
                quality = assess(crop, track.landmarks, ANYTHING)
                shares = tuple(self._share(judge, track, votes) for judge in self._judges)
                yield Seen(quality.height_px, quality.blur, quality.brightness, shares)

    def _share(self, judge: EventStateMachine, track: Track, votes: Floats) -> float | None:
        label, _ = judge.decide(track)
        return None if label is None else float(votes[LABELS.index(label)])


def in_bins(name: str, seen: Sequence[Seen]) -> list[LimitFigures]:
    """Sort faces into the ranges of one of their measures; a range without a face is left out."""
    edges, values = BINS[name], [getattr(each, name) for each in seen]
    found = []
    for least, below in itertools.pairwise(edges):
        rows = [each.votes for each, value in zip(seen, values, strict=True) if least <= value < below]
        if rows:
            found.append(_figures(rows, name, least, below))
    return found


def _figures(rows: Sequence[tuple[float | None, ...]], name: str, least: float, below: float) -> LimitFigures:
    labelled, wrong = {}, {}
    for enter, column in zip(ENTERS, zip(*rows, strict=True), strict=True):
        given = [share for share in column if share is not None]
        labelled[f"{enter}"] = len(given) / len(rows)
        wrong[f"{enter}"] = sum(share < WRONG for share in given) / max(len(given), 1)
    return LimitFigures(name, least, below, len(rows), labelled, wrong)


def table(figures: Sequence[LimitFigures]) -> list[str]:
    """Lay out for people."""
    head = "".join(f"{f'enter {enter}':>18}" for enter in ENTERS)
    return [f"{'labelled, of these wrong':<26}{'faces':>7}{head}", *(_row(each) for each in figures)]


def _row(each: LimitFigures) -> str:
    cells = "".join(f"{each.labelled[enter]:>11.3f}, {each.wrong[enter]:.3f}" for enter in each.labelled)
    return f"{each.measure:<12}{f'{each.least:g} to {each.below:g}':<14}{each.faces:>7}{cells}"
