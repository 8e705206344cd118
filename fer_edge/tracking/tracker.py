"""Identity over time: which face of this frame is which face of the last one."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from fer_edge.config import Tracking
from fer_edge.records import Box, Expression, Face, Quality, Reading, Track
from fer_edge.tracking.motion import COVERED_SHARE, Motion, shifted
from fer_edge.tracking.signals import SignalReader

SAME_IOU = 0.3  # IoU from which two boxes in one frame are one face
SAME_DISTANCE = 0.25  # or nearer together than this (see `distance`)
CONTAINED_SHARE = 0.7  # share of the smaller box within the larger one, from which it is a part of that face
STOPPED = 0.3  # heights: how much likelier a hidden face moves on than that it stands still
LEAST_HOLE_SECONDS = 1.0  # the longest frame interval of a camera
HOLE_PERIODS = 3  # a time-lapse film has no holes
LEAST_PART = 0.25  # of its height: a smaller box is another face, farther away


@dataclass(frozen=True, slots=True)
class TrackerSnapshot:
    """The faces of a moment."""

    tracks: tuple[Track, ...]
    next_id: int
    motions: tuple[Motion, ...] = ()  # of the tracks, in their order
    frame_ns: int | None = None  # when the last frame was taken
    period_ns: int = 0  # from the one before it


class Tracker:
    """Readings of one frame -> tracks. Ids count from 1 and are never used twice."""

    def __init__(self, config: Tracking, signals: SignalReader | None = None) -> None:
        """`signals`: what is measured beside the expression; None: nothing."""
        self.configure(config, signals)
        self._tracks: dict[int, Track] = {}
        self._motions: dict[int, Motion] = {}
        self._next_id = 1
        self._frame_ns: int | None = None
        self._period_ns = 0

    def configure(self, config: Tracking, signals: SignalReader | None = None) -> None:
        """Apply other thresholds and times."""
        self._config, self._signals = config, signals or SignalReader(())

    def snapshot(self) -> TrackerSnapshot:
        """The state derived from frames."""
        return TrackerSnapshot(
            tuple(self._tracks.values()),
            self._next_id,
            tuple(self._motions[each] for each in self._tracks),
            self._frame_ns,
            self._period_ns,
        )

    def restore(self, memory: TrackerSnapshot) -> None:
        """Continue from such a state."""
        self._tracks = {track.id: track for track in memory.tracks}
        motions = memory.motions or (Motion(),) * len(memory.tracks)
        self._motions = {track.id: motion for track, motion in zip(memory.tracks, motions, strict=True)}
        self._next_id = memory.next_id
        self._frame_ns, self._period_ns = memory.frame_ns, memory.period_ns

    def in_a_hole(self, now_ns: int) -> bool:
        """Take note of a frame's time; whether so many are missing before it that nobody is held to be the same."""
        if self._frame_ns is None:
            self._frame_ns = now_ns
            return False
        before_ns, period_ns = self._period_ns, now_ns - self._frame_ns
        self._frame_ns, self._period_ns = now_ns, period_ns
        longest_s = max(self._config.keep_seconds, LEAST_HOLE_SECONDS)
        return bool(before_ns) and period_ns > max(longest_s * 1e9, HOLE_PERIODS * before_ns)

    @property
    def missing(self) -> bool:
        """Whether a face is missing that the last frame did not show."""
        return any(track.misses for track in self._tracks.values())

    @property
    def watched(self) -> bool:
        """Whether there is any face, hidden ones too."""
        return bool(self._tracks)

    def active_faces(self, now_ns: int) -> list[Face]:
        """The faces of the last frame as candidates for the one of `now_ns`, where they will be by then."""
        return [self._ahead(track, now_ns) for track in self._tracks.values() if not track.misses]

    def _ahead(self, track: Track, now_ns: int) -> Face:
        by = self._motions[track.id].after((now_ns - track.last_ns) / 1e9)
        points = track.landmarks.points + np.array(by, np.float32)
        return Face(shifted(track.box, by), track.landmarks.score, points, track.id)

    def should_classify(self, face: Face, now_ns: int) -> bool:
        """Whether a face is due for classification. A new face is at once."""
        track = self._tracks.get(face.track_id) if face.track_id else None
        if track is None or track.classified_ns is None:
            return True
        # half a millisecond of slack, or an interval that divides the frame rate would miss every other frame
        return now_ns - track.classified_ns >= self._config.judge_every_seconds * 1e9 - 500_000

    def quality_of(self, face: Face) -> Quality | None:
        """A tracked face's quality in the last frame that showed it."""
        track = self._tracks.get(face.track_id) if face.track_id else None
        return track.quality if track else None

    def update(self, readings: Sequence[Reading], now_ns: int) -> tuple[Track, ...]:
        """Process a frame's readings; returns all tracks, the hidden ones with `misses` > 0."""
        each = deduplicate(readings, lambda reading: self._misfit(reading, now_ns))
        fresh = {reading.face.track_id: reading for reading in each if reading.face.track_id}
        fresh |= self._matched_lost([reading for reading in each if not reading.face.track_id], fresh, now_ns)
        motions = {track_id: self._moved(track_id, fresh, now_ns) for track_id in fresh}
        for track_id, reading in fresh.items():
            self._tracks[track_id] = self._seen(self._tracks.get(track_id), track_id, reading, now_ns)
        self._motions |= motions
        for track_id in self._tracks.keys() - fresh.keys():
            self._miss(self._tracks[track_id], now_ns)
        return tuple(sorted(self._tracks.values(), key=lambda track: track.id))

    def clear(self) -> None:
        """Forget every face (the camera was lost), but no id."""
        self._tracks.clear()
        self._motions.clear()

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _matched_lost(self, found: Sequence[Reading], taken: Container[int], now_ns: int) -> dict[int, Reading]:
        """Newly found faces under the ids of the hidden tracks that they continue, of like size and within reach, the
        nearest first; the others under new ids."""
        hidden = [track for track in self._tracks.values() if track.id not in taken]
        pairs = [
            (self._gap(track, each.face.box, now_ns), track.id, number)
            for track in hidden
            for number, each in enumerate(found)
        ]
        ids: dict[int, int] = {}
        for gap, track_id, number in sorted(pairs):
            if gap <= self._config.reach and number not in ids and track_id not in ids.values():
                ids[number] = track_id
        return {ids.get(number) or self._new_id(): reading for number, reading in enumerate(found)}

    def _gap(self, track: Track, box: Box, now_ns: int) -> float:
        """From where a hidden face should be by now, or from where it was last seen, which is less likely."""
        by = self._motions[track.id].after((now_ns - track.last_ns) / 1e9)
        return min(distance(shifted(track.box, by), box), distance(track.box, box) + STOPPED)

    def _misfit(self, reading: Reading, now_ns: int) -> float:
        """How far a tracked face is from its predicted position."""
        track = self._tracks.get(reading.face.track_id or 0)
        return self._gap(track, reading.face.box, now_ns) if track else 0.0

    def _moved(self, track_id: int, fresh: Mapping[int, Reading], now_ns: int) -> Motion:
        """A track's motion after a frame that shows it."""
        track, box = self._tracks.get(track_id), fresh[track_id].face.box
        if track is None:
            return Motion()
        others = [each.face.box for other, each in fresh.items() if other != track_id]
        others += [each.box for each in self._tracks.values() if each.id not in fresh]
        covered = any(box.within(other) > COVERED_SHARE for other in others)
        return self._motions[track_id].seen(track.box, box, (now_ns - track.last_ns) / 1e9, covered=covered)

    def _seen(self, track: Track | None, track_id: int, reading: Reading, now_ns: int) -> Track:
        """A track after a frame that shows it."""
        if track is None:
            return self._signals(new_track(track_id, reading, now_ns), now_ns)
        seen = Track(
            id=track_id,
            box=reading.face.box,
            landmarks=reading.landmarks,
            quality=reading.quality,
            expression=self._smoothed(track, reading.expression, now_ns),
            first_ns=track.first_ns,
            last_ns=now_ns,
            hits=track.hits + 1,
            misses=0,
            classified_ns=now_ns if reading.expression else track.classified_ns,
            intensities=reading.intensities,
            eyes=reading.eyes,
            signals=track.signals,
            memory=track.memory,
        )
        return self._signals(seen, now_ns, hidden=bool(track.misses))

    def _smoothed(self, track: Track, new: Expression | None, now_ns: int) -> Expression | None:
        """Exponential smoothing in time, not in frames: after `smoothing_seconds` a new expression weighs 63 %,
        whatever the frame rate."""
        if new is None or track.expression is None or track.classified_ns is None or not self._config.smoothing_seconds:
            return new or track.expression
        weight = 1 - math.exp(-(now_ns - track.classified_ns) / 1e9 / self._config.smoothing_seconds)
        old = track.expression.probabilities
        return Expression(old + (new.probabilities - old) * weight)

    def _miss(self, track: Track, now_ns: int) -> None:
        """A track after a frame that does not show it: kept for `keep_seconds`, then forgotten."""
        if (now_ns - track.last_ns) / 1e9 > self._config.keep_seconds:
            del self._tracks[track.id], self._motions[track.id]
        else:
            self._tracks[track.id] = replace(track, misses=track.misses + 1)


