"""Blinks, PERCLOS and yawns, through the daemon's own models and signals.

`blinks` in the data folder has films and `blinks.csv`: film, seconds (from its start), and whether a person who read
the film is sure of the blink (1) or not (0: finding it is neither right nor wrong). Films of stills are put together
from held-out people of whom one picture has closed eyes and two have open ones (`quantize.data.eyes_read`): in them
blinks and PERCLOS are known. `yawns`: stills of YawDD, calm or yawning by their folder, of drivers of whom no picture
was learned from: both folders are numbered driver by driver in one order, told by clothes and cars, so that the yawns
kept from training begin with the driver of FIRST_CALM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Config, Drowsiness, Models
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, Frame, Image, Intensities, Landmarks, Pose, Quality, Reason, Track
from fer_edge.tracking.signals import SignalReader
from fer_edge.tracking.signals.drowsiness import BLINKS, PERCLOS
from fer_edge.tracking.signals.memory import WARM_UP_S
from quantize.data import eyes_read, mesh_faces
from quantize.data.mesh_faces import HELD_OUT_FOLDS, MeshFaces
from quantize.data.sets import DataError, Folder, numbers
from quantize.evaluate import worsened
from quantize.evaluate.eyes_mouth import Reader, precision_recall
from quantize.metrics import Bools

NEAR_S = 0.25  # a blink is found within so much
FILM_PX = (None, 80, 48, 36)  # None: as filmed
FILM_FPS = (30.0, 15.0, 12.0)
STILLS_FPS = 15.0
STILLS_S = 75.0
OPEN_EACH_S = 5.0  # each open picture is shown
BLINK_EACH_S = 4.0
BLINK_S = 0.2
LONG_AT_S, LONG_S = (30.0, 50.0), 2.0  # eyes closed for longer: no blinks
SHIFT_PX = 1.5  # from frame to frame, of a crop of 160 px
SEED = 18
NOTHING = (float("nan"),) * 3
FIRST_CALM = 1452  # number of the first calm picture of a driver whose yawns were not learned from


@dataclass(frozen=True, slots=True)
class BlinkFigures:
    """Blinks under one condition."""

    condition: str
    blinks: int
    found: int
    wrong: int  # where there is none
    minutes: float


@dataclass(frozen=True, slots=True)
class PerclosFigures:
    """PERCLOS at the end of films."""

    condition: str
    films: int
    known: int  # of these, where it is known at the end
    wanted: float  # mean over these
    got: float
    error: float  # mean absolute one


@dataclass(frozen=True, slots=True)
class YawnFigures:
    """Yawning faces by one picture each."""

    condition: str
    faces: int
    yawning: int
    known: float  # share of the faces that the daemon classifies
    precision: float
    recall: float


def measure(models: Path, data: Path) -> list[BlinkFigures | PerclosFigures | YawnFigures]:
    """All that the data folder has labels for."""
    return [*_films(models, data), *_stills(models, data), *_yawns(models, data)]


# --- films ---------------------------------------------------------------------------------------------------


def _films(models: Path, data: Path) -> Iterator[BlinkFigures]:
    folder = data / "blinks"
    if not (folder / "blinks.csv").exists():
        return
    rows = Folder(folder).table("blinks.csv", columns=("film", "seconds", "sure"))
    blinks: dict[str, list[tuple[float, bool]]] = {row["film"]: [] for row in rows}
    for row in rows:
        blinks[row["film"]] += [(numbers(row, ("seconds",), f"{folder}: blinks.csv")[0], row["sure"] == "1")]
    for px, fps in [(px, FILM_FPS[0]) for px in FILM_PX] + [(80, fps) for fps in FILM_FPS[1:]]:
        each = [_film(models, folder / name, own, px, fps) for name, own in sorted(blinks.items())]
        condition = f"blinks in films, {'as filmed' if px is None else f'{px} px'}, {fps:g} fps"
        there, found, wrong, minutes = (sum(column) for column in zip(*each, strict=True))
        yield BlinkFigures(condition, int(there), int(found), int(wrong), minutes)


def _film(
    models: Path, path: Path, blinks: Sequence[tuple[float, bool]], px: int | None, fps: float
) -> tuple[int, int, int, float]:
    """Blinks, found, wrong and minutes of a film; `blinks`: seconds of each, and whether it is sure."""
    found, known_s = _blinks_in(models, path, px, fps)
    sure = [second for second, certain in blinks if certain and second >= WARM_UP_S]
    hits = sum(any(abs(at - each) <= NEAR_S for at in found) for each in sure)
    wrong = sum(not any(abs(at - each) <= NEAR_S for each, _ in blinks) for at in found)
    return len(sure), hits, wrong, known_s / 60


def _blinks_in(models: Path, path: Path, px: int | None, fps: float) -> tuple[list[float], float]:
    """Seconds at which blinks are found in a film, and in how many seconds the eyes were known."""
    config = Config(
        models=Models(folder=str(models), intensity="intensity"), drowsiness=Drowsiness(enabled=True, watched_seconds=1)
    )
    pipeline, found, known_s, shrink = Pipeline(config), [], 0.0, 1.0
    for second, image in _frames(path, fps):
        frame = _frame(image, second, shrink)
        tracks = [track for track in pipeline.step(frame).tracks if not track.misses]
        if not tracks:
            continue
        track = max(tracks, key=lambda each: each.box.height)
        if px and shrink == 1.0:
            shrink = px / track.quality.height_px
            pipeline.reset()
            continue
        memory = track.memory
        known_s = memory.watched_s if memory else known_s
        found += [at / 1e9 - BLINK_S / 2 for at in memory.blinks_ns if at == frame.taken_ns] if memory else []
    return found, known_s


def _frames(path: Path, fps: float) -> Iterator[tuple[float, Image]]:
    film = cv2.VideoCapture(str(path))
    own, number, due = film.get(cv2.CAP_PROP_FPS), 0, 0.0
    if not film.isOpened() or own <= 0:
        raise DataError(f"{path}: expected a film")
    while True:
        going, image = film.read()
        if not going:
            return
        if number / own >= due - 1e-6:
            due += 1 / fps
            yield number / own, np.asarray(image, np.uint8)
        number += 1


def _frame(image: Image, second: float, shrink: float) -> Frame:
    """A picture of the same size, in which everything is smaller."""
    canvas = np.full_like(image, 90)
    small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else image
    canvas[: small.shape[0], : small.shape[1]] = small
    gray = np.asarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY), np.uint8)
    return Frame(0, round(second * 1e9) + 1, canvas, gray)


# --- films of stills -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StillsFilm:
    """Pictures one after the other."""

    faces: MeshFaces  # one a frame
    closed: Bools  # bool[N]
    blinks: int


def stills_films(data: Path) -> list[StillsFilm]:
    """One of each picture with closed eyes."""
    faces = worsened.kept(data)
    how = eyes_read.read_as(faces, eyes_read.read_eyes(data))
    rng, films = np.random.default_rng(SEED), []
    for row in np.flatnonzero(how == "closed"):
        same = (faces.groups == faces.groups[row]) & (how == "open")
        near = np.abs(faces.poses[:, 0] - faces.poses[row, 0]) < 15
        others = np.flatnonzero(same & near)
        if len(others) >= 2 and not str(faces.groups[row]).startswith("fold"):
            films.append(put_together(faces, int(row), rng.permutation(others), rng))
    return films


def put_together(faces: MeshFaces, closed: int, others: NDArray[np.intp], rng: np.random.Generator) -> StillsFilm:
    """A film of stills: one after the other of the faces in rows `others`, i[n], whose eyes are open, and the face in
    row `closed` in its blinks."""
    seconds = np.arange(0, STILLS_S, 1 / STILLS_FPS)
    rows = others[(seconds // OPEN_EACH_S).astype(int) % len(others)]
    starts = np.arange(BLINK_EACH_S, STILLS_S - 1, BLINK_EACH_S)
    starts = starts + rng.uniform(-1, 1, len(starts))
    starts = starts[[all(not at - 1 <= each <= at + LONG_S + 1 for at in LONG_AT_S) for each in starts]]
    shut = np.zeros(len(seconds), np.bool_)
    for at, lasts in [(each, BLINK_S) for each in starts] + [(each, LONG_S) for each in LONG_AT_S]:
        shut |= (seconds >= at) & (seconds < at + lasts)
    film = faces.pick(np.where(shut, closed, rows))
    shifts = rng.normal(0, SHIFT_PX, (len(film), 2))
    moved = [_shifted(crop, *shift) for crop, shift in zip(film.crops, shifts.tolist(), strict=True)]
    return StillsFilm(mesh_faces.with_crops(film, np.stack(moved)), shut, len(starts))


def _shifted(crop: Image, x: float, y: float) -> Image:
    matrix = np.array([[1, 0, x], [0, 1, y]])
    return np.asarray(cv2.warpAffine(crop, matrix, crop.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _stills(models: Path, data: Path) -> Iterator[BlinkFigures | PerclosFigures]:
    films, reader = stills_films(data), Reader(models)
    if not films:
        return
    for light, heights in worsened.LIGHTS.items():
        for px in (height for height in heights if height >= Drowsiness().min_height_px):
            each = [_follow(reader, film, px, light) for film in films]
            condition = f"{len(films)} films of stills, {worsened.name(px, light)}"
            blinks = sum(film.blinks for film in films)
            found = sum(min(film.blinks, len(times)) for film, (times, _) in zip(films, each, strict=True))
            extra = sum(max(0, len(times) - film.blinks) for film, (times, _) in zip(films, each, strict=True))
            yield BlinkFigures(f"blinks in {condition}", blinks, found, extra, len(films) * STILLS_S / 60)
            yield _perclos(f"PERCLOS in {condition}", films, [value for _, value in each])


def _perclos(condition: str, films: Sequence[StillsFilm], got: Sequence[float]) -> PerclosFigures:
    minute = round(60 * STILLS_FPS)
    wanted = np.array([film.closed[-minute:].mean() for film in films])
    known = np.isfinite(got)
    wanted, found = wanted[known], np.array(got)[known]
    means = (
        (float(wanted.mean()), float(found.mean()), float(np.abs(wanted - found).mean())) if known.any() else NOTHING
    )
    return PerclosFigures(condition, len(films), int(known.sum()), *means)


def _follow(reader: Reader, film: StillsFilm, px: int, light: float) -> tuple[list[int], float]:
    """When blinks are found, ns, and PERCLOS at the end; NaN: not known."""
    config = Config(drowsiness=Drowsiness(enabled=True))
    signals, track, times = SignalReader((BLINKS, PERCLOS), config), None, []
    values, judged = reader(film.faces, worsened.worse(film.faces.crops, px, light))
    for number, (row, fit) in enumerate(zip(values, judged, strict=True)):
        now_ns = round(number / STILLS_FPS * 1e9) + 1
        new = _track(Intensities(reader.names, row) if fit else None, px, now_ns)
        track = signals(replace(new, memory=track.memory, signals=track.signals) if track else new, now_ns)
        if track.memory and track.memory.blinks_ns[-1:] == (now_ns,):
            times.append(now_ns)
    value = track.signals["perclos"].value if track else None
    return times, float("nan") if value is None else value


def _track(values: Intensities | None, px: int, now_ns: int) -> Track:
    """A face of which nothing else is known; without values it is not good enough to be classified."""
    quality = Quality(0.0, float(px), 0.0, 0.5, None if values else Reason.UNCERTAIN)
    landmarks = Landmarks(np.zeros((68, 2), np.float32), 1.0, Pose(0.0, 0.0, 0.0))
    return Track(1, Box(0, 0, px, px), landmarks, quality, None, 0, now_ns, 1, 0, intensities=values)


# --- yawns ---------------------------------------------------------------------------------------------------


def _yawns(models: Path, data: Path) -> Iterator[YawnFigures]:
    known = mesh_faces.read_all(data, ("yawns",))
    if not known:
        return
    faces, reader = known["yawns"], Reader(models)
    strangers = np.array([is_strangers(name, group) for name, group in zip(faces.names, faces.groups, strict=True)])
    faces = faces.pick(strangers & np.isfinite(faces.intensities).all(axis=1))
    yawning = np.array([name.startswith("yawn/") for name in faces.names], np.bool_)
    limit = Drowsiness().yawn
    for light, heights in worsened.LIGHTS.items():
        for px in heights:
            values, judged = reader(faces, worsened.worse(faces.crops, px, light))
            predicted = values[:, reader.names.index("jaw_open")] >= limit
            figures = precision_recall(predicted, yawning, judged)
            yield YawnFigures(
                f"yawns, {worsened.name(px, light)}", len(faces), int(yawning.sum()), float(judged.mean()), *figures
            )


def is_strangers(name: str, group: str) -> bool:
    """Whether a picture, such as "no-yawn/1452.jpg", is of a driver of whom none was learned from."""
    folder, _, file = name.partition("/")
    return group == HELD_OUT_FOLDS[0] and (folder == "yawn" or int(Path(file).stem) >= FIRST_CALM)


# --- for people ----------------------------------------------------------------------------------------------


def table(figures: Sequence[BlinkFigures | PerclosFigures | YawnFigures]) -> list[str]:
    """Lay out for people."""
    return ["drowsiness", *(_row(each) for each in figures)]


def _row(each: BlinkFigures | PerclosFigures | YawnFigures) -> str:
    if isinstance(each, BlinkFigures):
        return f"{each.condition:<48} {each.found} of {each.blinks}, {each.wrong} wrong in {each.minutes:.1f} minutes"
    if isinstance(each, PerclosFigures):
        means = f"{each.wanted:.1%} wanted, {each.got:.1%} got, mean error {each.error:.1%}"
        return f"{each.condition:<48} {each.known} known; {means}"
    return (
        f"{each.condition:<48} {each.faces} faces, {each.yawning} yawn; known {each.known:.1%}  "
        f"precision {each.precision:.2f} recall {each.recall:.2f}"
    )
