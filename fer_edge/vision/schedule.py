"""Decides when the detector runs: on the whole frame, and on one tile of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import cv2
import numpy as np

from fer_edge.config import Detector as DetectorConfig
from fer_edge.records import Box, Frame, Image
from fer_edge.vision.detector import TILES
from fer_edge.vision.transforms import halved


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """When the detector ran, as far as the next frames need it. Pictures are left out: this may be written to a file,
    which must hold none; `review` restores them."""

    last_ns: int | None
    tile_ns: int | None
    tile: int
    scene: bool = False  # whether a scene is known; a frame of it is not kept: `review` brings it back
    looked_ns: Mapping[int, int] = field(default_factory=dict)  # tile, or WHOLE: the last run that was not skipped


SLACK_NS = 500_000  # or a pause that divides the frame rate would miss every other frame
SAME_SCENE = 0.5  # correlation of two thumbnails, below which there is a cut between them
SURELY_ALIKE = 0.99 * math.sqrt(1 - SAME_SCENE**2)
"""Nearer together than so many of their standard deviations, two thumbnails have a correlation of SAME_SCENE."""
MOVED_SHARE = 0.9  # share of the thumbnail's cells explained by motion; of 4,000 real cuts 0.2 % reach it
NEAR = np.ones((5, 5), np.uint8)  # cells: how far somebody near the camera moves in a frame
NOISE = 12  # gray levels
LEAST_CONTRAST = 4.0  # gray levels, the standard deviation: a thumbnail of less shows nothing
STILL_SHARE = 0.25  # of `motion`: a picture in which no cell has changed by so much is still ...
STILL_MOST = 6.5  # ... or by so many gray levels, where motion is set higher than it is by default
STILL_PAUSES = 4  # factor on the detector's pause where nothing has changed
WHOLE = -1  # the whole frame, beside the numbers of its tiles
AROUND = 0.3  # of a face's width and height, on each side: hair, and how far it moves between two runs
ARMS, LEGS = 2.0, 6.0  # widths beside a face and heights below its chin, as far as its body moves


class DetectionSchedule:
    """Decides when the detector runs.

    While faces are tracked it runs every `every_seconds`; every `idle_every_seconds` while nobody is there or
    somebody is missing; at once when a face is lost; and when something moves that is neither a known face nor its
    body (at most every `idle_every_seconds`), so that a new face in front of a body waits for `every_seconds`. It also
    runs on one tile of the picture every `closer_every_seconds`. After a cut it runs at once. It would only find again
    what it found where nothing has changed since it looked: while nobody is there, and at each tile, it then waits
    STILL_PAUSES times as long.
    """

    THUMB = (40, 30)  # px; coarse enough that sensor noise averages out

    def __init__(self, config: DetectorConfig) -> None:
        self.configure(config)
        self._last_ns: int | None = None
        self._tile_ns: int | None = None
        self._tile = 0
        self._thumb: Image | None = None
        self._scene: Image | None = None
        self._reviewed = ScheduleSnapshot(None, None, 0)
        self._made: tuple[tuple[int, int, int], Image] | None = None  # the last thumbnail, of which frame

    def configure(self, config: DetectorConfig) -> None:
        """Apply other intervals and thresholds: what was not found by the old ones may be by these."""
        self._config = config
        self._looked: dict[int, tuple[int, Image]] = {}  # tile, or WHOLE: when it was last searched, and the thumbnail

    def snapshot(self) -> ScheduleSnapshot:
        """The state derived from frames."""
        looked_ns = {place: ns for place, (ns, _) in self._looked.items()}
        return ScheduleSnapshot(self._last_ns, self._tile_ns, self._tile, self._scene is not None, looked_ns)

    def restore(self, snapshot: ScheduleSnapshot) -> None:
        """Continue from such a state."""
        self._last_ns, self._tile_ns = snapshot.last_ns, snapshot.tile_ns
        self._tile, self._thumb = snapshot.tile, None
        self._scene, self._reviewed = None, snapshot
        self._looked.clear()

    def review(self, frame: Frame) -> None:
        """Take up a frame from before `snapshot` once more: the last ones that the detector looked at are needed to
        notice motion, and the last one that shows something to notice a cut."""
        thumb = self._thumbnail(frame)
        if frame.taken_ns == self._last_ns:
            self._thumb = thumb
        same = [place for place, looked_ns in self._reviewed.looked_ns.items() if looked_ns == frame.taken_ns]
        self._looked |= dict.fromkeys(same, (frame.taken_ns, thumb))
        if self._reviewed.scene and _contrast(thumb) >= LEAST_CONTRAST:
            self._scene = thumb

    def cut(self, frame: Frame, *, watched: bool) -> bool:
        """Whether this frame shows another scene than the last one, so that no face of that can be in it: a cut in a
        film, not a light that is switched. Looked for while faces are `watched`; black frames in between count for
        nothing."""
        if not watched:
            self._scene = None
            return False
        before, now = self._scene, self._thumbnail(frame)
        contrast = _contrast(now)
        if contrast < LEAST_CONTRAST:
            return False
        self._scene = now
        if before is None or _same_scene(before, now, contrast):
            return False
        self._last_ns = None
        return True

    def due(self, frame: Frame, known: Sequence[Box], *, lost: bool, missing: bool) -> tuple[bool, int | None]:
        """Whether to detect in the whole of this frame, and on which of TILES tiles (None: none). Arguments as of
        `should_detect`."""
        whole, tile = self.should_detect(frame, known, lost=lost, missing=missing), self.next_tile(frame)
        idle, config = not (known or lost or missing), self._config
        if whole and idle and self._rests(WHOLE, frame, known, config.idle_every_seconds):
            whole = False
        if tile is not None and self._rests(tile, frame, known, TILES * config.closer_every_seconds):
            tile = None
        looks = [each for each, looked in ((WHOLE, whole), (tile, tile is not None)) if looked and each is not None]
        self._looked |= dict.fromkeys(looks, (frame.taken_ns, self._thumbnail(frame))) if looks else {}
        return whole, tile

    def _rests(self, place: int, frame: Frame, known: Sequence[Box], pause: float) -> bool:
        """Whether an area need not be searched again: nothing has changed, and the last run was not long ago."""
        if place not in self._looked or self._config.motion >= 1:
            return False
        looked_ns, thumb = self._looked[place]
        soon = 0 <= frame.taken_ns - looked_ns + SLACK_NS < STILL_PAUSES * pause * 1e9
        least = min(STILL_MOST, 255 * self._config.motion * STILL_SHARE)
        return soon and self._change(frame, thumb, map(_head, known)) < least

    def should_detect(self, frame: Frame, known: Sequence[Box], *, lost: bool, missing: bool) -> bool:
        """Whether to detect in this frame.

        Args:
            frame: the new frame.
            known: boxes of the faces that were followed into it.
            lost: a face of the frame before is not among them.
            missing: a face that was lost earlier is still waited for.

        """
        since = None if self._last_ns is None else (frame.taken_ns - self._last_ns + SLACK_NS) / 1e9
        config = self._config
        pause = config.idle_every_seconds if missing or not known else config.every_seconds
        if (
            since is None
            or lost
            or since >= pause
            or (since >= config.idle_every_seconds and self._moved(frame, known))
        ):
            self._last_ns, self._thumb = frame.taken_ns, self._thumbnail(frame)
            return True
        return False

    def next_tile(self, frame: Frame) -> int | None:
        """Which tile of this frame to search; None: none."""
        pause_ns = self._config.closer_every_seconds * 1e9
        if not pause_ns or (self._tile_ns is not None and frame.taken_ns - self._tile_ns + SLACK_NS < pause_ns):
            return None
        self._tile_ns, self._tile = frame.taken_ns, (self._tile + 1) % TILES
        return self._tile

    def _moved(self, frame: Frame, known: Sequence[Box]) -> bool:
        """Whether any cell outside the known faces and their bodies changed by `motion` since the detector ran."""
        if self._thumb is None or self._config.motion >= 1:
            return False
        explained = chain(map(_head, known), map(_body, known))
        return self._change(frame, self._thumb, explained) >= 255 * self._config.motion

    def _change(self, frame: Frame, before: Image, explained: Iterable[Box]) -> float:
        """The largest change of a cell outside some boxes, in gray levels."""
        change = cv2.absdiff(self._thumbnail(frame), before)
        across, down = self.THUMB[0] / frame.width, self.THUMB[1] / frame.height
        for box in explained:
            x0, x1 = int(box.x0 * across), int(box.x1 * across) + 1
            y0, y1 = int(box.y0 * down), int(box.y1 * down) + 1
            change[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 0
        return cv2.norm(change, cv2.NORM_INF)

    def _thumbnail(self, frame: Frame) -> Image:
        """A frame's thumbnail, made once: averaging all of its pixels is expensive. The frame itself is not kept."""
        key = (frame.seq, frame.taken_ns, id(frame.gray))
        if self._made is None or self._made[0] != key:
            small = halved(frame.gray, least=(2 * self.THUMB[0], 2 * self.THUMB[1]))
            self._made = key, np.asarray(cv2.resize(small, self.THUMB, interpolation=cv2.INTER_AREA), np.uint8)
        return self._made[1]


