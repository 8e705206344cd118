"""A frame's result: one JSON line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from fer_edge.camera import Recording, shown
from fer_edge.contract.encode import probabilities, signals_of
from fer_edge.contract.payloads import SignalPayload
from fer_edge.pipeline import Pipeline
from fer_edge.records import Box, FaceState, Frame, Reason, Update


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
    signals: dict[str, SignalPayload] | msgspec.UnsetType = msgspec.UNSET  # where config switches any on
    zones: list[str] | msgspec.UnsetType = msgspec.UNSET  # that it is in, where config has any and pictures are a film


class FrameLine(msgspec.Struct, frozen=True, kw_only=True):
    """One frame; width and height in px."""

    source: str
    frame: int  # counts from 0 within its source
    t_s: float  # since the beginning of its source
    width: int
    height: int
    faces: list[FaceLine]


@dataclass(frozen=True, slots=True)
class AnalyzedFrame:
    """A frame and its results. Its time, `update.frame.taken_ns`, counts from the first frame of its source,
    so that two runs of one film give the same."""

    line: FrameLine
    shown: tuple[FaceState, ...]  # the faces of the line
    update: Update  # where `faces` are the confirmed ones
    picture: Path | None  # the file that it came from, where each has its own


def looks(
    pipeline: Pipeline, camera: Recording, source: str, *, still: bool, skip: int = 0
) -> Iterator[AnalyzedFrame | None]:
    """Every frame of an open source; the first `skip` of them are read only, and None."""
    look: Callable[[Frame], Update] = pipeline.look if still else pipeline.step
    begun_ns, index = None, 0
    while (frame := camera.read()) is not None:
        begun_ns = frame.taken_ns if begun_ns is None else begun_ns
        if index < skip:
            pipeline.cadence.review(replace(frame, taken_ns=frame.taken_ns - begun_ns))
            yield None
        else:
            update = look(replace(frame, taken_ns=frame.taken_ns - begun_ns))
            faces = shown_by_pictures(update, pipeline) if still else shown_by_clip(update, pipeline)
            zones = bool(pipeline.config.zones) and not still
            line = frame_line(faces, update, _name(camera, source), index=index, zones=zones)
            yield AnalyzedFrame(line, tuple(faces), update, camera.picture)
        index += 1


def _name(camera: Recording, source: str) -> str:
    return printable(camera.picture or shown(source))


def printable(name: str | os.PathLike[str]) -> str:
    """A file name as text: not every one is UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def shown_by_clip(update: Update, pipeline: Pipeline) -> list[FaceState]:
    """Every face of a frame with the expression that is committed for it, or would be if it started here."""
    committed = {face.track.id: face for face in update.faces}
    here = [track for track in update.tracks if not track.misses]
    return [committed.get(track.id) or FaceState(track, *pipeline.events.decide(track)) for track in here]


def shown_by_pictures(update: Update, pipeline: Pipeline) -> list[FaceState]:
    """Every face of a picture with its expression where that is as sure as `events` asks for, or why it has none."""
    return [FaceState(track, *pipeline.events.decide(track)) for track in update.tracks]


def frame_line(shown: list[FaceState], update: Update, source: str, *, index: int, zones: bool = False) -> FrameLine:
    """A frame's line, as it is written. `zones`: with those that each face is in."""
    frame = update.frame
    assert frame is not None
    faces = [_face_line(face, zones=zones) for face in shown]
    t_s = round(frame.taken_ns / 1e9, 4)
    return FrameLine(source=source, frame=index, t_s=t_s, width=frame.width, height=frame.height, faces=faces)


def _face_line(face: FaceState, *, zones: bool) -> FaceLine:
    track, label, reason = face.track, face.expression, face.reason
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
        signals=signals_of(track.signals),
        zones=list(face.zones) if zones else msgspec.UNSET,
    )


def _rounded(box: Box) -> tuple[float, float, float, float]:
    return round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2)
