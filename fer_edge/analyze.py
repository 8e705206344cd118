"""Offline runs: pictures and videos in, one JSON line per frame out."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fer_edge.camera import Recording, open_camera, shown
from fer_edge.camera.replay import SUFFIXES
from fer_edge.config import Camera as CameraConfig
from fer_edge.config import Config
from fer_edge.draw import annotate
from fer_edge.errors import CameraError, SinkError
from fer_edge.messages import probabilities
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, FaceState, Frame, Reason, Track, Update
from fer_edge.sinks.jsonl import LineFile

log = logging.getLogger(__name__)


class FaceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One face of a frame. Coordinates are pixels of the frame."""

    track_id: int | None  # None: pictures are unrelated (--still)
    box: tuple[float, float, float, float]  # x0, y0, x1, y1
    score: float
    expression: str | None
    confidence: float
    probabilities: dict[str, float]
    landmarks: list[list[float]]  # 68 points
    reason: str | None


class FrameLine(msgspec.Struct, frozen=True, kw_only=True):
    """One frame."""

    source: str
    frame: int  # counts from 0 within its source
    t_s: float  # since the beginning of its source
    width: int
    height: int
    faces: list[FaceLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """What `fer-edge analyze` was asked for."""

    sources: Sequence[str]
    jsonl: str = "-"  # a file, or - for stdout
    still: bool = False  # pictures have nothing to do with each other
    draw: Path | None = None  # a folder for annotated pictures


def analyze(config: Config, options: AnalyzeOptions) -> int:
    """Run every source through the pipeline; returns how many of them could not be read to their end.

    Raises:
        FerEdgeError: nothing can be analysed at all: a model is missing, or the output cannot be written.

    """
    pipeline, failed = Pipeline(config), 0
    with ExitStack() as stack:
        write = stack.enter_context(_Output(options)).write
        progress = stack.enter_context(_progress())
        for source in options.sources:
            task = progress.add_task(os.path.basename(shown(source)) or shown(source), total=None)
            try:
                with closing(_open(config, source)) as camera:
                    progress.update(task, total=camera.frames)
                    for line, update in lines(pipeline, camera, source, still=options.still):
                        write(line, update)
                        progress.advance(task)
                    progress.update(task, total=progress.tasks[task].completed)
                    failed += bool(camera.damaged)
            except CameraError as error:
                log.error("%s", error)
                failed += 1
    return failed


def lines(pipeline: Pipeline, camera: Recording, source: str, *, still: bool) -> Iterator[tuple[FrameLine, Update]]:
    """Every frame of an open source as a line, with the update it comes from."""
    pipeline.reset()
    look: Callable[[Frame], Update] = pipeline.look if still else pipeline.step
    begun_ns, index = None, 0
    while (frame := camera.read()) is not None:
        begun_ns = frame.taken_ns if begun_ns is None else begun_ns
        update = look(frame)
        name = os.fsencode(camera.picture or shown(source)).decode(errors="replace")  # not every file name is UTF-8
        faces = shown_by_pictures(update) if still else shown_by_clip(update, pipeline)
        yield frame_line(faces, frame, name, index=index, t_s=(frame.taken_ns - begun_ns) / 1e9), update
        index += 1


def shown_by_clip(update: Update, pipeline: Pipeline) -> list[FaceState]:
    """Every face of a frame with the expression that is committed for it, or would be if it started here."""
    committed = {face.track.id: face for face in update.faces}
    here = [track for track in update.tracks if not track.missed]
    return [committed.get(track.id) or FaceState(track, *pipeline.events.verdict(track)) for track in here]


def shown_by_pictures(update: Update) -> list[FaceState]:
    """Every face of a picture with its most likely expression: nothing comes later that could make it surer."""
    return [
        FaceState(track, track.expression.label if track.expression else None, track.quality.reason)
        for track in update.tracks
    ]


def frame_line(shown: list[FaceState], frame: Frame, source: str, *, index: int, t_s: float) -> FrameLine:
    """What a frame says, as it is written."""
    faces = [_face_line(face.track, face.expression, face.reason) for face in shown]
    return FrameLine(source=source, frame=index, t_s=round(t_s, 4), width=frame.width, height=frame.height, faces=faces)


def _face_line(track: Track, label: str | None, reason: Reason | None) -> FaceLine:
    known = probabilities(track.expression.probabilities) if track.expression else {}
    return FaceLine(
        track_id=track.id or None,
        box=_rounded(track.box),
        score=round(track.landmarks.score, 4),
        expression=label,
        confidence=known[label] if label else 0.0,
        probabilities=known if reason in (None, Reason.UNCERTAIN) else {},
        landmarks=np.round(track.landmarks.points.astype(float), 2).tolist(),
        reason=reason and reason.value,
    )


def _rounded(box: Box) -> tuple[float, float, float, float]:
    return round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2)


def source_config(config: CameraConfig, source: str) -> CameraConfig:
    """The camera section for a source given on the command line: pictures, folders and `demo` are replayed,
    everything else is a stream; all as fast as they can be looked at."""
    replayed = source.split(":")[0] == "demo" or os.path.isdir(source) or _is_picture(source)
    return msgspec.structs.replace(
        config, backend="replay" if replayed else "stream", source=source, pace="max", loop=False
    )


def _is_picture(source: str) -> bool:
    """A GIF is taken for a film: it may be one, and one of a single frame is read just as well."""
    suffix = Path(source).suffix.lower()
    return suffix in SUFFIXES and suffix != ".gif"


def _open(config: Config, source: str) -> Recording:
    return cast(Recording, open_camera(source_config(config.camera, source)))


class _Output:
    """Where lines and annotated pictures go. A line is written whole or not at all."""

    def __init__(self, options: AnalyzeOptions) -> None:
        self._options = options
        self._lines = LineFile(options.jsonl, max_bytes=sys.maxsize, backups=0)
        self._count = 0

    def __enter__(self) -> _Output:
        path, folder = self._options.jsonl, self._options.draw
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            if path != "-":
                Path(path).open("wb").close()  # what an earlier run wrote goes
            self._lines.open()
        except OSError as error:
            raise SinkError(
                f"{error.filename or path}: cannot write: {error.strerror}; choose another --jsonl or --draw"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def write(self, line: FrameLine, update: Update) -> None:
        """Write a line, and its picture where wanted."""
        try:
            self._lines.write(msgspec.json.encode(line) + b"\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(
                f"{self._options.jsonl}: cannot write any more: {error.strerror}; free space there"
            ) from None
        if self._options.draw and update.frame:
            path = self._options.draw / f"{self._count:06d}.jpg"
            if not cv2.imwrite(str(path), annotate(update.frame.image, update.tracks)):
                raise SinkError(f"{path}: cannot write the picture; check space and permissions")
            self._count += 1


def _progress() -> Progress:
    """A bar on the terminal; silent where stderr is none."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console.quiet = not console.is_terminal  # Bookworm's rich ends a disabled Progress with an empty line
    return Progress(*columns, console=console, disable=console.quiet)