def _head(face: Box) -> Box:
    """A face and what moves with it."""
    across, down = AROUND * face.width, AROUND * face.height
    return Box(face.x0 - across, face.y0 - down, face.x1 + across, face.y1 + down)


def _body(face: Box) -> Box:
    """Where the arms and the rest of a face's body are, as a rule."""
    aside = ARMS * face.width
    return Box(face.x0 - aside, face.y1, face.x1 + aside, face.y1 + LEGS * face.height)


def _contrast(thumb: Image) -> float:
    """The standard deviation, gray levels."""
    return float(cv2.meanStdDev(thumb)[1][0, 0])


def _same_scene(before: Image, now: Image, contrast: float) -> bool:
    """Whether two thumbnails are alike, or become so where things in them have moved a little: before a plain wall,
    somebody who passes quickly is most of what there is to see. `contrast`: of `now`."""
    if cv2.norm(before, now, cv2.NORM_L2) <= SURELY_ALIKE * contrast * math.sqrt(now.size):
        return True
    if _correlation(before.ravel(), now.ravel()) >= SAME_SCENE:
        return True
    least = cv2.erode(before, NEAR).astype(np.int16) - NOISE
    most = cv2.dilate(before, NEAR).astype(np.int16) + NOISE
    return float(((now >= least) & (now <= most)).mean()) >= MOVED_SHARE


def _correlation(one: Image, other: Image) -> float:
    """Pearson's correlation, of values that are not all equal."""
    x, y = one - one.mean(), other - other.mean()
    return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))