def new_track(track_id: int, reading: Reading, now_ns: int) -> Track:
    """A track that begins with this reading."""
    return Track(
        id=track_id,
        box=reading.face.box,
        landmarks=reading.landmarks,
        quality=reading.quality,
        expression=reading.expression,
        first_ns=now_ns,
        last_ns=now_ns,
        hits=1,
        misses=0,
        classified_ns=now_ns if reading.expression else None,
        intensities=reading.intensities,
        eyes=reading.eyes,
    )


def untracked(found: Sequence[Face], known: Sequence[Reading]) -> list[Face]:
    """The detected faces that are not tracked already."""
    return [face for face in found if not any(_same(face.box, reading.face.box) for reading in known)]


def distance(one: Box, other: Box) -> float:
    """Between two boxes' centres, in heights of the larger one; a factor of two in size counts as one height."""
    height, its = max(one.height, 1e-6), max(other.height, 1e-6)
    (x, y), (u, v) = one.center, other.center
    return math.hypot(x - u, y - v) / max(height, its) + abs(math.log2(height / its))


def _same(one: Box, other: Box) -> bool:
    """Whether two boxes of one frame are one face: they overlap, or one, not too small, is a part of the other."""
    overlap = one.iou(other)
    if overlap >= SAME_IOU:
        return True
    small, large = sorted((one.height, other.height))
    if overlap and small >= LEAST_PART * large and one.within(other) >= CONTAINED_SHARE:
        return True
    beside = abs(one.x0 + one.x1 - other.x0 - other.x1) / 2 > SAME_DISTANCE * max(large, 1e-6)  # saves a logarithm
    return not beside and distance(one, other) < SAME_DISTANCE


def deduplicate(readings: Sequence[Reading], misfit: Callable[[Reading], float] = lambda _: 0.0) -> list[Reading]:
    """Each face once: two tracked faces may slip onto one; the track whose motion leads there keeps it (of the
    least `misfit`), else the older one."""
    if len(readings) < 2:
        return list(readings)
    boxes = [reading.face.box for reading in readings]
    if not any(_same(one, other) for one, other in combinations(boxes, 2)):
        return sorted(readings, key=lambda reading: not reading.face.track_id)  # as below, where nothing is left out
    kept: list[Reading] = []
    for reading in sorted(readings, key=lambda r: (not r.face.track_id, round(misfit(r), 1), r.face.track_id or 0)):
        if not any(_same(reading.face.box, other.face.box) for other in kept):
            kept.append(reading)
    return kept
